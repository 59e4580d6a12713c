"""Tools that come with the package. None of them is offered unless it is asked for.

    Toolbox([my_tool, end_call, current_time, transfer_tool(["billing"], connect)])

`end_call` and `transfer` say something last, which the model writes into their arguments in the
language of the conversation. The result hands it back as `speak`, which is what AWS's prompting
guide for Nova 2.5 advises for words that are to be said after a call: a model that calls a tool
says nothing in that turn (reference 8.5). The conversation ends when they were heard to their last
sample, as the sink has played it. If the user interrupts them, it goes on.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import ConfigError
from .context import ToolContext
from .declaration import Tool, tool

DAYS_AHEAD = 7
"""Number of days, today included, whose dates `current_time` returns: models read a date more
reliably than they compute it."""


@tool
async def end_call(
    context: ToolContext,
    goodbye: Annotated[str, "A short farewell, in the language of the conversation."] = "Goodbye!",
) -> dict[str, Any]:
    """End the call, once the user has said goodbye or asks to hang up."""
    context.end_after_answer()
    return {"status": "the call ends after these words", "speak": goodbye}


@tool
async def current_time(
    timezone: Annotated[
        str, "A name such as Europe/Oslo; empty for the time zone of the program."
    ] = "",
) -> dict[str, Any]:
    """Return the current time, the date, and the dates of the coming days."""
    return _time(datetime.now().astimezone(_zone(timezone)))


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; a name is like Europe/Oslo") from error


def _time(now: datetime) -> dict[str, Any]:
    days = [now + timedelta(days=days) for days in range(DAYS_AHEAD)]
    return {
        "time": f"{now:%H:%M}",
        "date": f"{now:%Y-%m-%d}",
        "weekday": f"{now:%A}",
        "timezone": str(now.tzinfo),
        "dates": {f"{day:%A}": f"{day:%Y-%m-%d}" for day in days},
    }


@dataclass(frozen=True, slots=True)
class Transfer:
    """A caller who is to be connected to somebody else."""

    destination: str
    """One of the destinations that were given to `transfer_tool`."""
    reason: str
    """The wish of the caller, in the model's words."""
    subject: str = ""
    """Name of the user, as the application has signed it in; empty if nobody has."""
    conversation: str = ""
    """Id of the conversation; empty outside a bridge."""


def transfer_tool(
    destinations: Iterable[str], connect: Callable[[Transfer], object]
) -> Tool[..., Coroutine[Any, Any, dict[str, Any]]]:
    """Return a tool with which the model passes the caller on.

    Args:
        destinations: Names of whom the caller can be passed on to, for the model.
        connect: Called in the event loop once the announcement was heard, before the conversation
            ends. It must return at once: begin a task for what takes time.

    Raises:
        ConfigError: There is no destination.
    """
    names = tuple(destinations)
    if not names:
        raise ConfigError(
            "A transfer needs a destination.", hint='transfer_tool(["billing"], connect)'
        )

    async def transfer(
        context: ToolContext, destination: str, reason: str, announcement: str
    ) -> dict[str, Any]:
        """Pass the caller on to somebody else, who can do what you cannot.

        Args:
            context: The conversation.
            destination: Whom to pass the caller on to.
            reason: What the caller wants, in a sentence.
            announcement: A sentence that tells the caller so, in the language of the conversation.
        """
        passed_on = Transfer(destination, reason, context.subject, context.conversation)
        context.end_after_answer(lambda: connect(passed_on))
        return {"status": "the caller is connected after these words", "speak": announcement}

    hints = {**inspect.get_annotations(transfer, eval_str=True), "destination": Literal[names]}
    transfer.__annotations__ = hints
    return tool(transfer)
