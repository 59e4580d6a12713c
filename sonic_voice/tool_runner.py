"""ToolRunner: runs the tools of a conversation, and carries out what `tool_calls` decides.

    ToolCall ──► a task: Toolbox.run ──► ToolCalls.returned ─┐
    audio, events ──────────────────────► ToolCalls.due ─────┴──► Session.send_tool_result
                                                             └──► Session.prompt
    ToolContext ──► say, progress, end_after_answer

    a call of a reasoner ──► run_for_reasoner: a task ──► its result, for the reasoner
                                 └──► ToolCall and ToolAnswered, for the observers

`converse` gives it each event and each chunk of audio. What is due is decided then: no timer runs,
because the time of a conversation is that of its audio.

A call has one task, which ends with the result of the call, whatever happens to its tool. The
runner also ends the conversation for a tool that asks for it, once the answer to its call was
heard: all its sound has come, and the sink has played it to its last sample.
"""

import asyncio
import logging
import threading
from asyncio import TaskGroup
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .audio.ports import AudioSink
from .catalog import EXPERT_TOOL
from .errors import SonicError
from .events import (
    Audio,
    Closed,
    Ended,
    Event,
    Interrupted,
    PictureShown,
    Renewed,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    ToolProgress,
    TurnEnded,
    UserText,
)
from .history import Message
from .pictures import checked_picture
from .reasoning.expert import ExpertAnswers
from .session import Session
from .tool_calls import SendResult, SendText, ToolCalls, instruction
from .tools.results import cancelled_result, error_result, silent_result
from .tools.toolbox import Toolbox

LAST_ANSWER_S = 10.0
"""Maximum time until the answer to the last call begins, in seconds, before a conversation is ended
without it. A model may have said its goodbye before it made the call."""

THREAD_PATIENCE_S = 5.0
"""Maximum time that a tool in a thread waits for the event loop to say or return something, in
seconds."""

REPORT_CHARACTERS = 500
"""Maximum length of a report of a tool as an event, in characters; more are cut."""

REPORT_EVERY_S = 0.2
"""Mean time between two reports of a call as events, in seconds. A server may report each percent,
and a page keeps up with its messages."""

REPORT_BURST = 10
"""Number of reports of a call that may come at once."""

_log = logging.getLogger(__name__)


class ToolRunner:
    """The tools of one conversation while it runs. Implements `tools.context.ToolConversation`.

    It belongs to the event loop in which it is made; the methods for tools may be called from any
    thread.

    Args:
        session: The session.
        sink: Where its audio is played.
        tools: The tools that the model may call.
        tasks: The group in which the calls run.
        notify: Called with the events of the runner itself.
    """

    def __init__(
        self,
        session: Session,
        sink: AudioSink,
        tools: Toolbox,
        tasks: TaskGroup,
        notify: Callable[[Event], None],
    ) -> None:
        model = session.config.voice_model
        self._says_sentences = any(tool.name == EXPERT_TOOL for tool in session.config.tools)
        """True if the model says what a reasoner sends it, and nothing while the reasoner works."""
        self._calls = ToolCalls(
            silent_tools=model.silent_tools or self._says_sentences, text_input=model.text_input
        )
        self.reasoner: ExpertAnswers | None = None
        """The answers of the reasoner whose tools are run, too; None without one."""
        self._session = session
        self._sink = sink
        self._tools = tools
        self._group = tasks
        self._notify = notify
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        """Tasks of the running calls, by the ids of the calls."""
        self._running: dict[str, _Running] = {}
        """The running calls, by their ids."""
        self._cancelled: set[str] = set()
        """Ids of running calls that a barge-in has cancelled."""
        self._ending: _Ending | None = None
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def observe(self, event: Event) -> None:
        """Take an event of the session, after it was carried out.

        Args:
            event: The event.
        """
        match event:
            case ToolCall():
                self._call(event)
            case Interrupted() | UserText():
                self._ending = None
                for tool_use in self._calls.interrupted():
                    self._cancelled.add(tool_use)
                    self._tasks[tool_use].cancel()
            case Audio() if self._ending is not None:
                self._ending.note_sound()
            case TurnEnded():
                self._calls.answered()
            case Renewed():
                self._calls.renewed()
            case Closed() | Ended():  # the last event of the observers
                self._over = True
            case _:
                pass
        self.advance()

    def advance(self) -> None:
        """Send what is due. To be called whenever time has passed."""
        if self._ending is None and self._calls.is_idle:
            return
        session = self._session
        if self._over or session.finished:
            return
        if self._ending is not None and self._answer_was_heard(self._ending):
            self._end(self._ending)
        now = session.now()
        quiet = self._calls.needs_quiet(now) and self._is_quiet
        for action in self._calls.due(now, quiet=quiet, lost=session.lost_calls):
            # The session may have ended meanwhile; its owner learns why when it reads events.
            with suppress(SonicError):
                match action:
                    case SendText(words, acknowledged):
                        if self.reasoner is not None and self.reasoner.speaks:
                            self.reasoner.say(words)
                        else:
                            session.prompt(instruction(words))
                        if acknowledged is not None:
                            self._report(acknowledged, words)
                    case SendResult(tool_use, result_json, is_spoken):
                        result = result_json if is_spoken else silent_result(result_json)
                        session.send_tool_result(tool_use, result, is_spoken=is_spoken)

    def close(self) -> None:
        """Send nothing more: the conversation is over. Tools that still run find themselves
        cancelled."""
        self._over = True
        self.reasoner = None  # which refers to this object

    async def run_for_reasoner(
        self, call: ToolCall, tools: Toolbox, *, is_acknowledged: bool = False
    ) -> str:
        """Run a call that the reasoner has made.

        The observers receive the call, and exactly one result. Cancelling it cancels the call.

        Args:
            call: The call, with an id that is unique in the conversation.
            tools: The tools of the reasoner.
            is_acknowledged: Whether the reasoner has just said something.

        Returns:
            The result, a JSON object as a string.
        """
        self._notify(call)
        policy, now = tools.policy(call.name), self._session.now()
        self._calls.called(call.tool_use, policy, now, is_acknowledged=is_acknowledged)
        name = f"sonic tool {call.name}"
        task = self._group.create_task(self._result_of(call, tools), name=name)
        self._tasks[call.tool_use] = task
        self._running[call.tool_use] = _Running(call)
        result_json = cancelled_result()
        try:
            await asyncio.wait({task})
            if not task.cancelled():
                result_json = task.result()
            return result_json
        finally:
            task.cancel()
            del self._tasks[call.tool_use], self._running[call.tool_use]
            self._cancelled.discard(call.tool_use)
            self._calls.forget(call.tool_use)
            if not self._over:
                answered = ToolAnswered(
                    call.turn, call.tool_use, call.name, result_json, by_reasoner=True
                )
                self._notify(answered)

    # -- calls ---------------------------------------------------------------------------------

    def _call(self, call: ToolCall) -> None:
        policy = self._tools.policy(call.name)
        if self._calls.called(call.tool_use, policy, self._session.now()):
            task = self._group.create_task(self._run(call), name=f"sonic tool {call.name}")
            self._tasks[call.tool_use] = task
            self._running[call.tool_use] = _Running(call)
            # A task that is cancelled before its first step runs nothing of its coroutine.
            task.add_done_callback(lambda task: self._ended(call, cancelled=task.cancelled()))

    async def _run(self, call: ToolCall) -> None:
        """Run a call of the model, and note its result."""
        result_json = await self._result_of(call, self._tools)
        self._calls.returned(call.tool_use, result_json, self._session.now())

    async def _result_of(self, call: ToolCall, tools: Toolbox) -> str:
        """Run a call, and return its result, also if the toolbox fails."""
        try:
            bound = tools.for_call(call.turn, call.tool_use, self)
            return await bound.run(call.name, call.arguments_json)
        except Exception:
            _log.exception("the call of %s failed", call.name)
            return error_result(f"{call.name} failed.")

    def _ended(self, call: ToolCall, *, cancelled: bool) -> None:
        """Send the result of a call that has ended, or report that it waits."""
        del self._tasks[call.tool_use], self._running[call.tool_use]
        if self._over or (cancelled and call.tool_use not in self._cancelled):
            return  # the conversation has ended, or ends
        self._cancelled.discard(call.tool_use)
        self._calls.returned(
            call.tool_use, cancelled_result(), self._session.now()
        )  # if it has none
        self.advance()
        if self._calls.is_held(call.tool_use):
            self._notify(ToolHeld(call.turn, call.tool_use, call.name))

    # -- the end -------------------------------------------------------------------------------

    @property
    def _is_played(self) -> bool:
        return self._sink.pending_s <= 0

    @property
    def _is_quiet(self) -> bool:
        """True if the model can be asked to say something, without interrupting anybody."""
        if not (self._session.nobody_speaks and self._is_played):
            return False
        if not self._says_sentences or (self.reasoner is not None and self.reasoner.speaks):
            return True
        return not self._session.owes_answer  # a text would end the call that is to be answered

    def _answer_was_heard(self, ending: "_Ending") -> bool:
        """Return whether the answer to the call that ends the conversation was heard."""
        if self._calls.is_running(ending.tool_use) or self._calls.is_held(ending.tool_use):
            return False
        now = self._session.now()
        thinks = self.reasoner is not None and self.reasoner.is_answering
        if ending.answer_by_s is None or thinks:
            ending.answer_by_s = now + LAST_ANSWER_S
        if thinks:  # more may be said
            return False
        if ending.sounded:
            return self._session.settled and self._is_played
        return now >= ending.answer_by_s and self._is_played

    def _end(self, ending: "_Ending") -> None:
        self._ending = None
        if ending.then is not None:
            try:
                ending.then()
            except Exception:
                _log.exception("a tool failed at the end of the conversation")
        self._session.finish()

    # -- for tools, in any thread --------------------------------------------------------------

    def transcript(self) -> tuple[Message, ...]:
        """See `ToolConversation`."""
        return self._in_loop(lambda: self._session.transcript.messages, ())

    def say(self, text: str) -> bool:
        """See `ToolConversation`."""
        return self._in_loop(lambda: not self._over and self._calls.say(text), False)

    def progress(self, tool_use: str, text: str) -> None:
        """See `ToolConversation`."""

        def note() -> None:
            self._calls.progress(tool_use, text)
            self._report(tool_use, text)

        self._in_loop(note, None)

    def show(self, tool_use: str, data: bytes, alt: str) -> bool:
        """See `ToolConversation`."""
        kind, words = checked_picture(data, alt)

        def show() -> bool:
            running = self._running.get(tool_use)
            if self._over or running is None:
                return False
            call = running.call
            self._notify(PictureShown(call.turn, tool_use, call.name, words, kind, data))
            return True

        return self._in_loop(show, False)

    def _report(self, tool_use: str, text: str) -> None:
        """Report words of a running tool; nothing of one that has ended or reports too often."""
        running, words = self._running.get(tool_use), " ".join(text.split())[:REPORT_CHARACTERS]
        if self._over or running is None or not words:
            return
        if running.may_report(self._session.now()):
            call = running.call
            self._notify(ToolProgress(call.turn, tool_use, call.name, words))

    def is_cancelled(self, tool_use: str) -> bool:
        """See `ToolConversation`."""
        return self._over or tool_use in self._cancelled or tool_use not in self._tasks

    def end_after_answer(self, tool_use: str, then: Callable[[], object] | None) -> None:
        """See `ToolConversation`."""

        def begin() -> None:
            self._ending = _Ending(tool_use, then)

        self._in_loop(begin, None)

    def _in_loop[T](self, act: Callable[[], T], otherwise: T) -> T:
        """Return what a function returns in the event loop; `otherwise` if the loop is over."""
        if threading.get_ident() == self._thread:
            return act()
        done: Future[T] = Future()

        def work() -> None:
            try:
                done.set_result(act())
            except Exception as error:
                done.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(work)
            return done.result(THREAD_PATIENCE_S)
        except (RuntimeError, TimeoutError):
            return otherwise


@dataclass(slots=True)
class _Running:
    """A running call, and how often it has reported."""

    call: ToolCall
    reported_until_s: float = 0.0
    """Time that its reports have used up, in seconds of the session's clock."""

    def may_report(self, now: float) -> bool:
        """Return whether a report is not one too many, and count it."""
        until_s = max(self.reported_until_s, now) + REPORT_EVERY_S
        if until_s - now > REPORT_BURST * REPORT_EVERY_S + REPORT_EVERY_S / 2:
            return False
        self.reported_until_s = until_s
        return True


@dataclass(slots=True)
class _Ending:
    """The end of the conversation that a tool has asked for."""

    tool_use: str
    """Id of its call."""
    then: Callable[[], object] | None
    """The function that is called before the goodbye."""
    answer_by_s: float | None = None
    """Time by which the answer must have begun, in seconds of the session's clock; None until the
    result was sent."""
    sounded: bool = False
    """True once the answer has sound."""

    def note_sound(self) -> None:
        """Note sound. What comes before the result was sent belongs to no answer to it."""
        self.sounded = self.answer_by_s is not None
