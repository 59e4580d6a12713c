"""Tools: Python functions that the model may call while it talks.

`@tool` reads a function's signature, type hints and docstring once, when it decorates, and makes
of them what the model is told (a `ToolSpec`) and what reads the arguments the model sends. What
the service could not be told is refused there, with the function and the parameter named, and
not at the first call. The hints and what becomes of them:

    str, int, float, Decimal, bool        string, integer, number, number, boolean
    Literal[...], Enum                    string or integer with `enum`
    list[T], set[T], tuple[T, ...]        array of T
    dict[str, T]                          object with values of T
    date, time, datetime, timedelta       string in ISO 8601
    dataclass, TypedDict, pydantic model  object, also one inside another
    T | None, or any default              a property that is not `required`
    Annotated[T, "..."]                   T with that description
    Annotated[T, Field(...)], = Field()   T with that description, limits and default

Pydantic reads the hints and validates the arguments (`tool_arguments`), so its validators and
other types work too. It is imported when the first tool is made. The service refuses `anyOf`,
`$ref` and null types (protocol reference 8.1); `schema_flattening` writes them out, and a hint
whose meaning would be lost, such as `Any`, `int | str` or a class that contains itself, is refused.

A decorated function may be called like before. Where a default stands in `Field`, a direct call
fills it in, which Python itself would not do.

`Toolbox.run` answers one call with one JSON object, whatever happens: the service wants exactly
one result for each call, and a call without ends the conversation (reference 8.4). What goes
wrong becomes `{"error": "..."}`, in words that let the model correct itself or tell the user; the
stack trace goes to the log.

An async function runs in the event loop as a task of its own. A sync one runs in a daemon thread
of its own. Not in a pool: calls are a few a minute, so a pool saves nothing, and the workers of
`concurrent.futures` and of `asyncio.to_thread` are joined when Python exits, so that one stuck
tool would hang the goodbye. A thread cannot be killed: after a timeout it runs on and its result
is dropped, and `MAX_THREADS` bounds how many can pile up.
"""

import asyncio
import contextvars
import dataclasses
import inspect
import json
import logging
import threading
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from datetime import date, time
from enum import Enum
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast, overload

from ..config import TOOL_NAME, ToolSpec, check_schema
from ..errors import ConfigError
from .docstrings import first_paragraph
from .lenient_arguments import ArgumentsError

if TYPE_CHECKING:
    from .arguments import Parameters

DEFAULT_TIMEOUT_S = 20.0
"""The user hears nothing, or small talk, while a tool runs; longer than this is too long."""

CANCEL_GRACE_S = 1.0
"""How long an async tool may take to end once it is cancelled."""

MAX_THREADS = 32
"""Sync tools running at a time in one toolbox, those given up after a timeout included."""

RESULT_BYTES = 100_000
"""Largest result. Some 25,000 tokens, more than a spoken answer can use, and a tenth of a chunk,
so that escaped as JSON within JSON it still fits."""

BLOCKING_S = 0.1
"""Longest step of an async tool that is not reported, in seconds. It is five chunks of sound: a
shorter pause is covered by what the loudspeaker and the service have buffered."""

_ERROR_CHARACTERS = 1_000
"""Enough of an exception's message for the model."""

_BINARY = (bytes, bytearray)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tool[**P, R]:
    """A function the model may call; for everybody else it is still that function."""

    fn: Callable[P, R]
    spec: ToolSpec
    timeout_s: float | None
    """None: that of the call."""
    parameters: "Parameters"
    """Reads the model's arguments into the values `fn` is called with."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, without validation, timeout or thread.

        Parameters that are left out and whose default stands in a pydantic `Field` get that
        default; `fn` alone would get the `Field`.
        """
        if self.parameters.field_defaults:
            return self.fn(*args, **self.parameters.with_field_defaults(args, kwargs))
        return self.fn(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """Whether it runs in the event loop rather than in a thread."""
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

    `name` is the function's own unless given; `timeout_s` is in seconds. The description is the
    first paragraph of the docstring (the name in words if there is none), those of parameters
    come from `Annotated` or from the docstring in Google, NumPy or reST style.

    Raises `ConfigError` for a name, a parameter or a type that the service cannot be told.
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

    # A callable that is no function inherits a docstring which is not about it.
    doc = (inspect.getdoc(fn) or "") if inspect.isroutine(fn) else ""
    parameters = read_parameters(fn, name, doc)
    check_schema(name, parameters.schema)
    spec = ToolSpec(name, first_paragraph(doc) or name.replace("_", " "), parameters.schema)
    return Tool(fn=fn, spec=spec, timeout_s=timeout_s, parameters=parameters)


class Toolbox:
    """The tools of a conversation. Plain functions are made tools.

    Raises `ConfigError` for two tools of one name. One toolbox may serve several sessions.
    """

    on_notice: Callable[[str], None]
    """Told sentences for the person who runs the program, such as that a tool blocks the event
    loop. Given as a `RuntimeWarning` unless something else is put here."""

    def __init__(self, tools: Iterable[Tool[..., Any] | Callable[..., Any]] = ()) -> None:
        self.on_notice = _warn
        self._reported_blocking: set[str] = set()
        """Names of the tools whose blocking has been told."""
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
        """Cancelled and not yet done; the event loop alone would let them be collected."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is told, for `SessionConfig.tools`."""
        return tuple(tool.spec for tool in self._tools.values())

    async def run(self, name: str, arguments: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> str:
        """Answer one call: one JSON object as a string, whatever happens.

        `arguments` is the model's JSON, encoded once or more. `timeout_s` is for tools without
        their own. Calls run beside each other. Raises nothing but `CancelledError`; cancelling
        cancels an async tool and waits up to `CANCEL_GRACE_S` for its end, and leaves a sync one
        to its thread. The service still waits for a result then: send `cancelled_result()`.
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
            return _to_json(value)
        except (Exception, SystemExit) as error:
            return _failure(name, error)

    def _report_blocking(self, name: str, held_s: float) -> None:
        """Tell, once for each tool, that it kept the event loop for too long at a time."""
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
            if not answer.done():  # it is, when the call was cancelled or given up
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
        except RuntimeError as error:  # the system gives no more threads
            self._free_threads.release()
            settle(_failure(tool.spec.name, error))
        return answer

    async def _stop(self, name: str, work: asyncio.Future[str]) -> None:
        """Cancel `work`; give up on a task that will not end, but keep a hold of it."""
        self._stopping.add(work)
        work.add_done_callback(self._stopping.discard)
        work.cancel()
        _, unfinished = await asyncio.wait({work}, timeout=CANCEL_GRACE_S)
        if unfinished:
            _log.warning("tool %s: still running %g s after its cancel", name, CANCEL_GRACE_S)


def error_result(text: str) -> str:
    """The result of a call that failed: `{"error": text}`."""
    clean = text[:_ERROR_CHARACTERS].encode(errors="replace").decode()
    return json.dumps({"error": clean}, ensure_ascii=False)


def cancelled_result() -> str:
    """The result of a call that was cancelled; it is owed all the same."""
    return error_result("The call was cancelled.")


def _warn(text: str) -> None:
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    except RuntimeWarning:  # warnings are errors here; a tool's call must be answered all the same
        _log.warning("%s", text)


async def _call(fn: Callable[..., Any], values: dict[str, Any]) -> Any:
    value = fn(**values)
    # A decorator may have made a plain function of an async one.
    return await value if inspect.isawaitable(value) else value


class _TimedSteps:
    """An awaitable that runs a coroutine and measures how long each of its steps takes.

    A step is what the coroutine does between two awaits that really wait. While it lasts nothing
    else runs in the event loop; what the coroutine waits for is not measured, and neither are the
    tasks that it starts.
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
        return _to_json(tool.fn(**tool.parameters.read_json(arguments)))
    except BaseException as error:  # nobody else waits in this thread
        return _failure(tool.spec.name, error)


def _failure(name: str, error: BaseException) -> str:
    if isinstance(error, ArgumentsError):
        return error_result(str(error))
    _log.warning("tool %s failed", name, exc_info=error)
    try:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:  # an exception that cannot say what it is
        text = type(error).__name__
    return error_result(text)


def _to_json(value: object) -> str:
    """A function's return value as the JSON object the service wants (reference 2.7).

    A dict or a dataclass is the object, None the empty one, all else its member `result`.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if value is None:
        value = {}
    elif not isinstance(value, dict):
        value = {"result": value}
    text = json.dumps(value, default=_json_fallback, ensure_ascii=False, allow_nan=False)
    size = len(text.encode())
    if size > RESULT_BYTES:
        raise ValueError(f"the result has {size} bytes, {RESULT_BYTES} are the limit; ask for less")
    return text


def _json_fallback(value: object) -> object:
    """What JSON has no word for; `str` of it only where its class says how it reads, as those of
    decimals, paths and UUIDs do. The model would read out `<Robot object at 0x7f...>`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    match value:
        case Enum():
            return value.value
        case date() | time():  # datetime is a date
            return value.isoformat()
        case set() | frozenset():
            return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _ if type(value).__str__ is not object.__str__ and not isinstance(value, _BINARY):
            return str(value)
        case _:
            raise TypeError(f"the result has a {type(value).__name__}, which is not JSON")
