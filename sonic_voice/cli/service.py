"""What `talk` and `serve` are asked alike: who answers, and with which words."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import ConfigError
from ..transport import Transport
from .base import require_emulator
from .ending import print_notice
from .recorded import TransportFactory

Engine = Literal["http2", "crt"]

ProxyUrl = Annotated[
    str | None,
    typer.Option(
        help="URL of a proxy for every endpoint, not that of HTTPS_PROXY or ALL_PROXY; '': none."
    ),
]


def select_service(
    *,
    local: bool,
    scenario: Path | None,
    region: str | None,
    profile: str | None,
    endpoint: str | None,
    ca: Path | None,
    model: str,
    proxy: str | None = None,
    engine: Engine = "http2",
    authenticated: bool = True,
    quiet: bool = False,
) -> TransportFactory:
    """The built-in emulator, or Amazon Bedrock. Raises `BadParameter` for options of the other.

    A region without `model` is a `ConfigError` when the service is entered.

    Args:
        authenticated: Whether credentials are looked up, and a person asked for an MFA code, when
            the service is entered; else at the first stream.
        quiet: Whether nothing is printed about a proxy on the way; stdout has JSON lines alone.
    """
    if local:
        if endpoint or ca or profile or proxy:
            raise typer.BadParameter("--local has an endpoint and credentials of its own.")
        return emulated_service(scenario, engine)
    if scenario:
        raise typer.BadParameter("--scenario is for the emulator: add --local.")
    return _bedrock(
        region,
        profile,
        endpoint,
        ca,
        proxy,
        engine,
        model,
        authenticated=authenticated,
        quiet=quiet,
    )


def emulated_service(scenario: Path | None, engine: Engine = "http2") -> TransportFactory:
    """The emulator, in this process. Raises `ConfigError` where it is not installed."""
    require_emulator()
    from ..local_service import LocalService

    service = LocalService(scenario, engine=engine)  # a scenario is read before all else
    return lambda: service


def _bedrock(
    region: str | None,
    profile: str | None,
    endpoint: str | None,
    ca: Path | None,
    proxy: str | None,
    engine: Engine,
    model: str,
    *,
    authenticated: bool,
    quiet: bool,
) -> TransportFactory:
    from ..bedrock import BedrockTransport

    transport = BedrockTransport(
        region=region, profile=profile, endpoint=endpoint, ca_file=ca, proxy=proxy, engine=engine
    )

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Transport]:
        try:
            await transport.check_region(model)
            route = await transport.route()
            if route.endpoint.note:
                print_notice(route.endpoint.note)
            if route.proxy is not None and not quiet:
                typer.echo(f"Through the proxy {route.proxy} ({route.proxy.source}).")
            if authenticated:
                await transport.authenticate()
            yield transport
        finally:
            await transport.aclose()

    return opened


def read_text_argument(argument: str) -> str:
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
