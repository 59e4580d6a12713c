"""What becomes of a flagged sentence in the transcript, and who shows that there was one."""

import io

from sonic_voice.audio.ports import NullSink
from sonic_voice.bridge.messages import encode_event
from sonic_voice.cli.heard_turns import Answered, HeardTurns, Noted
from sonic_voice.cli.story import PrintedTranscript
from sonic_voice.config import SessionConfig
from sonic_voice.events import AssistantText, Audio, Guarded, GuardFailed, TurnEnded
from sonic_voice.metrics import Metrics
from sonic_voice.session import Session
from sonic_voice.transcript import Transcript
from sonic_voice.transport import MemoryTransport

RATE_HZ = 24_000
SECOND = bytes(2 * RATE_HZ)
INSTEAD = "Something else."
FLAGGED = Guarded(1, "ASSISTANT", "Bad words.", "violence")


def spoken(*sentences: str) -> Transcript:
    """Return a transcript of one answer with a second of sound for each sentence."""
    transcript = Transcript()
    for sentence in sentences:
        transcript.plan(1, sentence)
        transcript.sound(1, SECOND, RATE_HZ)
        transcript.sound_ended(1)
    return transcript


def test_a_withheld_sentence_is_replaced_and_its_sound_does_not_count() -> None:
    transcript = spoken("Good.", " Bad words.", " Fine.")
    transcript.withhold(1, 1, " Bad words.", f" {INSTEAD}")
    transcript.answer_ended(1)
    assert transcript.heard(1) == transcript.planned(1) == f"Good. {INSTEAD} Fine."
    assert transcript.stop_playback(lambda turn: 2_000) == {}


def test_sound_that_comes_after_the_verdict_does_not_count_either() -> None:
    transcript = Transcript()
    transcript.plan(1, "Bad words.")
    transcript.withhold(1, 0, "Bad words.", INSTEAD, sound_ms=500)
    transcript.sound(1, SECOND, RATE_HZ)
    transcript.answer_ended(1)
    assert transcript.stop_playback(lambda turn: 500) == {}
    assert transcript.heard(1) == INSTEAD


def test_final_texts_do_not_bring_the_words_back() -> None:
    for final_first in (True, False):
        transcript = spoken("Good.", " Bad words.")
        if final_first:
            transcript.final("Bad words.", 1)
        transcript.withhold(1, 1, " Bad words.", f" {INSTEAD}")
        if not final_first:
            assert transcript.final("Bad words.", 1) == (1, 1)
        assert transcript.final("Bad words.", 1) is None
        assert transcript.heard(1) == f"Good. {INSTEAD}"


def test_the_words_are_found_where_the_block_was_renumbered_or_cut() -> None:
    transcript = spoken("Good.", "Bad words and more.")
    transcript.plan(1, "Never heard.")
    transcript.end_at_received(1)
    transcript.withhold(1, 5, "Bad words and more.", INSTEAD)
    assert transcript.planned(1) == f"Good. {INSTEAD}"
    transcript.withhold(1, 0, "What is not there.", "x")
    assert transcript.planned(1) == f"Good. {INSTEAD}"


def test_of_two_sentences_with_the_same_words_the_right_one_is_withheld() -> None:
    transcript = spoken("Yes.", "Yes.")
    transcript.withhold(1, 1, "Yes.", "")
    transcript.interrupt(1)
    transcript.hear(1, 1_000)
    assert (transcript.planned(1), transcript.heard(1)) == ("Yes.", "Yes.")


def test_the_printed_transcript_and_the_file_say_what_the_guard_did() -> None:
    out, transcript = io.StringIO(), spoken(INSTEAD)
    session = Session.open(SessionConfig(), MemoryTransport())
    shown = PrintedTranscript(out, Metrics(session, NullSink(now=lambda: 0.0)))
    turns = HeardTurns(transcript.turn_lines)
    failed = GuardFailed(1, "USER", "It took more than 1 s.", withheld=False)
    for event in (
        *(failed, FLAGGED, AssistantText(1, 0, INSTEAD, "SPECULATIVE")),
        *(Audio(1, SECOND, RATE_HZ), TurnEnded(1)),
    ):
        shown(event, 0.0)
        turns.observe(event, 0.0)
    assert "The guard gave no verdict: It took more than 1 s. The words pass." in out.getvalue()
    assert "The guard withheld a sentence (violence)." in out.getvalue()
    assert INSTEAD in out.getvalue()
    assert "Bad" not in out.getvalue()
    entries = turns.take(lambda turn: 1_000, sounding=False)
    assert [entry.text for entry in entries if isinstance(entry, Answered)] == [INSTEAD]
    assert not any("Bad" in entry.text for entry in entries if isinstance(entry, Noted))


def test_a_page_receives_neither_the_words_nor_the_reason() -> None:
    message = encode_event(FLAGGED, show_tools=True)
    assert message == {"type": "notice", "text": "The guard withheld a sentence."}
    assert encode_event(GuardFailed(1, "USER", "x", withheld=True), show_tools=True) is None
