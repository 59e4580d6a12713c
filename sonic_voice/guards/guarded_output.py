"""The gate between a session and its sink: it starts checks, keeps deadlines, delivers events.

    session ──► receive ──► Gate ──► deliver: observers, sink, tools
                              ▲
    check tasks, deadlines ───┘

Each check is a task of the conversation's group and ends with it. One more task waits for the next
deadline. What an event or a verdict leads to is carried out in the same step of the loop, so that
the order of the answer is kept.
"""

import asyncio
from asyncio import TaskGroup
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from ..audio.ports import AudioSink
from ..config import BYTES_PER_SAMPLE
from ..daemon_thread import start_in_thread
from ..errors import SonicError
from ..events import Audio, Closed, Event, ToolCall, UserText
from ..session import Session
from ..tool_calls import instruction
from ..tools.results import error_result
from .actions import Action, RefuseCall, StartCheck, StopCheck, Withhold
from .gate import EVENTS_HELD, Gate
from .verdicts import GuardSettings, Verdict

MAX_THREADS = 8
"""Maximum number of calls of a guard that run in threads. Calls that hang keep theirs, and further
checks then fail at once."""

REFUSED_CALL = "This request was refused by a guard. The tool was not run."
"""Error with which a tool call is answered when the words of the user were flagged."""


class GuardedOutput:
    """The gate of one conversation with its tasks.

    Args:
        settings: The guard and its settings.
        session: The session.
        sink: Where its audio is played.
        deliver: Called with each event that may be shown and played.
        notify: Called with each event that may be shown and leads to nothing else.
        tasks: The task group of the conversation, which owns the checks.
        refuse: Called with a tool call that is refused, and with the words in place of an answer to
            it. It returns whether it has answered the call, as a reasoner does. None if there is no
            reasoner.
    """

    def __init__(
        self,
        settings: GuardSettings,
        session: Session,
        sink: AudioSink,
        deliver: Callable[[Event], None],
        notify: Callable[[Event], None],
        tasks: TaskGroup,
        refuse: Callable[[ToolCall, str], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._refuse_otherwise = refuse
        self._session = session
        self._sink = sink
        self._deliver = deliver
        self._notify = notify
        self._tasks = tasks
        speaks = settings.replacing != "silence" and session.config.voice_model.text_input
        self._service_speaks = speaks and not settings.sound and bool(settings.replacement)
        self._gate = Gate(
            "" if self._service_speaks else settings.replacement,
            fails_open=settings.on_failure == "open",
            deadline_s=settings.deadline_s,
            own_words=settings.replacement,
        )
        self._checks: dict[int, asyncio.Task[None]] = {}
        self._threads: set[asyncio.Future[Any]] = set()
        self._armed_s: float | None = None
        """The deadline that the watching task waits for."""
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._to_say = False
        """True while the model is to be asked for the replacement."""
        self._watching = tasks.create_task(self._watch_deadlines(), name="guard deadlines")

    async def receive(self, event: Event) -> None:
        """Deliver an event of the session, or keep it until its verdicts are there.

        It waits while `EVENTS_HELD` events are kept. Cancelling it loses no event.

        Args:
            event: The event.
        """
        if isinstance(event, UserText):  # a replacement for an earlier answer is too late
            self._to_say = False
        self._carry_out(self._gate.receive(event, asyncio.get_running_loop().time()))
        if isinstance(event, Audio):
            self._correct_playback_end()
        while self._gate.held >= EVENTS_HELD:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Drop what is kept, and end all checks. May be called again."""
        self._carry_out(self._gate.receive(Closed(), 0.0), closing=True)
        self._watching.cancel()

    @property
    def idle(self) -> bool:
        """True if nothing waits for a verdict, and no replacement is to be spoken."""
        return not self._gate.held and not self._to_say

    def speak_replacement_if_due(self) -> None:
        """Ask the model for the replacement once both sides are silent. Called with each chunk of
        the user's audio."""
        if not self._to_say or self._gate.held or self._sink.pending_s > 0:
            return
        if self._session.settled and not self._session.finished:
            self._to_say = False
            with suppress(SonicError):  # the session may be over; the downlink raises why
                self._session.prompt(instruction(self._settings.replacement))

    # ------------------------------------------------------------------------------------------

    def _carry_out(self, actions: Sequence[Action], *, closing: bool = False) -> None:
        for action in actions:
            match action:
                case StartCheck(id):
                    self._checks[id] = self._tasks.create_task(self._check(action), name="guard")
                case StopCheck(id):
                    if (task := self._checks.pop(id, None)) is not None:
                        task.cancel()
                case Withhold():
                    self._withhold(action)
                case RefuseCall(call):
                    self._refuse(call)
                case Closed() if closing:
                    pass
                case _:
                    self._deliver(action)
        if self._gate.held < EVENTS_HELD:
            self._room.set()
        if self._gate.next_deadline_s != self._armed_s:
            self._changed.set()

    def _withhold(self, action: Withhold) -> None:
        sound = self._settings.sound if action.is_replaced else b""
        rate_hz = self._session.config.output.rate_hz
        sound_ms = 1000 * len(sound) / BYTES_PER_SAMPLE / rate_hz
        self._session.transcript.withhold(
            action.turn, action.block, action.text, action.replacement, sound_ms
        )
        if sound:
            self._deliver(Audio(action.turn, sound, rate_hz))
        elif action.is_replaced:
            self._to_say = self._service_speaks

    def _refuse(self, call: ToolCall) -> None:
        self._notify(call)
        refuse = self._refuse_otherwise
        if refuse is not None and refuse(call, self._settings.replacement):
            return
        with suppress(SonicError):  # the session may be over; the downlink raises why
            self._session.send_tool_result(call.tool_use, error_result(REFUSED_CALL))

    def _correct_playback_end(self) -> None:
        held_s = sum(
            len(audio.pcm) / BYTES_PER_SAMPLE / audio.rate_hz for audio in self._gate.held_audio
        )
        left_s = self._sink.pending_s + held_s
        self._session.set_playback_end(self._session.now() + left_s)

    async def _check(self, check: StartCheck) -> None:
        """Ask the guard, and carry out what follows from its verdict."""
        try:
            verdict = await self._judge(check)
        except Exception as error:
            actions = self._gate.fail(check.id, _sentence(error))
        else:
            actions = self._gate.decide(check.id, verdict)
        self._checks.pop(check.id, None)
        self._carry_out(actions)
        self._correct_playback_end()

    async def _judge(self, check: StartCheck) -> Verdict:
        guard: Any = self._settings.check
        if iscoroutinefunction(guard) or iscoroutinefunction(type(guard).__call__):
            verdict = await guard(check.role, check.text)
        else:
            self._threads = {call for call in self._threads if not call.done()}
            if len(self._threads) >= MAX_THREADS:
                raise TimeoutError(f"{MAX_THREADS} earlier checks are still running.")
            call = start_in_thread(partial(guard, check.role, check.text), "guard")
            call.add_done_callback(_retrieve)
            self._threads.add(call)
            # Cancelling the wait must not mark the call as done, because its thread goes on.
            verdict = await asyncio.shield(call)
            if isawaitable(verdict):
                verdict = await verdict
        if not isinstance(verdict, Verdict):
            raise TypeError(f"The guard returned {type(verdict).__name__} and no Verdict.")
        return verdict

    async def _watch_deadlines(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            due_s = self._armed_s = self._gate.next_deadline_s
            try:
                async with asyncio.timeout_at(due_s):
                    await self._changed.wait()
            except TimeoutError:
                self._carry_out(self._gate.expire(max(loop.time(), due_s or 0.0)))
                self._correct_playback_end()


def _retrieve(call: asyncio.Future[Any]) -> None:
    """Retrieve the error of a call for which nobody waits any more, so that none is logged."""
    if not call.cancelled():
        call.exception()


def _sentence(error: Exception) -> str:
    """Return an error as a sentence."""
    if isinstance(error, SonicError):
        return error.message
    return f"{type(error).__name__}: {error}".rstrip(". ") + "."
