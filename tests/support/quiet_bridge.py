"""A bridge to a service that says nothing: what bad clients do to it is all that happens."""

import gc
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

from websockets.asyncio.client import ClientConnection

from sonic_voice import SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, BridgeLimits, Offer, served
from sonic_voice.errors import SonicError
from sonic_voice.policies import RecoveryPolicy
from sonic_voice.transport import MemoryStream, MemoryTransport

OFFER = Offer(config=SessionConfig(voice="tiffany"), tools=Toolbox(), voices=("ambre",))


class QuietService(MemoryTransport):
    """Takes every session, and says nothing until it is asked for its goodbye."""

    refusal: SonicError | None = None
    direct = False
    """True if sound is sent to it at once, as to the real service."""

    async def open(self, model: str) -> MemoryStream:
        if self.refusal is not None:
            raise self.refusal
        return _Quiet(direct=self.direct)


class _Quiet(MemoryStream):
    async def send(self, payload: bytes) -> None:
        if b'"sessionEnd"' in payload:
            self.finish()

    def offer(self, payload: bytes) -> bool:
        return b'"sessionEnd"' not in payload and super().offer(payload)


@asynccontextmanager
async def running(
    limits: BridgeLimits | None = None,
    access: Access | None = None,
    transport: QuietService | None = None,
    *,
    recovery: RecoveryPolicy | None = None,
) -> AsyncGenerator[tuple[str, Bridge]]:
    config = replace(OFFER.config, recovery=recovery or OFFER.config.recovery)
    async with (
        Bridge(
            replace(OFFER, config=config), transport or QuietService(), access=access, limits=limits
        ) as bridge,
        served(bridge, pages={}) as url,
    ):
        yield url, bridge


def hello(**fields: Any) -> str:
    return json.dumps({"type": "hello", "version": 1, **fields})


async def opened(connection: ClientConnection, **fields: Any) -> None:
    await connection.send(hello(**fields))
    assert json.loads(await connection.recv())["type"] == "ready"


@contextmanager
def uncollected() -> Generator[None]:
    """Without the garbage collector: what is in a cycle stays."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
