"""A protocol that records what the peer sends before the HTTP/2 connection exists."""

import asyncio
from typing import cast


class EarlyBytes(asyncio.Protocol):
    """A protocol that records received data and the end of the connection for its successor.

    It pauses its transport at once. Without it, data that arrives before the successor is set would
    be lost.
    """

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self._lost = False
        self._why: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        # No check of the class: the transports of uvloop are not derived from it.
        cast(asyncio.Transport, transport).pause_reading()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._lost, self._why = True, exc

    def replay_to(self, protocol: asyncio.Protocol) -> None:
        """Repeat the recorded calls on another protocol.

        Args:
            protocol: The successor, which the transport calls from now on.
        """
        for data in self._received:
            protocol.data_received(data)
        if self._lost:
            protocol.connection_lost(self._why)
