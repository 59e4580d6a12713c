"""Blocking calls in a daemon thread. A call that hangs delays neither the loop nor the exit.

`asyncio.to_thread` cannot be used for calls that may hang, because at the end of a program the loop
and the interpreter wait for its threads.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread


def start_in_thread[T](call: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Start a call in a daemon thread.

    Args:
        call: The blocking function.
        name: Name of the thread.

    Returns:
        A future of the running loop with the result or the error of the call. Cancelling the
        future does not end the call.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(future)


async def in_thread[T](
    call: Callable[[], T], name: str = "doctor", *, discard: Callable[[T], object] | None = None
) -> T:
    """Wait for a call in a daemon thread, and return its result or raise its error.

    Cancelling this does not end the call; its result is then lost.

    Args:
        call: The blocking function.
        name: Name of the thread.
        discard: Called with a result that is lost, in a daemon thread, to release it. It may block.
    """
    if discard is None:
        return await start_in_thread(call, name)
    result = _DiscardedResult(call, discard, name)
    try:
        return await start_in_thread(result.call, name)
    except asyncio.CancelledError:
        result.abandon()
        raise


class _DiscardedResult[T]:
    """The result of a call, which is discarded if nobody waits for it any more."""

    def __init__(self, call: Callable[[], T], discard: Callable[[T], object], name: str) -> None:
        self._call = call
        self._discard = discard
        self._name = name
        self._lock = Lock()
        self._results: list[T] = []
        self._abandoned = False

    def call(self) -> T:
        """Call the function, in the thread."""
        result = self._call()
        with self._lock:
            self._results.append(result)
            abandoned = self._abandoned
        if abandoned:
            self._discard(result)
        return result

    def abandon(self) -> None:
        """Discard the result, or have it discarded when it comes."""
        with self._lock:
            self._abandoned = True
            results = list(self._results)
        for result in results:
            Thread(target=self._discard, args=(result,), name=self._name, daemon=True).start()
