"""Questions of an MCP server to the user (elicitation), in the middle of a call.

A form is asked by voice, question by question, in the conversation to which the call belongs. What
cannot be asked so is declined, and the person who runs the program is told.
"""

from collections.abc import Callable

import mcp_types
from mcp.client.session import ClientRequestContext

from .calls import CALL, McpCall, McpCalls
from .questions import read_form


class Elicitation:
    """The questions of one server.

    Args:
        name: The name of the server.
        calls: The calls of all servers, by which questions reach the user.
        on_notice: Receives sentences for the person who runs the program.
    """

    def __init__(self, name: str, calls: McpCalls, on_notice: Callable[[str], None]) -> None:
        self._name = name
        self._calls = calls
        self._notice = on_notice
        self.running: list[McpCall] = []
        """Calls whose requests run on the server's connection."""

    async def answer(
        self, context: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult | mcp_types.ErrorData:
        """Ask the user what the server asks, and return the answer. A callback of `mcp`.

        Args:
            context: The context of the request.
            params: The question.
        """
        del context
        call = CALL.get(None) or self._asking_call()
        if call is None or isinstance(params, mcp_types.ElicitRequestURLParams):
            return self._declined("asks for something")
        questions = read_form(params.message, params.requested_schema)
        if questions is None:
            return self._declined("has a form")
        try:
            answers = await self._calls.ask(call, questions)
        except TimeoutError:
            return mcp_types.ElicitResult(action="cancel")
        if answers is None:
            return mcp_types.ElicitResult(action="decline")
        return mcp_types.ElicitResult(action="accept", content=dict(answers))

    def _declined(self, what: str) -> mcp_types.ElicitResult:
        self._notice(
            f"The MCP server {self._name} {what} that cannot be asked by voice, which was declined."
        )
        return mcp_types.ElicitResult(action="decline")

    def _asking_call(self) -> McpCall | None:
        """Return the call that a question without a call belongs to; None if that is not known.

        Servers of 2025 do not say which. The calls of one conversation have one user; those of
        several do not, and nobody may be asked the question of somebody else.
        """
        conversations = {call.conversation for call in self.running}
        return self.running[-1] if len(conversations) == 1 else None
