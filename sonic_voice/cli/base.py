"""What the commands share: the application, exit codes, errors as sentences, Ctrl-C.

Exit codes: 0 good, 2 usage, 3 configuration or credentials, 4 refused by the service, 5 network,
6 microphone or loudspeaker, 130 Ctrl-C after a graceful goodbye, 143 SIGTERM to `emulate` and
`serve`. Errors go to stderr, one sentence and the next step; the conversation goes to stdout.
"""

import asyncio
import logging
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
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


def needs_emulator() -> None:
    """Say what is missing where the emulator's packages are not installed."""
    try:
        from ..emulator import local  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sonic_voice"):
            raise
        raise ConfigError(
            f"The emulator needs the package {error.name}.",
            hint="Install it: pip install 'sonic-voice[emulator]'",
        ) from error


def until_done(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`. Ctrl-C cancels it, which says goodbye, and gives the exit code 130."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@contextmanager
def errors(context: typer.Context) -> Generator[None]:
    """Errors of ours as one message and an exit code; stack traces with --debug alone."""
    try:
        yield
    except SonicError as error:
        if context.obj:
            raise
        typer.echo(f"sonic-voice: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        code = next(code for kind, code in EXIT_CODES if isinstance(error, kind))
        raise typer.Exit(code) from None
