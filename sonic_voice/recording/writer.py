"""The writing of a tape while the conversation happens: a queue, a thread and a private file.

    event loop ── write(record) ──► [queue: bounded] ──► thread: TapeFile ──► file

The loop hands over references and does nothing else. The thread wakes up ten times a second and
writes what has come, so that a program that is killed loses the last 100 ms.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from ..background_writer import BackgroundWriter
from ..errors import SonicError, TapeError
from .block_writer import BlockWriter
from .records import SessionEvent, Tape, TapeHeader, TapeRecord
from .sound_codec import load_codec
from .tape_file import TapeFile

QUEUE_RECORDS = 4_096
"""Maximum number of records that wait for the disk: 30 s to two minutes of a conversation. Further
ones are dropped, and the tape says how many."""

LINGER_S = 0.1
"""Time for which the thread lets records collect before it writes them, in seconds. It is what a
kill loses, so that 200 ms are kept on a busy machine, too. Waking up for each of 200 records in a
second costs more than writing them."""

CLOSING_S = 5.0
"""Maximum time to wait for the disk at the end, in seconds."""

DROPPED = "RecordsDropped"
"""Name of the session event that follows records which were dropped because the disk was slow."""

_log = logging.getLogger(__name__)


class TapeWriter:
    """A tape that is being written. It belongs to one thread, as a rule that of the event loop.

    `aclose` or `close` must end it.

    Args:
        path: The file, which must not exist. It is created at once, for its owner only.
        header: The header.
        max_bytes: Size at which the recording stops, in bytes; None for no limit.
        on_notice: Called with a sentence when the tape is incomplete, from any thread. By default
            it is logged.

    Raises:
        TapeError: The file exists, or cannot be created.
    """

    def __init__(
        self,
        path: Path,
        header: TapeHeader,
        *,
        max_bytes: int | None = None,
        on_notice: Callable[[str], None] = _log.warning,
    ) -> None:
        self.path = path
        self.records = 0
        """Number of records so far, those that were dropped included."""
        self._notice = on_notice
        self._dropped = 0
        self._is_full = False
        load_codec()
        fd = _create(path)
        try:
            self._file = TapeFile(path, fd, header, max_bytes=max_bytes)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise _cannot_write(path, error) from error
        self._writer = BackgroundWriter[tuple[TapeRecord, int]](
            self._write,
            self._file.close,
            name="sonic tape",
            limit=QUEUE_RECORDS,
            on_failure=self._failed,
            flush=self._file.flush,
            linger_s=LINGER_S,
        )

    def write(self, record: TapeRecord) -> None:
        """Queue a record. Never blocks and never fails.

        Args:
            record: The record. If its time is earlier than that of a record before it, it gets
                that time; only played sound may be dated back.
        """
        if self._dropped:
            told = SessionEvent(record.t_s, DROPPED, {"count": self._dropped})
            if self._writer.offer((told, self.records)):
                self.records += 1
                self._dropped = 0
        if not self._writer.offer((record, self.records)):
            if not self._dropped:
                self._notice(f"The disk is too slow for {self.path}: parts of it are missing.")
            self._dropped += 1
        self.records += 1

    async def aclose(self) -> None:
        """Write the rest and close the file. May be called again.

        Cancelling it does not end the writing.
        """
        if not await self._writer.aclose(CLOSING_S):
            self._notice(f"The disk did not take the rest of {self.path} within {CLOSING_S:g} s.")

    def close(self, timeout_s: float = CLOSING_S) -> bool:
        """Do as `aclose`, from any thread.

        Args:
            timeout_s: Maximum time to wait, in seconds.

        Returns:
            True if everything was written.
        """
        return self._writer.close(timeout_s)

    def _write(self, item: tuple[TapeRecord, int]) -> None:
        """Add one record to the file; called in the thread."""
        self._file.add(*item)
        if self._file.is_full and not self._is_full:
            self._is_full = True
            self._notice(f"{self.path} is full: the rest of the conversation is not recorded.")

    def _failed(self, error: OSError | SonicError) -> None:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._notice(
            f"Writing {self.path} failed: {why}. The tape ends here; the conversation goes on."
        )


def write_tape(path: Path, tape: Tape) -> None:
    """Write a tape that is complete. It blocks.

    Args:
        path: The file, which must not exist. Only its owner can read it.
        tape: The tape. What is damaged in it is left out.

    Raises:
        TapeError: The file exists, or cannot be written.
    """
    fd = _create(path)
    try:
        with os.fdopen(fd, "wb") as file:
            blocks = BlockWriter(tape.header)
            file.write(blocks.begin())
            for order, record in enumerate(tape.records):
                file.write(blocks.write(record, order))
            file.write(blocks.flush())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def _create(path: Path) -> int:
    """Create a file that only its owner can read, and return its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError as error:
        raise TapeError(
            f"{path} exists, and a tape is never overwritten.", hint="Name another file."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: Exception) -> TapeError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TapeError(
        f"{path} cannot be written: {why}.",
        hint="Name a file in a folder that exists and that you may write to.",
    )
