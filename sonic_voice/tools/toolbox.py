"""Toolbox: the tools of a conversation, and how a call of one is run.

`Toolbox.run` answers one call with one JSON object, whatever happens: the service requires exactly
one result for each call, and a call without a result ends the conversation (reference 8.4). An
error becomes `{"error": "..."}` with a message from which the model can correct its arguments or
inform the user; the stack trace goes to the log.

An async function runs in the event loop as a task of its own. A sync function runs in a daemon
thread of its own and not in a pool: there are only a few calls a minute, so a pool saves nothing,
and the workers of `concurrent.futures` and of `asyncio.to_thread` are joined when Python exits, so
that one stuck tool would block the exit. A thread cannot be killed: after a timeout it continues
and its result is dropped, and `MAX_THREADS` limits the number of such threads.
"""

import asyncio
import contextvars
import inspect
import logging
import threading
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any, cast

from ..config import ToolSpec
from ..errors import ConfigError
from ..policies import PLAIN_TOOL, ToolPolicy
from .context import ToolContext, ToolConversation
from .declaration import Tool, tool
from .lenient_arguments import ArgumentsError
from .results import cancelled_result, error_result, result_json
from .timed_steps import TimedSteps

DEFAULT_TIMEOUT_S = 20.0
"""Maximum duration of a call, in seconds, for tools without a timeout of their own. The user hears
nothing, or small talk, while a tool runs; a longer wait is too long."""

CANCEL_GRACE_S = 1.0
"""Maximum time that an async tool may take to end after it was cancelled, in seconds."""

MAX_THREADS = 32
"""Maximum number of sync tools that run at a time in one toolbox, those that were abandoned after a
timeout included."""

BLOCKING_S = 0.1
"""Duration of a step of an async tool from which on it is reported, in seconds. This is five chunks
of sound; shorter pauses are covered by the buffers of the loudspeaker and the service."""

_log = logging.getLogger(__name__)


class Toolbox:
    """The tools of a conversation. One toolbox may serve several sessions.

    Args:
        tools: Tools, or functions, of which tools are made.

    Raises:
        ConfigError: Two tools have the same name, or a function cannot be a tool.
    """

    on_notice: Callable[[str], None]
    """Receiver of messages for the person who runs the program, for instance that a tool blocks the
    event loop. By default each is a `RuntimeWarning`."""

    def __init__(self, tools: Iterable[Tool[..., Any] | Callable[..., Any]] = ()) -> None:
        self.on_notice = _warn
        self._context = ToolContext()
        self._reported_blocking: set[str] = set()
        """Names of the tools whose blocking has been reported."""
        self._tools: dict[str, Tool[..., Any]] = {}
        for item in tools:
            made = cast(Tool[..., Any], item) if isinstance(item, Tool) else tool(item)
            if made.spec.name in self._tools:
                raise ConfigError(
                    f"Two tools are named {made.spec.name!r}.", hint="Rename one: @tool(name=...)."
                )
            self._tools[made.spec.name] = made
        self._free_threads = threading.BoundedSemaphore(MAX_THREADS)
        self._in_threads: set[asyncio.Future[str]] = set()
        self._stopping: set[asyncio.Future[str]] = set()
        """Calls that were cancelled and have not ended. The event loop holds only weak references
        to tasks, so they are kept here."""
        self._watchers: list[Callable[[], None]] = []
        """Functions that are called when the tools change."""

    @property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        """The tools."""
        return tuple(self._tools.values())

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The descriptions of the tools for the model, for `SessionConfig.tools`."""
        return tuple(tool.spec for tool in self._tools.values())

    @property
    def awaits_thread(self) -> bool:
        """True while the result of a call in a thread is awaited."""
        return bool(self._in_threads)

    def for_conversation(self, context: ToolContext) -> "Toolbox":
        """Return a toolbox with the same tools, which receive `context` if they ask for it.

        Both count their threads together, and report a blocking tool once.

        Args:
            context: The conversation that the returned toolbox serves.
        """
        bound = copy(self)
        bound._context = context
        return bound

    def replace(self, removed: Iterable[str], added: Iterable[Tool[..., Any]]) -> None:
        """Replace tools, also for the toolboxes made by `for_conversation`.

        A call of a removed tool that runs already has its result.

        Args:
            removed: Names of tools; those that are not there are ignored.
            added: Tools, which take the place of others with their names.
        """
        before = self.specs
        for name in removed:
            self._tools.pop(name, None)
        for made in added:
            self._tools[made.spec.name] = made
        if self.specs != before:
            for tell in tuple(self._watchers):
                tell()

    @contextmanager
    def watched(self, on_change: Callable[[], None]) -> Generator[None]:
        """Call a function in the event loop each time that the tools change within the block.

        Args:
            on_change: The function.
        """
        self._watchers.append(on_change)
        try:
            yield
        finally:
            self._watchers.remove(on_change)

    def for_call(self, turn: int, tool_use: str, port: ToolConversation) -> "Toolbox":
        """Return a toolbox with the same tools for one call, which receive its context.

        Args:
            turn: Number of the turn in which the model made the call.
            tool_use: Id of the call.
            port: What a tool may do to the conversation.
        """
        context = replace(self._context, turn=turn, tool_use=tool_use, port=port)
        return self.for_conversation(context)

    def policy(self, name: str) -> ToolPolicy:
        """Return the policy of a tool; that of a plain tool if there is none of this name.

        Args:
            name: The name of the tool.
        """
        found = self._tools.get(name)
        return PLAIN_TOOL if found is None else found.policy

    async def run(self, name: str, arguments: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> str:
        """Run one call and return its result, whatever happens.

        Several calls may run concurrently. It raises nothing but `CancelledError`. Cancelling it
        cancels an async tool and waits up to `CANCEL_GRACE_S` for its end; a sync tool continues in
        its thread. The service still expects a result then: send `cancelled_result()`.

        Args:
            name: The name of the tool.
            arguments: The model's JSON, encoded once or more.
            timeout_s: Maximum duration, in seconds, for tools without a timeout of their own.

        Returns:
            One JSON object as a string: the result, or `{"error": "..."}`.
        """
        found = self._tools.get(name)
        if found is None:
            known = ", ".join(self._tools) or "none"
            return error_result(f"There is no tool {name!r}. Tools: {known}.")
        if found.is_async:
            work: asyncio.Future[str] = asyncio.ensure_future(self._run_in_loop(found, arguments))
        elif self._free_threads.acquire(blocking=False):
            work = self._run_in_thread(found, arguments)
        else:
            return error_result(f"{MAX_THREADS} tool calls are still running. Try again later.")
        limit_s = found.timeout_s or timeout_s
        try:
            finished, _ = await asyncio.wait({work}, timeout=limit_s)
        finally:
            if not work.done():
                await self._stop(name, work)
        if not finished:
            _log.warning("tool %s: no result within %g s", name, limit_s)
            return error_result(f"{name} gave no result within {limit_s:g} s.")
        return cancelled_result() if work.cancelled() else work.result()

    async def _run_in_loop(self, tool: Tool[..., Any], arguments: str) -> str:
        name = tool.spec.name
        try:
            values = tool.parameters.read_json(arguments, self._context)
            value = await TimedSteps(
                _call(tool.fn, values), lambda s: self._report_blocking(name, s)
            )
            return result_json(value)
        except (Exception, SystemExit) as error:
            return _failure(name, error)

    def _report_blocking(self, name: str, held_s: float) -> None:
        """Report a step of a tool that blocked the event loop, once for each tool."""
        if held_s < BLOCKING_S or name in self._reported_blocking:
            return
        self._reported_blocking.add(name)
        self.on_notice(
            f"The tool {name} blocked the event loop for {held_s:.2f} s, in which no sound is "
            "sent or received. Await what it waits for, or write it with a plain `def`: such "
            "tools run in a thread."
        )

    def _run_in_thread(self, tool: Tool[..., Any], arguments: str) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        self._in_threads.add(answer)
        answer.add_done_callback(self._in_threads.discard)
        context = contextvars.copy_context()

        def settle(result: str) -> None:
            if not answer.done():  # it is done if the call was cancelled or timed out
                answer.set_result(result)

        def work() -> None:
            result = context.run(_run_sync, tool, arguments, self._context)
            self._free_threads.release()
            try:
                loop.call_soon_threadsafe(settle, result)
            except RuntimeError:
                _log.debug("tool %s: finished after its event loop", tool.spec.name)

        try:
            threading.Thread(target=work, name=f"tool {tool.spec.name}", daemon=True).start()
        except RuntimeError as error:  # the system cannot start more threads
            self._free_threads.release()
            settle(_failure(tool.spec.name, error))
        return answer

    async def _stop(self, name: str, work: asyncio.Future[str]) -> None:
        """Cancel `work` and wait for its end, at most `CANCEL_GRACE_S`."""
        self._stopping.add(work)
        work.add_done_callback(self._stopping.discard)
        work.cancel()
        _, unfinished = await asyncio.wait({work}, timeout=CANCEL_GRACE_S)
        if unfinished:
            _log.warning("tool %s: still running %g s after its cancel", name, CANCEL_GRACE_S)


type RunTool = Callable[[Toolbox, str, str], Awaitable[str]]
"""A function that runs a call of a tool of a toolbox, by name and arguments, and returns its result
as `Toolbox.run` does."""


def _warn(text: str) -> None:
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    except RuntimeWarning:  # if warnings are errors, the call must still be answered
        _log.warning("%s", text)


async def _call(fn: Callable[..., Any], values: dict[str, Any]) -> Any:
    value = fn(**values)
    # A decorator may have wrapped an async function in a plain one.
    return await value if inspect.isawaitable(value) else value


def _run_sync(tool: Tool[..., Any], arguments: str, context: ToolContext) -> str:
    try:
        return result_json(tool.fn(**tool.parameters.read_json(arguments, context)))
    except BaseException as error:  # nothing else in this thread would catch it
        return _failure(tool.spec.name, error)


def _failure(name: str, error: BaseException) -> str:
    if isinstance(error, ArgumentsError):
        return error_result(str(error))
    _log.warning("tool %s failed", name, exc_info=error)
    try:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:  # the exception's own `__str__` failed
        text = type(error).__name__
    return error_result(text)
