"""converse(): connects a session to an audio source, an audio sink, tools and observers.

    source ──► session.send_audio                       uplink: paced by the source
    session ──► Audio ──► [guard] ──► sink.play         downlink: this task
            ──► Interrupted ──► sink.flush, then Heard
            ──► every event ──► observers, and the ToolRunner, which runs tools and sends results
                        └──► the reasoner first, where the call is for it (`reasoning.expert`)

"Uplink" and "downlink" are the directions of audio. The conversation ends when the source is done
and everything was answered, when the source is closed, or with the session. A source that is done
delivers silence until then.

At every end, an answer that was not heard to its end is cut where playback stopped, as after an
interruption (`stop_playback`). The transcript therefore never contains words that were not heard.
"""

from asyncio import TaskGroup
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from .audio.ports import AudioSink, AudioSource
from .errors import ConfigError, SonicError
from .events import Audio, Closed, Event, Interrupted, TurnEnded
from .reasoning.expert import Expert, ExpertAnswers, Reasoner, expert_of
from .session import Session
from .tool_runner import ToolRunner
from .tools.results import error_result
from .tools.toolbox import Toolbox

if TYPE_CHECKING:
    from .guards.guarded_output import GuardedOutput
    from .guards.verdicts import Guard, GuardSettings

QUIET_BEFORE_GOODBYE_S = 2.5
"""Quiet time before the goodbye once the source is done, in seconds. The service needs it to notice
that the user stopped (0.3 to 2 s, reference 2.2) and to send its last FINAL texts."""

QUIET_BEFORE_FIRST_TEXT_S = 10.0
"""Quiet time before the goodbye while the service has sent no text at all, in seconds. A model that
does not report speech may still be working on the first turn."""

OWED_ANSWER_TIMEOUT_S = 30.0
"""Maximum time that a done source waits for an owed answer, in seconds of the session's clock."""

LOST_CALL = (
    "The program was restarted while this tool ran. It is not known whether it did its work."
)
"""Error with which a tool call is answered that a resumed conversation has inherited. The tool is
not run again, because it may have had its effect."""

type Observer = Callable[[Event, float], None]
"""A function that is called with each event and with the time at which it came, in seconds of the
session's clock. It must return at once."""


async def converse(
    session: Session,
    source: AudioSource,
    sink: AudioSink,
    tools: Toolbox | None = None,
    observers: Sequence[Observer] = (),
    *,
    guard: "Guard | GuardSettings | None" = None,
    reasoner: Expert | Reasoner | None = None,
) -> None:
    """Run a conversation until it is over.

    However it ends, no sound waits in the sink afterwards, and the transcript contains only what
    was heard. Cancelling it leaves no task behind; leaving the session then says goodbye.

    Args:
        session: A session that was entered. It has said its goodbye when this returns.
        source: Where the user's audio comes from. It sets the pace of the uplink.
        sink: Where the model's audio is played.
        tools: The tools that the model may call; None for none.
        observers: Functions that are called with each event.
        guard: Judges what the user said, and each sentence of an answer before it is shown and
            played; None for no guard. See `guards`.
        reasoner: What the model says, in place of its own answers; see `reasoning`. The session
            needs the tool of `reasoner_tool`.

    Raises:
        ConfigError: The format of the source or the sink is not that of the session, or it has no
            tool for the reasoner.
        SonicError: The error that ended the session.
    """
    _check_formats(session, source, sink)
    toolbox = tools or Toolbox()
    # With a reasoner the tools are its own, and not those of the session.
    declare = _ignore if reasoner else partial(_declare_tools, session, toolbox)
    with _unwrap_group(), toolbox.watched(declare):
        async with TaskGroup() as tasks:
            for call in session.resumed_calls:
                with suppress(SonicError):  # the session may be over; the loop below raises why
                    session.send_tool_result(call.tool_use, error_result(LOST_CALL))
            expert = expert_of(reasoner) if reasoner else None
            downlink = _Downlink(session, sink, toolbox, observers, tasks, expert)
            guarded = downlink.guarded_by(guard)
            uplink = tasks.create_task(
                _run_uplink(session, source, sink, guarded), name="sonic uplink"
            )
            before, session.on_audio = session.on_audio, downlink.runner.advance
            if guarded is None:
                session.on_playback = downlink.deliver
            try:
                async for event in session:
                    if isinstance(event, Closed):  # it must be the last event of the observers
                        downlink.stop(guarded)
                    if guarded is None:
                        downlink.deliver(event)
                    else:
                        await guarded.receive(event)
            finally:
                if downlink.expert is not None:
                    downlink.expert.cancel()
                session.on_audio, session.on_playback = before, None  # they refer to the session
                downlink.runner.close()
                downlink.stop(guarded)
            uplink.cancel()


class _Downlink:
    """The way of the events from the session to the observers, the sink and the tools."""

    def __init__(
        self,
        session: Session,
        sink: AudioSink,
        tools: Toolbox,
        observers: Sequence[Observer],
        tasks: TaskGroup,
        expert: Expert | None,
    ) -> None:
        self.session = session
        self.sink = sink
        self.observers = observers
        self.tasks = tasks
        # It must not refer to this object, which a reference cycle would keep.
        self.notify = partial(_notify, session, observers)
        """Calls the observers with an event."""
        self.runner = runner = ToolRunner(session, sink, tools, tasks, self.notify)
        self.expert: ExpertAnswers | None = None
        if expert is not None:
            self.expert = ExpertAnswers(expert, session, tasks, runner.run_for_reasoner)
        runner.reasoner = self.expert

    def guarded_by(self, guard: "Guard | GuardSettings | None") -> "GuardedOutput | None":
        """Return the gate before this downlink; None without a guard."""
        if guard is None:
            return None
        from .guards.guarded_output import GuardedOutput  # few conversations have a guard
        from .guards.verdicts import guard_settings

        settings, session, sink = guard_settings(guard), self.session, self.sink
        refuse = None if self.expert is None else self.expert.refuse
        return GuardedOutput(settings, session, sink, self.deliver, self.notify, self.tasks, refuse)

    def deliver(self, event: Event) -> None:
        """Call the observers with an event, and do what it asks for."""
        session, sink = self.session, self.sink
        self.notify(event)
        if isinstance(event, Audio):  # most events
            sink.play(event.turn, event.pcm)
            self.runner.observe(event)
            return
        taken = self.expert is not None and self.expert.observe(event)
        match event:
            case Interrupted(turn):
                sink.flush()
                self.notify(session.heard(turn, sink.played_ms(turn)))
            case TurnEnded():
                session.transcript.follow_playback(sink.played_ms)
            case _:
                pass
        if not taken:
            self.runner.observe(event)

    def stop(self, guarded: "GuardedOutput | None") -> None:
        """Drop what waits for the guard, and cut the answers where playback has come to."""
        if guarded is not None:
            guarded.close()
        stop_playback(self.session, self.sink, self.observers)


def stop_playback(session: Session, sink: AudioSink, observers: Sequence[Observer]) -> None:
    """Cut off each answer of a session that its sink has not played to its end.

    The sink is emptied, the transcript is cut, and the observers receive a `Heard` event for each
    answer. Repeating it changes nothing. `converse` calls this when it ends. An owner that ends the
    conversation in another way calls it first.

    Args:
        session: The session.
        sink: Where its audio is played.
        observers: Functions that are called with each `Heard` event.
    """
    cut = session.stop_playback(sink.played_ms)
    if cut:
        sink.flush()
    for heard in cut:
        _notify(session, observers, heard)


async def _run_uplink(
    session: Session, source: AudioSource, sink: AudioSink, guarded: "GuardedOutput | None"
) -> None:
    """Send the source's audio until the conversation is over, then say goodbye.

    An error of the session is not raised here: the downlink raises it, after all earlier events.
    """
    goodbye = _GoodbyeTimer()
    while pcm := await source.read():
        try:
            await session.send_audio(pcm)
        except SonicError:
            return
        if guarded is not None:
            guarded.speak_replacement_if_due()
        # A source that is done delivers silence, so that the service goes on measuring time.
        if source.done:
            quiet = session.settled and sink.pending_s <= 0 and (guarded is None or guarded.idle)
            rest_s = (
                QUIET_BEFORE_GOODBYE_S if session.transcript.lines else QUIET_BEFORE_FIRST_TEXT_S
            )
            if goodbye.is_due(source.now(), quiet, rest_s):
                break
    session.finish()


class _GoodbyeTimer:
    """A timer that decides when to say goodbye after the source is done."""

    def __init__(self) -> None:
        self._done_since_s: float | None = None
        self._quiet_since_s: float | None = None

    def is_due(self, now: float, quiet: bool, rest_s: float) -> bool:
        """Return whether the goodbye is due. To be called only once the source is done.

        Args:
            now: Time of the source, in monotonic seconds.
            quiet: Whether the session is settled and the sink has nothing left to play.
            rest_s: How long it must have been quiet, in seconds.
        """
        if self._done_since_s is None:
            self._done_since_s = now
        if not quiet:
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = now
        rested_s = now - self._quiet_since_s if self._quiet_since_s is not None else 0.0
        return rested_s > rest_s or now - self._done_since_s > OWED_ANSWER_TIMEOUT_S


def _declare_tools(session: Session, tools: Toolbox) -> None:
    """Declare the tools anew, because some were replaced: that takes another stream."""
    with suppress(SonicError):  # the session is over, or its configuration needs an old tool
        session.update(tools=tools.specs)


def _ignore() -> None:
    """Leave the tools of the session as they are."""


def _notify(session: Session, observers: Sequence[Observer], event: Event) -> None:
    now = session.now()
    for observe in observers:
        observe(event, now)


def _check_formats(session: Session, source: AudioSource, sink: AudioSink) -> None:
    config = session.config
    for name, has, wants in (
        ("source", source.format, config.input),
        ("sink", sink.format, config.output),
    ):
        if has != wants:
            raise ConfigError(
                f"The {name} has {has.rate_hz} Hz and the session {wants.rate_hz} Hz.",
                hint="Build both with the same AudioFormat.",
            )


@contextmanager
def _unwrap_group() -> Generator[None]:
    """Raise the error that ended the task group, instead of a group of one."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = cast(Any, first).exceptions[0]
        raise first from first.__cause__
