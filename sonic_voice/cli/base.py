"""What the commands share: the application, exit codes, errors as sentences, signals.

Exit codes: 0 good, 2 usage or files, 3 configuration or credentials, 4 refused by the service,
5 network, or no answer in time, 6 microphone or loudspeaker, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP
(each after a graceful end, see `signals`), 141 the reader of standard output has gone. Errors go to
stderr, one sentence and the next step; the conversation goes to stdout.
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
    help="Spoken conversations with Amazon Nova Sonic, and a local emulator of the service.",
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

CLOSED_OUTPUT_EXIT = 141
"""The exit code when the reader of standard output has gone: 128 plus SIGPIPE, what a shell reports
of programs that this signal ended."""


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(help="Show stack traces and a log on stderr.")] = False,
) -> None:
    """Spoken conversations with Amazon Nova Sonic, and a local emulator of the service."""
    context.obj = debug
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
        # At DEBUG botocore logs the answers of STS and SSO, which are credentials.
        logging.getLogger("botocore").setLevel(logging.INFO)


def require_emulator() -> None:
    """Say what is missing where the emulator's packages are not installed."""
    for package in ("trustme", "yaml"):
        if find_spec(package) is None:
            raise ConfigError(
                f"The emulator needs the package {package}.",
                hint=f"Install it: {install_command('emulator')}",
            )


def run_until_done(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in an event loop. A signal cancels it, which says goodbye.

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
    """Return the exit code for `error`."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


@contextmanager
def errors(context: typer.Context) -> Generator[None]:
    """Print an error of ours as a sentence, with --debug after its stack trace, and exit."""
    try:
        yield
    except SonicError as error:
        if context.obj:
            traceback.print_exc()
        typer.echo(f"sonic-voice: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        raise typer.Exit(exit_code_of(error)) from None
