"""Blocking calls in a daemon thread. A call that hangs delays neither the loop nor the exit.

`asyncio.to_thread` cannot be used for calls that may hang, because at the end of a program the loop
and the interpreter wait for its threads.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


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


async def in_thread[T](call: Callable[[], T], name: str = "doctor") -> T:
    """Wait for a call in a daemon thread, and return its result or raise its error.

    Cancelling this does not end the call; its result is then lost.

    Args:
        call: The blocking function.
        name: Name of the thread.
    """
    return await start_in_thread(call, name)
