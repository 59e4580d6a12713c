"""The transcript of a conversation in a file (`talk --transcript`), written as it happens.

Each turn is written when it has been heard to its end or cut, so that a process that is killed
loses the turn in progress at most. A file that exists is continued: the conversation begins with a
heading of its own below what is there, and nothing is ever overwritten.

The writing is done by a thread, so that a slow disk does not hold up the conversation.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ..audio.ports import AudioSink
from ..background_writer import BackgroundWriter
from ..config import SessionConfig
from ..errors import AudioError
from ..events import Audio, Closed, Ended, Event, Reconnecting, Usage
from ..masking import mask_json
from ..printable import printable
from ..session import Session
from .ending import Ending
from .heard_turns import Entry, HeardTurns
from .output import LineOutput
from .signals import ending_signals
from .transcript_forms import Opening, form_of

QUEUE_TEXTS = 1_000
"""Maximum number of texts that wait for the disk. While the queue is full, texts are collected and
offered again with the next one."""

CLOSING_S = 2.0
"""Maximum time to wait for the disk at the end, in seconds."""

FORCED_CLOSING_S = 0.2
"""Maximum time to wait for the disk when a second signal ends the process, in seconds."""

AFTER_PLAYBACK_S = 0.05
"""Time after the expected end of an answer's playback at which it is looked for, in seconds."""


class TranscriptFile:
    """An observer that writes a conversation to a file. It belongs to the event loop.

    Args:
        path: The file, which is created or continued.
        notice: Called with a sentence when writing fails, from any thread.
        mask_pii: Whether personal data is masked; see `masking`.

    Raises:
        AudioError: The file cannot be written.
    """

    def __init__(
        self, path: Path, notice: Callable[[str], None], *, mask_pii: bool = False
    ) -> None:
        self.path = path
        self._notice = notice
        self._form = form_of(path, _masked if mask_pii else printable)
        fd, self._before_bytes = _open(path)
        lines = LineOutput(fd, self._failed)
        self._writer = BackgroundWriter[str](
            lines.write, lines.close, name="sonic transcript", limit=QUEUE_TEXTS,
            on_failure=lambda error: None,  # `LineOutput` reports its own
        )  # fmt: skip
        self._session: Session | None = None
        self._sink: AudioSink | None = None
        self._turns = HeardTurns(lambda _: ())
        self._began_s = 0.0
        self._began = False
        """True once the service took the conversation, and the heading is written."""
        self._waiting = ""
        self._playback_end: asyncio.TimerHandle | None = None

    def begin(self, session: Session, sink: AudioSink, where: str, continuing: str) -> None:
        """Begin the transcript of a conversation, to be called before the first event.

        Args:
            session: The session.
            sink: Where its audio is played.
            where: Description of the service.
            continuing: What it continues, in a sentence; empty for a new conversation.
        """
        self._session, self._sink = session, sink
        self._turns = HeardTurns(session.transcript.turn_lines)
        self._began_s = session.now()
        service = _service_line(session.config, where)
        opening = self._form.opening(Opening(datetime.now().astimezone(), service, continuing))
        self._waiting = f"\n{opening}" if self._before_bytes else opening

    def __call__(self, event: Event, now: float) -> None:
        """Write what an event makes final.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        self._began = self._began or not isinstance(event, (Reconnecting, Ended, Closed))
        self._write(self._turns.observe(event, now))
        if not isinstance(event, (Audio, Usage)):  # these make nothing final
            self._write_final()

    def finish(self) -> None:
        """Write the rest of the conversation, of which nothing more is heard."""
        if self._playback_end is not None:
            self._playback_end.cancel()
        session, sink = self._session, self._sink
        if session is None or sink is None:
            return
        self._session = None
        session.stop_playback(sink.played_ms)
        self._write(self._turns.take_all())
        self._waiting += self._form.ending(session.now() - self._began_s)
        self._write([])

    def close(self, timeout_s: float = CLOSING_S) -> None:
        """Wait for the disk and close the file; remove a new one if no conversation began.

        Args:
            timeout_s: Maximum time to wait, in seconds.
        """
        self.finish()
        if not self._writer.close(timeout_s):
            self._notice(f"The disk did not take the rest of {self.path} within {timeout_s:g} s.")
        if not self._began and self._before_bytes is None:
            self.path.unlink(missing_ok=True)

    def _write_final(self) -> None:
        """Write the entries that are final, and look again when an answer was played."""
        if self._playback_end is not None:
            self._playback_end.cancel()
            self._playback_end = None
        if self._session is None or self._sink is None:
            return
        pending_s = self._sink.pending_s
        self._write(self._turns.take(self._sink.played_ms, sounding=pending_s > 0))
        if pending_s > 0 and self._turns.awaits_playback():
            loop = asyncio.get_running_loop()
            self._playback_end = loop.call_later(pending_s + AFTER_PLAYBACK_S, self._write_final)

    def _write(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._waiting += self._form.entry(entry, entry.at_s - self._began_s)
        if self._waiting and self._began and self._writer.offer(self._waiting):
            self._waiting = ""

    def _failed(self, error: OSError) -> None:
        self._notice(
            f"Writing the transcript to {self.path} failed: {error.strerror}. The conversation "
            "goes on without it."
        )


@contextmanager
def transcript_file(path: Path | None, end: Ending) -> Generator[TranscriptFile | None]:
    """Open the transcript of the conversation of this block, and close it at the end.

    Args:
        path: The file; None for no transcript.
        end: Outputs of the conversation.

    Yields:
        The transcript, which the conversation begins and finishes; None without a file.

    Raises:
        AudioError: The file cannot be written.
    """
    if path is None:
        yield None
        return
    with ending_signals.deferred():
        transcript = TranscriptFile(path, lambda text: end.notice(text), mask_pii=end.mask_pii)
    with ending_signals.on_forced_exit(lambda: transcript.close(FORCED_CLOSING_S)):
        try:
            yield transcript
        finally:
            transcript.close()


def _open(path: Path) -> tuple[int, int | None]:
    """Open a file to append to it.

    Returns:
        The descriptor, and the size of the file in bytes; None if it is new.

    Raises:
        AudioError: It cannot be written, or is no file.
    """
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder.", hint="Name a file in it.")
        if path.exists() and not path.is_file():  # opening a pipe would wait for its reader
            raise AudioError(f"{path} is a device or pipe.", hint="Name a file.")
        before_bytes = path.stat().st_size if path.exists() else None
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), before_bytes
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AudioError(
            f"Cannot write the transcript to {path}: {why}.",
            hint="Name a file in a folder that exists and that you may write to.",
        ) from error


def _masked(text: str) -> str:
    return printable(mask_json(text))


def _service_line(config: SessionConfig, where: str) -> str:
    model = config.voice_model
    return f"{model.name} ({model.id}) {where}, voice {config.voice}"
