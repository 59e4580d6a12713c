"""A conversation held again: the user of a tape against another service, or against the tape.

tape ──► recorded_user ──► TapeSource, RecordedTools ─┐
                                                      ├─► converse ──► Session ──► transport
tape ──► Replay, or a real service, or an emulator ───┘
"""

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..audio.ports import AudioSink, NullSink
from ..catalog import EXPERT_TOOL
from ..config import SessionConfig
from ..conversation import Observer, converse
from ..errors import SonicError
from ..events import Event
from ..session import Session
from ..tools.toolbox import Toolbox
from ..transport import Transport
from ..virtual_time import run_in_virtual_time
from .recorded_config import recorded_config
from .recorded_user import RecordedUser, closed_s, recorded_user, said_goodbye
from .recorder import Recorder
from .records import Received, SessionEvent, Tape
from .replay import Replay
from .tape_source import RecordedReasoner, RecordedTools, TapeSource


@dataclass(slots=True)
class Rerun:
    """The outcome of a conversation that was held again."""

    events: list[tuple[float, Event]] = field(default_factory=list[tuple[float, Event]])
    """The events, each with its time in seconds of the audio."""
    error: SonicError | None = None
    """The error that ended it; None for a good end."""

    def __call__(self, event: Event, now: float) -> None:
        """Keep an event. An observer.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        self.events.append((now, event))


async def hold_again(
    user: RecordedUser,
    config: SessionConfig,
    transport: Transport,
    *,
    tools: Toolbox | None = None,
    speed: float | None = 1.0,
    hangs_up: bool = False,
    early_audio: bool = True,
    record: Path | None = None,
    observers: Sequence[Observer] = (),
) -> Rerun:
    """Hold the conversation of a tape's user with a service.

    Args:
        user: The user's side of the tape.
        config: The configuration of the session.
        transport: Opens the streams.
        tools: The tools; None for the results of the tape.
        speed: How many times faster than real time the user speaks; None for the times of the
            tape.
        hangs_up: Whether the conversation ends with the user's audio, as on the tape.
        early_audio: Whether the session reports its opening (see `Session.open`).
        record: File for a tape of the new conversation; None for none.
        observers: Functions that are called with each event.

    Returns:
        What happened, also if an error ended it.

    Raises:
        ConfigError: The tape cannot be written.
    """
    rerun = Rerun()
    source = TapeSource(user, speed=speed, hangs_up=hangs_up)
    sink: AudioSink = NullSink(config.output, now=source.now)
    watchers: list[Observer] = [source.start_when_opened, rerun, *observers]
    async with AsyncExitStack() as stack:
        if record is not None:
            recorder = Recorder(transport, record, config, clock=source.now)
            transport = await stack.enter_async_context(recorder)
            sink = recorder.sink(sink)
            watchers.append(recorder.observer)
        session = Session.open(config, transport, clock=source.now, early_audio=early_audio)
        source.type_text = session.send_text
        if not early_audio:
            source.start()
        tools = tools or RecordedTools(user.calls, speed=speed or 1.0)
        reasoner = None
        if any(tool.name == EXPERT_TOOL for tool in config.tools):
            reasoner = RecordedReasoner(user.calls, speed=speed or 1.0)
        try:
            async with session:
                await converse(session, source, sink, tools, watchers, reasoner=reasoner)
        except SonicError as error:
            rerun.error = error
    return rerun


async def hold_with_tape(
    tape: Tape,
    *,
    config: SessionConfig | None = None,
    tools: Toolbox | None = None,
    strict: bool = True,
    record: Path | None = None,
    observers: Sequence[Observer] = (),
) -> Rerun:
    """Hold the conversation of a tape again, with the service of the tape.

    User and service keep the times of the tape. In a `VirtualTimeLoop` it takes as long as the
    machine needs, and has the same events every time. The waits between attempts to connect are
    those of the tape, too.

    Args:
        tape: The tape.
        config: The configuration of the session; None for that of the tape.
        tools: The tools; None for the results of the tape.
        strict: Whether the client must send what the client of the tape sent.
        record: File for a tape of the new conversation; None for none.
        observers: Functions that are called with each event.

    Returns:
        What happened, also if the conversation ended with an error.

    Raises:
        ConfigError: The tape has no stream, or no usable configuration.
        ReplayDifference: In strict mode, the client did not send what that of the tape sent.
    """
    config = config or recorded_config(tape)
    waits_s = tuple(_waits_s(tape))
    config = replace(
        config, recovery=replace(config.recovery, jitter=0.0, recorded_waits_s=waits_s)
    )
    async with Replay(tape, strict=strict, speed=1.0) as transport:
        return await hold_again(
            recorded_user(tape),
            config,
            transport,
            tools=tools,
            speed=None,
            hangs_up=said_goodbye(tape) or closed_s(tape) is not None,
            early_audio=_reported_opening(tape),
            record=record,
            observers=observers,
        )


def replay_tape(
    tape: Tape,
    *,
    config: SessionConfig | None = None,
    tools: Toolbox | None = None,
    strict: bool = True,
    observers: Sequence[Observer] = (),
) -> Rerun:
    """Hold the conversation of a tape again on virtual time, from a program without a loop.

    Args:
        tape: The tape.
        config: The configuration of the session; None for that of the tape.
        tools: The tools; None for the results of the tape.
        strict: Whether the client must send what the client of the tape sent.
        observers: Functions that are called with each event.

    Returns:
        What happened, also if the conversation ended with an error.

    Raises:
        ConfigError: The tape has no stream, or no usable configuration.
        ReplayDifference: In strict mode, the client did not send what that of the tape sent.
    """
    again = hold_with_tape(tape, config=config, tools=tools, strict=strict, observers=observers)
    return run_in_virtual_time(again)


def _waits_s(tape: Tape) -> Iterator[float]:
    """Yield the waits before attempts to connect, in seconds."""
    for record in tape.records:
        if isinstance(record, SessionEvent) and record.name == "Reconnecting":
            wait_s = record.fields.get("retry_in_s")
            yield max(0.0, float(wait_s)) if isinstance(wait_s, int | float) else 0.0


def _reported_opening(tape: Tape) -> bool:
    """Return whether the session of a tape reported its opening, or that it failed."""
    names = {record.name for record in tape.records if isinstance(record, SessionEvent)}
    opened = any(isinstance(record, Received) for record in tape.records)
    return "Opened" in names or ("Ended" in names and not opened)
