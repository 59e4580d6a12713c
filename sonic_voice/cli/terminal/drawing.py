"""A live conversation in lines of a terminal, at any width and height.

    you   What is the weather in Berlin?
    tool  weather({"city":"Berlin"})
          -> {"temperature_c":21}
    nova  It has 21 degrees and       heard: as it is; to come: dim; cut off: struck through
          the sun shines.
    mic ██████░░░░  out ███░░░░░░░  ● speaking
    felt 1.30 s: 0.40 endpointing + 0.80 model and network + 0.10 playout   1,234 tokens   0.01 USD
    m mute  p push-to-talk  t type  i interrupt  q quit  ? help

Texts of the user, the model and tools are foreign: `printable` takes away what a terminal would obey,
and rich's markup is never read in them. No line is longer than the terminal is wide.
"""

import unicodedata
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ...audio.mute import SHUT, Gate
from ...metrics import TurnMetrics
from .line_editor import Draft
from .scene import ShownTurn

MARGIN = 6
"""Columns before the words: who speaks."""

SHORTENED = 200
"""Characters of a tool's arguments or result that are shown."""

METER_STEPS = 20
"""A level in so many steps of 3 dB, down to -60 dBFS: what changes less is not drawn anew."""

WIDE = 60
"""Columns from which on a meter has 10 cells; below it has 6."""

HEARD_STYLE, PENDING_STYLE, CUT_STYLE, DIM_STYLE = "none", "dim", "dim strike", "dim"
USER_STYLE = "cyan"

ACTIVITY_STYLES = {"listening": "green", "speaking": "magenta", "thinking": "yellow"}

HELP = (
    ("m", "mute: silence is sent in place of your voice, until m again"),
    ("p", "push-to-talk: you are heard only from one space to the next, until p again"),
    ("t", "type a message; Enter sends it, Esc drops it. It interrupts an answer"),
    ("i", "interrupt: the answer is cut off here. The model is not told and takes it for heard"),
    ("q", "say goodbye and quit; so does Ctrl-C"),
)


@dataclass(frozen=True, slots=True)
class LiveView:
    """All that the live lines show; equal frames look the same."""

    turns: tuple[ShownTurn, ...]
    activity: str
    gate: Gate
    levels: tuple[int, int] | None
    """Input and output, in `METER_STEPS`; None where nobody tells."""
    latest: TurnMetrics | None
    """The last turn that was answered."""
    tokens: int
    cost_usd: float
    notice: str = ""
    draft: Draft | None = None
    keys: bool = True


def printable(text: str) -> str:
    """`text` with nothing in it that a terminal would act on, of the same length.

    White space is a space; control characters and those that turn the direction of writing round
    are replacement characters.
    """
    return "".join(map(_printable_character, text)) if not text.isprintable() else text


def _printable_character(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    turns_round = category == "Cf" and unicodedata.bidirectional(character) in _TURNING
    return "\N{REPLACEMENT CHARACTER}" if category in ("Cc", "Cs") or turns_round else character


_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def meter_steps(dbfs: float) -> int:
    """A level for `LiveView.levels`."""
    return min(METER_STEPS, max(0, METER_STEPS + round(dbfs / 3)))


def turn_lines(console: Console, turn: ShownTurn, latency_s: float | None = None) -> list[Text]:
    """A turn, as wide as the terminal; with its response latency, where that is given."""
    lines: list[Text] = []
    if turn.said:
        said = Text(printable(turn.said), USER_STYLE)
        said.append(" (typed)" if turn.typed else "", DIM_STYLE)
        lines += paragraph(console, "you", said)
    for call in turn.calls:
        name = printable(call.name)
        if call.arguments_json is not None:
            name += f"({_shortened(call.arguments_json)})"
        lines += paragraph(console, "tool", Text(name, DIM_STYLE))
        if call.result_json is not None:
            lines += paragraph(console, "", Text(f"-> {_shortened(call.result_json)}", DIM_STYLE))
    if turn.heard or turn.rest:
        lines += paragraph(console, "nova", _answer(turn, latency_s))
    return lines


def _answer(turn: ShownTurn, latency_s: float | None) -> Text:
    rest = printable(turn.rest)
    gap = len(rest) - len(rest.lstrip())  # a struck space is a line into nowhere
    answer = Text().append(printable(turn.heard) + rest[:gap], HEARD_STYLE)
    answer.append(rest[gap:], CUT_STYLE if turn.interrupted else PENDING_STYLE)
    remarks = [] if latency_s is None else [f"{latency_s:.2f} s"]
    remarks += ["interrupted"] if turn.interrupted else []
    return answer.append(f"  [{', '.join(remarks)}]" if remarks else "", DIM_STYLE)


def paragraph(console: Console, who: str, text: Text) -> list[Text]:
    """`text` wrapped beside a margin that says whose it is."""
    lines = text.wrap(console, max(1, console.width - MARGIN))
    for line in lines:
        line.rstrip()
    margins = [who, *[""] * (len(lines) - 1)]
    return [
        Text.assemble((f"{margin:<{MARGIN}}", DIM_STYLE), line)
        for margin, line in zip(margins, lines, strict=True)
    ]


def help_lines(console: Console) -> list[Text]:
    """What the keys do."""
    return [line for key, does in HELP for line in paragraph(console, f"  {key}", Text(does))]


def live_lines(console: Console, view: LiveView) -> list[Text]:
    """`view`, in fewer lines than the terminal has. Where it is low, the least needed go."""
    rows = max(1, console.height - 1)
    footer = _footer(console, view)[: max(1, rows // 2)]
    turns = [line for turn in view.turns for line in turn_lines(console, turn)]
    below = [line for _, line in sorted(footer, key=lambda ranked: ranked[0])]
    lines = [*_around_playback(turns, rows - len(below)), *below]
    for line in lines:
        line.truncate(console.width, overflow="ellipsis")
    return lines


def _footer(console: Console, view: LiveView) -> list[tuple[int, Text]]:
    """Lines below the turns with their places from the top, the most needed first."""
    width = console.width
    footer = [(1, _state(view, width))]
    if view.draft is not None:
        footer.append((3, _typing(view.draft, width)))
    elif view.keys:
        footer.append((3, _fitting(_hints(view.gate), width)))
    if view.notice:
        footer.append((0, Text(printable(view.notice), "yellow")))
    footer.append((2, _fitting(_numbers(view), width)))
    return footer


def _around_playback(lines: list[Text], room: int) -> list[Text]:
    """At most `room` of the lines: one that is to come, and before it what was said last."""
    said = [
        number
        for number, line in enumerate(lines)
        if any(span.style in (HEARD_STYLE, USER_STYLE) for span in line.spans)
    ]
    end = min(len(lines), max(room, said[-1] + 2 if said else 0))
    return lines[max(0, end - room) : end]


def _state(view: LiveView, width: int) -> Text:
    state = Text()
    if view.levels is not None:
        cells = 10 if width >= WIDE else 6
        mic_style = DIM_STYLE if view.gate in SHUT else "green"
        for name, level, style in zip(
            ("mic", "out"), view.levels, (mic_style, "magenta"), strict=True
        ):
            lit = round(level * cells / METER_STEPS)
            state.append(f"{name} ", DIM_STYLE).append("█" * lit, style)
            state.append("░" * (cells - lit), DIM_STYLE).append("  ")
    activity = printable(view.activity)
    style = ACTIVITY_STYLES.get(activity.partition(",")[0], "bold yellow")
    return state.append(f"● {activity}", style)


def _numbers(view: LiveView) -> list[str]:
    """Latency, tokens and cost, from the longest way to say it to the shortest."""
    full = f"{view.tokens:,} tokens   {view.cost_usd:.4f} USD"
    short = f"{view.tokens:,} tok  ${view.cost_usd:.4f}"
    turn = view.latest
    if turn is None or turn.response_latency_s is None:
        return [full, short]
    felt = f"felt {turn.response_latency_s:.2f} s"
    at_work = "model, tools, network" if turn.tool_calls else "model and network"
    named, briefly, bare = (
        " + ".join(
            f"{seconds:.2f} {name}".rstrip()
            for seconds, name in zip(
                (turn.endpointing_s, turn.answering_s, turn.playout_s), names, strict=True
            )
            if seconds is not None
        )
        for names in (
            ("endpointing", at_work, "playout"),
            ("endpointing", "model", "playout"),
            ("", "", ""),
        )
    )
    return [
        f"{felt}: {named}   {full}",
        f"{felt}: {briefly}  {short}",
        f"{felt} = {bare}  {short}",
        f"{felt}  {short}",
        felt,
    ]


def _hints(gate: Gate) -> list[str]:
    """The keys that do something now, from the longest way to say it to the shortest."""
    push_to_talk = gate in (Gate.WAITING, Gate.TALKING)
    voice = {
        Gate.OPEN: "m mute  p push-to-talk",
        Gate.MUTED: "m unmute  p push-to-talk",
        Gate.WAITING: "space talk  p always on",
        Gate.TALKING: "space done  p always on",
    }[gate]
    rest = "t type  i interrupt  q quit  ? help"
    return [f"{voice}  {rest}", f"{'space' if push_to_talk else 'm'} p t i  q quit  ? help"]


def _fitting(ways: list[str], width: int) -> Text:
    """The first of the ways to say it that fits, or the last."""
    return Text(next((way for way in ways if cell_len(way) <= width), ways[-1]), DIM_STYLE)


def _typing(draft: Draft, width: int) -> Text:
    """The line that is typed, scrolled so that the cursor is in sight."""
    before, at = printable(draft.before[-width:]), printable(draft.after[:1]) or " "
    while before and cell_len(before) + cell_len(at) > width - 3:  # one for an ellipsis after it
        before = before[1:]
    after = printable(draft.after[1 : width + 1])
    return Text.assemble(("> ", "bold"), before, (at, "reverse"), after)


def _shortened(json: str) -> str:
    return printable(json if len(json) <= SHORTENED else f"{json[:SHORTENED]}...")
