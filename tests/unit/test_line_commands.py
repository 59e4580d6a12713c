"""The lines of a conversation with plain output: what they mean and what they do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.audio.mute import Gate
from sonic_voice.cli.line_commands import (
    HELP,
    MICROPHONE,
    Command,
    LineCommands,
    TypedTurn,
    parse_line,
    parse_lines,
)

from .test_key_commands import Loudspeaker, RecordedControls


class Lines:
    """Typed lines with the controls that they operate, and what the user is told."""

    def __init__(self, gate: Gate = Gate.OPEN, loudspeaker: Loudspeaker | None = None) -> None:
        self.controls = RecordedControls(gate, loudspeaker)
        self.shown: list[str] = []
        self.commands = LineCommands(self.controls, self.shown.append)

    def type(self, *lines: str) -> None:
        for line in lines:
            self.commands.execute(parse_line(line))


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("hello there ", TypedTurn("hello there")),
        ("/mute", Command("mute", "")),
        (" /Volume  50", Command("volume", "50")),
        ("//etc is a folder", TypedTurn("/etc is a folder")),
        ("", Command("talk", "")),
        ("  ", Command("talk", "")),
    ],
)
def test_a_line_is_a_command_or_a_turn(line: str, meaning: Command | TypedTurn) -> None:
    assert parse_line(line) == meaning


def test_pasted_lines_are_one_turn_unless_the_first_is_a_command() -> None:
    assert parse_lines("one\n/two\n\nthree") == [TypedTurn("one\n/two\n\nthree")]
    assert parse_lines("/mute\nhello") == [Command("mute", ""), TypedTurn("hello")]
    assert parse_lines("") == [Command("talk", "")]


@given(st.text())
def test_no_text_is_without_a_meaning(text: str) -> None:
    lines = Lines()
    for line in parse_lines(text):
        lines.commands.execute(line)


def test_every_command_of_the_help_is_one() -> None:
    for name, _ in HELP:
        lines = Lines(loudspeaker=Loudspeaker())
        lines.type(name)
        assert not [text for text in lines.shown if "There is no command" in text]


def test_mute_and_unmute_may_be_repeated() -> None:
    lines = Lines()
    lines.type("/mute", "/mute")
    assert lines.controls.source.gate is Gate.MUTED
    lines.type("/unmute", "/unmute")
    assert lines.controls.source.gate is Gate.OPEN
    assert lines.shown == [MICROPHONE[Gate.MUTED]] * 2 + [MICROPHONE[Gate.OPEN]] * 2


def test_enter_alone_begins_and_ends_to_talk_with_push_to_talk_only() -> None:
    lines = Lines()
    lines.type("", "/push-to-talk", "", "")
    assert lines.shown == [MICROPHONE[gate] for gate in (Gate.WAITING, Gate.TALKING, Gate.WAITING)]
    lines.type("", "/mute")
    assert lines.controls.source.gate is Gate.WAITING
    lines.type("/unmute")
    assert lines.controls.source.gate is Gate.WAITING
    lines.type("/push-to-talk", "")
    assert lines.controls.source.gate is Gate.OPEN


@pytest.mark.parametrize(
    ("argument", "volume", "answer"),
    [
        ("50", 50, "Volume 50 %."),
        ("30%", 30, "Volume 30 %."),
        ("-10", 90, "Volume 90 %."),
        ("+10", 100, "Volume 100 %."),
        ("999", 100, "Volume 100 %."),
        ("", 100, "Volume 100 %."),
        ("loud", 100, "loud is no volume. Type a number from 0 to 100."),
        ("5e1", 100, "5e1 is no volume. Type a number from 0 to 100."),
    ],
)
def test_the_volume_is_set_or_told(argument: str, volume: int, answer: str) -> None:
    loudspeaker = Loudspeaker()
    lines = Lines(loudspeaker=loudspeaker)
    lines.type(f"/volume {argument}")
    assert loudspeaker.volume == volume
    assert lines.shown == [answer]


def test_half_duplex_is_switched_to_what_is_asked_for() -> None:
    lines = Lines()
    lines.type("/half-duplex on", "/half-duplex on")
    assert lines.controls.half_duplex
    lines.type("/half-duplex off")
    assert not lines.controls.half_duplex
    lines.type("/half-duplex", "/half-duplex maybe")
    assert lines.controls.half_duplex
    assert lines.shown[-1] == "maybe is neither on nor off. Type /half-duplex on."


def test_turns_are_sent_and_quit_leaves() -> None:
    lines = Lines()
    lines.type("hello", "//path", "/quit")
    assert lines.controls.said == ["hello", "/path"]
    assert lines.controls.left


def test_an_unknown_command_is_answered_and_sends_nothing() -> None:
    lines = Lines()
    lines.type("/moot")
    assert lines.shown == ["There is no command /moot. /help lists the commands."]
    assert lines.controls.said == []


@pytest.mark.parametrize("line", ["/mute", "/unmute", "/push-to-talk", "/half-duplex", "/volume"])
def test_without_devices_the_answer_says_what_is_missing(line: str) -> None:
    lines = Lines(Gate.ABSENT)
    lines.type(line)
    assert "There is no" in lines.shown[0]
    assert lines.controls.source.gate is Gate.ABSENT
