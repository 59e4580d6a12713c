"""LocalService: an emulator in this process, and a transport to it.

    async with LocalService("scenario.yaml") as transport:
        async with Session.open(config, transport) as session: ...

The transport is the one used in production, over TLS and HTTP/2 to a port of this machine. Programs
that work here also work against the service, as far as its rules are known. This is the only module
that knows both the client and the emulator.
"""

from contextlib import AsyncExitStack
from os import PathLike
from typing import Literal

from .bedrock import BedrockTransport
from .emulator.assembly import OnFault, OnNote, emulator
from .emulator.behaviour import Behaviour
from .emulator.server import LOCAL_KEYS, LOCAL_REGION


class LocalService:
    """An async context manager that runs an emulator and yields a `BedrockTransport` to it."""

    def __init__(
        self,
        scenario: str | PathLike[str] | None = None,
        *,
        strict: bool = False,
        engine: Literal["http2", "crt"] = "http2",
        behaviour: Behaviour | None = None,
        on_note: OnNote | None = None,
        on_fault: OnFault | None = None,
    ) -> None:
        """Build the emulator; entering the context starts it.

        Args:
            scenario: Path of a scenario file; None for the built-in dialogue.
            strict: Whether the emulator refuses mistakes that real clients are known to make.
            engine: HTTP client of the transport: ours (`http2`), or the SDK's CRT client (`crt`),
                which needs the extra `crt`.
            behaviour: The settings of the emulator, in the place of `strict`.
            on_note: Called with each mistake of the client that the emulator tolerates.
            on_fault: Called with each refusal and each triggered end that a fault of the emulator
                causes.
        """
        self.emulator = emulator(
            scenario, strict=strict, behaviour=behaviour, on_note=on_note, on_fault=on_fault
        )
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
