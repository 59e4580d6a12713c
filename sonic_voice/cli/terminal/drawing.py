"""The lines of a live conversation in a terminal of any width and height.

    you   What is the weather in Berlin?
    tool  weather({"city":"Berlin"})
          -> {"temperature_c":21}
    nova  It has 21 degrees and       heard: normal; still to come: dim; cut off: struck through
          the sun shines.
    mic ██████░░░░  out ███░░░░░░░  ● speaking
    latency 1.30 s: 0.40 endpointing + 0.80 model and network + 0.10 playout   1,234 tokens   ...
    m mute  p push-to-talk  t type  i interrupt  +/- volume  q quit  ? help

Texts of the user, the model and tools are not trusted: `printable` removes what a terminal would
interpret, and rich's markup is not evaluated in them. No line is longer than the
terminal is wide.
"""

from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ...audio.mute import SHUT, Gate
from ...metrics import TurnMetrics
from ...printable import printable
from .line_editor import Draft
from .scene import ShownTurn

MARGIN = 6
"""Width of the column with the speaker, in cells."""

SHORTENED = 200
"""Maximum length of the arguments and of the result of a tool, in characters."""

METER_STEPS = 20
"""Number of steps of a level meter, 3 dB each, down to -60 dBFS. Smaller changes of the level are
not drawn."""

METER_CELLS, SHORT_METER_CELLS = 10, 6
"""Widths of a level meter, in cells: where there is room, and elsewhere."""

ECHO_MARK = "echo"
"""Mark in the meter of the microphone while it is shut because of an echo that is not known."""

WIDE = 60
"""Width of the terminal from which on a meter has `METER_CELLS`, in cells."""

HEARD_STYLE, PENDING_STYLE, CUT_STYLE = "none", "dim", "dim strike"
"""Styles of the parts of an answer that were heard, are still to come, and were cut off."""

DIM_STYLE = "dim"
"""Style of all text that is neither the user's nor the model's."""

GREEN, BLUE, MAGENTA, RED = "color(29)", "color(63)", "color(163)", "color(131)"
"""Colours of the 256-colour palette that are legible on black and on white: their contrast is at
least 4.5 on both (WCAG 2.2, 1.4.3), while xterm's yellow and cyan have 1.7 and 2.0 on white. Of the
palette only two further colours have that. None is combined with `dim`."""

USER_STYLE = GREEN
"""Style of the user's text."""

NOTICE_STYLE = RED
"""Style of notices."""

ACTIVITY_STYLES = {
    "listening": GREEN,
    "hearing you": f"bold {BLUE}",
    "speaking": MAGENTA,
    "thinking": RED,
}
"""Style of each activity."""

OTHER_ACTIVITY_STYLE = f"bold {RED}"
"""Style of other activities, such as `muted`."""

HELP = (
    ("m", "mute: silence is sent instead of your voice, until you press m again"),
    ("p", "push-to-talk: your voice is sent only from one space to the next, until p again"),
    ("t", "type: Enter sends, Esc discards, Up brings back earlier lines. It interrupts an answer"),
    ("i", "interrupt: the answer is cut off here. The model does not know and takes it for heard"),
    ("+ -", "volume; so do Up and Down"),
    ("h", "half duplex: the microphone is closed while the model speaks, until h again"),
    (
        "q",
        "end the conversation and quit; so does Ctrl-C. A second q does not wait for the service",
    ),
)
"""Keys and their descriptions, for `?`."""


@dataclass(frozen=True, slots=True)
class LiveView:
    """The contents of the live lines; equal views look the same."""

    turns: tuple[ShownTurn, ...]
    """Turns that are not finished."""
    activity: str
    """Current activity, such as `speaking`."""
    gate: Gate
    """State of the microphone."""
    levels: tuple[int, int] | None
    """Levels of input and output, from 0 to `METER_STEPS`; None if they are not measured."""
    latest: TurnMetrics | None
    """Metrics of the last turn that was answered."""
    tokens: int
    """Number of tokens used so far."""
    cost_usd: float
    """Cost so far, in USD."""
    notice: str = ""
    """Sentence for the user; empty for none."""
    draft: Draft | None = None
    """Line that the user is typing."""
    keys: bool = True
    """True if there is a keyboard, so that hints about keys are useful."""
    volume: int | None = 100
    """Volume of the loudspeaker in percent; None if there is none."""
    echo_unknown: bool = False
    """True if the microphone is shut until the echo of the loudspeaker is known."""


def meter_steps(dbfs: float) -> int:
    """Return a level as a number of steps, from 0 to `METER_STEPS`.

    Args:
        dbfs: The level, in dB of full scale.
    """
    return min(METER_STEPS, max(0, METER_STEPS + round(dbfs / 3)))


def turn_lines(console: Console, turn: ShownTurn, latency_s: float | None = None) -> list[Text]:
    """Return the lines of a turn.

    Args:
        console: The terminal.
        turn: The turn.
        latency_s: Response latency to show after the answer, in seconds; None shows none.
    """
    lines: list[Text] = []
    if turn.said:
        said = Text().append(printable(turn.said), USER_STYLE)
        said.append(" (typed)" if turn.typed else "", DIM_STYLE)
        lines += paragraph(console, "you", said)
    for call in turn.calls:
        name = printable(call.name)
        if call.arguments_json is not None:
            name += f"({_shortened(call.arguments_json)})"
        lines += paragraph(console, "tool", Text(name, DIM_STYLE))
        if call.result_json is not None:
            lines += paragraph(console, "", Text(f"-> {_shortened(call.result_json)}", DIM_STYLE))
        elif call.status:
            lines += paragraph(console, "", Text(_shortened(call.status), DIM_STYLE))
    if turn.heard or turn.rest:
        lines += paragraph(console, "nova", _answer(turn), _remark(turn, latency_s))
    return lines


def _answer(turn: ShownTurn) -> Text:
    rest = printable(turn.rest)
    gap = len(rest) - len(rest.lstrip())  # leading spaces are not struck through
    answer = Text().append(printable(turn.heard) + rest[:gap], HEARD_STYLE)
    return answer.append(rest[gap:], CUT_STYLE if turn.interrupted else PENDING_STYLE)


def _remark(turn: ShownTurn, latency_s: float | None) -> Text:
    remarks = [] if latency_s is None else [f"{latency_s:.2f} s"]
    remarks += ["interrupted"] if turn.interrupted else []
    return Text(f"[{', '.join(remarks)}]" if remarks else "", DIM_STYLE)


def paragraph(console: Console, speaker: str, text: Text, remark: Text | None = None) -> list[Text]:
    """Return a text wrapped to the width of the terminal, beside a margin with the speaker.

    Args:
        console: The terminal.
        speaker: The name of the speaker, shown in the first line.
        text: The text.
        remark: Words after the text, which are kept in one line.
    """
    width = max(1, console.width - MARGIN)
    lines = [*text.wrap(console, width)]
    for line in lines:
        line.rstrip()
    if remark:
        if lines and lines[-1].cell_len + len("  ") + remark.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], "  ", remark)
        else:
            lines += remark.wrap(console, width)
    margins = [speaker, *[""] * (len(lines) - 1)]
    return [
        Text.assemble((f"{margin:<{MARGIN}}", DIM_STYLE), line)
        for margin, line in zip(margins, lines, strict=True)
    ]


def missing_lines(console: Console, count: int) -> list[Text]:
    """Return the lines that say how many lines a slow terminal has missed.

    Args:
        console: The terminal.
        count: Number of lines that were dropped.
    """
    lines = "1 line is" if count == 1 else f"{count} lines are"
    return paragraph(
        console, "note", Text(f"{lines} missing here: the terminal was too slow.", NOTICE_STYLE)
    )


def help_lines(console: Console) -> list[Text]:
    """Return the lines that describe the keys.

    Args:
        console: The terminal.
    """
    return [line for key, does in HELP for line in paragraph(console, f"  {key}", Text(does))]


def live_lines(console: Console, view: LiveView) -> list[Text]:
    """Return the live lines, fewer than the terminal has.

    In a low terminal the least important lines are left out.

    Args:
        console: The terminal.
        view: The contents.
    """
    rows = max(1, console.height - 1)
    footer = _footer(console, view)[: max(1, rows // 2)]
    turns = [line for turn in view.turns for line in turn_lines(console, turn)]
    below = [line for _, line in sorted(footer, key=lambda ranked: ranked[0])]
    lines = [*_around_playback(turns, rows - len(below)), *below]
    for line in lines:
        line.truncate(console.width, overflow="ellipsis")
    return lines


def _footer(console: Console, view: LiveView) -> list[tuple[int, Text]]:
    """Return the lines below the turns, the most important first, each with its row."""
    width = console.width
    footer = [(1, _state(view, width))]
    if view.draft is not None:
        footer.append((3, _typing(view.draft, width)))
    elif view.keys:
        footer.append((3, _fitting(_hints(view.gate, view.volume), width)))
    if view.notice:
        footer.append((0, Text(printable(view.notice), NOTICE_STYLE)))
    footer.append((2, _fitting(_numbers(view), width)))
    return footer


def _around_playback(lines: list[Text], room: int) -> list[Text]:
    """Return at most `room` of the lines of turns: one line that is still to be heard, and before
    it those that were heard last."""
    said = [
        number
        for number, line in enumerate(lines)
        if any(span.style in (HEARD_STYLE, USER_STYLE) for span in line.spans)
    ]
    end = min(len(lines), max(room, said[-1] + 2 if said else 0))
    return lines[max(0, end - room) : end]


def _state(view: LiveView, width: int) -> Text:
    """Return the meters and the activity. The meters are left out where both do not fit."""
    name = printable(view.activity)
    style = ACTIVITY_STYLES.get(name.partition(",")[0], OTHER_ACTIVITY_STYLE)
    activity = Text().append(f"● {name}", style)
    for cells in (METER_CELLS, SHORT_METER_CELLS) if width >= WIDE else (SHORT_METER_CELLS,):
        state = Text.assemble(_meters(view, cells), activity)
        if state.cell_len <= width:
            return state
    return activity


def _meters(view: LiveView, cells: int) -> Text:
    meters = Text()
    mic_style = DIM_STYLE if view.gate in SHUT else GREEN
    for name, level, style in zip(
        ("mic", "out"), view.levels or (), (mic_style, MAGENTA), strict=False
    ):
        lit = "█" * round(level * cells / METER_STEPS)
        if name == "mic" and view.echo_unknown:
            lit, style = ECHO_MARK, NOTICE_STYLE
        meters.append(f"{name} ", DIM_STYLE).append(lit, style)
        meters.append("░" * (cells - len(lit)), DIM_STYLE).append("  ")
    if view.volume is not None and view.volume < 100:
        meters.append(f"vol {view.volume}%  ", DIM_STYLE)
    return meters


def _numbers(view: LiveView) -> list[str]:
    """Return latency, tokens and cost in several wordings, from the longest to the shortest."""
    full = f"{view.tokens:,} tokens   {view.cost_usd:.4f} USD"
    short = f"{view.tokens:,} tok  ${view.cost_usd:.4f}"
    turn = view.latest
    if turn is None or turn.response_latency_s is None:
        return [full, short]
    latency = f"latency {turn.response_latency_s:.2f} s"
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
        f"{latency}: {named}   {full}",
        f"{latency}: {briefly}  {short}",
        f"{latency} = {bare}  {short}",
        f"{latency}  {short}",
        latency,
    ]


def _hints(gate: Gate, volume: int | None) -> list[str]:
    """Return hints about the keys in four wordings, from the longest to the shortest."""
    push_to_talk = gate in (Gate.WAITING, Gate.TALKING)
    voice = {
        Gate.OPEN: "m mute  p push-to-talk  ",
        Gate.MUTED: "m unmute  p push-to-talk  ",
        Gate.WAITING: "space talk  p always on  ",
        Gate.TALKING: "space done  p always on  ",
        Gate.ABSENT: "",
    }[gate]
    keys = "" if gate is Gate.ABSENT else "space p " if push_to_talk else "m p "
    rest = "t type  i interrupt  "
    louder, sign = ("", "") if volume is None else ("+/- volume  ", "+ -  ")
    return [
        f"{voice}{rest}{louder}q quit  ? help",
        f"{voice}{rest}q quit  ? help",
        f"{voice}{rest}q quit  ?",
        f"{keys}t i {sign}q quit  ? help",
    ]


def _fitting(wordings: list[str], width: int) -> Text:
    """Return the first wording that fits into the width, or the last one."""
    fitting = (text for text in wordings if cell_len(text) <= width)
    return Text(next(fitting, wordings[-1]), DIM_STYLE)


def _typing(draft: Draft, width: int) -> Text:
    """Return the line that is being typed, scrolled so that the cursor is visible."""
    before, at = printable(draft.before[-width:]), printable(draft.after[:1]) or " "
    while before and cell_len(before) + cell_len(at) > width - 3:  # one for an ellipsis after it
        before = before[1:]
    after = printable(draft.after[1 : width + 1])
    return Text.assemble(("> ", "bold"), before, (at, "reverse"), after)


def _shortened(json: str) -> str:
    return printable(json if len(json) <= SHORTENED else f"{json[:SHORTENED]}...")
