"""When silence is sent in place of audio, and how much of the audio is left out for it."""

from itertools import pairwise

import pytest

from sonic_voice.config import AudioFormat
from sonic_voice.uplink_silence import SILENCE_AFTER_S, SILENCE_CHUNK_S, UplinkSilence

FORMAT = AudioFormat(16_000)
QUIET = bytes(FORMAT.size(0.5))
LOUD = b"\0\x20" * 8000


def filled(silence: UplinkSilence, until_s: float) -> float:
    """Let a gap last until then; return how much silence is sent for it, in seconds."""
    sent_s = 0.0
    while (due_s := silence.due_s) <= until_s:
        sent_s += silence.fill(due_s)
    return sent_s


def test_silence_is_due_for_the_whole_gap_and_then_at_its_natural_pace() -> None:
    silence = UplinkSilence(FORMAT, now=100.0)
    assert silence.due_s == 100 + SILENCE_AFTER_S
    assert silence.fill(silence.due_s) == SILENCE_AFTER_S
    due_s: list[float] = []
    for _ in range(10):
        due_s.append(silence.due_s)
        assert silence.fill(silence.due_s) == SILENCE_CHUNK_S
    assert [after - before for before, after in pairwise(due_s)] == pytest.approx([0.032] * 9)


def test_after_a_stall_of_the_loop_silence_catches_up() -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    assert [silence.fill(1.25) for _ in range(3)] == pytest.approx([0.5, 0.5, 0.25])
    assert silence.due_s > 1.25


def test_a_source_that_is_faster_than_real_time_loses_no_more_than_the_silence_sent() -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    sent_s = filled(silence, 1.0)
    out = b"".join(silence.admit(QUIET, 1.0) for _ in range(20))
    assert FORMAT.seconds(len(out)) == pytest.approx(10 - sent_s)
    assert silence.surplus_s == pytest.approx(0)
    assert silence.admit(QUIET, 1.0) == QUIET


def test_before_the_first_gap_audio_passes_at_any_pace() -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    assert all(silence.admit(QUIET, 0.0) == QUIET for _ in range(100))
    assert silence.surplus_s == pytest.approx(0)


def test_silence_that_late_speech_precedes_stays_until_its_end_was_noticed() -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    silence.admit(LOUD, 0.5)
    sent_s = filled(silence, 1.5)
    assert [silence.admit(chunk, 1.5) for chunk in (LOUD, LOUD)] == [LOUD, LOUD]
    assert silence.surplus_s == pytest.approx(sent_s)
    pause = [len(silence.admit(QUIET, 2 + n / 2)) for n in range(10)]
    assert pause[:5] == [len(QUIET)] * 5
    assert FORMAT.seconds(sum(pause)) == pytest.approx(5 - sent_s)


def test_a_gap_is_filled_although_the_clock_is_ahead() -> None:
    """The end of speech is found in it. What the clock is ahead is not forgotten."""
    silence = UplinkSilence(FORMAT, now=0.0)
    ahead_s = filled(silence, 1.0)
    for _ in range(2):
        silence.admit(LOUD, 1.0)
    assert silence.surplus_s == pytest.approx(ahead_s)
    assert filled(silence, 4.0) == pytest.approx(3, abs=SILENCE_CHUNK_S)
    silence.admit(LOUD, 4.5)
    assert silence.surplus_s == pytest.approx(ahead_s, abs=SILENCE_CHUNK_S)


@pytest.mark.parametrize("sample", [0, 32, -32])
def test_softer_than_minus_60_dbfs_is_silence(sample: int) -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    filled(silence, 1.0)
    chunk = sample.to_bytes(2, "little", signed=True) * 8000
    assert len(silence.admit(chunk, 1.0)) < FORMAT.size(SILENCE_CHUNK_S)


@pytest.mark.parametrize("sample", [33, -33, 32767, -32768])
def test_one_louder_sample_keeps_a_whole_chunk(sample: int) -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    filled(silence, 1.0)
    chunk = bytes(8000) + sample.to_bytes(2, "little", signed=True) + bytes(7998)
    assert silence.admit(chunk, 1.0) == chunk


def test_of_a_source_that_is_faster_than_real_time_no_more_than_the_silence_is_surplus() -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    sent_s = filled(silence, 1.0)
    for _ in range(20):
        silence.admit(LOUD, 1.0)
    assert silence.surplus_s == pytest.approx(sent_s)


def test_half_a_sample_is_not_hidden_from_the_check_of_the_protocol() -> None:
    silence = UplinkSilence(FORMAT, now=0.0)
    filled(silence, 1.0)
    assert silence.admit(bytes(15_999), 1.0) == bytes(15_999)
