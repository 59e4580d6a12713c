"""Hold the conversation of one cell of the recovery table, and judge what became of it.

The conversation goes over the production transport to an emulator with one fault. The user says
numbered words, and the ledger counts what became of each (`ledger`).
"""

import asyncio
import json
import logging
import os
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import TextIOBase
from pathlib import Path
from typing import Any

from sonic_voice import (
    NullSink,
    RecoveryPolicy,
    Session,
    SessionConfig,
    SonicError,
    Toolbox,
    converse,
    tool,
)
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator.assembly import sonic_service
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.faults import FaultOccurrence
from sonic_voice.emulator.observers import EmulatorObserver, StreamObserver, StreamStatistics
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION, Emulator
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.emulator.server.sigv4 import AccessKeyPair
from sonic_voice.emulator.service.effects import StreamRefusal
from sonic_voice.errors import DeadlineError, NetworkError, ServiceError
from sonic_voice.events import Ended, Event, Opened, Reconnecting, Renewed

from .fault_driver import StreamLog
from .handshake_breaker import HandshakeBreaker
from .ledger import Ledger, LedgerBrain, LedgerUser, LevelDetector, ToneRecognizer, speak
from .recovery_cells import BLACK_HOLE_S, PHASES, Phase, RecoveryCell

SECONDS = 26.0
"""Length of a conversation, in seconds of its time: four utterances, and a tool call in one."""
RENEWED_SECONDS = 44.0
"""Length of a conversation with renewals, in seconds of its time."""
LIFE_S = 32.0
"""Life of a stream where a renewal is wanted, in seconds of the conversation. From the preparation
of the next stream to its latest use there is time for a second attempt."""
TOOL_S = 1.5
"""Time that the tool takes, in seconds of the conversation: longer than a reconnection."""
GIVE_UP_S = 60.0
"""Time after which a conversation has hung, in seconds."""
SEED = 3
"""Seed of what the users do."""
OLD_KEYS = AccessKeyPair("AKIALOCALEXPIRING000", "expiring")
"""Credentials that the emulator takes at first."""

PROVIDER = """\
n=$(($(ls "$1" | wc -l) + 1)); : > "$1/$n"
if [ $n -eq 1 ]; then echo '{old}'; else echo '{new}'; fi
"""
"""A `credential_process`, which gives other credentials from its second look-up on."""

_noise: ContextVar[list[str] | None] = ContextVar("noise", default=None)


@dataclass
class Outcome:
    """What became of one conversation."""

    at_goodbye: bool
    """True if the fault comes with the goodbye."""
    events: list[tuple[float, Event]] = field(default_factory=list[tuple[float, Event]])
    """The events that do not come from the service, with their time on the loop's clock."""
    fault_s: float | None = None
    """Time of the first fault, on the loop's clock."""
    end_s: float = 0.0
    """Time of the end of the conversation, on the loop's clock."""
    end: str = ""
    """The kind of the error that ended it; empty after a good end."""
    gap_s: float | None = None
    """Time from the fault to the stream that replaced the broken one, or to the end, in seconds. Of
    a renewal, the time in which no stream took the user's audio. None if nothing of this came."""
    ledger: Ledger = field(default_factory=Ledger)
    noise: list[str] = field(default_factory=list[str])
    """What was printed on stderr or logged as a warning."""
    wrong: list[str] = field(default_factory=list[str])
    """What is not as it must be."""

    @property
    def in_short(self) -> str:
        """The cell of the table."""
        what = self.end or ("good end" if self.at_goodbye else "recovered")
        time = "" if self.gap_s is None else f" {self.gap_s:.1f}"
        return f"{what}{time}{' WRONG' if self.wrong else ''}"


# -- what is printed -------------------------------------------------------------------------------


class _Stderr(TextIOBase):
    """A stderr that keeps what is written to it with the conversation that did it."""

    def write(self, text: str, /) -> int:
        _note(text)
        return len(text)


CLIENT_LEFT = "Error on transport creation for incoming connection"
"""Message of asyncio's debug mode, at the server, for a client that left in its TLS handshake: a
stream that was being prepared, and was discarded."""


class _Warnings(logging.Handler):
    """A handler that keeps warnings with the conversation that logged them."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "asyncio" and record.getMessage().startswith(CLIENT_LEFT):
            return
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        _note(f"{record.name}: {record.getMessage()}\n{trace}")


_unassigned: list[str] = []


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception in the context of its task or callback, which the default does not."""
    loop.default_exception_handler(context)


def _note(text: str) -> None:
    kept = _noise.get()
    (kept if kept is not None else _unassigned).append(text)


@contextmanager
def listening() -> Generator[list[str]]:
    """Keep what is printed on stderr or logged as a warning.

    Returns:
        What no conversation of a cell is known to have printed.
    """
    before, sys.stderr = sys.stderr, _Stderr()
    handler = _Warnings(logging.WARNING)
    logging.getLogger().addHandler(handler)
    _unassigned.clear()
    try:
        yield _unassigned
    finally:
        logging.getLogger().removeHandler(handler)
        sys.stderr = before


# -- credentials -----------------------------------------------------------------------------------


@contextmanager
def profiles(folder: Path) -> Generator[None]:
    """Set `AWS_CONFIG_FILE` to a file with a profile for each cell of expired credentials.

    Args:
        folder: Folder for the file and the states of the profiles.
    """
    script = folder / "credentials.sh"
    script.write_text(PROVIDER.format(old=_credentials(OLD_KEYS), new=_credentials(LOCAL_KEYS)))
    sections: list[str] = []
    for phase in PHASES:
        state = folder / _profile(phase)
        state.mkdir()
        command = f"credential_process = sh {script} {state}"
        sections.append(f"[profile {_profile(phase)}]\n{command}\n")
    config = folder / "config"
    config.write_text("".join(sections))
    ours = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    others = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in others:
        del os.environ[name]
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
        os.environ.update(others)


def _credentials(keys: AccessKeyPair) -> str:
    """Return credentials as a `credential_process` prints them."""
    found = {"Version": 1, "AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
    return json.dumps(found)


def _profile(phase: Phase) -> str:
    return f"cell-{phase.replace(' ', '-')}"


class _Expiry:
    """An `EmulatorObserver` that lets the credentials `OLD_KEYS` expire.

    Args:
        keys: The credentials that the emulator takes, which change.
        first_refused: Number of the stream from which they have expired.
        on_expiry: Called when they expire.
    """

    def __init__(
        self, keys: list[AccessKeyPair], first_refused: int, on_expiry: Callable[[], object]
    ) -> None:
        self._keys = keys
        self._on_expiry = on_expiry
        self._left = first_refused - 1
        if not self._left:
            self._expire()

    def opened(self, statistics: StreamStatistics) -> StreamObserver:
        """Count a stream."""
        self._left -= 1
        if not self._left:
            self._expire()
        return StreamLog(statistics)

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `EmulatorObserver`."""

    def _expire(self) -> None:
        past = datetime(2026, 1, 1, tzinfo=UTC)
        self._on_expiry()
        self._keys[:] = [LOCAL_KEYS, replace(OLD_KEYS, expires_at=past)]


# -- the conversation ------------------------------------------------------------------------------


async def hold(cell: RecoveryCell) -> Outcome:
    """Hold the conversation of a cell, and judge what became of it.

    Args:
        cell: The cell. That of expired credentials needs `profiles`.
    """
    outcome = Outcome(cell.phase == "goodbye")
    _noise.set(outcome.noise)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_exception)
    loop.slow_callback_duration = GIVE_UP_S  # a busy machine is no fault of the conversation
    state = Path(os.environ.get("AWS_CONFIG_FILE", "")).parent / _profile(cell.phase)
    try:
        async with asyncio.timeout(GIVE_UP_S), _faulty_transport(cell, outcome) as transport:
            await _talk(cell, transport, outcome)
    except TimeoutError:
        outcome.end = "hung"
    if cell.row.way == "keys" and len(list(state.iterdir())) != 2:
        outcome.wrong.append("the credentials were not looked up twice")
    _judge(cell, outcome)
    return outcome


@asynccontextmanager
async def _faulty_transport(
    cell: RecoveryCell, outcome: Outcome
) -> AsyncGenerator[BedrockTransport]:
    """Run an emulator with the fault of a cell, and yield a transport to it."""
    loop = asyncio.get_running_loop()
    row = cell.row

    def occurred(_: FaultOccurrence | None = None) -> None:
        if outcome.fault_s is None:
            outcome.fault_s = loop.time()

    timeouts = StreamTimeouts(life_s=_life_s(cell), stall_s=0.25 / row.speed)
    behaviour = Behaviour(faults=cell.faults, timeouts=timeouts, life_clock="audio")
    factory = sonic_service(
        LedgerBrain(),
        ToneRecognizer,
        behaviour=behaviour,
        detector_factory=lambda _: LevelDetector(),
        on_fault=occurred,
    )
    accepted = [LOCAL_KEYS, OLD_KEYS]
    observers: list[EmulatorObserver] = []
    if row.way == "keys":
        noted = occurred if cell.meets_opening else lambda: None
        observers.append(_Expiry(accepted, cell.broken_opening, noted))
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(
            Emulator(
                factory,
                behaviour=behaviour,
                engines=Engines(speak, ToneRecognizer),
                keys=accepted,
                observers=observers,
            )
        )
        port = emulator.port
        if row.way == "tls":
            breaker = HandshakeBreaker(port, cell.broken_opening, occurred)
            port = await stack.enter_async_context(breaker)
        has_profile = row.way == "keys"
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=f"https://localhost:{port}",
            ca_file=emulator.ca_file,
            profile=_profile(cell.phase) if has_profile else None,
            access_key=None if has_profile else LOCAL_KEYS.access_key,
            secret_key=None if has_profile else LOCAL_KEYS.secret_key,
        )
        stack.push_async_callback(transport.aclose)
        yield transport


def _life_s(cell: RecoveryCell) -> float:
    """Return the life of a stream, in seconds of the conversation."""
    return LIFE_S if "renewal" in cell.phase else 480.0


async def _talk(cell: RecoveryCell, transport: BedrockTransport, outcome: Outcome) -> None:
    loop = asyncio.get_running_loop()
    speed = cell.row.speed

    @tool
    async def look_up(words: str) -> dict[str, str]:
        """Look up words."""
        await asyncio.sleep(TOOL_S / speed)
        return {"words": words}

    toolbox = Toolbox([look_up])
    config = SessionConfig(
        tools=toolbox.specs,
        stream_s=_life_s(cell),
        recovery=RecoveryPolicy(first_wait_s=0.5 / speed, longest_wait_s=2.0 / speed),
    )
    user = LedgerUser(
        config.input,
        config.output.rate_hz,
        speed=speed,
        seconds=RENEWED_SECONDS if "renewal" in cell.phase else SECONDS,
        seed=SEED,
        barge_ins=0.0,
        settled=lambda: session.settled and sink.pending_s <= 0,
    )
    outcome.ledger = user.ledger
    session = Session.open(config, transport, clock=user.now, early_audio=True)
    sink = NullSink(config.output, now=user.now)

    def observe(event: Event, now: float) -> None:
        if isinstance(event, (Opened, Reconnecting, Renewed, Ended)):
            outcome.events.append((loop.time(), event))

    try:
        async with session:
            await converse(session, user, sink, toolbox, [user.observe, observe])
    except SonicError as error:
        outcome.end = _kind(error)
    outcome.end_s = loop.time()
    await user.aclose()


def _kind(error: SonicError) -> str:
    match error:
        case ServiceError():
            return error.kind.value
        case DeadlineError():
            return "deadline"
        case NetworkError():
            return "network"
        case _:
            return type(error).__name__


# -- the judgement ---------------------------------------------------------------------------------


def _judge(cell: RecoveryCell, outcome: Outcome) -> None:
    """Measure the gap of an outcome, and list what is not as it must be."""
    wrong = outcome.wrong
    if outcome.noise:
        wrong.append(f"printed {''.join(outcome.noise)[:200]!r}")
    if outcome.end != cell.end:
        wrong.append(f"ended as {outcome.end or 'good'}, not {cell.end or 'good'}")
    if outcome.fault_s is None:
        wrong.append("the fault never happened")
    elif outcome.end:
        outcome.gap_s = outcome.end_s - outcome.fault_s
        _check_time(cell, outcome, outcome.end_s)
    if not outcome.end:
        wrong += _unclean(outcome.ledger)
        _judge_recovery(cell, outcome)
    elif outcome.end != "hung" and not isinstance(outcome.events[-1][1], Ended):
        wrong.append("no Ended event")


def _judge_recovery(cell: RecoveryCell, outcome: Outcome) -> None:
    attempted = any(isinstance(event, Reconnecting) for _, event in outcome.events)
    if cell.phase == "goodbye":
        if attempted:
            outcome.wrong.append("reconnected although everything was said")
        if outcome.fault_s is not None:
            outcome.gap_s = outcome.end_s - outcome.fault_s
            _check_time(cell, outcome, outcome.end_s)
        return
    since_s = outcome.fault_s or 0.0
    for at_s, event in outcome.events:
        if at_s < since_s or not isinstance(event, (Opened, Renewed)):
            continue
        if isinstance(event, Opened) != (cell.phase == "opening"):
            continue
        outcome.gap_s = at_s - since_s
        if cell.phase == "renewal" and isinstance(event, Renewed):
            outcome.gap_s = event.gap_ms / 1000  # the live stream went on
            if event.gap_ms and cell.row.within_s < BLACK_HOLE_S:
                outcome.wrong.append(f"a renewal with a gap of {event.gap_ms} ms")
        elif not attempted:
            outcome.wrong.append("no Reconnecting event")
        _check_time(cell, outcome, at_s)
        return
    outcome.wrong.append("no event of a new stream")


def _check_time(cell: RecoveryCell, outcome: Outcome, at_s: float) -> None:
    assert outcome.fault_s is not None
    limit_s = cell.row.within_s
    if cell.phase == "renewal":  # the live stream goes on until its life is over
        limit_s += LIFE_S / cell.row.speed
    if at_s - outcome.fault_s > limit_s:
        outcome.wrong.append(f"took {at_s - outcome.fault_s:.1f} s, not {limit_s:g}")


def _unclean(ledger: Ledger) -> list[str]:
    """Return what is wrong in a ledger."""
    counts = {
        "lost": ledger.lost,
        "doubled or out of order": ledger.doubled,
        "answers missing": ledger.missing,
        "calls without one result": ledger.wrong_results,
        "unanswered": ledger.unanswered,
        "interrupted": ledger.interrupted,
        "false interruptions": ledger.false_interruptions,
    }
    wrong = [f"{what}: {count}" for what, count in counts.items() if count]
    if ledger.said < 6:
        wrong.append(f"only {ledger.said} words were said")
    return wrong
