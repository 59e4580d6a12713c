"""The network port of the bridge: a WebSocket that has been opened, whoever serves it."""

from typing import Protocol

from ..errors import NetworkError


class Gone(NetworkError):
    """The connection is no more. `goodbye`: the page left on purpose, and will not come back."""

    def __init__(self, *, goodbye: bool = False) -> None:
        super().__init__("The page's connection is gone.")
        self.goodbye = goodbye


class Socket(Protocol):
    """One connection. One task receives, one sends; either may be cancelled before `close`."""

    @property
    def origin(self) -> str | None:
        """The `Origin` header; None: none came."""
        ...

    @property
    def address(self) -> str:
        """The peer's network address, without the port."""
        ...

    @property
    def subprotocol(self) -> str | None:
        """What was agreed on."""
        ...

    async def receive(self) -> str | bytes:
        """The next message. Raises `Gone`."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send, waiting while the peer does not read. Raises `Gone`."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close; within two seconds, whatever the peer does. May be repeated."""
        ...
