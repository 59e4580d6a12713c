"""The log of `sonic-voice serve` on standard error, as text or as JSON lines."""

import logging
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from ..printable import printable_json
from .background_log import BackgroundHandler

type LogFormat = Literal["text", "json"]
type LogLevel = Literal["debug", "info", "warning", "error"]

PACKAGE = "sonic_voice"
"""Name of the logger of this package."""


class _UtcFormatter(logging.Formatter):
    """A formatter whose times are UTC, in ISO 8601 with milliseconds."""

    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class JsonFormatter(_UtcFormatter):
    """A formatter that writes one JSON object a line, with the facts of the record as members.

    Args:
        workers: Whether a line names its process.
    """

    def __init__(self, *, workers: bool = False) -> None:
        super().__init__()
        self._workers = workers

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record.

        Args:
            record: The record; its `event` and `facts`, if it has them, replace the message.
        """
        facts: dict[str, object] = getattr(record, "facts", {})
        document: dict[str, object] = {
            "time": self.formatTime(record),
            **({"process": record.process} if self._workers else {}),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": getattr(record, "event", None) or record.getMessage(),
            **facts,
        }
        if record.exc_info:
            document["trace"] = self.formatException(record.exc_info)
        return printable_json(document)


@contextmanager
def server_log(
    level: LogLevel, form: LogFormat, *, debug: bool, workers: bool = False
) -> Generator[None]:
    """Write the log of this package, and warnings of all others, to standard error in the block.

    A thread writes it: a terminal that is stopped, or a pipe that nobody reads, costs log records
    and holds up no conversation.

    Args:
        level: The level from which this package is logged.
        form: The format of a line.
        debug: Whether `--debug` asks for everything.
        workers: Whether a line names its process, because several write to the same place.
    """
    root, package = logging.getLogger(), logging.getLogger(PACKAGE)
    for earlier in list(root.handlers):
        if getattr(earlier, "stream", None) is sys.stderr:  # that of --debug; a log file stays
            root.removeHandler(earlier)
    handler = logging.StreamHandler(sys.stderr)
    process = "[%(process)d] " if workers else ""
    handler.setFormatter(
        JsonFormatter(workers=workers)
        if form == "json"
        else _UtcFormatter(f"%(asctime)s {process}%(levelname)s %(message)s")
    )
    levels = logging.getLevelNamesMapping()
    ours, others = (
        (logging.DEBUG, logging.DEBUG) if debug else (levels[level.upper()], logging.WARNING)
    )
    background = BackgroundHandler(handler)
    background.addFilter(lambda record: _is_logged(record, ours, others))
    root.addHandler(background)
    root.setLevel(min(root.level, others))
    package.setLevel(min(package.level or ours, ours))
    try:
        yield
    finally:
        root.removeHandler(background)
        background.close()


def _is_logged(record: logging.LogRecord, ours: int, others: int) -> bool:
    """Return whether a record is written, by the levels of this package and of all others."""
    if record.name == "sonic_voice.cli.base":
        return False  # the error that ends the command, which the command prints itself
    return record.levelno >= (ours if record.name.split(".")[0] == PACKAGE else others)
