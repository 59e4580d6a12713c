"""What `talk` and `serve` are asked alike: who answers, with which words, and with which tools."""

import runpy
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from ..errors import ConfigError, SonicError
from ..run import Service
from ..tools import Tool, Toolbox
from ..transport import Transport
from .base import needs_emulator

Engine = Literal["http2", "crt"]

ProxyUrl = Annotated[
    str | None,
    typer.Option(
        help="URL of a proxy for every endpoint, not that of HTTPS_PROXY or ALL_PROXY; '': none."
    ),
]


def service_of(
    *,
    local: bool,
    scenario: Path | None,
    region: str | None,
    profile: str | None,
    endpoint: str | None,
    ca: Path | None,
    proxy: str | None = None,
    engine: Engine = "http2",
    quiet: bool = False,
) -> Service:
    """The built-in emulator, or Amazon Bedrock. Raises `BadParameter` for options of the other.

    `quiet`: print nothing about a proxy on the way; stdout has JSON lines alone.
    """
    if local:
        if endpoint or ca or profile or proxy:
            raise typer.BadParameter("--local has an endpoint and credentials of its own.")
        return emulated(scenario, engine)
    if scenario:
        raise typer.BadParameter("--scenario is for the emulator: add --local.")
    return _bedrock(region, profile, endpoint, ca, proxy, engine, quiet=quiet)


def emulated(scenario: Path | None, engine: Engine = "http2") -> Service:
    """The emulator, in this process. Raises `ConfigError` where it is not installed."""
    needs_emulator()
    from ..emulator.local import LocalService

    service = LocalService(scenario, engine=engine)  # a scenario is read before all else
    return lambda: service


def _bedrock(
    region: str | None,
    profile: str | None,
    endpoint: str | None,
    ca: Path | None,
    proxy: str | None,
    engine: Engine,
    *,
    quiet: bool,
) -> Service:
    from ..bedrock import BedrockTransport

    transport = BedrockTransport(
        region=region, profile=profile, endpoint=endpoint, ca_file=ca, proxy=proxy, engine=engine
    )

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Transport]:
        try:
            route = await transport.route()
            if route.endpoint.note:
                typer.echo(f"Note: {route.endpoint.note}", err=True)
            if route.proxy is not None and not quiet:
                typer.echo(f"Through the proxy {route.proxy} ({route.proxy.source}).")
            yield transport
        finally:
            await transport.aclose()

    return opened


def tools_of(path: Path | None) -> Toolbox:
    """The `@tool` functions of a Python file, which is run; none without a file."""
    if path is None:
        return Toolbox()
    try:
        names = runpy.run_path(str(path))
    except SonicError:
        raise
    except OSError as error:
        raise ConfigError(
            f"Cannot read {path}: {error.strerror}.", hint="Name a Python file."
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{path} fails when it is run: {type(error).__name__}: {error}.",
            hint="--debug shows where.",
        ) from error
    values = cast(dict[str, object], names).values()
    found: list[Tool[..., Any]] = [cast(Any, v) for v in values if isinstance(v, Tool)]
    if not found:
        raise ConfigError(f"{path} has no tools.", hint="Decorate functions with @tool.")
    return Toolbox(found)


def text_of(argument: str) -> str:
    """`argument`, or what is in the file it names with an @, as curl does it."""
    if not argument.startswith("@"):
        return argument
    try:
        return Path(argument[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Cannot read {argument[1:]}: {getattr(error, 'strerror', None) or error}.",
            hint="Name a text file in UTF-8.",
        ) from error
