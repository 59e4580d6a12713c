"""The end of a conversation: the last record of `--json` and `--events`, and the exit code.

The last line of both is always this record, however the conversation ended:

    {"event": "Ended", "at_s": 12.4, "reason": "network", "signal": null,
     "error": {"type": "ConnectionLost", "kind": "cut", "message": "...", "hint": "...",
               "request_id": ""},
     "unspoken_s": 3.2, "exit_code": 5}

`at_s` is a time on the clock of the other records, null if the service did not take the
conversation.
`unspoken_s` is the length of the part of the recording that was not sent, in seconds; null without
a recording. `reason` is

    goodbye         the conversation was complete
    interrupted     a signal ended it; `signal` is SIGINT, SIGTERM or SIGHUP
    stdout-closed   the reader of standard output closed it
    unanswered      the service did not answer
    service, network, device, audio, config, usage, internal      `error` has the details
"""

import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from ..errors import (
    AudioError,
    ConfigError,
    ConnectionLost,
    DeviceError,
    NetworkError,
    ServiceError,
    SonicError,
)
from ..events import Closed, Ended, Event, Reconnecting
from ..printable import printable, printable_json
from .answers import NotAnswered
from .base import CLOSED_OUTPUT_EXIT, exit_code_of
from .output import READER_GONE, LineOutput, PrintOutput, QueuedLines, json_lines_only
from .printing import echo
from .signals import ending_signals
from .standard_streams import TERMINAL_S, background_streams
from .story import TextOutput

_log = logging.getLogger(__name__)

AT_ONCE_S = 0.1
"""Maximum time for each output when a second signal ends the process, in seconds. All of them have
`signals.EXIT_CALLBACKS_S`."""

REASONS: tuple[tuple[type[SonicError], str], ...] = (
    (NotAnswered, "unanswered"),
    (AudioError, "audio"),
    (ConfigError, "config"),
    (ServiceError, "service"),
    (NetworkError, "network"),
    (DeviceError, "device"),
)
"""Value of `reason` for each kind of error; the first that matches. Others are `internal`."""


class Ending:
    """The outputs of one conversation, and its last record. `ending` makes it.

    Args:
        as_json: Whether standard output has JSON lines only.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.out: TextOutput = PrintOutput(self.stdout_failed)
        """Standard output: JSON lines with `--json`, otherwise a readable transcript."""
        self.events: QueuedLines | None = None
        """The file of `--events`."""
        self.wait: Callable[[float], None] | None = None
        """Waits until standard output and standard error are written, for at most a number of
        seconds; None before the conversation."""
        self.notice: Callable[[str], None] = print_notice
        """Receiver of sentences for the user while the conversation goes on."""
        self.now: Callable[[], float] | None = None
        """The conversation's clock, in seconds; None before the service took the conversation."""
        self.unspoken_s: Callable[[], float] | None = None
        """Reads how much of the recording was not sent, in seconds; None without a recording."""
        self.mask_pii = False
        """True if personal data is masked in the files that are written of the conversation."""
        self._recorded = False

    def begin_when_opened(self, now: Callable[[], float]) -> Callable[[Event, float], None]:
        """Return an observer that notes when the service has taken the conversation.

        The first event that is not about the connection shows this, too: it may come before
        `Opened`.

        Args:
            now: The conversation's clock, in seconds.
        """

        def observe(event: Event, _: float) -> None:
            if not isinstance(event, (Reconnecting, Ended, Closed)):
                self.now = now

        return observe

    def open_events(self, path: Path | None) -> None:
        """Create the file of `--events`.

        Args:
            path: The file; None for none.

        Raises:
            AudioError: It cannot be created.
        """
        if path is None:
            return
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as error:
            raise AudioError(
                f"Cannot write events to {path}: {error.strerror}.",
                hint="Name a file in a folder that exists.",
            ) from error

        def failed(error: OSError) -> None:
            self.notice(
                f"Writing events to {path} failed: {error.strerror}. The conversation goes on "
                "without them."
            )

        self.events = QueuedLines(LineOutput(fd, failed), "sonic events")

    def record(self, error: BaseException | None) -> None:
        """Write the last record, once.

        Args:
            error: The exception that ended the conversation; None if it was complete.
        """
        if self._recorded:
            return
        self._recorded = True
        facts = {
            "event": "Ended",
            "at_s": round(self.now(), 3) if self.now else None,
            **cause_fields(error),
            "unspoken_s": round(self.unspoken_s(), 3) if self.unspoken_s else None,
            "exit_code": _exit_code(error),
        }
        line = printable_json(facts) + "\n"
        if self.as_json:
            self.out.write(line)
        if self.events is not None:
            self.events.write(line, retry=True)

    def record_at_once(self) -> None:
        """Write the last record because a second signal ends the process."""
        self.record(None)
        for output in (self.events, self.out):
            if isinstance(output, QueuedLines):
                output.wait(AT_ONCE_S)
        if self.wait is not None:
            self.wait(AT_ONCE_S)

    def close_events(self) -> None:
        """Write what waits for the file of `--events`, and close it."""
        if self.events is not None:
            self.events.close(_patience_s())

    def stdout_failed(self, error: OSError) -> None:
        """React to an error of standard output: end the conversation if its reader is gone.

        Args:
            error: The error.
        """
        if error.errno in READER_GONE:
            ending_signals.stop(CLOSED_OUTPUT_EXIT)
        else:
            self.notice(
                f"Writing to standard output failed: {error.strerror}. The conversation goes on "
                "without it."
            )


@contextmanager
def ending(as_json: bool) -> Generator[Ending]:
    """Record how the conversation of this block ends, also if a signal ends the process at once.

    Args:
        as_json: Whether standard output has JSON lines only.

    Yields:
        The outputs of the conversation.
    """
    end = Ending(as_json)
    with ExitStack() as stack:
        lines = stack.enter_context(json_lines_only(end.stdout_failed)) if as_json else None
        end.wait = stack.enter_context(background_streams(end.stdout_failed))
        if lines is not None:
            end.out = out = QueuedLines(lines, "sonic JSON lines")
            stack.callback(lambda: out.finish(_patience_s()))
        stack.callback(end.close_events)
        stack.enter_context(ending_signals.on_forced_exit(end.record_at_once))
        try:
            yield end
        except BaseException as error:
            end.record(error)
            raise
        else:
            end.record(None)


def _patience_s() -> float | None:
    """Return the time that the reader of a pipe or a file has at the end, in seconds.

    Once a signal has asked for the end, it is as short as for a terminal.
    """
    return None if ending_signals.exit_code is None else TERMINAL_S


def cause_fields(error: BaseException | None) -> dict[str, Any]:
    """Return the fields of the record that say why the conversation ended.

    Args:
        error: The exception that ended it; None if it was complete.

    Returns:
        The fields `reason`, `signal` and `error`.
    """
    facts: dict[str, Any] = {"reason": "goodbye", "signal": None, "error": None}
    if isinstance(error, SonicError):
        matching = (reason for kind, reason in REASONS if isinstance(error, kind))
        facts["reason"] = next(matching, "internal")
        facts["error"] = error_fields(error)
    elif ending_signals.signal_name is not None:
        facts |= {"reason": "interrupted", "signal": ending_signals.signal_name}
    elif ending_signals.exit_code == CLOSED_OUTPUT_EXIT:
        facts["reason"] = "stdout-closed"
    elif error is not None and not isinstance(error, typer.Exit):
        facts["reason"] = "usage" if isinstance(error, typer.BadParameter) else "internal"
        facts["error"] = {
            "type": type(error).__name__, "kind": None, "message": str(error), "hint": "",
            "request_id": "",
        }  # fmt: skip
    return facts


def error_fields(error: SonicError) -> dict[str, Any]:
    """Return an error as a JSON object.

    Its `kind` is the meaning of a refusal by the service, the way an open connection ended, or
    null.

    Args:
        error: The error.
    """
    kind: str | None = None
    if isinstance(error, ServiceError):
        kind = str(error.kind)
    elif isinstance(error, ConnectionLost):
        kind = error.reason
    return {
        "type": type(error).__name__,
        "kind": kind,
        "message": error.message,
        "hint": error.hint,
        "request_id": error.request_id if isinstance(error, ServiceError) else "",
    }


def _exit_code(error: BaseException | None) -> int:
    match error:
        case SonicError():
            return exit_code_of(error)
        case typer.BadParameter():
            return 2
        case _ if ending_signals.exit_code is not None:
            return ending_signals.exit_code
        case None:
            return 0
        case typer.Exit():
            return error.exit_code
        case _:
            return 1


def print_notice(text: str) -> None:
    """Print a sentence to standard error.

    Args:
        text: The sentence.
    """
    _log.info("note: %s", text)
    try:
        echo(f"Note: {printable(text)}", err=True)
    except OSError:  # the terminal was closed: nobody can read the sentence
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
