"""LocalService: the emulator in this process, and a transport to it.

    async with LocalService("scenario.yaml") as transport:
        async with Session.open(config, transport) as session: ...

The transport is the production one, over TLS and HTTP/2 to a port of this machine: what works
here works against the service as far as anyone outside knows its rules.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from os import PathLike
from pathlib import Path
from typing import Literal
from uuid import uuid4

from ..bedrock import BedrockTransport
from . import senses
from .brain import ScenarioBrain, small_talk
from .effects import Note, ServiceFactory, StreamRequest
from .scenario import Scenario, load_scenario
from .server import LOCAL_KEYS, LOCAL_REGION, Emulator
from .service import service_factory

type OnNote = Callable[[StreamRequest, Note], None]


def emulator(
    scenario: str | PathLike[str] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    strict: bool = False,
    on_note: OnNote | None = None,
) -> Emulator:
    """An emulator that plays `scenario`, or its built-in dialogue; to be entered.

    `strict` refuses what real clients are known to do wrong; otherwise `on_note` hears of it.
    Raises `ScenarioError` for a scenario that cannot be read.
    """
    return Emulator(
        sonic_service(load_scenario(Path(scenario)) if scenario else small_talk(), strict=strict),
        synthesize=senses.synthesizer(),
        host=host,
        port=port,
        strict=strict,
        on_note=on_note,
    )


def sonic_service(scenario: Scenario, *, strict: bool = False) -> ServiceFactory:
    """Streams that play `scenario`, with the ears of this machine."""
    return service_factory(
        ScenarioBrain(scenario, senses.resample),
        senses.detector,
        new_id=lambda: str(uuid4()),
        strict=strict,
    )


class LocalService:
    """An async context manager that gives a `BedrockTransport` to an emulator of its own."""

    def __init__(
        self,
        scenario: str | PathLike[str] | None = None,
        *,
        strict: bool = False,
        engine: Literal["http2", "crt"] = "http2",
        on_note: OnNote | None = None,
    ) -> None:
        self.emulator = emulator(scenario, strict=strict, on_note=on_note)
        self._engine: Literal["http2", "crt"] = engine
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> BedrockTransport:
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(self.emulator)
            transport = BedrockTransport(
                region=LOCAL_REGION,
                endpoint=running.endpoint,
                ca_file=running.ca_file,
                access_key=LOCAL_KEYS.access_key,
                secret_key=LOCAL_KEYS.secret_key,
                engine=self._engine,
            )
            stack.push_async_callback(transport.aclose)
            self._stack = stack.pop_all()
        return transport

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
