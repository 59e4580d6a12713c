"""converse(): connects a session to an audio source, an audio sink, tools and observers.

    source ──► session.send_audio                       uplink: paced by the source
    session ──► Audio ──► sink.play                     downlink: this task
            ──► Interrupted ──► sink.flush, then Heard
            ──► ToolCall ──► a task ──► session.send_tool_result
            ──► every event ──► observers

"Uplink" and "downlink" are the directions of audio. The conversation ends when the source is done
and everything was answered, when the source is closed, or with the session. A source that is done
delivers silence until then.

At every end, an answer that was not heard to its end is cut where playback stopped, as after an
interruption (`stop_playback`). The transcript therefore never contains words that were not heard.
"""

from asyncio import TaskGroup
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from .audio.ports import AudioSink, AudioSource
from .errors import ConfigError, SonicError
from .events import Audio, Closed, Event, Interrupted, ToolCall, TurnEnded
from .session import Session
from .tools.toolbox import Toolbox, error_result

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

    Raises:
        ConfigError: The format of the source or the sink is not that of the session.
        SonicError: The error that ended the session.
    """
    _check_formats(session, source, sink)
    with _unwrap_group():
        async with TaskGroup() as tasks:
            for call in session.resumed_calls:
                with suppress(SonicError):  # the session may be over; the loop below raises why
                    session.send_tool_result(call.tool_use, error_result(LOST_CALL))
            uplink = tasks.create_task(_run_uplink(session, source, sink), name="sonic uplink")
            try:
                async for event in session:
                    if isinstance(event, Closed):  # it must be the last event of the observers
                        stop_playback(session, sink, observers)
                    _notify(observers, event, session.now())
                    match event:
                        case Audio(turn, pcm):
                            sink.play(turn, pcm)
                        case Interrupted(turn):
                            sink.flush()
                            heard = session.heard(turn, sink.played_ms(turn))
                            _notify(observers, heard, session.now())
                        case TurnEnded():
                            session.transcript.follow_playback(sink.played_ms)
                        case ToolCall():
                            tasks.create_task(_answer_call(session, tools or Toolbox(), event))
                        case _:
                            pass
            finally:
                stop_playback(session, sink, observers)
            uplink.cancel()


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
        _notify(observers, heard, session.now())


async def _run_uplink(session: Session, source: AudioSource, sink: AudioSink) -> None:
    """Send the source's audio until the conversation is over, then say goodbye.

    An error of the session is not raised here: the downlink raises it, after all earlier events.
    """
    goodbye = _GoodbyeTimer()
    while pcm := await source.read():
        try:
            await session.send_audio(pcm)
        except SonicError:
            return
        quiet = session.settled and sink.pending_s <= 0
        # A source that is done delivers silence, so that the service goes on measuring time.
        if source.done:
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


async def _answer_call(session: Session, tools: Toolbox, call: ToolCall) -> None:
    result_json = await tools.run(call.name, call.arguments_json)
    with suppress(SonicError):  # the session may have ended meanwhile; the downlink raises why
        session.send_tool_result(call.tool_use, result_json)


def _notify(observers: Sequence[Observer], event: Event, now: float) -> None:
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
