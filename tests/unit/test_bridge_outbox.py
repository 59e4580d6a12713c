"""What is sent to a page in which order, and what is known of how much it has played."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.bridge.browser_audio import BrowserSink
from sonic_voice.bridge.frames import AnswerFrame, read_answer
from sonic_voice.bridge.messages import Position
from sonic_voice.bridge.outbox import MESSAGES_KEPT, PageOutbox
from sonic_voice.config import AudioFormat

FORMAT = AudioFormat(1000)  # a sample is a millisecond


def outbox(**limits: float) -> PageOutbox:
    return PageOutbox(FORMAT, **limits)


def sound(ms: int) -> bytes:
    return bytes(2 * ms)


def sent(box: PageOutbox) -> list[Any]:
    """All that can be taken: messages without their kinds, and frames."""
    taken: list[Any] = []
    while (item := box.take_next()) is not None:
        taken.append(read_answer(item) if isinstance(item, bytes) else json.loads(item))
    return taken


def test_messages_are_numbered_and_overtake_sound() -> None:
    box = outbox()
    box.queue_audio(1, sound(20))
    box.queue_message({"type": "notice", "text": "\ud800"})
    assert sent(box) == [
        {"type": "notice", "text": "\ud800", "seq": 1},
        AnswerFrame(0, 1, 0, sound(20)),
    ]


def test_a_flush_takes_away_what_waits_and_begins_an_epoch() -> None:
    box = outbox()
    box.queue_audio(1, sound(20))
    assert box.take_next() is not None
    box.queue_audio(1, sound(30))
    assert box.flush() == {1}
    box.queue_audio(2, sound(10))
    assert sent(box) == [{"type": "flush", "epoch": 1, "seq": 1}, AnswerFrame(1, 2, 0, sound(10))]
    assert box.pending == 10


def test_sound_goes_only_so_far_ahead_of_what_was_played() -> None:
    box = outbox(lead_s=0.1)
    for _ in range(10):
        box.queue_audio(1, sound(50))
    assert [answer.start for answer in sent(box)] == [0, 50]
    box.confirm_played(Position(1, 49))
    assert sent(box) == []
    box.confirm_played(Position(1, 50))
    assert [answer.start for answer in sent(box)] == [100]


def test_a_chunk_of_any_size_goes_in_frames_below_the_limit_of_agentcore() -> None:
    box = PageOutbox(AudioFormat(24_000), lead_s=60)
    pcm = bytes(range(250)) * 400
    box.queue_audio(1, pcm[:100])
    box.queue_audio(1, pcm[100:])
    frames: list[AnswerFrame] = []
    while isinstance(item := box.take_next(), bytes):
        assert len(item) < 32_000
        frames.append(read_answer(item))
    assert len(frames) == 6
    assert b"".join(frame.pcm for frame in frames) == pcm
    assert [frame.start for frame in frames[1:]] == [frame.end for frame in frames[:-1]]


def test_the_newest_sound_is_dropped_when_too_much_waits() -> None:
    box = outbox(waiting_s=0.05, lead_s=0)
    box.queue_audio(1, sound(40))
    box.queue_audio(1, sound(40))
    assert (box.pending, box.dropped, box.end(1)) == (50, 30, 50)


def test_a_reader_is_behind_when_a_message_was_forgotten_before_it_was_taken() -> None:
    box = outbox()
    for _ in range(MESSAGES_KEPT):
        box.queue_message({})
    assert not box.behind
    box.queue_message({})
    assert box.behind


def test_after_a_loss_all_is_sent_again_that_did_not_come() -> None:
    box = outbox()
    for number in range(3):
        box.queue_message({"number": number})
        box.queue_audio(1, sound(20))
    first = sent(box)
    box.rewind(2, Position(1, 20))
    assert sent(box) == [first[2], *first[4:]]


@given(
    st.lists(st.integers(1, 60), max_size=30),
    st.lists(st.integers(0, 31), max_size=6),
    st.integers(1, 200),
)
def test_every_sample_comes_once_whatever_is_lost(
    chunks: list[int], losses: list[int], lead_ms: int
) -> None:
    """A page takes so many frames, loses its connection, and says what came last."""
    box = outbox(lead_s=lead_ms / 1000)
    for ms in chunks:
        box.queue_audio(1, sound(ms))
    came: list[AnswerFrame] = []
    for count in [*losses, 10_000]:
        for _ in range(count):
            frame = box.take_next()
            if not isinstance(frame, bytes):
                break
            came.append(read_answer(frame))
            box.confirm_played(Position(1, came[-1].end))
        box.take_next()  # lost on the way
        received = Position(1, came[-1].end) if came else Position()
        box.rewind(0, received)
    assert [answer.start for answer in came] == [sum(chunks[:n]) for n in range(len(chunks))]
    assert box.pending == 0


class Ear:
    """A sink with a clock to turn."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.box = outbox()
        self.sink = BrowserSink(FORMAT, self.box, now=lambda: self.now_s, wake=lambda: None)

    def report(self, turn: int, samples: int, *, after_s: float = 0.0) -> int | None:
        self.now_s += after_s
        return self.sink.report(self.box.epoch, Position(turn, samples))


def test_played_is_the_last_report_carried_on_by_the_clock_for_a_moment() -> None:
    ear = Ear()
    ear.sink.play(1, sound(2000))
    ear.report(1, 100)
    ear.now_s += 0.05
    assert ear.sink.played_ms(1) == 150
    ear.now_s += 10
    assert ear.sink.played_ms(1) == 400
    ear.report(1, 390)
    ear.report(1, 390, after_s=0.1)
    ear.now_s += 0.1
    assert ear.sink.played_ms(1) == 390, "a page that stalls is not carried on"


def test_a_page_cannot_have_played_what_it_was_not_sent_or_take_back_what_it_played() -> None:
    ear = Ear()
    ear.sink.play(1, sound(200))
    ear.report(1, 5000)
    assert ear.sink.played_ms(1) == 200
    ear.report(1, 10)
    assert ear.sink.played_ms(1) == 200
    ear.report(9, 10)
    assert ear.sink.played_ms(9) == 0


def test_a_turn_was_heard_to_its_end_when_a_later_one_sounds() -> None:
    ear = Ear()
    ear.sink.play(1, sound(200))
    ear.sink.play(2, sound(200))
    ear.report(1, 150)
    ear.report(2, 10)
    assert (ear.sink.played_ms(1), ear.sink.played_ms(2)) == (200, 10)


def test_what_a_flush_cut_is_a_guess_until_the_page_tells() -> None:
    ear = Ear()
    ear.sink.play(1, sound(2000))
    ear.report(1, 500)
    ear.now_s += 0.1
    ear.sink.flush()
    assert ear.sink.played_ms(1) == 600
    stale = ear.sink.report(0, Position(1, 700))
    assert (stale, ear.sink.played_ms(1)) == (None, 600), "it had not taken the flush"
    assert ear.report(1, 540) == 1
    assert ear.sink.played_ms(1) == 540
    assert ear.report(1, 540) is None, "it is told once"
    ear.sink.play(2, sound(100))
    ear.report(2, 10)
    assert ear.sink.played_ms(1) == 540
    assert ear.sink.pending_s == 0.1
