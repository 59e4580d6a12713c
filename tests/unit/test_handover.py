"""Handover: what the next stream receives, for every state of the old one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.config import SessionConfig
from sonic_voice.events import ToolCall
from sonic_voice.handover import (
    ANSWER_TEXT,
    CONTINUE_TEXT,
    DETECTION_S,
    LEAD_S,
    RESULT_CHARACTERS,
    Handover,
    can_finish,
    first_handover,
    hand_over,
    late_result_text,
    needed_from,
    result_note,
)
from sonic_voice.history import Message
from sonic_voice.transcript import Transcript
from sonic_voice.turn_progress import TurnProgress
from sonic_voice.turns import Turns
from sonic_voice.uplink_ring import BACKGROUND_S, WINDOW_S, UplinkRing

CONFIG = SessionConfig()
V1 = SessionConfig(model="amazon.nova-sonic-v1:0")
CALL = ToolCall(1, "t1", "go", '{"meters": 3}')
IDLE = TurnProgress(
    turn=0,
    over=True,
    sounded=False,
    calls=(),
    user_speaks=False,
    speech_began_ms=None,
    transcribed_ms=0,
    heard_from_ms=0,
)
ASKED = replace(IDLE, turn=1, over=False)
IDS = wire.Ids("s", "p", "c")


def ring_of(*parts: tuple[float, bool]) -> UplinkRing:
    """A ring with silence and voice: the length of each part in seconds, and if it is voice."""
    ring = UplinkRing(CONFIG.input)
    for seconds, loud in parts:
        sample = (8000 if loud else 0).to_bytes(2, "little")
        ring.append(sample * round(16_000 * seconds))
    return ring


def asked(text: str = "what time is it") -> Transcript:
    transcript = Transcript()
    transcript.user(1, text)
    return transcript


def over(
    progress: TurnProgress,
    ring: UplinkRing | None = None,
    transcript: Transcript | None = None,
    *,
    config: SessionConfig = CONFIG,
    planned: bool = False,
    results: dict[int, list[str]] | None = None,
) -> Handover:
    return hand_over(
        config,
        transcript or Transcript(),
        progress,
        ring or ring_of((1, False)),
        results=results or {},
        planned=planned,
    )


# -- the audio -------------------------------------------------------------------------------------

parts = st.lists(
    st.tuples(st.integers(1, 40).map(lambda n: n / 10), st.booleans()), min_size=1, max_size=12
)


@given(parts, st.data(), st.booleans(), st.booleans(), st.sampled_from([CONFIG, V1]))
def test_a_replay_begins_before_the_unanswered_voice_and_after_what_was_transcribed(
    spoken: list[tuple[float, bool]],
    data: st.DataObject,
    planned: bool,
    speaks: bool,
    config: SessionConfig,
) -> None:
    ring = ring_of(*spoken)
    end_ms = ring.milliseconds(ring.end)
    transcribed_ms = data.draw(st.integers(0, end_ms))
    began_ms = data.draw(st.integers(transcribed_ms, end_ms)) if speaks else None
    progress = replace(
        IDLE, transcribed_ms=transcribed_ms, speech_began_ms=began_ms, user_speaks=speaks
    )
    handover = over(progress, ring, config=config, planned=planned)
    begin = handover.replay_from
    assert begin % 2 == 0
    assert max(ring.begin, ring.position(transcribed_ms)) <= begin <= ring.end
    assert handover.start.offset_ms == ring.milliseconds(begin)
    if began_ms is not None:
        assert begin <= max(ring.begin, ring.position(began_ms))
        return
    looked_from = ring.position(transcribed_ms)
    if planned and config.voice_model.speech_events:
        looked_from = max(looked_from, ring.end - ring.position(1000 * DETECTION_S))
    voice = ring.voice_begins(looked_from)
    if voice is None:
        assert begin == ring.end
    else:
        assert begin <= voice
        assert begin >= max(looked_from, ring.begin, voice - ring.position(1000 * LEAD_S))


@given(parts, st.data(), st.booleans())
def test_the_words_of_a_turn_are_heard_again_from_where_they_began(
    spoken: list[tuple[float, bool]], data: st.DataObject, more: bool
) -> None:
    """A model without text hears an unanswered turn again, and nothing of the turns before it."""
    ring = ring_of(*spoken)
    end_ms = ring.milliseconds(ring.end)
    heard_from_ms = data.draw(st.integers(0, end_ms))
    progress = replace(ASKED, heard_from_ms=heard_from_ms, transcribed_ms=end_ms)
    transcript = asked()
    handover = over(progress, ring, transcript, config=V1)
    heard_from = max(ring.begin, ring.position(heard_from_ms))
    voice = ring.voice_begins(heard_from)
    assert handover.replay_from >= min(heard_from, ring.end)
    assert handover.replay_from <= (ring.end if voice is None else voice)
    assert (handover.start.turn, handover.prompt, handover.expects_events) == (1, "", True)
    assert transcript.lines == ()
    assert handover.history == ()


def test_a_turn_longer_than_the_ring_is_heard_again_from_what_is_kept() -> None:
    ring = ring_of(*[(4.0, True)] * 9)
    assert ring.begin > 0
    handover = over(replace(ASKED, heard_from_ms=0), ring, asked(), config=V1)
    assert handover.replay_from == ring.begin
    assert handover.start.offset_ms == ring.milliseconds(ring.begin)


def test_the_first_stream_hears_everything_that_was_kept() -> None:
    config = SessionConfig(history=(Message("USER", "hi"), Message("ASSISTANT", "Hello.")))
    handover = first_handover(config, ring_of((2, False), (3, True)))
    assert (handover.replay_from, handover.start.offset_ms) == (0, 0)
    assert handover.history == config.history
    assert not handover.expects_events


# -- speech that was reported and not transcribed --------------------------------------------------


def test_speech_that_goes_on_before_its_first_part_is_transcribed_is_replayed_as_a_whole() -> None:
    turns = Turns(Transcript())
    turns.receive(wire.UserSpeechStart(IDS, 1000), 0)
    turns.receive(wire.UserSpeechEnd(IDS, 2000, 2400), 0)
    turns.receive(wire.UserSpeechStart(IDS, 2500), 0)
    ring = ring_of((1, False), (1, True), (0.5, False), (0.5, True))
    assert over(turns.progress, ring).start.offset_ms == 700


def test_a_noise_that_was_never_transcribed_is_not_replayed_with_later_speech() -> None:
    turns = Turns(Transcript())
    turns.receive(wire.UserSpeechStart(IDS, 1000), 0)
    turns.receive(wire.UserSpeechEnd(IDS, 1200, 1600), 0)
    turns.receive(wire.UserSpeechStart(IDS, 15_000), 0)
    ring = ring_of((1, False), (0.2, True), (13.8, False), (0.5, True))
    assert over(turns.progress, ring).start.offset_ms == 14_700


def test_speech_that_goes_on_is_replayed_alone_once_its_first_part_is_transcribed() -> None:
    turns = Turns(Transcript())
    turns.receive(wire.UserSpeechStart(IDS, 1000), 0)
    turns.receive(wire.UserSpeechEnd(IDS, 2000, 2400), 0)
    turns.receive(wire.UserSpeechStart(IDS, 3500), 0)
    for record in (
        wire.TextBlock(IDS, "u", "USER", "FINAL"),
        wire.TextOutput(IDS, "u", "hello"),
    ):
        turns.receive(record, 0)
    ring = ring_of((1, False), (1, True), (1.5, False), (0.5, True))
    handover = over(turns.progress, ring, asked("hello"))
    assert handover.start.offset_ms == 3200
    assert (handover.prompt, handover.expects_events) == ("", True)


# -- the owed answer -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "planned", "prompt", "turn"),
    [
        ({"over": True}, False, "", None),
        ({}, False, "what time is it", 1),
        ({}, True, "what time is it", 1),
        ({"typed": True}, False, "what time is it", 1),
        ({"sounded": True}, False, CONTINUE_TEXT, 1),
        ({"sounded": True}, True, "", None),  # the old stream finishes it
        ({"calls": (CALL,)}, False, "", 1),
        ({"calls": (CALL,)}, True, "", 1),
        ({"sounded": True, "calls": (CALL,)}, False, "", 1),
        ({"user_speaks": True, "speech_began_ms": 500}, False, "", 1),
        ({"sounded": True, "user_speaks": True, "speech_began_ms": 500}, False, "", None),
    ],
)
def test_what_a_model_that_takes_text_is_asked(
    changes: dict[str, object], planned: bool, prompt: str, turn: int | None
) -> None:
    progress = replace(ASKED, **changes)
    handover = over(progress, transcript=asked(), planned=planned)
    assert (handover.prompt, handover.start.turn) == (prompt, turn)
    assert handover.expects_events == (bool(prompt) or progress.user_speaks)
    said_again = prompt == "what time is it"
    assert (Message("USER", "what time is it") in handover.history) != said_again


@given(
    turn=st.integers(0, 1),
    flags=st.tuples(*[st.booleans()] * 5),
    config=st.sampled_from([CONFIG, V1]),
)
def test_every_state_of_a_stream_has_a_handover_that_asks_or_tells_but_never_both(
    turn: int, flags: tuple[bool, ...], config: SessionConfig
) -> None:
    is_over, sounded, called, speaks, planned = flags
    progress = replace(
        IDLE,
        turn=turn,
        over=is_over or turn == 0,
        sounded=sounded,
        calls=(CALL,) if called else (),
        user_speaks=speaks,
        speech_began_ms=500 if speaks else None,
    )
    transcript = asked()
    handover = over(progress, transcript=transcript, config=config, planned=planned)
    told = Message("USER", "what time is it") in handover.history
    asks = handover.prompt == "what time is it"
    retaken = not transcript.lines
    assert told + asks + retaken == 1
    if config is V1:
        assert not handover.prompt
    if handover.start.sounded:
        assert handover.start.turn is not None
    # Repeating it, for another attempt, changes nothing.
    if not retaken:
        assert over(progress, transcript=transcript, config=config, planned=planned) == handover


def test_results_of_tools_are_told_with_the_words_that_they_answer() -> None:
    note = result_note(CALL, '{"at": 3}')
    assert note == '[go returned {"at": 3}]'
    results = {1: [note]}
    answered = over(replace(ASKED, over=True), transcript=asked("go"), results=results)
    assert answered.history == (Message("USER", f"go\n{note}"),)
    again = over(ASKED, transcript=asked("go"), results=results)
    assert again.prompt == f"go\n{note}"


def test_a_long_result_is_shortened_in_the_history_and_whole_as_text() -> None:
    result = '{"x": "' + "y" * 5000 + '"}'
    assert len(result_note(CALL, result)) < RESULT_CHARACTERS + 50
    assert result in late_result_text(CALL, result)


@pytest.mark.parametrize(
    ("changes", "can"),
    [({}, False), ({"sounded": True}, True), ({"sounded": True, "calls": (CALL,)}, False)],
)
def test_only_an_answer_that_sounds_and_calls_nothing_can_be_finished(
    changes: dict[str, object], can: bool
) -> None:
    assert can_finish(replace(ASKED, **changes)) is can
    assert not can_finish(replace(ASKED, over=True, **changes))


def test_an_answer_that_opened_no_turn_yet_is_asked_for() -> None:
    """The model spoke while the tool ran, and the connection broke after the result."""
    progress = replace(IDLE, turn=1, over=True, sounded=True, owes=True)
    handover = over(progress, transcript=asked(), results={1: ["[go returned {}]"]})
    assert (handover.prompt, handover.expects_events) == (ANSWER_TEXT, True)
    assert handover.history == (Message("USER", "what time is it\n[go returned {}]"),)
    assert over(progress, transcript=asked(), config=V1).prompt == ""


def test_a_model_that_reports_no_speech_hears_the_whole_utterance_after_a_switch() -> None:
    ring = ring_of((10, False), (5, True), (0.4, False))
    handover = over(IDLE, ring, config=V1, planned=True)
    assert handover.replay_from == ring.position(10_000 - 1000 * LEAD_S)


def test_speech_of_which_no_text_comes_is_a_noise() -> None:
    turns = Turns(Transcript())
    turns.receive(wire.UserSpeechStart(IDS, 20_000), 0.0)
    turns.receive(wire.UserSpeechEnd(IDS, 20_400, 20_800), 0.0)
    turns.sent_ms = 21_000
    assert turns.progress.speech_began_ms == 20_000
    turns.sent_ms = 100_000
    assert turns.progress.speech_began_ms is None


@pytest.mark.parametrize("config", [CONFIG, V1], ids=["v2", "v1"])
@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(
    "progress",
    [
        IDLE,
        replace(IDLE, transcribed_ms=12_000, heard_from_ms=9_000),
        replace(ASKED, transcribed_ms=12_000, heard_from_ms=9_000),
        replace(ASKED, transcribed_ms=12_000, heard_from_ms=9_000, sounded=True),
        replace(ASKED, transcribed_ms=12_000, heard_from_ms=9_000, calls=(CALL,)),
        replace(IDLE, transcribed_ms=12_000, speech_began_ms=11_000, user_speaks=True),
        replace(IDLE, transcribed_ms=12_000, speech_began_ms=13_000),
    ],
)
def test_the_next_stream_hears_the_same_after_answered_audio_was_released(
    progress: TurnProgress, planned: bool, config: SessionConfig
) -> None:
    parts = ((2.0, False), (3.0, True), (4.0, False), (3.0, True), (1.0, False), (0.7, True))
    ring, released = ring_of(*parts), UplinkRing(CONFIG.input)
    whole = ring.since(0)
    for begin in range(0, len(whole), 1024):
        released.append(whole[begin : begin + 1024])
    needed = needed_from(config, progress, released)
    released.release(needed)
    expected = over(progress, ring, asked(), config=config, planned=planned)
    found = over(progress, released, asked(), config=config, planned=planned)
    # The windows in which voice is looked for begin where the ring begins.
    assert abs(found.replay_from - expected.replay_from) < CONFIG.input.size(WINDOW_S)
    assert replace(found, replay_from=0, start=expected.start) == replace(expected, replay_from=0)
    assert released.since(found.replay_from) == ring.since(found.replay_from)
    assert (released.begin > 0) == (needed > CONFIG.input.size(BACKGROUND_S))
