"""What is derived from a tape: the sound of both sides, and the transcript as it was heard."""

import json

import numpy as np
import pytest

from sonic_voice.recording import (
    Played,
    Received,
    Sent,
    SessionEvent,
    Tape,
    TapeLine,
    TapeRecord,
    heard_pcm,
    tape_lines,
    user_pcm,
)
from sonic_voice.recording.stereo import mixed_down, stereo_frames, stereo_rate_hz
from sonic_voice.recording.tracks import MAX_TRACK_S
from sonic_voice.recording.transcripts import as_json, as_srt, as_text, as_vtt
from sonic_voice.wire import (
    BlockEnd,
    Ids,
    TextBlock,
    TextOutput,
    UserSpeechEnd,
    UserSpeechStart,
    encode_output,
)

from ..support.tapes import HEADER, sent_sound, sound

CHUNK_S = 0.032
CHUNK = 512


def tape_of(*records: TapeRecord) -> Tape:
    return Tape(HEADER, sorted(records, key=lambda record: record.t_s))


def spoken(stream: int, numbers: range, *, late_s: float = 0.0) -> list[TapeRecord]:
    """Return chunks of the user's sound, each sent when it has been spoken."""
    return [Sent((n + 1) * CHUNK_S + late_s, stream, sent_sound(sound(n, CHUNK))) for n in numbers]


def chunks(numbers: range) -> bytes:
    return b"".join(sound(n, CHUNK) for n in numbers)


def test_the_user_is_where_they_spoke() -> None:
    pcm, rate_hz = user_pcm(tape_of(*spoken(1, range(20))))
    assert (pcm, rate_hz) == (chunks(range(20)), 16_000)


def test_chunks_that_come_with_jitter_are_joined_without_gaps() -> None:
    jitter = [0.0, 0.02, 0.004, 0.03, 0.011, 0.0, 0.025, 0.001]
    records = [
        Sent((n + 1) * CHUNK_S + late_s, 1, sent_sound(sound(n, CHUNK)))
        for n, late_s in enumerate(jitter)
    ]
    pcm, _ = user_pcm(tape_of(*records))
    assert pcm.strip(b"\0").endswith(chunks(range(8)).strip(b"\0"))
    assert len(pcm) - 2 * CHUNK * 8 <= 2 * 0.03 * 16_000


def test_a_pause_without_any_sound_stays_a_pause() -> None:
    pcm, _ = user_pcm(tape_of(*spoken(1, range(5)), *spoken(1, range(50, 55))))
    assert pcm[: 2 * CHUNK * 5] == chunks(range(5))
    assert pcm[2 * CHUNK * 50 :] == chunks(range(50, 55))
    assert not pcm[2 * CHUNK * 5 : 2 * CHUNK * 50].strip(b"\0")


def test_sound_that_is_sent_again_after_a_fault_is_there_once() -> None:
    """A new stream receives the last half second at once, then what is being said."""
    again = [Sent(20 * CHUNK_S + 0.01, 2, sent_sound(sound(n, CHUNK))) for n in range(5, 20)]
    pcm, _ = user_pcm(tape_of(*spoken(1, range(18)), *again, *spoken(2, range(20, 40))))
    assert pcm == chunks(range(40))


def test_silence_of_a_retired_stream_hides_no_voice() -> None:
    silence = [Sent((n + 1) * CHUNK_S, 1, sent_sound(bytes(2 * CHUNK))) for n in range(10, 20)]
    pcm, _ = user_pcm(tape_of(*spoken(1, range(10)), *silence, *spoken(2, range(10, 20))))
    assert pcm == chunks(range(20))


def test_what_was_heard_lies_where_it_was_played() -> None:
    answer = sound(1, 9600)
    records = [
        Played(1.0 + 0.1 * part + 0.004 * (part % 2), 1, answer[part * 4800 : (part + 1) * 4800])
        for part in range(4)
    ]
    pcm, rate_hz = heard_pcm(tape_of(*records))
    assert rate_hz == 24_000
    assert pcm[: 2 * 24_000] == bytes(2 * 24_000)
    assert pcm.endswith(answer)


def test_a_wrong_time_does_not_fill_the_memory() -> None:
    pcm, _ = heard_pcm(tape_of(Played(MAX_TRACK_S * 1000, 1, sound(1, 10))))
    assert pcm == b""


def test_both_sides_are_two_channels_of_one_rate() -> None:
    user = [
        Sent((n + 1) * CHUNK_S, 1, sent_sound(np.full(CHUNK, 1000, "<i2").tobytes()))
        for n in range(40)
    ]
    heard = Played(0.5, 1, np.full(12_000, -2000, "<i2").tobytes())
    tape = tape_of(*user, heard)
    assert stereo_rate_hz(tape) == 24_000
    frames = b"".join(stereo_frames(tape))
    sides = np.frombuffer(frames, "<i2").reshape(-1, 2)
    assert len(sides) == 40 * CHUNK * 3 // 2
    assert sides[6_000].tolist() == [1000, 0]
    assert sides[18_000].tolist() == [1000, -2000]
    assert np.frombuffer(mixed_down(frames), "<i2")[18_000] == -1000


# -- the transcript --------------------------------------------------------------------------------


def event(t_s: float, name: str, /, **fields: object) -> SessionEvent:
    return SessionEvent(t_s, name, fields)


INTERRUPTED_TALK: list[TapeRecord] = [
    *spoken(1, range(200)),
    event(0.7, "UserSpeechStarted", offset_ms=500),
    event(1.9, "UserSpeechEnded", offset_ms=1400, detected_ms=1800),
    event(2.0, "UserText", turn=1, text="tell me a story", typed=False),
    event(2.1, "AssistantText", turn=1, block=0, text="Once upon. ", stage="SPECULATIVE"),
    event(2.2, "AssistantText", turn=1, block=1, text="There was a cat.", stage="SPECULATIVE"),
    Played(2.3, 1, sound(1, 24_000)),
    event(2.9, "AssistantText", turn=1, block=0, text="Once upon. ", stage="FINAL"),
    event(3.3, "UserSpeechStarted", offset_ms=3100),
    event(3.3, "Interrupted", turn=1, sign="userSpeechStart"),
    event(
        3.3, "Heard", turn=1, heard_ms=1000, heard="Once upon. There",
        planned="Once upon. There was a cat.",
    ),
    event(4.0, "UserSpeechEnded", offset_ms=3600, detected_ms=3900),
    event(4.1, "UserText", turn=2, text="<stop>\nnow & \x1b[31m", typed=False),
    event(5.0, "UserText", turn=3, text="typed", typed=True),
]  # fmt: skip


def test_the_transcript_has_what_was_heard_and_when() -> None:
    assert tape_lines(tape_of(*INTERRUPTED_TALK)) == [
        TapeLine(1, "USER", "tell me a story", "tell me a story", 0.5, 1.4),
        TapeLine(
            1, "ASSISTANT", "Once upon. There", "Once upon. There was a cat.", 2.3, 3.3,
            interrupted=True,
        ),
        TapeLine(2, "USER", "<stop>\nnow & \x1b[31m", "<stop>\nnow & \x1b[31m", 3.1, 3.6),
        TapeLine(3, "USER", "typed", "typed", 5.0, 5.0, typed=True),
    ]  # fmt: skip


def test_words_that_are_said_to_a_new_stream_again_are_there_once() -> None:
    lines = tape_lines(
        tape_of(
            event(1.0, "UserText", turn=1, text="hello there", typed=False),
            event(2.0, "Renewed", gap_ms=900, replayed_ms=4000, reason="The connection was cut."),
            event(3.0, "UserText", turn=1, text="hello there.", typed=False),
        )
    )
    assert [line.text for line in lines] == ["hello there."]


def test_an_answer_of_which_nothing_was_heard_has_no_line() -> None:
    lines = tape_lines(
        tape_of(
            event(1.0, "AssistantText", turn=1, block=0, text="No.", stage="SPECULATIVE"),
            event(1.1, "Heard", turn=1, heard_ms=0, heard="", planned="No."),
        )
    )
    assert lines == []


def test_a_tape_of_payloads_alone_has_a_transcript() -> None:
    ids = Ids("s", "p", "c")
    outputs = [
        (0.4, UserSpeechStart(ids, 300)),
        (1.0, UserSpeechEnd(ids, 800, 950)),
        (1.1, TextBlock(ids, "u", "USER", "FINAL")),
        (1.1, TextOutput(ids, "u", "hello", "USER")),
        (1.2, TextBlock(ids, "a", "ASSISTANT", "SPECULATIVE")),
        (1.2, TextOutput(ids, "a", "Good day. How are you?", "ASSISTANT")),
        (2.0, TextBlock(ids, "b", "ASSISTANT", "FINAL")),
        (2.0, TextOutput(ids, "b", "Good day. How are you?", "ASSISTANT")),
        (3.0, TextBlock(ids, "v", "USER", "FINAL")),
        (3.0, TextOutput(ids, "v", "fine", "USER")),
        (3.1, TextBlock(ids, "d", "ASSISTANT", "SPECULATIVE")),
        (3.1, TextOutput(ids, "d", "I am pleased.", "ASSISTANT")),
        (3.2, TextOutput(ids, "e", '{ "interrupted" : true }', "ASSISTANT")),
        (3.2, BlockEnd(ids, "d", "AUDIO", "INTERRUPTED")),
    ]
    tape = tape_of(*(Received(t_s, 1, encode_output(output)) for t_s, output in outputs))
    assert [(line.turn, line.role, line.text, line.interrupted) for line in tape_lines(tape)] == [
        (1, "USER", "hello", False),
        (1, "ASSISTANT", "Good day. How are you?", False),
        (2, "USER", "fine", False),
    ]


def clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def test_the_transcript_as_text() -> None:
    text = as_text(tape_lines(tape_of(*INTERRUPTED_TALK)), clean)
    assert text.splitlines()[:2] == [
        "[00:00:00.5] You: tell me a story",
        "[00:00:02.3] Nova: Once upon. There [interrupted]",
    ]
    assert len(text.splitlines()) == 4


def test_the_transcript_as_subtitles() -> None:
    lines = tape_lines(tape_of(*INTERRUPTED_TALK))
    assert as_srt(lines, clean).split("\n\n")[1] == (
        "2\n00:00:02,300 --> 00:00:03,300\nNova: Once upon. There [interrupted]"
    )
    cues = as_vtt(lines, clean).split("\n\n")
    assert cues[0] == "WEBVTT"
    assert cues[3] == "00:00:03.100 --> 00:00:03.600\n<v You>&lt;stop&gt; now &amp; [31m"
    assert cues[4].strip() == "00:00:05.000 --> 00:00:05.500\n<v You>typed"


def test_the_transcript_as_json() -> None:
    tape = tape_of(*INTERRUPTED_TALK, event(2.05, "ToolCall", turn=1, name="go"))
    text = as_json(tape, tape_lines(tape))
    document = json.loads(text)
    assert document["lines"][1]["ends_s"] == pytest.approx(3.3)
    assert document["tools"] == [{"t_s": 2.05, "event": "ToolCall", "turn": 1, "name": "go"}]
    assert "\x1b" not in text
