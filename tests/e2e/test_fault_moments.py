"""Every break at every moment, over the bare production transport and on the emulator's own side.

The emulator's record of its effects shows that it broke the stream in that way at that moment; the
client shows that it received everything before, and how the break reaches it.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sonic_voice import wire
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.faults import FAULTS, ChaosProfile, FaultOccurrence
from sonic_voice.emulator.faults.chaos import chaos_plan
from sonic_voice.emulator.faults.phases import PHASE_EVENTS
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION, Emulator
from sonic_voice.emulator.service.effects import Break, Fail, Finish
from sonic_voice.errors import ConnectionLost, ErrorKind, ServiceError, SonicError

from ..support.fault_driver import MODEL, EffectLog, Received, drive

CALLING = """
steps:
  - user: go forward ten meters
    call:
      tool: go
      arguments: {direction: forward}
      then: I went {result.meters} meters, and now I am at the bells of the old town.
"""
PATIENCE_S = 30.0
"""Time after which a conversation counts as hung. A stalled connection is reported after 8 s."""

type Check = Callable[[SonicError | None], bool]


def lost(reason: str, words: str = "") -> Check:
    return lambda error: (
        isinstance(error, ConnectionLost) and error.reason == reason and words in str(error)
    )


def refused(kind: ErrorKind, words: str = "") -> Check:
    return lambda error: (
        isinstance(error, ServiceError) and error.kind is kind and words in str(error)
    )


BREAKS: dict[str, Check] = {
    "cut": lost("cut"),
    "cut-mid-frame": lost("cut"),
    "eof": lambda error: error is None,
    "reset": lost("reset"),
    "goaway": lost("goaway"),
    "invalid-bytes": lost("cut", "Checksum mismatch"),
    "stall": lost("cut", "not even a ping"),
    "exception:modelTimeoutException": refused(ErrorKind.LIFETIME, "Model has timed out"),
    "exception:throttlingException": refused(ErrorKind.THROTTLED, "Too many requests"),
    "exception:internalServerException": refused(ErrorKind.CAPACITY),
    "exception:serviceUnavailableException": refused(ErrorKind.CAPACITY),
    "exception:modelStreamErrorException": refused(ErrorKind.CAPACITY),
    "exception:validationException:of my own": refused(ErrorKind.REQUEST, "of my own"),
    "instability": refused(ErrorKind.CAPACITY, "System instability detected"),
    "life:531": refused(ErrorKind.LIFETIME, "InternalErrorCode=531"),
    "idle:532": refused(ErrorKind.IDLE, "InternalErrorCode=532"),
    "idle:55": refused(ErrorKind.IDLE, "less than 55 seconds"),
    "content-filter": refused(ErrorKind.FILTERED),
    "error-frame": refused(ErrorKind.CAPACITY, "InternalFailure"),
}
"""The client's view of each break. `mute` is silence, of which only an owner with a deadline of its
own can tell."""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "s.yaml"
    path.write_text(CALLING)
    return path


def transport_to(running: Emulator) -> BedrockTransport:
    return BedrockTransport(
        region=LOCAL_REGION,
        endpoint=running.endpoint,
        ca_file=running.ca_file,
        access_key=LOCAL_KEYS.access_key,
        secret_key=LOCAL_KEYS.secret_key,
    )


class Site:
    """An emulator, a transport to it, and the records of both faults and effects."""

    def __init__(self, running: Emulator, transport: BedrockTransport) -> None:
        self.running = running
        self.transport = transport
        self.log = EffectLog()
        self.happened: list[FaultOccurrence] = []

    async def drive(self) -> Received:
        return await asyncio.wait_for(drive(self.transport), PATIENCE_S)


@asynccontextmanager
async def emulated(scenario: Path, *faults: str, **behaviour: Any) -> AsyncGenerator[Site]:
    log, happened = EffectLog(), list[FaultOccurrence]()
    settings: dict[str, Any] = {"latency": "none", "faults": faults} | behaviour
    keys = settings.pop("keys", LOCAL_KEYS)
    running = emulator(
        scenario,
        behaviour=Behaviour(**settings),
        keys=keys,
        observers=[log],
        on_fault=happened.append,
    )
    async with running:
        site = Site(running, transport_to(running))
        site.log, site.happened = log, happened
        try:
            yield site
        finally:
            await site.transport.aclose()


def count(outputs: list[wire.Output], kind: type[wire.Output]) -> int:
    return sum(isinstance(record, kind) for record in outputs)


def words_of_the_user(outputs: list[wire.Output]) -> int:
    return sum(isinstance(o, wire.TextBlock) and o.role == "USER" for o in outputs)


def is_at(moment: str, outputs: list[wire.Output]) -> bool:
    """Return whether a conversation that has come as far as `outputs` is at a moment."""
    began, ended = count(outputs, wire.UserSpeechStart), count(outputs, wire.UserSpeechEnd)
    calls, sounds = count(outputs, wire.ToolUse), count(outputs, wire.AudioOutput)
    turns = sum(isinstance(o, wire.BlockEnd) and o.stop == "END_TURN" for o in outputs)
    match moment:
        case "opening":
            return not outputs
        case "user-speech":
            return (began, ended) == (1, 0)
        case "thinking":
            return (ended, words_of_the_user(outputs), calls) == (1, 1, 0)
        case "tool-call":
            return (calls, sounds) == (1, 0) and not turns
        case "answer":
            return bool(calls and sounds) and not turns
        case _:
            return bool(turns) and isinstance(outputs[-1], wire.CompletionEnd)


async def break_at(scenario: Path, name: str, moment: str) -> None:
    async with emulated(scenario, f"{name}@event={moment}") as site:
        received = await site.drive()
        (stream,) = site.log.streams
        (happened,) = site.happened
        kind = FAULTS[name.partition(":")[0]]
        assert kind.end is not None
        wanted = kind.end(stream.statistics.request, happened.fault.argument)
        assert happened.phase == moment
        assert happened.request_id == stream.statistics.request.request_id
        assert stream.end == wanted
        assert stream.statistics.end == ("failed" if isinstance(wanted, Fail) else "broken")
        assert is_at(moment, stream.outputs), stream.outputs
        assert BREAKS[name](received.error), repr(received.error)
        # A connection that is aborted takes with it what is on its way. One that is closed does the
        # same when its client is too busy to answer the close in time.
        if name.startswith(("cut", "goaway")):
            assert received.payloads == stream.payloads[: len(received.payloads)]
        else:
            assert received.payloads == stream.payloads
        # A stalled connection ends when the client has left it.
        await asyncio.wait_for(stream.is_over.wait(), PATIENCE_S)


def moments_of(name: str) -> list[str]:
    """Two moments for each break, so that each moment has six; all with `ALL_MOMENTS` set."""
    if os.environ.get("ALL_MOMENTS"):
        return list(PHASE_EVENTS)
    first = list(BREAKS).index(name)
    return [PHASE_EVENTS[(first + step) % len(PHASE_EVENTS)] for step in (0, 3)]


@pytest.mark.parametrize("name", BREAKS)
async def test_a_break_comes_at_each_moment_and_reaches_the_client(
    scenario: Path, name: str
) -> None:
    if name != "stall":
        for moment in moments_of(name):
            await break_at(scenario, name, moment)
        return
    async with asyncio.TaskGroup() as cells:  # each takes the 8 s after which a ping is missed
        for moment in PHASE_EVENTS:
            cells.create_task(break_at(scenario, name, moment))


def test_every_fault_that_ends_a_stream_has_a_row() -> None:
    ends = {name for name, kind in FAULTS.items() if kind.end is not None}
    assert {name.partition(":")[0] for name in BREAKS} | {"mute"} == ends


async def test_a_muted_stream_sends_nothing_more_from_its_moment(scenario: Path) -> None:
    async with emulated(
        scenario, "mute@event=user-speech", timeouts=StreamTimeouts(life_s=2.0)
    ) as site:
        received = await site.drive()
        (stream,) = site.log.streams
        assert stream.end == Break("mute")
        assert is_at("user-speech", stream.outputs)
        assert received.payloads == stream.payloads
        assert isinstance(received.error, ConnectionLost)


async def test_a_break_at_a_time_comes_at_that_audio(scenario: Path) -> None:
    async with emulated(scenario, "reset@t=1.5") as site:
        received = await site.drive()
    assert [round(one.audio_ms) for one in site.happened] == [pytest.approx(1500, abs=33)]
    assert BREAKS["reset"](received.error)


async def test_refusals_for_a_span_of_wall_time_end_after_it(scenario: Path) -> None:
    async with emulated(scenario, "http:429@for=1") as site:
        began_s = time.monotonic()
        errors: list[SonicError | None] = []
        while not errors or errors[-1] is not None:
            errors.append((await site.drive()).error)
            assert time.monotonic() - began_s < PATIENCE_S
        took_s = time.monotonic() - began_s
    assert took_s >= 1
    assert len(errors) > 3
    assert all(refused(ErrorKind.THROTTLED)(error) for error in errors[:-1])
    assert [refusal.status for refusal in site.log.refusals] == [429] * (len(errors) - 1)
    assert [one.phase for one in site.happened] == ["opening"] * (len(errors) - 1)


async def test_an_expired_token_is_refused_at_the_opening(scenario: Path) -> None:
    async with emulated(scenario, "expired-token@1") as site:
        first, second = await site.drive(), await site.drive()
    assert refused(ErrorKind.ACCESS, "ExpiredTokenException")(first.error)
    assert second.error is None


async def test_keys_that_expire_are_refused_to_new_streams_and_not_to_open_ones(
    scenario: Path,
) -> None:
    keys = [LOCAL_KEYS]
    async with emulated(scenario, keys=keys) as site:
        stream = await site.transport.open(MODEL)
        await stream.send(wire.encode_input(wire.SessionStart(1024, 0.9, 0.7)))
        await asyncio.wait_for(stream.accepted(), PATIENCE_S)
        keys[0] = replace(LOCAL_KEYS, expires_at=datetime.now(UTC))
        late = await site.drive()
        await stream.send(wire.encode_input(wire.PromptStart("P", "matthew", 16_000, (), "auto")))
        payload = await asyncio.wait_for(stream.receive(), PATIENCE_S)
        await stream.aclose()
    assert refused(ErrorKind.ACCESS, "ExpiredTokenException")(late.error)
    assert payload is not None
    assert isinstance(wire.decode_output(payload), wire.UsageEvent)


async def test_keys_of_an_emulator_may_have_a_life(scenario: Path) -> None:
    async with emulated(scenario, keys_life_s=0.0) as site:
        assert refused(ErrorKind.ACCESS, "ExpiredTokenException")((await site.drive()).error)
    async with emulated(scenario, keys_life_s=600.0) as site:
        assert (await site.drive()).error is None


async def test_a_stream_lives_eight_minutes_of_audio_at_any_speed(scenario: Path) -> None:
    async with emulated(scenario, life_clock="audio") as site:
        began_s = time.monotonic()
        stream = await site.transport.open(MODEL)
        reading = asyncio.create_task(_error_of(stream))
        for record in (
            wire.SessionStart(1024, 0.9, 0.7),
            wire.PromptStart("P", "matthew", 16_000, (), "auto"),
            wire.AudioStart("P", "A", 16_000),
        ):
            await stream.send(wire.encode_input(record))
        second = wire.encode_input(wire.AudioInput("P", "A", bytes(32_000)))
        for _ in range(479):
            await stream.send(second)
        await asyncio.sleep(0)
        assert not reading.done()
        with pytest.raises(SonicError):
            for _ in range(60):
                await stream.send(second)
        error = await asyncio.wait_for(reading, PATIENCE_S)
        took_s = time.monotonic() - began_s
        await stream.aclose()
    assert refused(ErrorKind.LIFETIME, "Try your request again.")(error)
    assert took_s < 120


async def _error_of(stream: Any) -> SonicError | None:
    try:
        while await stream.receive() is not None:
            pass
    except SonicError as error:
        return error
    return None


async def test_an_emulator_with_chaos_does_what_its_plan_says(scenario: Path) -> None:
    profile = ChaosProfile(11, timed=0.0, without=frozenset({"stall"}))
    plan = chaos_plan(profile, 20)
    async with emulated(scenario, chaos=profile) as site:
        for _ in plan:
            await site.drive()
    happened = {one.stream: one.fault for one in site.happened}
    first = {
        number: fault
        for number, fault in enumerate(plan, start=1)
        if fault is not None and (fault.trigger is None or fault.trigger.occurrence in (None, 1))
    }
    assert len(first) > 5
    assert {number for number in happened if number not in first} == set()
    missed = {number for number in first if number not in happened}
    late = {number for number in missed if (t := first[number].trigger) and t.after_s > 0}
    assert missed == late  # some come later than the phase, and this conversation is short
    assert all(happened[number] == first[number] for number in happened)
    ends = [stream.end for stream in site.log.streams]
    assert sum(isinstance(end, Finish) for end in ends) == len(plan) - len(happened)
