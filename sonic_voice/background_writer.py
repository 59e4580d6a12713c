"""A thread that writes what the event loop gives it: a slow disk never holds up the loop."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

from .errors import SonicError

type OnFailure = Callable[[OSError | SonicError], None]
"""Function that is called with the first error of a writer, in the writer's thread."""


class BackgroundWriter[Item]:
    """A bounded queue of items, and the thread that writes them in order.

    Waking a thread costs more than most items do. With `linger_s` the thread wakes up once in that
    time, however many items come, and `flush` is told when it has written those that had come.

    When the queue is full, `offer` refuses further items: the caller decides what is then lost. The
    first error ends the writing, and later items are dropped.

    The thread is a daemon, so that a disk that hangs delays neither the loop nor the exit. Whoever
    starts it ends it, with `aclose` or `close`.
    """

    def __init__(
        self,
        write: Callable[[Item], None],
        finish: Callable[[], None],
        *,
        name: str,
        limit: int,
        on_failure: OnFailure,
        flush: Callable[[], None] | None = None,
        linger_s: float = 0.0,
    ) -> None:
        """Start the thread.

        Args:
            write: Writes one item. It may block, and may raise an `OSError` or `SonicError`.
            finish: Called after the last item, also after an error, to close what was written to.
            name: Name of the thread.
            limit: Maximum number of items in the queue.
            on_failure: Called with the first error, in this thread.
            flush: Called after the last item that had come; it may block and raise as `write`.
            linger_s: Time for which items collect before they are written, in seconds. It is cut
                short when a quarter of the queue is filled, and at the end.
        """
        self._write = write
        self._finish = finish
        self._flush = flush
        self._limit = limit
        self._linger_s = linger_s
        self._on_failure = on_failure
        self._failed = False
        self._closing = False
        self._items: list[Item] = []
        self._writing = 0
        """Number of items that the thread has taken and not written yet."""
        self._idle = False
        """True while the thread waits for the first item."""
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        """Set to cut the collecting of items short."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: Item) -> bool:
        """Queue an item. Never blocks.

        Args:
            item: What is to be written.

        Returns:
            False if the queue is full or closed, and the item is not written. True also after an
            error, which was reported.
        """
        with self._changed:
            waiting = len(self._items)
            if self._closing or waiting + self._writing >= self._limit:
                return False
            if not self._failed:
                self._items.append(item)
                if self._idle:
                    self._idle = False
                    self._changed.notify()
                elif waiting == self._limit // 4:
                    self._hurry.set()
            return True

    def close(self, timeout_s: float) -> bool:
        """Wait until all is written, and end the thread. It may be repeated, from any thread.

        Args:
            timeout_s: Maximum time to wait, in seconds. The thread goes on after it.

        Returns:
            True if the thread has ended.
        """
        with self._changed:
            self._closing = True
            self._hurry.set()
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    async def aclose(self, timeout_s: float) -> bool:
        """Do as `close`, without blocking the event loop.

        Cancelling it does not end the writing.

        Args:
            timeout_s: Maximum time to wait, in seconds.

        Returns:
            True if the thread has ended.
        """
        return await asyncio.to_thread(self.close, timeout_s)

    def _run(self) -> None:
        while items := self._next_items():
            for item in items:
                if not self._failed:
                    self._attempt(partial(self._write, item))
                with self._changed:
                    self._writing -= 1
            if self._flush is not None and not self._failed:
                self._attempt(self._flush)
        self._attempt(self._finish)

    def _next_items(self) -> list[Item]:
        """Wait for items, and return them; an empty list once the queue is closed and empty.

        They count as long as they are not written.
        """
        if self._linger_s:
            self._hurry.wait(self._linger_s)
        with self._changed:
            while not self._items and not self._closing:
                self._idle = True
                self._changed.wait()
            items, self._items = self._items, []
            self._writing = len(items)
            if not self._closing:
                self._hurry.clear()
            return items

    def _attempt(self, call: Callable[[], None]) -> None:
        """Call a function, and report its error if it is the first."""
        try:
            call()
        except (OSError, SonicError) as error:
            first, self._failed = not self._failed, True
            if first:
                self._on_failure(error)
