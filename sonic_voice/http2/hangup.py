"""Detection of a peer that has closed its connection, without reading from the socket."""

import asyncio
import select
from collections.abc import Callable


class HangupWatch:
    """A watch on a socket that nobody reads. It calls a function once the peer has closed it.

    A paused transport of asyncio does not notice such an end, which would keep its descriptor open.
    An `epoll` object that waits for the end alone is itself readable when it has come, so that the
    event loop can wait for it. Where the system has no `epoll`, nothing is noticed.

    Args:
        descriptor: The descriptor of the socket.
        on_hangup: Called from the event loop, once.
    """

    def __init__(self, descriptor: int, on_hangup: Callable[[], object]) -> None:
        self._on_hangup = on_hangup
        self._loop = asyncio.get_running_loop()
        self._epoll = None
        if hasattr(select, "epoll"):
            self._epoll = select.epoll()
            self._epoll.register(descriptor, select.EPOLLRDHUP)
            self._loop.add_reader(self._epoll.fileno(), self._hung_up)

    def close(self) -> None:
        """End the watch. Idempotent."""
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _hung_up(self) -> None:
        self.close()
        self._on_hangup()
