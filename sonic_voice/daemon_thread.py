"""Blocking calls in a daemon thread: one that hangs keeps neither the loop nor the exit waiting.

`asyncio.to_thread` cannot be used for calls that may hang: at the end of a program the loop and the
interpreter wait for its threads.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


def start_in_thread[T](call: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Start `call` in a daemon thread of the given name.

    Returns:
        A future of the running loop with what `call` returns or raises. Cancelling the future
        does not end the call.
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


async def in_thread[T](call: Callable[[], T], name: str = "doctor") -> T:
    """Return what `call` returns, or raise what it raises.

    When this is cancelled, the call is left to itself.
    """
    return await start_in_thread(call, name)
