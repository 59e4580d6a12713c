"""Measurement of the steps of a coroutine, to find those that block the event loop."""

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from time import perf_counter
from typing import Any


class TimedSteps:
    """An awaitable that runs a coroutine and measures the duration of each of its steps.

    A step is the execution of the coroutine between two awaits that suspend it. Nothing else runs
    in the event loop during a step. The time for which the coroutine is suspended is not measured,
    and neither are the tasks that it starts.

    Args:
        coroutine: The coroutine; it is closed or ended when this awaitable is.
        on_step: Called after each step with its duration, in seconds.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], on_step: Callable[[float], None]
    ) -> None:
        self._coroutine = coroutine
        self._on_step = on_step

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self._coroutine.send, None)
        while True:
            began = perf_counter()
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            finally:
                self._on_step(perf_counter() - began)
            try:
                step = partial(self._coroutine.send, (yield waited_for))
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:
                step = partial(self._coroutine.throw, error)
