"""Answers of a reasoner in a conversation: the model hears and speaks, the reasoner thinks.

    ToolCall of ExpertTool ──► messages ──► reasoner ──► sentence ──► session.send_result_sentence
                                                     └► end, error or timeout ──► session.end_result

Speech starts with the first sentence. A barge-in cancels the reasoner: it is a new call, or the
interruption of the turn that the call belongs to. A block that was opened is closed; one that
would be empty is never opened (reference 8.6). When the reasoner fails, takes too long or says
nothing, a fallback sentence is spoken.

A text of ours that has the model say some words (`tool_calls.instruction`) comes back as a call,
too. It is answered with these words, and the reasoner is not asked.

A call of an earlier turn may come late, because a guard holds it back until the words of its turn
are judged. It is not answered any more.

A reasoner's own tools are run by the conversation (`ToolUser`): its observers see each call with
its one result, and the tools have their `ToolContext`.

A model without `ExpertTool` calls the ordinary tool `ask_expert`, which gets one result: all
sentences together, or an error, or that the call was cancelled.

Source: protocol reference 8.6.
"""

import asyncio
import logging
from asyncio import TaskGroup
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..catalog import EXPERT_TOOL
from ..errors import ConfigError, SonicError
from ..events import Event, Interrupted, Reconnecting, Renewed, ToolCall
from ..history import Message
from ..session import Session
from ..tool_calls import instructed_words
from ..tools.results import cancelled_result, error_result, result_json
from ..tools.toolbox import RunTool, Toolbox
from .expert_tool import expert_messages, question_messages, reasoner_tool

_log = logging.getLogger(__name__)

FALLBACK = "Sorry, I cannot answer that right now."
"""Sentence that is spoken when the reasoner gives none."""

BROKEN_OFF = "Sorry, the rest of my answer did not come."
"""Sentence that is spoken when the reasoner fails after its first sentence."""

FIRST_SENTENCE_S = 25.0
"""Maximum time to the first sentence, in seconds: a request that is refused at its timeout (20 s)
still names its reason."""

NEXT_SENTENCE_S = 25.0
"""Maximum time from one sentence to the next, in seconds; tools may run in between (20 s each)."""

MAX_SENTENCES = 200
"""Maximum number of sentences of an answer. More than can be spoken in a stream's eight minutes
come from a reasoner that found no end."""

type Reasoner = Callable[[Sequence[Message]], AsyncGenerator[str]]
"""A function that takes the conversation so far, the words to answer last, and yields the sentences
of an answer as they are ready. It is cancelled when the user interrupts, and must then end."""


class RunToolCall(Protocol):
    """A function that runs a call of a reasoner."""

    def __call__(self, call: ToolCall, tools: Toolbox, *, is_acknowledged: bool) -> Awaitable[str]:
        """Run a call, and return its result.

        Args:
            call: The call, with an id that is unique in the conversation.
            tools: The tools of the reasoner.
            is_acknowledged: Whether the reasoner has just said something.
        """
        ...


@runtime_checkable
class ToolUser(Protocol):
    """A reasoner that calls tools of its own, as `ModelReasoner` does."""

    def __call__(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """See `Reasoner`."""
        ...

    def with_tools_run_by(self, run: RunTool) -> Reasoner:
        """Return the same reasoner, whose tools are run by a function.

        Args:
            run: The function.
        """
        ...


@dataclass(frozen=True, slots=True)
class Expert:
    """A reasoner, and how long it may take."""

    reasoner: Reasoner
    fallback: str = FALLBACK
    """Sentence that is spoken when the reasoner fails, takes too long, or says nothing."""
    broken_off: str = BROKEN_OFF
    """Sentence that is spoken when it fails after its first sentence."""
    first_s: float = FIRST_SENTENCE_S
    """Maximum time to the first sentence, in seconds."""
    next_s: float = NEXT_SENTENCE_S
    """Maximum time from one sentence to the next, in seconds."""
    on_notice: Callable[[str], None] | None = None
    """Receiver of messages for the person who runs the program, such as why there was no answer;
    None for the log alone."""

    def __post_init__(self) -> None:
        if not self.fallback.strip() or not self.broken_off.strip():
            raise ConfigError("The fallback sentences of a reasoner must not be blank.")


class ExpertAnswers:
    """The answers of a reasoner in one conversation. At most one is in progress.

    Args:
        expert: The reasoner.
        session: The session, whose tools have that of `reasoner_tool`.
        tasks: Owns the tasks that ask the reasoner.
        run_tool: Runs a call that a reasoner with tools has made, and returns its result; None
            lets the reasoner run it.

    Raises:
        ConfigError: The session does not have the tool.
    """

    def __init__(
        self,
        expert: Expert,
        session: Session,
        tasks: TaskGroup,
        run_tool: "RunToolCall | None" = None,
    ) -> None:
        needed = reasoner_tool(session.config.model).name
        if not any(tool.name == needed for tool in session.config.tools):
            raise ConfigError(
                f"The session has a reasoner and no tool {needed}.",
                hint="Add reasoner_tool(model) to SessionConfig.tools.",
            )
        self._expert = expert
        self._session = session
        self._tasks = tasks
        self._run_tool = run_tool
        self._name = needed
        self._call: ToolCall | None = None
        self._task: asyncio.Task[None] | None = None
        self._first_turn = 0
        """Number of the first turn whose calls are answered: the user has gone on from all before.
        """
        self._tools_run = 0
        """Number of the tool calls that the reasoner has made."""
        self._has_spoken = False
        """True if the answer in progress has a sentence since its last tool call."""

    def observe(self, event: Event) -> bool:
        """Answer a call that is for the reasoner, and cancel an answer that is not wanted any more.

        Args:
            event: An event of the session.

        Returns:
            True for a call of the reasoner's tool, which nobody else may answer.
        """
        match event:
            case ToolCall(name=name) if name == self._name:
                self._answer(event)
                return True
            case Interrupted(turn):
                self._first_turn = max(self._first_turn, turn + 1)
                if self._call is not None and self._call.turn <= turn:
                    self.cancel()
            case Renewed() | Reconnecting() if self._name == EXPERT_TOOL:
                self.cancel()  # the next stream asks again, if the answer is still owed
            case _:
                pass
        return False

    @property
    def is_answering(self) -> bool:
        """True while the reasoner is asked, or its sentences come."""
        return self._task is not None and not self._task.done()

    @property
    def speaks(self) -> bool:
        """True if words can be said within the answer in progress (`say`)."""
        return self.is_answering and self._name == EXPERT_TOOL

    def say(self, words: str) -> None:
        """Say something within the answer in progress, as its next sentence.

        Args:
            words: The words that the user is to hear.
        """
        if self.speaks and self._call is not None:
            with suppress(SonicError):  # its stream, or the session, is over
                self._session.send_result_sentence(self._call.tool_use, words)

    def refuse(self, call: ToolCall, words: str) -> bool:
        """Answer a call without the reasoner, because a guard has flagged the words of the user.

        Args:
            call: The call.
            words: The words in place of an answer; empty for none. A call of `ExpertTool` then gets
                the fallback sentence, which the guard withholds: its answer must not be empty.

        Returns:
            False if the call was not answered: it is not for the reasoner, or needs an error.
        """
        if call.name != self._name:
            return False
        if self._is_late(call):
            self._end(call)
            return True
        self.cancel()
        if call.name != EXPERT_TOOL:
            return False
        self._speak_only(call, words or self._expert.fallback)
        return True

    def _is_late(self, call: ToolCall) -> bool:
        """Return whether the user has gone on since a call was made."""
        is_late = call.turn < self._first_turn
        self._first_turn = max(self._first_turn, call.turn)
        return is_late

    def _answer(self, call: ToolCall) -> None:
        """Begin to answer a call, in place of the one before."""
        if self._is_late(call):
            self._end(call)
            return
        if call.name == EXPERT_TOOL:
            messages, work = expert_messages(call.arguments_json), self._speak
        else:
            messages = question_messages(self._said(), call.arguments_json)
            work = self._collect
        words = instructed_words(messages[-1].text) if messages else ""
        if words and call.name != EXPERT_TOOL:  # the answer before goes on
            with suppress(SonicError):
                self._session.send_tool_result(call.tool_use, result_json({"answer": words}))
            return
        self.cancel()
        if words:
            self._speak_only(call, words)
        elif any(message.role == "USER" for message in messages):
            self._call, self._has_spoken = call, False
            self._task = self._tasks.create_task(work(call, messages), name="sonic reasoner")
        else:
            self._end(call)  # there is nothing to answer

    def cancel(self) -> None:
        """Cancel the answer in progress, if there is one, and close its block."""
        call, task = self._call, self._task
        self._call = self._task = None
        if call is None or task is None or task.done():
            return
        task.cancel()
        self._end(call)

    def _end(self, call: ToolCall) -> None:
        """End the result of a call that gets no more sentences."""
        with suppress(SonicError):  # its stream, or the session, is over
            if call.name == EXPERT_TOOL:
                self._session.end_result(call.tool_use)
            else:
                self._session.send_tool_result(call.tool_use, cancelled_result())

    def _speak_only(self, call: ToolCall, words: str) -> None:
        """Answer a call of `ExpertTool` with words that need no reasoner."""
        with suppress(SonicError):  # its stream, or the session, is over
            self._session.send_result_sentence(call.tool_use, words)
            self._session.end_result(call.tool_use)

    def _said(self) -> list[Message]:
        """Return the conversation so far, as it was heard."""
        return [
            Message("USER" if line.role == "USER" else "ASSISTANT", line.text)
            for line in self._session.transcript.lines
            if line.text
        ]

    async def _speak(self, call: ToolCall, messages: Sequence[Message]) -> None:
        """Send each sentence as it comes, then the end of the result."""
        try:
            async with aclosing(self._sentences(call, messages)) as sentences:
                async for sentence in sentences:
                    self._has_spoken = True
                    self._session.send_result_sentence(call.tool_use, sentence)
            self._session.end_result(call.tool_use)
        except SonicError as error:  # the call, its stream or the session is over
            _log.debug("the answer to %s was given up: %s", call.tool_use, error)

    async def _collect(self, call: ToolCall, messages: Sequence[Message]) -> None:
        """Send all sentences as the one result of an ordinary tool."""
        sentences = [sentence async for sentence in self._sentences(call, messages)]
        failed = sentences == [self._expert.fallback]
        result = error_result(self._expert.fallback) if failed else None
        with suppress(SonicError):
            self._session.send_tool_result(
                call.tool_use, result or result_json({"answer": " ".join(sentences)})
            )

    def _reasoner_for(self, call: ToolCall) -> Reasoner:
        """Return the reasoner; its tools, if it has some, are run by the conversation."""
        reasoner = self._expert.reasoner
        run_tool = self._run_tool
        if run_tool is None or not isinstance(reasoner, ToolUser):
            return reasoner

        async def run(tools: Toolbox, name: str, arguments_json: str) -> str:
            # Ids of text models are not unique within a conversation.
            self._tools_run += 1
            tool_use = f"{call.tool_use}/{self._tools_run}"
            made = ToolCall(call.turn, tool_use, name, arguments_json, by_reasoner=True)
            result = await run_tool(made, tools, is_acknowledged=self._has_spoken)
            self._has_spoken = False
            return result

        return reasoner.with_tools_run_by(run)

    async def _sentences(self, call: ToolCall, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Yield the sentences of the reasoner, and a fallback if it fails: at least one."""
        expert, said = self._expert, 0
        limit_s, problem = expert.first_s, "said nothing"
        sentences = self._reasoner_for(call)(messages)
        try:
            while said < MAX_SENTENCES:
                async with asyncio.timeout(limit_s):
                    sentence = await anext(sentences, None)
                if sentence is None:
                    problem = "" if said else problem
                    break
                if sentence.strip():
                    said, limit_s = said + 1, expert.next_s
                    yield sentence.strip()
            else:
                problem = f"found no end within {MAX_SENTENCES} sentences"
        except TimeoutError:
            problem = f"said nothing for {limit_s:g} s"
        except Exception as error:  # any failure of a reasoner is told to the user
            _log.debug("the reasoner failed", exc_info=error)
            problem = f"failed: {str(error) or type(error).__name__}"
        finally:
            await sentences.aclose()
        if problem:
            self._report(problem)
            yield expert.broken_off if said else expert.fallback

    def _report(self, problem: str) -> None:
        _log.warning("the reasoner %s", problem)
        if self._expert.on_notice is not None:
            self._expert.on_notice(f"The reasoner {problem}".rstrip(".") + ".")


def expert_of(reasoner: Expert | Reasoner) -> Expert:
    """Return a reasoner with its settings: the usual ones for a plain function.

    Args:
        reasoner: The reasoner, with or without settings.
    """
    return reasoner if isinstance(reasoner, Expert) else Expert(reasoner)
