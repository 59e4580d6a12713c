"""The requests of one stream to a chat endpoint: one at a time, each a task; its pieces wait here.

`PIECES` may wait; then the task does, and with it, by TCP, the endpoint. A dismissed request is
cancelled, which closes its connection; pieces of it that wait already are handed out all the same,
under a key that the service knows no more.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager

from ..service.effects import CancelChatRequest, Consult, StartChatRequest

_log = logging.getLogger(__name__)

PIECES = 64

type ChatPiece = tuple[int, str | None]
"""The key of a `StartChatRequest`, and a piece of the answer to it; None: that was all."""


class ChatRequests:
    """`do` begins and cancels requests, `take` gives what came of them, `aclose` ends them all."""

    def __init__(self, consult: Consult | None) -> None:
        self._consult = consult or _nobody
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._pieces: deque[ChatPiece] = deque()
        self._room = asyncio.Event()
        self._pause: asyncio.Timeout | None = None

    def do(self, effect: StartChatRequest | CancelChatRequest) -> None:
        """Begin a request, or cancel one. Returns at once."""
        match effect:
            case StartChatRequest(key, body_json):
                asking = asyncio.create_task(self._ask(key, body_json), name="chat endpoint")
                self._tasks[key] = asking
                asking.add_done_callback(lambda _: self._tasks.pop(key))
            case CancelChatRequest(key):
                if key in self._tasks:
                    self._tasks[key].cancel()

    def __bool__(self) -> bool:
        """Whether there is a thought to take."""
        return bool(self._pieces)

    def take(self) -> ChatPiece:
        """The next thought. Raises `IndexError` if there is none."""
        self._room.set()
        return self._pieces.popleft()

    @contextmanager
    def ending(self, pause: asyncio.Timeout) -> Generator[None]:
        """While in it, a thought that comes ends `pause` as if its time were over."""
        self._pause = pause
        try:
            yield
        finally:
            self._pause = None

    async def aclose(self) -> None:
        """Cancel what is under way, and wait for it to end."""
        tasks = set(self._tasks.values())
        for task in tasks:
            if not task.cancelling():  # a second time would disturb its cleaning up
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, key: int, body_json: str) -> None:
        try:
            async with aclosing(self._consult(body_json)) as pieces:
                async for piece in pieces:
                    await self._put((key, piece))
        except Exception:
            _log.exception("what asks the chat endpoint broke")
        await self._put((key, None))

    async def _put(self, thought: ChatPiece) -> None:
        while len(self._pieces) >= PIECES:
            self._room.clear()
            await self._room.wait()
        self._pieces.append(thought)
        if self._pause is not None and not self._pause.expired():
            self._pause.reschedule(asyncio.get_running_loop().time())


async def _nobody(body_json: str) -> AsyncGenerator[str]:
    """There is no endpoint to ask."""
    yield '{"error":{"message":"this emulator has no chat endpoint"}}'
