"""converse(): a source, a session, a sink, tools, observers. The story of a conversation.

    source ──► session.send_audio                       uplink: paced by the source
    session ──► Audio ──► sink.play                     downlink: this task
            ──► Interrupted ──► sink.flush, then what was heard of it
            ──► ToolCall ──► a task ──► session.send_tool_result
            ──► every event ──► observers

The conversation ends when the source is done and everything was answered, when the source is
closed, or with the session. A source that is done delivers silence until then.

Whatever ends it, an answer that was not heard to its end is cut where playback stopped, as by an
interruption: `stop_playback`. The transcript never holds a word that nobody heard.
"""

from asyncio import TaskGroup
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from .audio.ports import AudioSink, AudioSource
from .errors import ConfigError, SonicError
from .events import Audio, Closed, Event, Interrupted, ToolCall, TurnEnded
from .session import Session
from .tools.toolbox import Toolbox

LINGER_S = 2.5
"""How long it must be quiet after a source is done before the goodbye: time for the service to
notice that the user stopped (0.3 to 2 s, reference 2.2) and to send its last FINAL texts."""

FIRST_ANSWER_S = 10.0
"""How long it must be quiet instead while the service has told of no word at all, in seconds: a
model that does not report speech may still be at work on the first turn."""

PATIENCE_S = 30.0
"""How long a done source waits for an answer that is owed, on the session's clock."""

type Observer = Callable[[Event, float], None]
"""Told each event and the session's clock when it came. Must return at once."""


async def converse(
    session: Session,
    source: AudioSource,
    sink: AudioSink,
    tools: Toolbox | None = None,
    observers: Sequence[Observer] = (),
) -> None:
    """Hold the conversation until it is over. The session must be entered; it is left finished.

    Raises `ConfigError` if source or sink are not in the session's formats, and whatever ends
    the session. Cancelling it leaves no task; leave the session for a graceful goodbye. However it
    ends, nothing waits in the sink afterwards, and the transcript is what was heard.
    """
    _check_formats(session, source, sink)
    with _unwrap_group():
        async with TaskGroup() as tasks:
            uplink = tasks.create_task(_run_uplink(session, source, sink), name="sonic uplink")
            try:
                async for event in session:
                    if isinstance(event, Closed):  # always the last that observers are told
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
    """Cut off here each answer of `session` that `sink` has not played to its end.

    The sink is silenced, the transcript cut, and `observers` are told what was heard. Repeating it
    changes nothing. `converse` does it on its way out; an owner who ends the conversation in
    another way, before `converse` knows, does it first.
    """
    cut = session.stop_playback(sink.played_ms)
    if cut:
        sink.flush()
    for heard in cut:
        _notify(observers, heard, session.now())


async def _run_uplink(session: Session, source: AudioSource, sink: AudioSink) -> None:
    """The uplink. What ends the session is told by the other direction, after what came before."""
    goodbye = _GoodbyeTimer()
    while pcm := await source.read():
        try:
            await session.send_audio(pcm)
        except SonicError:
            return
        quiet = session.settled and sink.pending_s <= 0
        if source.done:
            rest_s = LINGER_S if session.transcript.lines else FIRST_ANSWER_S
            if goodbye.is_due(source.now(), quiet, rest_s):
                break
    session.finish()


class _GoodbyeTimer:
    """When a source that is done may say goodbye."""

    def __init__(self) -> None:
        self._done_since_s: float | None = None
        self._quiet_since_s: float | None = None

    def is_due(self, now: float, quiet: bool, rest_s: float) -> bool:
        if self._done_since_s is None:
            self._done_since_s = now
        if not quiet:
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = now
        rested_s = now - self._quiet_since_s if self._quiet_since_s is not None else 0.0
        return rested_s > rest_s or now - self._done_since_s > PATIENCE_S


async def _answer_call(session: Session, tools: Toolbox, call: ToolCall) -> None:
    result_json = await tools.run(call.name, call.arguments_json)
    with suppress(SonicError):  # the session may have ended meanwhile; the reader tells why
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
