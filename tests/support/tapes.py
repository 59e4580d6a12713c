"""Tapes for tests: strategies for records, and small conversations made of payloads."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies as st

from sonic_voice.recording import (
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    TapeHeader,
    TapeRecord,
    TapeWriter,
)
from sonic_voice.recording.block_writer import BlockWriter
from sonic_voice.wire import AudioInput, AudioOutput, Ids, encode_input, encode_output

BEGAN = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
HEADER = TapeHeader(1, "amazon.nova-2-sonic-v1:0", {"voice": "tiffany"}, BEGAN, {"python": "3"})
IDS = Ids("session-1", "prompt-1", "completion-1")


def sound(seed: int, samples: int) -> bytes:
    """Return noise, no part of which occurs twice."""
    return random.Random(seed).randbytes(2 * samples)


def sent_sound(pcm: bytes, content: str = "content-1") -> bytes:
    return encode_input(AudioInput("prompt-1", content, pcm))


def received_sound(pcm: bytes, content: str = "answer-1") -> bytes:
    return encode_output(AudioOutput(IDS, content, pcm))


def tape_bytes(records: Sequence[TapeRecord], header: TapeHeader = HEADER) -> bytes:
    """Return the file that a writer makes of records, without a disk."""
    writer = BlockWriter(header)
    parts = [writer.write(record, order) for order, record in enumerate(records)]
    return b"".join([writer.begin(), *parts, writer.flush()])


def written(path: Path, records: Sequence[TapeRecord]) -> Path:
    """Write a tape through the thread, and return its path."""
    writer = TapeWriter(path, HEADER)
    for record in records:
        writer.write(record)
    assert writer.close()
    return path


def rounded(record: TapeRecord) -> TapeRecord:
    """Return a record with its time in whole microseconds, as a tape has it."""
    return replace(record, t_s=round(record.t_s * 1e6) / 1e6)


def conversation(seconds: float = 2.0) -> list[TapeRecord]:
    """Return a conversation in which both sides sound, with what was played of the answer."""
    records: list[TapeRecord] = [
        StreamOpened(0.0, 1, HEADER.model),
        Sent(0.001, 1, b'{"event":{"sessionStart":{}}}'),
    ]
    answer = sound(99, round(seconds * 24_000))
    for step in range(round(seconds / 0.032)):
        t_s = 0.01 + step * 0.032
        records.append(Sent(t_s, 1, sent_sound(sound(step, 512))))
        part = answer[step * 3072 : (step + 1) * 3072]  # it comes at twice the pace
        if part:
            records.append(Received(t_s, 1, received_sound(part)))
        if step % 4 == 3:
            records.append(
                Played(max(0.0, t_s - 0.128), 1, answer[(step - 3) * 1536 : (step + 1) * 1536])
            )
        if step % 10 == 0:
            records.append(SessionEvent(t_s, "UserText", {"turn": step, "text": f"word {step}"}))
    records.append(StreamEnded(seconds + 0.1, 1, ""))
    return records


_TIMES = st.floats(0, 3600, allow_nan=False)
_STREAMS = st.integers(1, 40)
_PCM = st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_CONTENTS = st.sampled_from(["a", "b", 'with "quotes" and \\'])
_SENT = _PCM.flatmap(lambda pcm: _CONTENTS.map(lambda name: sent_sound(pcm, name)))
_RECEIVED = _PCM.flatmap(lambda pcm: _CONTENTS.map(lambda name: received_sound(pcm, name)))
_STRANGE = st.binary(max_size=60) | st.sampled_from(
    [
        b'{"event":{"audioInput":{"content":"AAA="}}}',
        b'{"event":{"audioInput":{"content":"AA=="}}}',
        b'{"event":{"audioInput":{"content":"AAB="}}}',
        b'{"event":{"audioOutput":{"content":"AAAA","content":"BBBB"}}}',
        b' { "event" : { "audioOutput" : { "content" : "AAAA" } } } ',
        b"\xf5SVT" * 5,
        b"SVTAPE\r\n",
    ]
)

RECORDS: st.SearchStrategy[list[TapeRecord]] = st.lists(
    st.one_of(
        st.builds(StreamOpened, _TIMES, _STREAMS, st.text(max_size=20)),
        st.builds(Sent, _TIMES, _STREAMS, _SENT | _STRANGE),
        st.builds(Received, _TIMES, _STREAMS, _RECEIVED | _STRANGE),
        st.builds(StreamEnded, _TIMES, _STREAMS, st.text(max_size=20)),
        st.builds(
            SessionEvent,
            _TIMES,
            st.text(max_size=12),
            st.dictionaries(st.text(max_size=8), _JSON, max_size=3),
        ),
        st.builds(Played, _TIMES, st.integers(0, 1000), _PCM),
    ),
    max_size=40,
).map(lambda records: sorted(records, key=lambda record: record.t_s))
"""Records of every kind in the order of time, among them payloads that are not what they seem."""
