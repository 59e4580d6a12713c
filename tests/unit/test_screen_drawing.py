"""What is drawn: golden lines at several sizes, and foreign text that must not act."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from sonic_voice.audio.mute import Gate
from sonic_voice.cli.terminal.drawing import (
    CUT_STYLE,
    DIM_STYLE,
    GREEN,
    HEARD_STYLE,
    PENDING_STYLE,
    LiveView,
    help_lines,
    live_lines,
    meter_steps,
    turn_lines,
)
from sonic_voice.cli.terminal.line_editor import Draft
from sonic_voice.cli.terminal.scene import ShownCall, ShownTurn
from sonic_voice.metrics import TurnMetrics
from sonic_voice.printable import printable

TURN = ShownTurn(
    1, "What is the weather?", False, (), "It has 21 degrees", " and the sun shines.", False
)
LATEST = TurnMetrics(1, 1.3, True, 0.4, 0.8, 0.1)
VIEW = LiveView((TURN,), "speaking", Gate.OPEN, (12, 6), LATEST, 1234, 0.0123)

SPLIT = "latency 1.30 s: 0.40 endpointing + 0.80 model and network + 0.10 playout"


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height)


def shown(lines: list[Text]) -> list[str]:
    return [line.plain.rstrip() for line in lines]


def styles(lines: list[Text], words: str) -> set[str]:
    """The styles that any of `words` has in `lines`, beside the margin."""
    return {
        str(span.style)
        for line in lines
        for span in line.spans
        if words in line.plain[span.start : span.end]
    }


def test_an_unknown_echo_is_marked_in_the_meter_of_the_microphone() -> None:
    wide = shown(live_lines(terminal(110), replace(VIEW, echo_unknown=True)))
    assert "mic echo░░░░░░  out ███░░░░░░░  ● speaking" in wide
    narrow = shown(live_lines(terminal(40), replace(VIEW, echo_unknown=True)))
    assert "mic echo░░  out ██░░░░  ● speaking" in narrow


def test_the_live_lines() -> None:
    assert shown(live_lines(terminal(110), VIEW)) == [
        "you   What is the weather?",
        "nova  It has 21 degrees and the sun shines.",
        "mic ██████░░░░  out ███░░░░░░░  ● speaking",
        SPLIT + "   1,234 tokens   0.0123 USD",
        "m mute  p push-to-talk  t type  i interrupt  +/- volume  q quit  ? help",
    ]


def test_the_live_lines_in_a_narrow_terminal() -> None:
    assert shown(live_lines(terminal(40), VIEW)) == [
        "you   What is the weather?",
        "nova  It has 21 degrees and the sun",
        "      shines.",
        "mic ████░░  out ██░░░░  ● speaking",
        "latency 1.30 s  1,234 tok  $0.0123",
        "m p t i + -  q quit  ? help",
    ]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "latency 1.30 s: 0.40 endpointing + 0.80 model + 0.10 playout  1,234 tok  $0.0123"),
        (60, "latency 1.30 s = 0.40 + 0.80 + 0.10  1,234 tok  $0.0123"),
        (20, "latency 1.30 s"),
    ],
)
def test_the_numbers_are_said_as_fully_as_there_is_room(width: int, line: str) -> None:
    assert line in shown(live_lines(terminal(width), VIEW))


def test_what_was_heard_is_bright_what_comes_is_dim_and_what_was_cut_is_struck_through() -> None:
    lines = turn_lines(terminal(), TURN)
    assert styles(lines, "21 degrees") == {HEARD_STYLE}
    assert styles(lines, "sun shines") == {PENDING_STYLE}
    lines = turn_lines(terminal(), replace(TURN, interrupted=True))
    assert styles(lines, "sun shines") == {CUT_STYLE}
    assert lines[-1].plain.endswith("  [interrupted]")  # where strokes are not shown, or copied


def test_a_turn_with_a_tool_and_its_latency() -> None:
    call = ShownCall("weather", '{"city":"Berlin"}', '{"degrees":21}')
    running = replace(call, result_json=None, status="I still look.")
    turn = replace(TURN, typed=True, calls=(replace(call, status="Old."), running))
    assert shown(turn_lines(terminal(), turn, 1.3)) == [
        "you   What is the weather? (typed)",
        'tool  weather({"city":"Berlin"})',
        '      -> {"degrees":21}',
        'tool  weather({"city":"Berlin"})',
        "      I still look.",
        "nova  It has 21 degrees and the sun shines.  [1.30 s]",
    ]


@pytest.mark.parametrize("width", [1, 2, 7, 20, 40, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 50])
@pytest.mark.parametrize(
    "words", ["longest-of-all-words " * 60, "你好世界" * 90, "👩‍👩‍👧 e\u0301 " * 50]
)
def test_at_no_size_is_a_line_too_long_or_one_too_many(width: int, height: int, words: str) -> None:
    view = replace(
        VIEW,
        turns=(replace(TURN, said=words, rest=words), TURN),
        activity=f"tool {words}",
        notice=words,
        draft=Draft(words, words),
    )
    lines = live_lines(terminal(width, height), view)
    assert max(line.cell_len for line in lines) <= width
    assert 1 <= len(lines) <= max(1, height - 1)


def test_of_a_long_answer_the_words_that_sound_are_in_sight() -> None:
    words = [f"word{number}" for number in range(400)]
    for sounding in (0, 3, 100, 250, 399):
        turn = replace(
            TURN, heard=" ".join(words[:sounding]), rest=" " + " ".join(words[sounding:])
        )
        text = " ".join(shown(live_lines(terminal(40, 10), replace(VIEW, turns=(turn,)))))
        assert words[max(0, sounding - 1)] in text
        assert words[sounding] in text


def test_in_the_lowest_terminal_the_state_is_left() -> None:
    assert shown(live_lines(terminal(80, 2), VIEW)) == [
        "mic ██████░░░░  out ███░░░░░░░  ● speaking"
    ]


@pytest.mark.parametrize(
    "bad",
    ["\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "\r\n", "\b\b", "\x00", "\u202e", "\u2066", "\ud800"],
)
def test_nothing_foreign_acts_on_the_terminal(bad: str) -> None:
    turn = ShownTurn(1, bad, False, (ShownCall(bad, bad, bad),), bad + "x", bad, True)
    view = replace(VIEW, turns=(turn,), activity=f"tool {bad}", notice=bad, draft=Draft(bad, bad))
    for line in [*turn_lines(terminal(), turn), *live_lines(terminal(), view)]:
        assert not re.search(
            "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line.plain
        )


def test_markup_of_rich_in_a_text_is_words() -> None:
    turn = replace(TURN, said="[bold]a[/bold] [link=x]b[/] :smile:", heard="[/]", rest=" [red]")
    text = "\n".join(shown(turn_lines(terminal(), turn)))
    assert "[bold]a[/bold] [link=x]b[/] :smile:" in text
    assert "[/] [red]" in text


def test_writing_of_any_language_is_left_as_it_is() -> None:
    text = "Grüße, नमस्ते, 你好, שלום, مرحبا, 👩‍👩‍👧"
    assert printable(text) == text


@pytest.mark.parametrize(
    ("gate", "hint"),
    [
        (Gate.OPEN, "m mute  p push-to-talk"),
        (Gate.MUTED, "m unmute"),
        (Gate.WAITING, "space talk"),
        (Gate.TALKING, "space done"),
        (Gate.ABSENT, "t type"),
    ],
)
def test_the_hints_name_the_keys_that_do_something(gate: Gate, hint: str) -> None:
    assert shown(live_lines(terminal(), replace(VIEW, gate=gate)))[-1].startswith(hint)


def test_without_a_keyboard_there_are_no_hints() -> None:
    assert "mute" not in " ".join(shown(live_lines(terminal(), replace(VIEW, keys=False))))


def test_a_shut_microphone_has_a_dim_meter() -> None:
    view = replace(VIEW, gate=Gate.MUTED)
    assert styles(live_lines(terminal(), view), "██████") == {DIM_STYLE}
    assert styles(live_lines(terminal(), VIEW), "██████") == {GREEN}


def test_the_line_that_is_typed_scrolls_with_its_cursor() -> None:
    draft = Draft("a message that is longer than the line is, ", "and goes on")
    last = live_lines(terminal(30), replace(VIEW, draft=draft))[-1]
    assert last.plain.startswith("> ")
    assert "the line is, " in last.plain
    assert styles([last], "a") >= {"reverse"}


def test_a_notice_stands_above_the_state_in_one_line() -> None:
    lines = shown(
        live_lines(terminal(40), replace(VIEW, notice="The microphone 'A' has stopped;" * 3))
    )
    assert lines[-4].startswith("The microphone 'A' has stopped;")
    assert lines[-4].endswith("…")


@pytest.mark.parametrize(("dbfs", "step"), [(-96, 0), (-60, 0), (-30, 10), (0, 20), (3, 20)])
def test_a_level_has_steps_of_3_db(dbfs: float, step: int) -> None:
    assert meter_steps(dbfs) == step


def test_the_help_says_what_every_hint_means() -> None:
    keys = [line[:6].strip() for line in shown(help_lines(terminal(120)))]
    assert [key for key in keys if key] == [*"mpti", "+ -", "h", "q"]


@pytest.mark.parametrize(("volume", "seen"), [(None, False), (100, False), (90, True), (0, True)])
def test_a_volume_below_the_full_one_is_shown(volume: int | None, seen: bool) -> None:
    lines = " ".join(shown(live_lines(terminal(), replace(VIEW, volume=volume))))
    assert (f"vol {volume}%" in lines) is seen
    assert ("+/- volume" in lines) is (volume is not None)


@pytest.mark.parametrize("width", range(9, 60))
def test_the_latency_is_never_broken_across_lines(width: int) -> None:
    lines = shown(turn_lines(terminal(width + 6), replace(TURN, rest=" and so on."), 1.17))
    assert sum("[1.17 s]" in line for line in lines) == 1


def luminance(red: int, green: int, blue: int) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [value / 255 for value in (red, green, blue)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


ACTIVITIES = ["listening", "hearing you", "speaking", "thinking", "muted", "connecting"]


@pytest.mark.parametrize("gate", Gate)
@pytest.mark.parametrize("activity", ACTIVITIES)
def test_every_colour_is_legible_on_black_and_on_white(activity: str, gate: Gate) -> None:
    turns = (replace(TURN, typed=True), replace(TURN, interrupted=True))
    view = replace(VIEW, turns=turns, activity=activity, gate=gate, notice="Something.")
    console = terminal()
    colours = 0
    for line in [*live_lines(console, view), *help_lines(console)]:
        for segment in line.render(console):
            if segment.style is None or segment.style.color is None:
                continue
            colours += 1
            assert not segment.style.dim, segment
            light = luminance(*segment.style.color.get_truecolor())
            assert contrast(light, 0.0) >= 4.5, segment
            assert contrast(light, 1.0) >= 4.5, segment
    assert colours >= 4


@pytest.mark.parametrize("gate", Gate)
def test_at_60_columns_the_hints_still_say_what_the_keys_do(gate: Gate) -> None:
    hints = shown(live_lines(terminal(60), replace(VIEW, gate=gate, volume=None)))[-1]
    assert "t type  i interrupt  q quit  ?" in hints


LOST = "connection lost: reconnecting in 12 s"


@pytest.mark.parametrize("width", [44, 60, 80])
@pytest.mark.parametrize("activity", [LOST, "service silent for 12 s, push-to-talk"])
def test_the_activity_is_not_cut_because_of_the_meters(activity: str, width: int) -> None:
    lines = shown(live_lines(terminal(width), replace(VIEW, activity=activity)))
    assert any(line.endswith(activity) for line in lines)
