"""Sound files that grow: readable at any moment, of any length, and never in place of another."""

import errno
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonic_voice.audio import sound_file
from sonic_voice.audio.decoding import open_recording
from sonic_voice.audio.riff import LONG_HEADER_BYTES, Layout, long_header, read_layout
from sonic_voice.audio.sound_file import create, free_name
from sonic_voice.errors import AudioError

RATE = 24_000


def frames(count: int, start: int = 0) -> bytes:
    left = np.arange(start, start + count) % 20_000
    return np.stack([left, -left], axis=1).astype("<i2").tobytes()


@pytest.mark.parametrize("name", ["talk.wav", "talk.WAV", "talk", "talk.flac"])
def test_both_channels_are_written(tmp_path: Path, name: str) -> None:
    writer = create(tmp_path / name, RATE, 2)
    writer.write(frames(5_000))
    writer.write(frames(3_000, 5_000))
    writer.close()
    writer.close()
    sound, rate_hz = soundfile.read(tmp_path / name, dtype="int16")
    assert rate_hz == RATE
    assert sound.astype("<i2").tobytes() == frames(8_000)
    kind = soundfile.info(tmp_path / name).format
    assert kind == ("FLAC" if name.endswith("flac") else "WAV")


@pytest.mark.parametrize("name", ["talk.wav", "talk.flac"])
def test_a_file_can_be_read_at_any_moment(tmp_path: Path, name: str) -> None:
    """As `kill -9` leaves it: nothing is closed, and at most a block of FLAC is missing."""
    path = tmp_path / name
    writer = create(path, RATE, 2)
    for second in range(1, 4):
        writer.write(frames(RATE, (second - 1) * RATE))
        (tmp_path / "copy").write_bytes(path.read_bytes())
        recording = open_recording(tmp_path / "copy")
        missing = second * RATE - recording.frames
        assert missing == 0 if name.endswith("wav") else 0 <= missing <= 4_096
        recording.close()
    writer.close()


def test_an_existing_file_is_refused_with_a_free_name(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"precious")
    (tmp_path / "talk-2.wav").write_bytes(b"precious, too")
    with pytest.raises(AudioError) as caught:
        create(path, RATE, 2)
    assert "exists" in caught.value.message
    assert str(tmp_path / "talk-3.wav") in caught.value.hint
    assert free_name(path) == tmp_path / "talk-3.wav"
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["talk.mp3", "missing/talk.wav", "missing/talk.flac", "a\0.wav"])
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioError) as caught:
        create(tmp_path / name, RATE, 2)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["talk.wav", "talk.flac"])
def test_a_full_disk_keeps_whole_frames(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, room = tmp_path / name, [150_001]

    def write(file: io.FileIO, data: bytes) -> None:
        taken = data[: room[0]]
        file.write(taken)
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if file.tell() == os.fstat(file.fileno()).st_size:  # a header that is rewritten is free
            room[0] -= len(taken)

    writer = create(path, RATE, 2)
    monkeypatch.setattr(sound_file, "_write_all", write)
    chance = np.random.default_rng(1)
    noise = chance.integers(-20_000, 20_000, 2 * 20_000).astype("<i2").tobytes()
    writer.write(noise)
    with pytest.raises(OSError, match="No space left"):
        for _ in range(20):
            writer.write(noise)
    try:
        writer.close()
    except OSError:
        assert name.endswith("flac")  # its last block has no room
    recording = open_recording(path)
    assert 20_000 < recording.frames <= 150_001 // 4 + 4_096
    assert not recording.note
    recording.close()


@pytest.mark.parametrize(
    "size_bytes", [0, 4, 0xFFFF_FFFF - LONG_HEADER_BYTES + 8, 1 << 32, 6 << 32]
)
def test_beyond_4_gib_the_lengths_move_to_where_there_is_room(size_bytes: int) -> None:
    """The header has one size, so that it can be written over itself."""
    size_bytes -= size_bytes % 4
    header = long_header(RATE, 2, size_bytes)
    assert len(header) == LONG_HEADER_BYTES
    riff_bytes = struct.unpack_from("<I", header, 4)[0]
    if size_bytes < 1 << 32:
        assert header[:4] == b"RIFF"
        assert riff_bytes == LONG_HEADER_BYTES - 8 + size_bytes
        assert struct.unpack_from("<I", header, 76)[0] == size_bytes
    else:
        assert header[:4] == b"RF64"
        assert struct.unpack_from("<QQQ", header, 20) == (
            LONG_HEADER_BYTES - 8 + size_bytes, size_bytes, size_bytes // 4,
        )  # fmt: skip


def test_a_sparse_file_of_5_gib_is_read_whole(tmp_path: Path) -> None:
    size_bytes = 5 << 30
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(long_header(RATE, 2, size_bytes))
        file.truncate(LONG_HEADER_BYTES + size_bytes)
    with path.open("rb") as file:
        layout = read_layout(file, path)
    assert isinstance(layout, Layout)
    assert layout.frames == size_bytes // 4
    assert soundfile.info(path).frames == size_bytes // 4
