"""The chat requests of one stream: each is a task, whose pieces wait here for the stream handler.

Up to `PIECES` pieces may wait. Then the task waits, and with it, through TCP, the endpoint. A
cancelled request closes its connection. Those of its pieces that wait already are still handed
out, under a key that the service ignores.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager

from ..service.effects import CancelChatRequest, Consult, StartChatRequest

_log = logging.getLogger(__name__)

PIECES = 64
"""Maximum number of pieces that wait to be taken."""

type ChatPiece = tuple[int, str | None]
"""The key of a `StartChatRequest`, and a piece of the answer to it, or None after the last one."""


class ChatRequests:
    """The chat requests of one stream, and the pieces of their answers.

    `aclose` must be called at the end of the stream.

    Args:
        consult: Sends a request to the endpoint. None: every request fails.
    """

    def __init__(self, consult: Consult | None) -> None:
        self._consult = consult or _no_endpoint
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._pieces: deque[ChatPiece] = deque()
        self._room = asyncio.Event()
        self._pause: asyncio.Timeout | None = None

    def carry_out(self, effect: StartChatRequest | CancelChatRequest) -> None:
        """Begin or cancel a request. Returns at once.

        Args:
            effect: The effect of the service. A cancelled request may have ended already.
        """
        match effect:
            case StartChatRequest(key, body_json):
                asking = asyncio.create_task(self._ask(key, body_json), name="chat endpoint")
                self._tasks[key] = asking
                asking.add_done_callback(lambda _: self._tasks.pop(key))
            case CancelChatRequest(key):
                if key in self._tasks:
                    self._tasks[key].cancel()

    def __bool__(self) -> bool:
        """Return whether a piece waits to be taken."""
        return bool(self._pieces)

    def take(self) -> ChatPiece:
        """Return the next piece.

        Raises:
            IndexError: No piece waits.
        """
        self._room.set()
        return self._pieces.popleft()

    @contextmanager
    def ending(self, pause: asyncio.Timeout) -> Generator[None]:
        """Let a piece that comes within this context end a timeout as if it had expired.

        Args:
            pause: The timeout, which must have been entered.
        """
        self._pause = pause
        try:
            yield
        finally:
            self._pause = None

    async def aclose(self) -> None:
        """Cancel the requests in progress, and wait for them to end."""
        tasks = set(self._tasks.values())
        for task in tasks:
            if not task.cancelling():  # cancelling it again would disturb its clean-up
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, key: int, body_json: str) -> None:
        try:
            async with aclosing(self._consult(body_json)) as pieces:
                async for piece in pieces:
                    await self._put((key, piece))
        except Exception:
            _log.exception("the client of the chat endpoint failed")
        await self._put((key, None))

    async def _put(self, piece: ChatPiece) -> None:
        while len(self._pieces) >= PIECES:
            self._room.clear()
            await self._room.wait()
        self._pieces.append(piece)
        if self._pause is not None and not self._pause.expired():
            self._pause.reschedule(asyncio.get_running_loop().time())


async def _no_endpoint(body_json: str) -> AsyncGenerator[str]:
    """Yield the error of an emulator that has no chat endpoint."""
    yield '{"error":{"message":"this emulator has no chat endpoint"}}'
