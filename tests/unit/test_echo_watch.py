"""What happens when the model has interrupted itself twice within a minute."""

from sonic_voice.audio.mute import Gate
from sonic_voice.cli.echo_watch import BY_KEY, EchoWatch
from sonic_voice.events import AssistantText, Interrupted, UserText
from sonic_voice.self_interruption import WORDS_TIMEOUT_S

from .test_key_commands import RecordedControls


class Watched:
    """A conversation whose model interrupts itself."""

    def __init__(self, *, switch: bool, gate: Gate = Gate.OPEN) -> None:
        self.controls = RecordedControls(gate)
        self.notices: list[str] = []
        self.watch = EchoWatch(self.controls, self.notices.append, switch=switch, offer=BY_KEY)

    def interrupt(self, turn: int) -> None:
        now = turn * 10.0
        self.watch(AssistantText(turn, 0, "Here is the garden gate.", "SPECULATIVE"), now)
        self.watch(Interrupted(turn, "marker"), now + 1)
        self.watch(UserText(turn + 1, "the garden gate"), now + 2)


def test_half_duplex_is_offered_and_not_switched_on() -> None:
    watched = Watched(switch=False)
    watched.interrupt(1)
    assert watched.notices == []
    watched.interrupt(2)
    assert len(watched.notices) == 1
    assert watched.notices[0].endswith(BY_KEY)
    assert not watched.controls.half_duplex


def test_with_the_option_it_is_switched_on_and_told() -> None:
    watched = Watched(switch=True)
    for turn in (1, 2):
        watched.interrupt(turn)
    assert watched.controls.half_duplex
    assert "From now on" in watched.notices[0]


def test_while_half_duplex_is_on_nothing_is_offered() -> None:
    watched = Watched(switch=False)
    watched.controls.set_half_duplex(True)
    for turn in (1, 2):
        watched.interrupt(turn)
    assert watched.notices == []


def test_sounds_without_words_are_noticed_by_the_passing_of_time() -> None:
    watched = Watched(switch=False)
    for turn in (1, 2):
        now = turn * 10.0
        watched.watch(AssistantText(turn, 0, "Here is the gate.", "SPECULATIVE"), now)
        watched.watch(Interrupted(turn, "marker"), now)
        watched.watch.heard(now + WORDS_TIMEOUT_S - 1, speaking=False)
        watched.watch.heard(now + WORDS_TIMEOUT_S, speaking=False)
    assert len(watched.notices) == 1


def test_without_a_microphone_nothing_is_switched() -> None:
    watched = Watched(switch=True, gate=Gate.ABSENT)
    for turn in (1, 2):
        watched.interrupt(turn)
    assert watched.notices == []
