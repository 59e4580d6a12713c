"""An event loop whose clock jumps to the next timer, for code that waits but does no I/O."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time. Its clock begins at 0."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let time pass, as it does while nothing is ready.

        Args:
            seconds: How much.
        """
        self._now_s += seconds


class _Selector(selectors.SelectSelector):
    """A selector that never waits: it advances the clock of its loop instead."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits, and no timer is set"
        # Timers that are due up to the clock's resolution are called, so it must be passed.
        self._loop.advance(timeout)
        return super().select(0)


def run_in_virtual_time[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a `VirtualTimeLoop`, and return its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
