"""Tools: Python functions that the model may call while it talks.

`@tool` reads a function's signature, type hints and docstring once, when it decorates, and makes
of them a `ToolSpec` (the description for the model) and a validator of the arguments that the model
sends. A type that cannot be described to the service is refused then and not at the first call,
with the names of the function and the parameter. The hints and their JSON schemas:

    str, int, float, Decimal, bool        string, integer, number, number, boolean
    Literal[...], Enum                    string or integer with `enum`
    list[T], set[T], tuple[T, ...]        array of T
    dict[str, T]                          object with values of T
    date, time, datetime, timedelta       string in ISO 8601
    dataclass, TypedDict, pydantic model  object, also one inside another
    T | None, or any default              a property that is not `required`
    Annotated[T, "..."]                   T with that description
    Annotated[T, Field(...)], = Field()   T with that description, limits and default

Pydantic reads the hints and validates the arguments (`arguments`), so its validators and other
types work too. It is imported when the first tool is made. The service refuses `anyOf`, `$ref` and
null types (protocol reference 8.1); `schema_flattening` replaces them, and a hint whose meaning
would be lost, such as `Any`, `int | str` or a class that contains itself, is refused.

A decorated function can still be called directly. If a default is given by `Field`, a direct call
fills it in, which Python itself would not do.

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
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast, overload

from ..config import TOOL_NAME, ToolSpec, check_schema
from ..errors import ConfigError
from .docstrings import first_paragraph
from .lenient_arguments import ArgumentsError
from .results import cancelled_result, error_result, result_json

if TYPE_CHECKING:
    from .arguments import Parameters

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tool[**P, R]:
    """A function that the model may call, and that can still be called directly."""

    fn: Callable[P, R]
    """The function."""
    spec: ToolSpec
    """Name, description and schema for the model."""
    timeout_s: float | None
    """Maximum duration of a call, in seconds; None is that given to `Toolbox.run`."""
    parameters: "Parameters"
    """Reader of the model's arguments."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function directly, without validation, timeout or thread.

        A parameter that is omitted and whose default is given by a pydantic `Field` gets that
        default; calling `fn` would pass the `Field` itself.

        Args:
            args: Positional arguments of the function.
            kwargs: Keyword arguments of the function.
        """
        if self.parameters.field_defaults:
            return self.fn(*args, **self.parameters.with_field_defaults(args, kwargs))
        return self.fn(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """True if the function runs in the event loop rather than in a thread."""
        return inspect.iscoroutinefunction(inspect.unwrap(self.fn))


@overload
def tool[**P, R](fn: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool[**P, R](
    *, name: str | None = None, timeout_s: float | None = None
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool[**P, R](
    fn: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float | None = None,
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a tool of a sync or async function: `@tool`, or `@tool(name=..., timeout_s=...)`.

    The description of the tool is the first paragraph of the docstring, or the name in words if
    there is none. The descriptions of parameters come from `Annotated`, or from the docstring in
    Google, NumPy or reST style.

    Args:
        fn: The function.
        name: The name of the tool; by default that of the function.
        timeout_s: Maximum duration of a call, in seconds; by default that given to `Toolbox.run`.

    Raises:
        ConfigError: The name, a parameter or its type cannot be described to the service.
    """
    if fn is None:
        return lambda fn: _make_tool(fn, name, timeout_s)
    return _make_tool(fn, name, timeout_s)


def _make_tool[**P, R](fn: Callable[P, R], name: str | None, timeout_s: float | None) -> Tool[P, R]:
    name = name or str(getattr(fn, "__name__", ""))
    if not TOOL_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a tool.",
            hint="Letters, digits, _ and -, at most 64 of them: @tool(name=...).",
        )
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigError(f"The timeout of tool {name!r} must be over 0 s, not {timeout_s}.")
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigError(f"Tool {name!r} yields; a call has one result.", hint="Return a list.")
    from .arguments import read_parameters  # imports pydantic, for the first tool

    # A callable object inherits the docstring of its class, which does not describe the call.
    doc = (inspect.getdoc(fn) or "") if inspect.isroutine(fn) else ""
    parameters = read_parameters(fn, name, doc)
    check_schema(name, parameters.schema)
    spec = ToolSpec(name, first_paragraph(doc) or name.replace("_", " "), parameters.schema)
    return Tool(fn=fn, spec=spec, timeout_s=timeout_s, parameters=parameters)


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
        self._stopping: set[asyncio.Future[str]] = set()
        """Calls that were cancelled and have not ended. The event loop holds only weak references
        to tasks, so they are kept here."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The descriptions of the tools for the model, for `SessionConfig.tools`."""
        return tuple(tool.spec for tool in self._tools.values())

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
            values = tool.parameters.read_json(arguments)
            value = await _TimedSteps(
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
        context = contextvars.copy_context()

        def settle(result: str) -> None:
            if not answer.done():  # it is done if the call was cancelled or timed out
                answer.set_result(result)

        def work() -> None:
            result = context.run(_run_sync, tool, arguments)
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


def _warn(text: str) -> None:
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    except RuntimeWarning:  # if warnings are errors, the call must still be answered
        _log.warning("%s", text)


async def _call(fn: Callable[..., Any], values: dict[str, Any]) -> Any:
    value = fn(**values)
    # A decorator may have wrapped an async function in a plain one.
    return await value if inspect.isawaitable(value) else value


class _TimedSteps:
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


def _run_sync(tool: Tool[..., Any], arguments: str) -> str:
    try:
        return result_json(tool.fn(**tool.parameters.read_json(arguments)))
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
