"""Calls that block, for seconds or for ever, in a thread that nobody has to wait for."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


async def in_thread[T](call: Callable[[], T]) -> T:
    """What `call` returns or raises.

    Cancelled, it leaves the call to itself; unlike a thread of `asyncio.to_thread`, one that hangs
    does not keep the program from its end.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="doctor", daemon=True).start()
    return await asyncio.wrap_future(future)
