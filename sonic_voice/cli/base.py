"""Parts that all commands share: exit codes, error messages, the event loop.

Exit codes:

    0                 success
    1                 another error
    2                 usage or files
    3                 configuration or credentials
    4                 refused by the service
    5                 network, or no answer in time
    6                 microphone or loudspeaker
    129, 130, 143     SIGHUP, Ctrl-C, SIGTERM, each after a graceful end (see `signals`)
    141               the reader of standard output has closed it

Errors go to standard error, as a sentence and the next step; the conversation goes to standard
output.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import typer

from ..errors import (
    AudioError,
    ConfigError,
    DeviceError,
    FileError,
    NetworkError,
    ServiceError,
    SonicError,
)
from ..extras import install_command
from ..printable import printable
from .printing import echo, print_traceback
from .signals import ending_signals

_log = logging.getLogger(__name__)

FILE_EXIT = 2
"""Exit code for a file that is missing or wrong, and for a wrong use of the options."""

EXIT_CODES: tuple[tuple[type[SonicError], int], ...] = (
    (AudioError, FILE_EXIT),
    (FileError, FILE_EXIT),
    (ConfigError, 3),
    (ServiceError, 4),
    (NetworkError, 5),
    (DeviceError, 6),
    (SonicError, 1),
)
"""Exit code for each kind of error; the first that matches."""

CLOSED_OUTPUT_EXIT = 141
"""Exit code when the reader of standard output has closed it: 128 plus SIGPIPE, which a shell
reports for programs that this signal ended."""


def require_emulator() -> None:
    """Check that the emulator's packages are installed.

    Raises:
        ConfigError: One is not; the hint has the command that installs it.
    """
    for package in ("trustme", "yaml"):
        if find_spec(package) is None:
            raise ConfigError(
                f"The emulator needs the package {package}.",
                hint=f"Install it: {install_command('emulator')}",
            )


type LoopFactory = Callable[[], asyncio.AbstractEventLoop]
"""A function that creates an event loop."""


def uvloop_factory() -> LoopFactory:
    """Return the function that creates event loops of uvloop.

    Raises:
        ConfigError: uvloop is not installed.
    """
    try:
        import uvloop
    except ImportError as error:
        raise ConfigError(
            "uvloop is not installed.", hint=f"Run: {install_command('fast')}"
        ) from error
    return uvloop.new_event_loop


def run_until_done(
    work: Coroutine[Any, Any, None], loop_factory: LoopFactory | None = None
) -> None:
    """Run a coroutine in an event loop. A signal cancels it, which ends a conversation gracefully.

    Args:
        work: The coroutine; it is closed unstarted if there was a signal already.
        loop_factory: Creates the event loop; None for asyncio's own.

    Raises:
        typer.Exit: With the exit code of the signal, once `work` has ended.
    """
    with ending_signals.cancelling() as begin:

        async def run() -> None:
            task = asyncio.current_task()
            assert task is not None
            if begin(task):
                await work
            else:
                work.close()

        try:
            asyncio.run(run(), loop_factory=loop_factory)
        except asyncio.CancelledError:
            if ending_signals.exit_code is None:
                raise
    if ending_signals.exit_code is not None:
        raise typer.Exit(ending_signals.exit_code)


def exit_code_of(error: SonicError) -> int:
    """Return the exit code for an error.

    Args:
        error: The error that ended the command.
    """
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


@contextmanager
def errors(context: typer.Context) -> Generator[None]:
    """Print a `SonicError` of the block as a message, with --debug its stack trace before it.

    Args:
        context: The context of the command; its `obj` is the value of --debug.

    Raises:
        typer.Exit: With the exit code of the error.
    """
    try:
        yield
    except SonicError as error:
        _log.info("%s: %s %s", type(error).__name__, error.message, error.hint)
        if context.obj:
            print_traceback(error)
        echo(f"sonic-voice: {printable(error.message)}", err=True)
        if error.hint:
            echo(f"  {printable(error.hint)}", err=True)
        raise typer.Exit(exit_code_of(error)) from None
