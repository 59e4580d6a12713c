"""The network port of the bridge: an open WebSocket, independent of the library that serves it."""

from collections.abc import Callable
from typing import Protocol

from ..errors import NetworkError


class ConnectionGone(NetworkError):
    """The connection is closed or lost.

    Args:
        goodbye: Whether the page left on purpose, so that it will not resume.
    """

    def __init__(self, *, goodbye: bool = False) -> None:
        super().__init__("The page's connection is gone.")
        self.goodbye = goodbye


class Socket(Protocol):
    """An open WebSocket connection.

    One task receives and one task sends. Either may be cancelled before `close` is called.
    """

    @property
    def origin(self) -> str | None:
        """The `Origin` header of the handshake; None if there was none."""
        ...

    @property
    def address(self) -> str:
        """The client's network address, without the port; that of the peer or, behind a trusted
        proxy, of the client that it has named. In AgentCore Runtime it is the id of the session."""
        ...

    @property
    def remote(self) -> bool:
        """True if the client may be on another machine; see `forwarding.is_remote`."""
        ...

    @property
    def subject(self) -> str:
        """The subject that AgentCore Runtime has authenticated; empty if it has named none, and
        everywhere else."""
        ...

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on; None if there is none."""
        ...

    async def receive(self) -> str | bytes:
        """Wait for the next message, and return it.

        Raises:
            ConnectionGone: If the connection is closed.
        """
        ...

    async def receive_each(self, take: Callable[[str | bytes], None]) -> None:
        """Call a function with each further message as it comes, until the connection is closed.

        To be called once, and `receive` not afterwards: messages that come after this are lost.

        Args:
            take: The function. It must return at once. When it raises an exception, this raises it.

        Raises:
            ConnectionGone: If the connection is closed.
        """
        ...

    def offer(self, message: str | bytes) -> bool:
        """Send a message if that can be done without waiting, and while no `send` runs.

        Args:
            message: Text for a text frame, bytes for a binary frame.

        Returns:
            Whether it was sent. Otherwise nothing was done, and `send` is needed.
        """
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message, and wait while the peer does not read.

        Args:
            message: Text for a text frame, bytes for a binary frame.

        Raises:
            ConnectionGone: If the connection is closed.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the connection within two seconds, whatever the peer does. May be called again.

        Args:
            code: The close code.
            reason: The reason, of at most `closing.REASON_BYTES` bytes.
        """
        ...
