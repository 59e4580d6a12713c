"""The switches between microphone, loudspeaker and conversation: mute, push-to-talk, hush."""

import pytest

from sonic_voice.audio.mute import Gate, HushableSink, MutableSource
from sonic_voice.audio.ports import INPUT_FORMAT, OUTPUT_FORMAT, NullSink
from sonic_voice.config import SessionConfig
from sonic_voice.controls import Controls
from sonic_voice.events import Event, Heard
from sonic_voice.session import Session
from sonic_voice.transport import MemoryTransport

VOICE = b"\x01\x02" * 160
SECOND = b"\x01\x00" * 24_000


class Voice:
    """Somebody who speaks without a pause, until closed."""

    format = INPUT_FORMAT
    done = False

    def __init__(self) -> None:
        self.closed = False

    def now(self) -> float:
        return 7.0

    async def read(self) -> bytes:
        return b"" if self.closed else VOICE

    async def aclose(self) -> None:
        self.closed = True


class Clock:
    """Time that is set by hand, in seconds."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_silence_of_the_same_length_flows_while_muted() -> None:
    source = MutableSource(Voice())
    assert await source.read() == VOICE
    source.mute()
    assert await source.read() == bytes(len(VOICE))
    source.mute()
    assert await source.read() == VOICE


async def test_push_to_talk_is_heard_from_one_press_to_the_next() -> None:
    source = MutableSource(Voice())
    source.push_to_talk()
    assert await source.read() == bytes(len(VOICE))
    source.talk()
    assert await source.read() == VOICE
    source.talk()
    assert await source.read() == bytes(len(VOICE))
    source.push_to_talk()
    assert await source.read() == VOICE


async def test_the_end_of_a_muted_source_is_an_end_and_no_silence() -> None:
    source = MutableSource(Voice())
    source.mute()
    await source.aclose()
    assert await source.read() == b""


@pytest.mark.parametrize(
    ("presses", "gate"),
    [
        ("talk", Gate.OPEN),
        ("mute talk", Gate.MUTED),
        ("mute push_to_talk", Gate.WAITING),
        ("push_to_talk mute", Gate.WAITING),
        ("push_to_talk talk mute", Gate.WAITING),
        ("push_to_talk talk push_to_talk", Gate.OPEN),
    ],
)
def test_no_switch_opens_a_microphone_that_another_one_shut(presses: str, gate: Gate) -> None:
    source = MutableSource(Voice())
    for press in presses.split():
        getattr(source, press)()
    assert source.gate is gate


def sink_at(clock: Clock) -> HushableSink:
    return HushableSink(NullSink(OUTPUT_FORMAT, now=clock))


def test_what_still_comes_of_a_hushed_turn_is_dropped_and_the_next_turn_sounds() -> None:
    clock = Clock()
    sink = sink_at(clock)
    sink.play(1, SECOND)
    clock.now_s = 0.4
    assert sink.hush() == {1: 400}
    clock.now_s = 1.0
    sink.play(1, SECOND)
    assert sink.pending_s == 0
    sink.play(2, SECOND)
    clock.now_s = 1.5
    assert sink.played_ms(2) == 500


def test_only_turns_with_something_left_to_sound_are_cut() -> None:
    clock = Clock()
    sink = sink_at(clock)
    for turn in (1, 2, 3):
        sink.play(turn, SECOND)
    clock.now_s = 1.25
    assert sink.hush() == {2: 250, 3: 0}
    assert sink.hush() == {}


def test_a_turn_that_lacks_its_last_few_milliseconds_was_heard() -> None:
    clock = Clock()
    sink = sink_at(clock)
    sink.play(1, SECOND)
    clock.now_s = 0.99
    assert sink.hush() == {}


def test_turns_of_long_ago_are_not_taken_for_unheard() -> None:
    clock = Clock()
    sink = sink_at(clock)
    for turn in range(1, 101):  # a playout buffer remembers 64
        sink.play(turn, SECOND)
        clock.now_s = turn
    sink.play(101, SECOND)
    clock.now_s += 0.5
    assert sink.hush() == {101: 500}


def test_an_interruption_by_hand_is_told_like_the_services_own_and_cuts_the_transcript() -> None:
    clock = Clock()
    sink = sink_at(clock)
    session = Session.open(SessionConfig(), MemoryTransport(), clock=clock)
    session.transcript.plan(1, "one two three four five six")
    session.transcript.sound(1, SECOND, 24_000)
    session.transcript.sound_ended(1)
    sink.play(1, SECOND)
    clock.now_s = 0.5
    told: list[Event] = []
    controls = Controls(
        session, MutableSource(Voice()), sink, [lambda event, now: told.append(event)]
    )
    controls.interrupt()
    assert told == [Heard(1, 500, "one two three", "one two three four five six")]
    assert session.transcript.heard(1) == "one two three"
    controls.interrupt()
    assert len(told) == 1
