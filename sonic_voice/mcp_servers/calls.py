"""Calls of MCP tools that may ask the user questions, and the tool by which the answers come.

The voice model asks the questions, because only it can speak: a call that asks has the question as
its result, and goes on in the background. The model then asks the user and calls `answer_question`,
whose result is the next question, or what the call was made for.

    book_table(...)            ──► {"question": "How many people?", "expected": "a whole number"}
    (the user is asked, and answers)
    answer_question("four")    ──► {"booked": true}

So each call that the service knows has exactly one result, at once, on models with silent tools and
on those that take no text. A conversation is asked one question at a time.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any
from weakref import WeakValueDictionary

from ..tools.context import ToolContext
from ..tools.json_tool import json_tool
from ..tools.toolbox import Tool
from .questions import Answer, NotUnderstoodError, Question, parse_answer

ANSWER_TOOL = "answer_question"
"""Name of the tool by which the model passes the user's answer on."""

ANSWER_S = 120.0
"""Maximum time for the answer to a question, in seconds. The call is cancelled then: the user has
gone on to something else."""

CLOSE_S = 8.0
"""Maximum time for calls and connections to end, in seconds. The package `mcp` gives a program 6 s,
and the message that cancels a call 5 s."""

GRACE_S = 2.0
"""Time by which the deadline of the toolbox is later than that of the call, in seconds, so that the
error names the server."""

_DESCRIPTION = (
    "Pass on the user's answer after the result of another tool contained a question. "
    "The result continues that tool's work."
)
_SCHEMA = {
    "type": "object",
    "properties": {
        "answer": {
            "type": "string",
            "description": "The user's answer, with numbers in digits, dates as in 2026-03-14. "
            "Empty if the user does not want to answer.",
        }
    },
    "required": ["answer"],
}
_ASK = "Ask the user this question, then call {tool} with the answer."


class McpCallError(Exception):
    """A call that has no result. The message is for the model."""


class McpCall:
    """A call of a tool, from its arguments to its result, with questions in between.

    Args:
        conversation: Id of the conversation in which the tool is called.
        limit_s: Maximum duration of the call without the time for answers, in seconds.
    """

    def __init__(self, conversation: str, limit_s: float) -> None:
        self.conversation = conversation
        self.limit_s = limit_s
        self.deadline: asyncio.Timeout | None = None
        """The deadline of the request to the server. It stands still while the user is asked."""
        self.note = ""
        """A sentence for the model about an answer that was not understood."""
        self._step: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Coroutine[Any, Any, dict[str, Any]]) -> asyncio.Task[None]:
        """Start the request to the server, and return its task.

        Args:
            work: The request. It returns the value of the result, or raises `McpCallError`.
        """
        self._task = asyncio.create_task(self._run(work), name="mcp call")
        return self._task

    async def _run(self, work: Coroutine[Any, Any, dict[str, Any]]) -> None:
        CALL.set(self)
        try:
            value = await work
        except McpCallError as error:
            value = {"error": str(error)}
        except BaseException:
            self.show({"error": "The call was ended."})
            raise
        self.show(value | {"note": self.note} if self.note else value)

    def show(self, value: dict[str, Any]) -> None:
        """Give the next step, a question or the result, to the tool that waits for it.

        Args:
            value: The object for the model.
        """
        if not self._step.done():  # it is done if the call was given up
            self._step.set_result(value)

    async def next_step(self) -> dict[str, Any]:
        """Return the next question or the result. Cancelling it cancels the call."""
        try:
            return await self._step
        finally:
            if self._step.cancelled() and self._task is not None:
                self._task.cancel()

    def expect_step(self) -> None:
        """Expect one more step, because a question was answered."""
        self._step = asyncio.get_running_loop().create_future()

    def pause(self) -> None:
        """Let the deadline stand still."""
        if self.deadline is not None:
            self.deadline.reschedule(None)

    def resume(self) -> None:
        """Let the deadline begin anew."""
        if self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + self.limit_s)


CALL: ContextVar[McpCall] = ContextVar("CALL")
"""The call whose request runs in this context."""


class McpCalls:
    """The calls of some servers' tools, and the questions that wait for answers.

    Args:
        answer_s: Maximum time for the answer to a question, in seconds.
    """

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._answer_name = ANSWER_TOOL
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[str, tuple[McpCall, asyncio.Future[str]]] = {}
        """The question that is asked in each conversation."""
        self._turns = WeakValueDictionary[str, asyncio.Lock]()
        """Locks by which the questions of one conversation wait for each other."""

    async def aclose(self) -> None:
        """Cancel the calls that still wait, and wait for their ends."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)

    async def run(
        self, call: McpCall, work: Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    ) -> dict[str, Any]:
        """Run a call, and return its result or its first question.

        Args:
            call: The call.
            work: Makes the request to the server.
        """
        task = call.start(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await call.next_step()

    async def ask(self, call: McpCall, questions: Sequence[Question]) -> dict[str, Answer] | None:
        """Have the user asked some questions, and return the answers.

        Args:
            call: The call whose server asks.
            questions: The questions, at least one.

        Returns:
            The answers by the names of their fields; None if the user declined, or an answer was
            not understood.

        Raises:
            TimeoutError: The user did not answer in time.
        """
        call.pause()
        try:
            async with self._turns.setdefault(call.conversation, asyncio.Lock()):
                return await self._ask(call, questions)
        finally:
            call.resume()

    async def _ask(self, call: McpCall, questions: Sequence[Question]) -> dict[str, Answer] | None:
        answers: dict[str, Answer] = {}
        for question in questions:
            said = await self._put(call, question)
            try:
                if not said.strip():
                    return None
                answer = parse_answer(question, said)
            except NotUnderstoodError as error:
                call.note = f"The answer was not understood ({error}), and counts as a refusal."
                return None
            if question.field:
                answers[question.field] = answer
            elif not answer:
                return None
        return answers

    async def _put(self, call: McpCall, question: Question) -> str:
        """Put a question to the user, and return the answer as the model has written it down."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open[call.conversation] = call, answer
        try:
            call.show(
                {
                    "question": question.text,
                    "expected": question.expected,
                    "what_to_do": _ASK.format(tool=self._answer_name),
                }
            )
            async with asyncio.timeout(self._answer_s):
                return await answer
        finally:
            del self._open[call.conversation]

    def answer_tool(self, name: str, limit_s: float) -> Tool[..., Any]:
        """Return the tool by which the model passes the user's answers on.

        Args:
            name: The name of the tool.
            limit_s: Maximum duration until the next question or the result, in seconds.
        """

        self._answer_name = name

        async def answer_question(arguments: dict[str, Any], context: ToolContext) -> object:
            call, answer = self._open.get(context.conversation, (None, None))
            if call is None or answer is None or answer.done():
                return {"error": "No tool waits for an answer."}
            call.expect_step()
            answer.set_result(str(arguments["answer"]))
            return await call.next_step()

        return json_tool(
            answer_question,
            name=name,
            description=_DESCRIPTION,
            schema=_SCHEMA,
            timeout_s=limit_s + GRACE_S,
        )
