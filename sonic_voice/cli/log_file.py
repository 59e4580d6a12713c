"""The log of a command: on standard error with --debug, and in the file of --log-file.

A thread writes the file, so that a slow disk holds nothing up.

The file works beside the live screen, over which a log on standard error would be drawn. It is
bounded, so that a server may write it for ever, and only its owner can read it: it has the names of
hosts and profiles.

Of a conversation it has the course, and no words. Of other libraries it has no debug records:
botocore and hpack put credentials there.
"""

import logging
import os
import platform
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import ConfigError
from ..printable import printable_lines
from .background_log import BackgroundHandler

if TYPE_CHECKING:
    from ..events import Event

LOG_BYTES = 5_000_000
"""Maximum size of a log file, in bytes: some hours of conversation. A file that is full is kept
beside the next one, with `.1` behind its name."""

_OLD_FILES = 1
"""Number of full files that are kept."""

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_SECRET_AT_DEBUG = ("botocore", "hpack", "smithy_core", "mcp", "httpcore2", "httpx2")
"""Loggers whose debug records have secrets: the answers of STS and SSO, which are credentials, the
headers of requests, which have signatures and session tokens, and the messages of MCP servers."""

_WORDS = frozenset({"text", "heard", "planned", "arguments_json", "result_json"})
"""Fields of events that hold what was said, or what a tool was told and answered."""

_log = logging.getLogger(__name__)
_events_log = logging.getLogger("sonic_voice.events")


class _PrintableFormatter(logging.Formatter):
    """A formatter whose records have no control characters but tabs and line ends."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record. See `logging.Formatter`."""
        return printable_lines(super().format(record))


class _PrivateFileHandler(RotatingFileHandler):
    """A handler that creates files which only their owner can read.

    The first failure is reported to the user, and the conversation goes on.
    """

    failed = False

    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # made by another program, perhaps
            os.chmod(self.baseFilename, 0o600)  # noqa: PTH101
        return os.fdopen(descriptor, "a", encoding=self.encoding)

    def close(self) -> None:
        """Close the file. What a full disk did not take is lost, and was reported."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Report the first error of writing."""
        from .ending import print_notice

        if not self.failed:
            self.failed = True
            error = sys.exception()
            why = getattr(error, "strerror", None) or error
            print_notice(f"Writing the log failed: {why}. The log may have gaps.")


class LoggedEvents:
    """An observer that logs the events of a conversation, without the words of either side."""

    def __init__(self) -> None:
        # Commands without a conversation have a log, too, and do not need the modules of one.
        from ..events import Audio, Ended, Usage
        from .story import event_fields

        self._unlogged = (Audio, Usage, Ended)
        self._fields = event_fields

    def __call__(self, event: "Event", now: float) -> None:
        """Log an event, but for the many chunks of sound and counts of tokens, and for errors.

        `base.errors` logs the error that ended the conversation.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        if isinstance(event, self._unlogged) or not _events_log.isEnabledFor(logging.INFO):
            return
        facts = " ".join(
            f"{name}={value!r}"
            for name, value in self._fields(event).items()
            if name not in _WORDS and value not in (None, "")
        )
        _events_log.info("%8.3f s %s %s", now, type(event).__name__, facts)


def log_to_stderr() -> None:
    """Write a log of everything to standard error, for --debug."""
    _add(logging.StreamHandler(sys.stderr), logging.BASIC_FORMAT)
    logging.getLogger().setLevel(logging.DEBUG)
    for name in _SECRET_AT_DEBUG:
        logging.getLogger(name).setLevel(logging.INFO)


def log_warnings_to_stderr() -> None:
    """Write warnings to standard error, and what the emulator reports, with the time of day."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(
        lambda record: (
            record.levelno >= logging.WARNING
            or (record.levelno >= logging.INFO and record.name.startswith("sonic_voice.emulator"))
        )
    )
    _add(handler, "%(asctime)s  %(message)s", "%H:%M:%S")
    logging.getLogger("sonic_voice.emulator").setLevel(logging.INFO)


@contextmanager
def log_to_file(path: Path | None) -> Generator[None]:
    """Write a log to a file during the block.

    Args:
        path: The file, to which the log is appended; None for none.

    Raises:
        ConfigError: The file cannot be opened.
    """
    if path is None:
        yield
        return
    try:
        handler = _PrivateFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(
            f"Cannot write the log {path}: {error.strerror}.",
            hint="Name a file in a folder that exists.",
        ) from error
    handler.setFormatter(_PrintableFormatter(_FORMAT))
    background = BackgroundHandler(handler)
    background.addFilter(
        lambda record: record.levelno >= logging.INFO or record.name.startswith("sonic_voice")
    )
    logging.getLogger().addHandler(background)
    root, ours = logging.getLogger(), logging.getLogger("sonic_voice")
    root.setLevel(min(root.level, logging.INFO))
    ours.setLevel(logging.DEBUG)
    _log.info("sonic-voice %s on Python %s", __version__, platform.python_version())
    try:
        yield
    finally:
        _log.info("sonic-voice ends")
        root.removeHandler(background)
        background.close()


def _add(handler: logging.Handler, format: str, time_format: str | None = None) -> None:
    handler.setFormatter(_PrintableFormatter(format, time_format))
    logging.getLogger().addHandler(handler)
