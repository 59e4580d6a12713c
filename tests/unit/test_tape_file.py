"""The file of a tape that is being written: at no byte of its writing is anything missing."""

import os
from pathlib import Path

import pytest

from sonic_voice.recording import Played, TapeRecord, decode_tape, read_tape
from sonic_voice.recording.framing import Frame, Kind, scan
from sonic_voice.recording.tape_file import TapeFile

from ..support.tapes import HEADER, conversation, rounded, tape_bytes

BATCH = 5
"""Number of records between two calls of `flush`."""


def opened(path: Path, *, max_bytes: int | None = None) -> TapeFile:
    """Return a new tape."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return TapeFile(path, fd, HEADER, max_bytes=max_bytes)


def kinds(data: bytes) -> list[int]:
    """Return the kinds of the records of a file."""
    return [part.kind for part in scan(data) if isinstance(part, Frame)]


def test_what_was_flushed_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "talk.tape"
    file, records = opened(path), conversation(0.5)
    for order, record in enumerate(records):
        file.add(record, order)
        file.flush()
        assert list(read_tape(path).records) == [rounded(r) for r in records[: order + 1]]
    file.close()
    file.close()
    assert list(read_tape(path).records) == [rounded(record) for record in records]


def test_a_closed_tape_has_blocks_and_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "talk.tape"
    file, records = opened(path), conversation(2.6)
    journaled = 0
    for order, record in enumerate(records):
        file.add(record, order)
        if order % BATCH == 0:
            file.flush()
            journaled = max(journaled, kinds(path.read_bytes()).count(Kind.SENT))
    file.close()
    assert 20 < journaled < 40
    data = path.read_bytes()
    assert kinds(data).count(Kind.SENT) == 1  # the one without sound
    assert Kind.RECEIVED not in kinds(data)
    assert kinds(data).count(Kind.SENT_SOUND) == 4
    assert len(data) < 1.02 * len(tape_bytes(records))
    assert list(read_tape(path).records) == [rounded(record) for record in records]


def test_no_byte_of_the_writing_loses_what_was_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, records = tmp_path / "talk.tape", conversation(1.6)
    flushed: list[TapeRecord] = []
    states = 0
    write = os.write

    def check() -> None:
        """Read the file as a kill at this moment leaves it."""
        nonlocal states
        states += 1
        tape = decode_tape(path.read_bytes())
        found = list(tape.records)
        assert found[: len(flushed)] == flushed
        assert all("record" in damage.reason for damage in tape.damage)

    def short_write(fd: int, data: memoryview) -> int:
        done = write(fd, data[:7001])
        check()
        return done

    file = opened(path)
    monkeypatch.setattr(os, "write", short_write)
    for order, record in enumerate(records):
        file.add(record, order)
        if order % BATCH == 0:
            file.flush()
            flushed = [rounded(r) for r in records[: order + 1]]
            check()
    file.close()
    assert states > 80
    assert list(read_tape(path).records) == [rounded(record) for record in records]


def test_blocks_that_are_larger_than_their_journal_take_its_place_too(tmp_path: Path) -> None:
    path = tmp_path / "talk.tape"
    file = opened(path)
    records = [record for record in conversation(0.1) if not isinstance(record, Played)][:3]
    for order, record in enumerate(records):
        file.add(record, order)
    file.close()
    tape = read_tape(path)
    assert list(tape.records) == [rounded(record) for record in records]
    assert tape.damage == ()


def test_a_disk_that_fails_leaves_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, records, write = tmp_path / "talk.tape", conversation(0.5), os.write
    file = opened(path)
    for order, record in enumerate(records):
        file.add(record, order)
    file.flush()

    def full_disk(fd: int, data: memoryview) -> int:
        write(fd, data[:300])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        file.close()
    file.close()
    assert list(read_tape(path).records) == [rounded(record) for record in records]
