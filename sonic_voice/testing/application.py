"""The application under test, as the test kit runs it."""

from collections.abc import Awaitable, Callable, Sequence

from ..config import SessionConfig
from ..conversation import Observer, converse
from ..session import Session
from ..tools.toolbox import Toolbox
from .line import Line

type Application = Callable[[Line], Awaitable[object]]
"""The application under test: a coroutine function that holds one conversation over a line, and
returns when it is over."""


def session_application(
    config: SessionConfig,
    tools: Toolbox | None,
    observers: Sequence[Observer],
    on_session: Callable[[Session], None],
) -> Application:
    """Return an application that holds a conversation with a session and `converse`.

    Args:
        config: Configuration of the session.
        tools: The tools that the model may call.
        observers: Functions that are called with each event.
        on_session: Called with the session once it is open.
    """

    async def application(line: Line) -> None:
        async with Session.open(config, line.transport, clock=line.clock) as session:
            on_session(session)
            await converse(session, line.source, line.sink, tools, [line.observer, *observers])

    return application
