"""Tools that the page carries out: declared here, implemented in the page.

    @page_tool
    async def show_product(sku: str) -> bool:
        "Show a product to the user. Returns whether there is such a product."

    Offer(config=..., tools=Toolbox([show_product]))

The signature is the declaration, and the body is never executed. The arguments of the model are
validated here before the page gets them, and by the page; the result of the page is validated
against the type hint, because a page can be changed by its user. A call waits while the page has
lost its connection, up to the timeout of the tool.
"""

import asyncio
import functools
import inspect
import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError
from ..tools.toolbox import Tool, Toolbox, tool

if TYPE_CHECKING:
    from ..tools.arguments import Parameters

MAX_CALLS = 16
"""Maximum number of calls of one page that may wait for their results at a time."""

_MARK = "__page_tool__"
"""Attribute of the functions of page tools."""


class PageToolError(Exception):
    """A call that the page did not carry out. The model is told the message."""


class PageCalls:
    """The calls of one page that wait for their results.

    Args:
        send: Sends a message to the page; it is repeated after a lost connection.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._last_id = 0

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Have the page call a tool, and return its result as JSON.

        Cancelling this abandons the call; a result that comes later is ignored.

        Args:
            name: The name of the tool.
            arguments: Its arguments, which JSON can express.

        Raises:
            PageToolError: The page has no such tool, the tool has failed, or too many calls wait.
        """
        if len(self._waiting) >= MAX_CALLS:
            raise PageToolError("The page is busy with other calls. Try again later.")
        self._last_id += 1
        id = str(self._last_id)
        answer = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            self._send({"type": "page_tool", "id": id, "name": name, "arguments": arguments})
            return await answer
        finally:
            del self._waiting[id]

    def answer(self, id: str, result_json: str, error: str) -> None:
        """Take the answer of the page to a call. One that nobody waits for is ignored.

        Args:
            id: The id of the call.
            result_json: The result as JSON; empty if the tool has failed.
            error: Why the tool has failed; empty if it has not.
        """
        waiting = self._waiting.get(id)
        if waiting is None or waiting.done():
            return
        if error:
            waiting.set_exception(PageToolError(f"The page did not do it: {error}"))
        else:
            waiting.set_result(result_json)


PAGE_CALLS: ContextVar[PageCalls] = ContextVar("PAGE_CALLS")
"""The calls of the page whose conversation runs in this context. Tasks inherit it."""


def page_tool[**P](fn: Callable[P, Awaitable[Any]]) -> Tool[P, Awaitable[Any]]:
    """Declare a tool that the page carries out.

    Args:
        fn: An async function with the parameters, the type of the result and the description. Its
            body is not executed.

    Raises:
        ConfigError: The function is not async, or a parameter or the type of the result cannot be
            described.
    """
    name = getattr(fn, "__name__", "")
    if not inspect.iscoroutinefunction(fn):
        raise ConfigError(
            f"The page tool {name!r} is not async.", hint=f"async def {name}(...): ..."
        )
    signature = inspect.signature(fn, eval_str=True)
    result = _result_reader(signature.return_annotation, name)

    @functools.wraps(fn)
    async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        calls = PAGE_CALLS.get(None)
        if calls is None:
            raise PageToolError("There is no page in this conversation.")
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = json.loads(json.dumps(bound.arguments, default=str))
        answer = await calls.call(name, arguments)
        return None if result is None else _read_result(result, answer)

    setattr(call, _MARK, True)
    return cast(Tool[P, Awaitable[Any]], tool(call))


def _result_reader(annotation: Any, name: str) -> "Parameters | None":
    """Return the validator of a result; None if a tool has none."""
    if annotation is None or annotation is type(None):
        return None
    if annotation is inspect.Signature.empty:
        raise ConfigError(
            f"The page tool {name!r} has no type hint for its result.",
            hint="Add -> None or -> str.",
        )
    from ..tools.arguments import read_parameters  # imports pydantic, for the first tool

    def stand_in(result: Any) -> None:
        del result

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameter = inspect.Parameter("result", kind, annotation=annotation)
    setattr(stand_in, "__signature__", inspect.Signature([parameter]))  # noqa: B010
    return read_parameters(stand_in, name, "")


def _read_result(reader: "Parameters", answer: str) -> Any:
    from ..tools.argument_errors import ArgumentsError

    try:
        return reader.read_json(f'{{"result": {answer}}}')["result"]
    except ArgumentsError as error:
        raise PageToolError(f"The page returned something else than declared: {error}") from error


def page_tool_specs(toolbox: Toolbox) -> list[dict[str, Any]]:
    """Return the declarations of the page tools of a toolbox, for a message to the page.

    Args:
        toolbox: The tools of the conversation.
    """
    return [
        {"name": one.spec.name, "description": one.spec.description, "schema": one.spec.schema}
        for one in toolbox.tools
        if getattr(one.fn, _MARK, False)
    ]
