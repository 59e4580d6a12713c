"""An event loop whose clock jumps to the next timer, so that waiting takes no time.

    run_in_virtual_time(conversation())

Time stands still while anything else than a timer is awaited, so that nothing depends on how fast
the machine is:

    something is ready                        it runs; no time passes
    a call in an executor is not done         the loop waits for it; no time passes
    `hold`, or a check of `wait_while`        the loop waits for I/O; no time passes
    otherwise                                 the clock jumps to the next timer

A check says, for example, that data is on its way through a socket of this process, between a
client and a server that both run in this loop. A loop cannot see that, and would let time pass.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 2.0
"""Maximum real time for which a check holds the clock without any I/O, in seconds, if it is not
said. Data that a fault has swallowed never arrives: then time goes on, and deadlines report it."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time. Its clock begins at 0."""

    def __init__(self) -> None:
        self._checks: dict[Callable[[], bool], float] = {}
        self._now_s = 0.0
        self._holds = 0
        self._executor_calls = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now_s

    @contextmanager
    def hold(self) -> Generator[None]:
        """Let no time pass during the block, for real waits such as for a person or a program."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    @contextmanager
    def wait_while(
        self, check: Callable[[], bool], patience_s: float = PATIENCE_S
    ) -> Generator[None]:
        """Let no time pass while a check holds, during the block.

        Args:
            check: Returns whether something real is waited for. It must return at once.
            patience_s: Maximum real time without any I/O, in seconds. Then time goes on until
                there is I/O again.
        """
        self._checks[check] = patience_s
        try:
            yield
        finally:
            del self._checks[check]

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function in a thread, during which no time passes. See `asyncio`."""
        called = super().run_in_executor(executor, func, *args)
        self._executor_calls += 1
        called.add_done_callback(self._executor_called)
        return called

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds: How much, in seconds.
        """
        self._now_s += seconds

    @property
    def held(self) -> bool:
        """True while a real wait is in progress, which ends by itself."""
        return self._holds > 0 or self._executor_calls > 0

    @property
    def patience_s(self) -> float:
        """Maximum real time to wait now before time goes on, in seconds."""
        return max((s for check, s in self._checks.items() if check()), default=0.0)

    def _executor_called(self, _: asyncio.Future[Any]) -> None:
        self._executor_calls -= 1


class _Selector(selectors.DefaultSelector):
    """A selector that advances the clock of its loop where it would wait for a timer."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop
        self._waited_in_vain = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, after waiting for it or for the next timer."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        ready = super().select(0)
        if not ready and (timeout is None or self._loop.held):
            return super().select(None)
        if not ready and not self._waited_in_vain and (patience_s := self._loop.patience_s):
            ready = super().select(patience_s)
            self._waited_in_vain = not ready
        if ready:
            self._waited_in_vain = False
        elif timeout is not None:
            self._loop.advance(timeout)
        return ready


def run_in_virtual_time[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a `VirtualTimeLoop`, from a program without a loop.

    Args:
        coroutine: The coroutine.

    Returns:
        Its result.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
