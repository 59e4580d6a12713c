"""Threads that write the output of a conversation, so that a slow reader does not hold it up.

    event loop ──► QueuedLines, BackgroundText ──► [queue: bounded] ──► OutputThread ──► the file

A write to a terminal, a pipe or a network file system waits while the reader does not read: on a
terminal that takes 2 KB/s, and on one that was stopped, for seconds. In the event loop it would
stop the audio. Therefore the loop only queues what is to be written, and a thread for each file
writes it.

The queue of a thread holds `MAX_WAITING_BYTES`. When it is full, further output is dropped until
half of it is free again, and a line in its place says how much is missing. At the end the queue is
written for as long as `OutputThread.stop` is told to wait. A thread that is then still blocked is
abandoned: it is a daemon thread, which does not delay the end of the process.
"""

import threading
from collections import deque
from collections.abc import Callable

MAX_WAITING_BYTES = 16_000_000
"""Maximum output that waits for one file, in bytes: the events of about an hour of conversation, at
5 KB a second."""


class OutputThread:
    """A daemon thread that executes writes in order. It starts with the first write.

    Its owner calls `stop` at the end. All methods may be called from any thread, and in a handler
    of signals.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # A reentrant lock, because a handler of signals may interrupt a method of this class.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        self._waiting_bytes = 0
        self._full = False
        self._writing = False
        self._thread: threading.Thread | None = None
        self.stopped = False
        """True once `stop` was called. A write that is still blocked has been abandoned."""

    @property
    def behind(self) -> bool:
        """True while something is being written or waits for that."""
        return self._writing or bool(self._waiting)

    def submit(self, write: Callable[[], None], size: int, *, required: bool = False) -> bool:
        """Queue a write. Never waits.

        Args:
            write: Writes to the file. It may block, and raises nothing.
            size: Size of its output, in bytes.
            required: Whether to queue it even if the queue is full.

        Returns:
            False if the queue is full, or the thread was stopped.
        """
        with self._changed:
            limit_bytes = MAX_WAITING_BYTES // 2 if self._full else MAX_WAITING_BYTES
            self._full = self._waiting_bytes > 0 and self._waiting_bytes + size > limit_bytes
            if self.stopped or (self._full and not required):
                return False
            self._waiting.append((write, size))
            self._waiting_bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return True

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until everything is written.

        Args:
            timeout_s: Maximum time, in seconds; None is without limit.

        Returns:
            Whether everything is written.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self.behind, timeout_s)

    def discard(self) -> None:
        """Drop everything that waits. A write that has begun goes on."""
        with self._changed:
            self._waiting.clear()
            self._waiting_bytes = 0

    def stop(self, timeout_s: float | None) -> bool:
        """Write what waits, and end the thread. May be repeated, which does not wait again.

        Args:
            timeout_s: Maximum time for that, in seconds; None is without limit. When it is over,
                the rest is dropped and the thread is abandoned.

        Returns:
            Whether everything was written.
        """
        written = self.wait(0 if self.stopped else timeout_s)
        with self._changed:
            self.stopped = True
            self.discard()
            self._changed.notify_all()
        if written and self._thread is not None:
            self._thread.join()
        return written

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self.stopped)
                if not self._waiting:
                    return
                write, size = self._waiting.popleft()
                self._waiting_bytes -= size
                self._writing = True
            write()
