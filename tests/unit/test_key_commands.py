"""The keys of a live conversation and what they do, from a key to the controls."""

import pytest

from sonic_voice.audio.mute import Gate, HushableSink, MutableSource
from sonic_voice.audio.ports import INPUT_FORMAT, NullSink
from sonic_voice.cli.terminal.key_commands import HALF_DUPLEX_OFF, HALF_DUPLEX_ON, KeyCommands
from sonic_voice.cli.terminal.key_decoder import Key, Paste
from sonic_voice.config import SessionConfig
from sonic_voice.controls import Controls
from sonic_voice.session import Session
from sonic_voice.transport import MemoryTransport


class Silence:
    """A microphone that hears nobody."""

    format = INPUT_FORMAT
    done = False
    half_duplex = False

    def now(self) -> float:
        return 0.0

    async def read(self) -> bytes:
        return bytes(640)

    async def aclose(self) -> None:
        """Nothing to give back."""


class Loudspeaker:
    """A loudspeaker at full volume."""

    volume = 100


class RecordedControls(Controls):
    """Controls that note what is said and whether the user has left."""

    def __init__(self, gate: Gate = Gate.OPEN, loudspeaker: Loudspeaker | None = None) -> None:
        session = Session.open(SessionConfig(), MemoryTransport(), clock=lambda: 0.0)
        microphone = Silence()
        super().__init__(
            session,
            MutableSource(microphone, gate),
            HushableSink(NullSink(now=lambda: 0.0)),
            loudspeaker=loudspeaker,
            microphone=microphone if gate is not Gate.ABSENT else None,
        )
        self.said: list[str] = []
        self.left = False

    def say(self, text: str) -> None:
        self.said.append(text)

    def leave(self) -> None:
        self.left = True


class Keyboard:
    """The keys with the controls that they operate, and what the user is told."""

    def __init__(self, gate: Gate = Gate.OPEN, loudspeaker: Loudspeaker | None = None) -> None:
        self.controls = RecordedControls(gate, loudspeaker)
        self.notices: list[str] = []
        self.commands = KeyCommands(
            self.controls,
            self.notices.append,
            lambda: self.notices.append("help"),
            self.controls.leave,
        )

    def press(self, *keys: Key) -> None:
        for key in keys:
            self.commands.press(key)


def test_a_pasted_text_commands_nothing_and_is_sent_as_one_turn() -> None:
    keyboard = Keyboard()
    keyboard.press(Paste("mute\nquit"))
    assert keyboard.controls.said == []
    assert keyboard.controls.source.gate is Gate.OPEN
    keyboard.press("Enter")
    assert keyboard.controls.said == ["mute\nquit"]


def test_the_volume_keys_stay_within_0_and_100() -> None:
    loudspeaker = Loudspeaker()
    keyboard = Keyboard(loudspeaker=loudspeaker)
    keyboard.press("Up")
    assert loudspeaker.volume == 100
    keyboard.press("-", "Down", "+")
    assert loudspeaker.volume == 90
    keyboard.press(*["-"] * 20)
    assert loudspeaker.volume == 0
    keyboard.press("t", "Up", "-")
    assert loudspeaker.volume == 0


def test_h_closes_the_microphone_while_the_model_speaks_and_opens_it_again() -> None:
    keyboard = Keyboard()
    keyboard.press("h")
    assert keyboard.controls.half_duplex
    keyboard.press("h")
    assert not keyboard.controls.half_duplex
    assert keyboard.notices == [HALF_DUPLEX_ON, HALF_DUPLEX_OFF]


@pytest.mark.parametrize(("key", "what"), [("h", "microphone"), ("+", "loudspeaker")])
def test_a_key_for_what_is_not_there_is_answered_with_a_sentence(key: str, what: str) -> None:
    keyboard = Keyboard(Gate.ABSENT)
    keyboard.press("Escape", key)
    assert f"There is no {what}" in keyboard.notices[0]


def test_without_a_microphone_a_line_is_always_open_until_escape() -> None:
    keyboard = Keyboard(Gate.ABSENT)
    keyboard.press(*"hello", "Enter", *"more", "Enter")
    assert keyboard.controls.said == ["hello", "more"]
    keyboard.press("Escape", "?")
    assert keyboard.notices == ["help"]
    keyboard.press("Enter", *"again", "Enter")
    assert keyboard.controls.said[-1] == "again"


@pytest.mark.parametrize("keys", ["q", ["Ctrl-D"], ["t", "Ctrl-D"]])
def test_q_and_ctrl_d_leave(keys: list[str]) -> None:
    keyboard = Keyboard()
    keyboard.press(*keys)
    assert keyboard.controls.left


def test_ctrl_d_in_a_line_with_text_does_not_leave() -> None:
    keyboard = Keyboard()
    keyboard.press("t", "x", "Ctrl-D")
    assert not keyboard.controls.left


def test_no_switch_opens_a_microphone_that_is_not_there() -> None:
    keyboard = Keyboard(Gate.ABSENT)
    keyboard.press("Escape", "m", "p", " ")
    assert keyboard.controls.source.gate is Gate.ABSENT
