"""Parts that all commands share: the application, exit codes, error messages, the event loop.

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
import sys
import traceback
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from ..errors import (
    AudioError,
    ConfigError,
    DeviceError,
    NetworkError,
    ServiceError,
    SonicError,
)
from ..extras import install_command
from .signals import ending_signals

app = typer.Typer(
    help="Hold spoken conversations with Amazon Nova Sonic, or with a local emulator of it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

EXIT_CODES: tuple[tuple[type[SonicError], int], ...] = (
    (AudioError, 2),
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


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(help="Print stack traces and a log to stderr.")] = False,
) -> None:
    """Hold spoken conversations with Amazon Nova Sonic, or with a local emulator of it."""
    context.obj = debug
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
        # At DEBUG botocore logs the answers of STS and SSO, which are credentials.
        logging.getLogger("botocore").setLevel(logging.INFO)


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


def run_until_done(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in an event loop. A signal cancels it, which ends a conversation gracefully.

    Args:
        work: The coroutine; it is closed unstarted if there was a signal already.

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
            asyncio.run(run())
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
        if context.obj:
            traceback.print_exc()
        typer.echo(f"sonic-voice: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        raise typer.Exit(exit_code_of(error)) from None
