"""A stand-in protocol that keeps what the peer sends before the HTTP/2 connection is there."""

import asyncio


class EarlyBytes(asyncio.Protocol):
    """Keeps what the peer sends until a protocol is there to receive it.

    A transport is paused at once: what arrived before its protocol would be received by nobody.
    """

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self._lost = False
        self._why: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._lost, self._why = True, exc

    def replay_to(self, protocol: asyncio.Protocol) -> None:
        """Pass on to `protocol` all that happened until now."""
        for data in self._received:
            protocol.data_received(data)
        if self._lost:
            protocol.connection_lost(self._why)
