"""Silence of the uplink: the service's clock follows real time, whatever a page's network does.

All of it runs in virtual time, so that the pace can be asserted to the millisecond.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.bridge.browser_audio import BrowserSource
from sonic_voice.config import AudioFormat, SessionConfig
from sonic_voice.session import Session
from sonic_voice.transport import MemoryStream, MemoryTransport
from sonic_voice.uplink_silence import SILENCE_AFTER_S, SILENCE_CHUNK_S
from sonic_voice.virtual_time import run_in_virtual_time

FORMAT = AudioFormat(16_000)
FRAME_S = 0.032
QUIET = b"\1\0"


@dataclass
class Uplink:
    """The audio that a service received, with its times."""

    chunks: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])
    ahead_s: list[float] = field(default_factory=list[float])
    """How far the service's clock was ahead of real time after each chunk and at the end, in
    seconds."""
    audio_began_s: float = 0.0
    """Time to which offsets refer by the session, in seconds since the page began to capture."""

    @property
    def pcm(self) -> bytes:
        return b"".join(chunk for _, chunk in self.chunks)


async def _receive(stream: MemoryStream, uplink: Uplink, began_s: float) -> None:
    loop = asyncio.get_running_loop()
    while (payload := await stream.sent.get()) is not None:
        if "audioInput" not in json.loads(payload)["event"]:
            continue
        record = wire.decode_input(payload)
        assert isinstance(record, wire.AudioInput)
        uplink.chunks.append((loop.time(), record.pcm))
        uplink.ahead_s.append(FORMAT.seconds(len(uplink.pcm)) - (loop.time() - began_s))


def spoken_on_a_page(
    sound: Callable[[int], bytes | None],
    *,
    seconds: float,
    stalls: tuple[tuple[float, float], ...] = (),
) -> Uplink:
    """What the service receives of a page whose microphone captures frames of 32 ms.

    Args:
        sound: Returns the sample that fills the frame of that number; None for a lost frame.
        seconds: How long the page captures.
        stalls: When its network stalls, and when what waited comes all at once, in seconds.
    """

    async def run() -> Uplink:
        loop, uplink = asyncio.get_running_loop(), Uplink()
        transport, source = MemoryTransport(), BrowserSource(FORMAT)
        async with Session.open(SessionConfig(), transport, clock=loop.time) as session:
            began_s = loop.time()
            receiver = asyncio.create_task(_receive(transport.streams[0], uplink, began_s))

            async def pump() -> None:
                while pcm := await source.read():
                    await session.send_audio(pcm)

            pumping = asyncio.create_task(pump())
            for number in range(round(seconds / FRAME_S)):
                captured_s = (number + 1) * FRAME_S
                arrives_s = max([captured_s, *(to for at, to in stalls if at < captured_s < to)])
                sample = sound(number)
                if sample is not None:
                    frame = sample * (FORMAT.size(FRAME_S) // 2)
                    loop.call_at(began_s + arrives_s + number * 1e-9, source.feed, frame)
            await asyncio.sleep(seconds)
            uplink.audio_began_s = session.audio_began_s - began_s
            uplink.ahead_s.append(FORMAT.seconds(len(uplink.pcm)) - (loop.time() - began_s))
            source.close()
            await pumping
            session.finish()
            await receiver
            transport.streams[0].finish()
        return uplink

    return run_in_virtual_time(run())


def speech(number: int) -> bytes:
    """The sample of a loud frame; no other frame has it."""
    return (0x1000 + number).to_bytes(2, "little")


def frames(pcm: bytes) -> list[bytes]:
    """The samples of the loud frames in `pcm`, in order, each of which must be whole."""
    samples = [pcm[at : at + 2] for at in range(0, len(pcm), 2)]
    runs = [(sample, len(list(run))) for sample, run in groupby(samples)]
    loud = [(sample, length) for sample, length in runs if sample not in (QUIET, bytes(2))]
    assert {length for _, length in loud} <= {FORMAT.size(FRAME_S) // 2}
    return [sample for sample, _ in loud]


@pytest.mark.parametrize("stall_s", [0.1, 0.3, 0.45, 0.7, 1.5])
def test_a_stall_of_a_silent_page_does_not_advance_the_service_s_clock(stall_s: float) -> None:
    uplink = spoken_on_a_page(lambda _: QUIET, seconds=5, stalls=((1.0, 1.0 + stall_s),))
    assert max(uplink.ahead_s) <= 0.001
    assert uplink.ahead_s[-1] == pytest.approx(0, abs=FRAME_S)


@pytest.mark.parametrize("stall_s", [0.1, 0.3, 0.45])
def test_a_short_stall_within_speech_adds_nothing(stall_s: float) -> None:
    uplink = spoken_on_a_page(speech, seconds=3, stalls=((1.0, 1.0 + stall_s),))
    assert uplink.pcm == b"".join(speech(n) * 512 for n in range(len(uplink.pcm) // 1024))
    assert max(uplink.ahead_s) <= 0.001


def test_after_a_long_stall_within_speech_the_clock_is_right_again_in_the_next_long_pause() -> None:
    uplink = spoken_on_a_page(
        lambda n: speech(n) if n < 125 else QUIET, seconds=9, stalls=((1.0, 2.2),)
    )
    assert frames(uplink.pcm) == [speech(n) for n in range(125)]
    assert max(uplink.ahead_s) == pytest.approx(1.2, abs=2 * FRAME_S)
    assert uplink.ahead_s[-1] == pytest.approx(0, abs=FRAME_S)
    paused = [
        ahead for (at, _), ahead in zip(uplink.chunks, uplink.ahead_s, strict=False) if at < 6
    ]
    assert paused[-1] > 1.1, "the end of the speech was noticed later for it"


def test_while_the_clock_is_ahead_the_session_says_since_when_offsets_count() -> None:
    uplink = spoken_on_a_page(speech, seconds=4, stalls=((1.0, 2.2),))
    assert uplink.ahead_s[-1] > 1.1
    assert uplink.audio_began_s == pytest.approx(-uplink.ahead_s[-1], abs=2 * FRAME_S)


@pytest.mark.parametrize("from_s", [0.0, 1.0])
def test_silence_takes_the_place_of_sound_that_is_lost(from_s: float) -> None:
    """At the beginning too: a page whose user has not allowed the microphone yet sends nothing."""
    lost = range(round(from_s / FRAME_S), round((from_s + 8) / FRAME_S))
    uplink = spoken_on_a_page(lambda n: None if n in lost else speech(n), seconds=12.01)
    assert max(uplink.ahead_s) <= 2 * FRAME_S
    assert uplink.ahead_s[-1] == pytest.approx(0, abs=2 * FRAME_S)
    assert uplink.audio_began_s == pytest.approx(0, abs=2 * FRAME_S)
    assert frames(uplink.pcm) == [speech(n) for n in range(round(12 / FRAME_S)) if n not in lost]
    gaps = [after - before for (before, _), (after, _) in pairwise(uplink.chunks)]
    assert max(gaps) <= SILENCE_AFTER_S + 0.001
    in_gap = [len(pcm) for at, pcm in uplink.chunks if from_s + 0.6 < at < from_s + 8]
    assert set(in_gap) == {FORMAT.size(SILENCE_CHUNK_S)}


@given(
    pauses=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 120)), max_size=4),
    stalls=st.lists(st.tuples(st.floats(0.1, 3), st.floats(0.05, 1.9)), max_size=5),
)
@settings(max_examples=max(10, settings().max_examples // 8))
def test_whatever_stalls_no_speech_is_lost_and_the_offsets_are_right(
    pauses: list[tuple[int, int]], stalls: list[tuple[float, float]]
) -> None:
    loud: list[bool] = []
    for spoken, silent in pauses:
        loud += [True] * spoken + [False] * silent
    loud += [True] * 30
    times: list[tuple[float, float]] = []
    for after_s, lasts_s in stalls:
        began_s = (times[-1][1] if times else 0.0) + after_s
        times.append((began_s, began_s + lasts_s))
    seconds = max(len(loud) * FRAME_S, times[-1][1] if times else 0.0) + 0.2
    uplink = spoken_on_a_page(
        lambda n: speech(n) if n < len(loud) and loud[n] else QUIET,
        seconds=seconds,
        stalls=tuple(times),
    )
    assert frames(uplink.pcm) == [speech(n) for n, is_loud in enumerate(loud) if is_loud]
    assert uplink.audio_began_s == pytest.approx(-uplink.ahead_s[-1], abs=4 * FRAME_S)
