"""The file of a tape that is being written: blocks of sound, and behind them the newest records.

    add(record) ──► journal: each record as a frame of its own ──► flush: at once in the file
                                    │ every second
                                    └──► BlockWriter ──► blocks, which take the place of the journal

Starting the sound encoder is what costs most, so that blocks should be long; and nothing should be
lost when the program is killed, so that records should be in the file soon. The journal allows
both. It is replaced in three steps, and at any byte of them everything is in the file:

1. the blocks are appended behind the journal;
2. they are written once more over the journal, whose records are in step 1's copy;
3. the file is cut off behind them.

It blocks, and belongs to one thread. `FORMAT.md` says what a reader makes of a record that is in
the file twice.
"""

import logging
import os
from pathlib import Path

from .block_writer import BLOCK_S, BlockWriter, microseconds, plain_frame
from .framing import HEAD_BYTES
from .records import SessionEvent, TapeHeader, TapeRecord

JOURNAL_S = 0.8 * BLOCK_S
"""Length of the journal at which it is replaced, in seconds. It has grown by another 0.1 s until it
is looked at, and should still make one block."""

JOURNAL_BYTES = 1024 * 1024
"""Size of the journal at which it is replaced, in bytes. A second of both sides has 150 KB, and
some times that while an answer comes."""

LAST_RECORD_BYTES = 512
"""Room below the limit of the size that is kept for the record that says why the tape ends."""

STOPPED = "RecordingStopped"
"""Name of the session event that is the last of a tape which has reached its maximum size."""

_log = logging.getLogger(__name__)


class TapeFile:
    """A tape of which one thread is the owner.

    Args:
        path: The file, for messages.
        fd: Its descriptor, which this object closes. The file is empty.
        header: The header, which is written at once.
        max_bytes: Size at which the recording stops, in bytes; None for no limit. While a journal
            is replaced the file may be larger by its blocks.

    Raises:
        OSError: The header cannot be written. The descriptor is closed.
    """

    def __init__(
        self, path: Path, fd: int, header: TapeHeader, *, max_bytes: int | None = None
    ) -> None:
        self.is_full = False
        """True once the tape has reached its maximum size; later records are left out."""
        self._path = path
        self._fd = fd
        self._rate_hz = header.output_hz
        self._max_bytes = max_bytes
        self._blocks = BlockWriter(header)
        self._blocks_end = 0
        """Size of the file up to the journal, in bytes."""
        self._journal_bytes = 0
        """Size of the journal in the file, in bytes."""
        self._unwritten: list[bytes] = []
        """Frames of the journal that are not in the file yet."""
        self._unwritten_bytes = 0
        self._records: list[tuple[TapeRecord, int]] = []
        """The records of the journal, with their orders."""
        self._began_us = 0
        """Time of its first record, in microseconds."""
        self._time_us = 0
        self._has_failed = False
        try:
            self._append(begin := self._blocks.begin())
        except OSError:
            os.close(fd)
            raise
        self._blocks_end = len(begin)

    def add(self, record: TapeRecord, order: int) -> None:
        """Add a record to the journal, to be written by the next `flush`.

        A record that cannot be written, such as one whose time is no number, is left out.

        Args:
            record: The record.
            order: Its number among all records, from 0.

        Raises:
            OSError: The disk has failed while the journal was replaced.
        """
        if self.is_full:
            return
        try:
            time_us = max(self._time_us, microseconds(record))
            frame = plain_frame(record, order, time_us, self._rate_hz)
        except Exception:
            _log.exception("a record of %s was left out", self._path)
            return
        if not self._has_room(len(frame)):
            self._replace_journal()
            if not self._has_room(len(frame)):
                self._stop(record, order)
                return
        self._time_us = time_us
        if not self._records:
            self._began_us = time_us
        self._records.append((record, order))
        self._unwritten.append(frame)
        self._unwritten_bytes += len(frame)

    def flush(self) -> None:
        """Write what was added, and replace the journal if it is long enough for a block.

        Raises:
            OSError: The disk has failed.
        """
        self._write_journal()
        age_us = self._time_us - self._began_us
        if self._records and (age_us >= JOURNAL_S * 1e6 or self._journal_bytes >= JOURNAL_BYTES):
            self._replace_journal()

    def close(self) -> None:
        """Replace the journal, and close the file. May be called again.

        After an error of the disk the file stays as it is: the journal is as good as blocks.

        Raises:
            OSError: The disk has failed. The file is closed.
        """
        if self._fd < 0:
            return
        try:
            if not self._has_failed:
                self._replace_journal()
        finally:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _has_room(self, size: int) -> bool:
        """Return whether a frame fits, beside the record that says why the tape ends."""
        if self._max_bytes is None:
            return True
        used = self._blocks_end + self._journal_bytes + self._unwritten_bytes
        return used + size + LAST_RECORD_BYTES + HEAD_BYTES <= self._max_bytes

    def _stop(self, record: TapeRecord, order: int) -> None:
        """Write the last record of a tape that is full."""
        self.is_full = True
        reason = f"The tape has reached its maximum of {self._max_bytes} bytes."
        last = SessionEvent(record.t_s, STOPPED, {"reason": reason})
        self._append(self._blocks.write(last, order))

    def _write_journal(self) -> None:
        frames, self._unwritten = self._unwritten, []
        self._unwritten_bytes = 0
        data = b"".join(frames)
        self._append(data)
        self._journal_bytes += len(data)

    def _replace_journal(self) -> None:
        self._write_journal()
        if not self._records:
            return
        blocks = b"".join(
            [*(self._blocks.write(*numbered) for numbered in self._records), self._blocks.flush()]
        )
        self._records = []
        begin, end = self._blocks_end, self._blocks_end + len(blocks)
        copy_begin = max(begin + self._journal_bytes, end)  # blocks of a few samples are larger
        for at in (copy_begin, begin):
            os.lseek(self._fd, at, os.SEEK_SET)
            self._append(blocks)
        os.ftruncate(self._fd, end)
        self._blocks_end, self._journal_bytes = end, 0

    def _append(self, data: bytes) -> None:
        """Write at the position of the file, which is its end but in step 2."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self._has_failed = True
            raise
