"""The values of options that `talk` and `serve` share: service, prompts, first words."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from ..languages import language_code
from ..policies import NO_RECOVERY, IdlePrompt, RecoveryPolicy
from ..text_files import read_text_file
from ..transport import Transport
from ..virtual_time import VirtualTimeLoop
from .base import require_emulator
from .ending import print_notice
from .faults import chaos_notice, chaos_seed
from .printing import echo

type TransportFactory = Callable[[], AbstractAsyncContextManager[Transport]]
"""Opens the transport to the service of a conversation."""

if TYPE_CHECKING:
    from ..emulator.behaviour import Behaviour

EMULATOR = "on the local emulator"
"""Description of the service in the first line that a conversation prints."""

LOCAL, BEDROCK = "local", "bedrock"
"""Values of --against that are no URL."""

Engine = Literal["http2", "crt"]
"""Values of --transport: our HTTP/2, or that of the SDK."""


def recovery_policy(no_reconnect: bool) -> RecoveryPolicy:
    """Return how a session recovers from faults.

    Args:
        no_reconnect: The value of --no-reconnect.
    """
    return NO_RECOVERY if no_reconnect else RecoveryPolicy()


def idle_prompts(arguments: list[str] | None) -> tuple[IdlePrompt, ...]:
    """Return the prompts of the option --idle-prompt.

    Args:
        arguments: Its values.

    Raises:
        typer.BadParameter: A value is no number of seconds and a text.
        ConfigError: A prompt is impossible.
    """
    return tuple(_idle_prompt(argument) for argument in arguments or ())


def _idle_prompt(argument: str) -> IdlePrompt:
    seconds, _, text = argument.partition(":")
    try:
        after_s = float(seconds)
    except ValueError:
        raise typer.BadParameter(
            f"{argument!r} is not SECONDS:TEXT.", param_hint="--idle-prompt"
        ) from None
    word, _, farewell = text.partition(":")
    if word.strip() == "end":
        return IdlePrompt(after_s=after_s, text=farewell.strip(), then="end")
    return IdlePrompt(after_s=after_s, text=text.strip())


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
    language: str | None = None,
    faults: Sequence[str] | None = None,
    chaos: str | None = None,
) -> TransportFactory:
    """Return what opens the transport to the built-in emulator or to Amazon Bedrock.

    Entering the transport raises `ConfigError` if the region does not offer the model.

    Args:
        local: Whether to use the emulator.
        scenario: Scenario file of the emulator.
        region: AWS region.
        profile: Profile of the AWS configuration.
        endpoint: URL of another endpoint.
        ca: PEM file with the CA to trust for it.
        model: Id of the model.
        proxy: URL of a proxy for every endpoint, empty for none; with None the environment decides.
        engine: The implementation of HTTP/2.
        authenticated: Whether credentials are looked up, and an MFA code is asked for, when the
            transport is entered; otherwise this happens at the first stream.
        quiet: Whether to print nothing about a proxy, because stdout has JSON lines only.
        language: Language that the emulator's recogniser expects; None for English.
        faults: Faults of the emulator, as --fault takes them.
        chaos: Seed of a mixture of faults, as --chaos takes it.

    Raises:
        typer.BadParameter: Options of the emulator and of Bedrock are mixed.
    """
    if local:
        if endpoint or ca or profile or proxy:
            raise typer.BadParameter("--local has its own endpoint and credentials.")
        return emulated_service(scenario, engine, faults or (), chaos, language)
    for name, value in (("--scenario", scenario), ("--fault", faults), ("--chaos", chaos)):
        if value:
            raise typer.BadParameter(f"{name} is an option of the emulator: add --local.")
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


@asynccontextmanager
async def service_against(
    against: str,
    model: str,
    *,
    scenario: Path | None = None,
    behaviour: "Behaviour | None" = None,
    region: str | None = None,
    profile: str | None = None,
    ca: Path | None = None,
    proxy: str | None = None,
) -> AsyncGenerator[Transport]:
    """Open the service that --against names.

    The emulator keeps the pace of the loop's clock, which may be that of a `VirtualTimeLoop`.

    Args:
        against: `local`, `bedrock`, or the URL of another endpoint.
        model: Id of the model.
        scenario: Scenario file of the emulator.
        behaviour: Settings of the emulator; None for its defaults.
        region: AWS region.
        profile: Profile of the AWS configuration.
        ca: PEM file with the CA to trust for another endpoint.
        proxy: URL of a proxy, empty for none; with None the environment decides.

    Yields:
        The transport.

    Raises:
        SonicError: The service cannot be reached, or a file cannot be used.
    """
    if against == LOCAL:
        require_emulator()
        from ..local_service import LocalService
        from ..virtual_service import VirtualService

        is_virtual = isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
        emulated = VirtualService if is_virtual else LocalService
        async with emulated(scenario, behaviour=behaviour) as transport:
            yield transport
        return
    factory = _bedrock(
        region,
        profile,
        None if against == BEDROCK else against,
        ca,
        proxy,
        "http2",
        model,
        authenticated=True,
        quiet=True,
    )
    async with factory() as transport:
        yield transport


def emulated_service(
    scenario: Path | None,
    engine: Engine = "http2",
    faults: Sequence[str] = (),
    chaos: str | None = None,
    language: str | None = None,
) -> TransportFactory:
    """Return what opens the transport to an emulator in this process.

    Args:
        scenario: Scenario file; it is read at once.
        engine: The implementation of HTTP/2.
        faults: Faults of the emulator, as --fault takes them.
        chaos: Seed of a mixture of faults, as --chaos takes it.
        language: Language that its recogniser expects, as --language takes it; None to find
            it out.

    Raises:
        ConfigError: The emulator is not installed, the scenario has mistakes, or a fault is
            unknown.
        typer.BadParameter: The seed is not a number.
    """
    require_emulator()
    from ..emulator.behaviour import Behaviour
    from ..local_service import LocalService

    seed = chaos_seed(chaos)
    # This reads the scenario, so that its mistakes are found first.
    code = language_code(language or "")
    behaviour = Behaviour(faults=tuple(faults), chaos=seed, language=code)
    if code not in ("", "en") and scenario is None:
        print_notice("Without a scenario the emulator answers in English.")
    service = LocalService(scenario, engine=engine, behaviour=behaviour)
    if seed is not None:
        print_notice(chaos_notice(seed))
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
                echo(f"Through the proxy {route.proxy} ({route.proxy.source}).")
            if authenticated:
                await transport.authenticate()
            yield transport
        finally:
            await transport.aclose()

    return opened


def read_text_argument(argument: str) -> str:
    """Return an argument, or the contents of a file that it names with an @, as curl does.

    Args:
        argument: Text, or `@` and the path of a text file.

    Raises:
        FileError: The file cannot be read.
    """
    if not argument.startswith("@"):
        return argument
    return read_text_file(Path(argument[1:]))
