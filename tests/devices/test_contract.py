"""What a microphone and a loudspeaker owe, whichever sound library is behind them.

All sound here is real: through PortAudio, ALSA and PulseAudio, in real time.
"""

import asyncio
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from sonic_voice.audio.pcm import Resampler
from sonic_voice.devices import BackendName, Microphone, Speaker, devices
from sonic_voice.errors import ConfigError, DeviceError, OrderError

from ..support.device_sounds import (
    LEVEL,
    SPOKEN_HZ,
    TONE_HZ,
    Dated,
    at_capture_rate,
    listening,
    quiet,
    samples,
    speaker,
    speech,
    tone,
)
from ..support.virtual import CAPTURE_HZ, Capture, SoundServer, likeness, match


async def test_devices_are_opened_as_they_prefer_and_converted(
    sound: SoundServer, backend: BackendName
) -> None:
    async with Microphone(backend=backend) as microphone, speaker(backend) as loudspeaker:
        assert (microphone.format.rate_hz, microphone.opening.rate_hz) == (16_000, 44_100)
        assert (loudspeaker.format.rate_hz, loudspeaker.opening.rate_hz) == (24_000, 48_000)
        assert loudspeaker.opening.channels == 2
        # The first are shorter: until the device begins, and by what the filter holds back.
        chunks = [await microphone.read() for _ in range(10)]
        assert 1_278 <= len(chunks[-1]) <= 1_282  # 40 ms
        assert not microphone.done


async def test_both_at_once_what_is_said_is_heard_and_what_is_played_sounds(
    sound: SoundServer, backend: BackendName
) -> None:
    said, played = await speech("please-try-again"), await speech("cards-003", SPOKEN_HZ)
    with sound.capture() as capture:
        async with Microphone(backend=backend) as microphone, speaker(backend) as loudspeaker:
            async with listening(microphone) as heard:
                await asyncio.sleep(0.2)
                speaking = sound.say(said, 16_000)
                for start in range(0, len(played), 1_920):  # 40 ms, as the service sends
                    loudspeaker.play(1, played[start : start + 1_920])
                await asyncio.to_thread(speaking.wait)
                await quiet(loudspeaker)
            assert microphone.stats.dropped_s == 0
            assert loudspeaker.stats.playout.underruns == 0
    assert likeness(samples(said), samples(bytes(heard))) > 0.9
    assert likeness(at_capture_rate(played), capture.samples) > 0.9


async def test_from_flush_to_silence_it_takes_less_than_40_ms_and_there_is_no_click(
    sound: SoundServer, backend: BackendName
) -> None:
    flushed_s: list[float] = []
    with sound.capture() as capture:
        async with speaker(backend) as loudspeaker:
            for turn in range(8):
                loudspeaker.play(turn, tone(2))
                await asyncio.sleep(0.2 + turn * 0.003)
                flushed_s.append(time.monotonic())
                loudspeaker.flush()
                await asyncio.sleep(0.1)
            await quiet(loudspeaker)
    sound_of_all = capture.samples.astype(int)
    took_ms = [1000 * silence_after(capture, at_s) for at_s in flushed_s]
    assert np.median(took_ms) < 40, took_ms
    steepest = LEVEL * 2 * np.pi * TONE_HZ / CAPTURE_HZ
    first = capture.position(flushed_s[3] - 0.1)
    last = capture.position(flushed_s[3] + 0.09)
    assert np.abs(np.diff(sound_of_all[first:last])).max() < 1.2 * steepest


def silence_after(capture: Capture, at_s: float) -> float:
    """Seconds from `at_s` to the last sample of what sounded then."""
    begin = capture.position(at_s)
    sounding = np.flatnonzero(capture.samples[begin : begin + CAPTURE_HZ // 12])
    return (sounding[-1] + 1) / CAPTURE_HZ if len(sounding) else 0.0


async def test_played_time_is_what_has_left_the_loudspeaker(
    sound: SoundServer, backend: BackendName
) -> None:
    told: list[tuple[float, int]] = []
    with sound.capture() as capture:
        async with speaker(backend) as loudspeaker:
            loudspeaker.play(1, tone(1))
            for _ in range(9):
                await asyncio.sleep(0.083)
                told.append((time.monotonic(), loudspeaker.played_ms(1)))
            await quiet(loudspeaker)
            assert loudspeaker.played_ms(1) in range(995, 1001)
    captured_ms = [sounding_ms(capture, at_s) for at_s, _ in told]
    errors_ms = [played_ms - ms for (_, played_ms), ms in zip(told, captured_ms, strict=True)]
    assert -30 < np.median(errors_ms) < 8, errors_ms  # what lies in the device, 25 ms, is not heard


def sounding_ms(capture: Capture, until_s: float) -> int:
    """Milliseconds that were not silent before `until_s`; gaps of a busy machine do not count."""
    sound = capture.samples[: capture.position(until_s)]
    return int(np.count_nonzero(sound[: len(sound) // 48 * 48].reshape(-1, 48).any(axis=1)))


async def test_the_dates_of_both_ends_are_on_one_clock(
    sound: SoundServer, backend: BackendName
) -> None:
    """Noise from the loudspeaker goes into the microphone; by their dates it took that long."""
    noise = (
        np.random.default_rng(4).integers(-LEVEL, LEVEL, SPOKEN_HZ // 10).astype("<i2").tobytes()
    )
    loop = sound.control(
        "load-module module-loopback source=spk.monitor sink=micfeed latency_msec=20"
    )
    try:
        async with Microphone(backend=backend) as microphone, speaker(backend) as loudspeaker:
            near, far = Dated(16_000), Dated(48_000)
            for _ in range(75):
                near.add(await microphone.read(), microphone.chunk_began_s)
                for block in loudspeaker.drain_played():
                    far.add(block.pcm, block.at_s)
                if len(near.dates_s) == 15:
                    loudspeaker.play(1, noise)
    finally:
        sound.control(f"unload-module {loop}")
    begin = int(np.flatnonzero(far.samples)[0])
    down = Resampler(48_000, 16_000)
    sent = samples(down.feed(far.samples[begin:][:4_800].tobytes()) + down.finish())
    alike, offset = match(sent, near.samples)
    delay_ms = 1000 * (near.date_s(offset) - far.date_s(begin))
    assert alike > 0.3  # by chance 0.1; a busy machine may tear the noise apart
    assert 0 < delay_ms < 150


async def test_a_reader_that_is_late_loses_the_oldest(
    sound: SoundServer, backend: BackendName
) -> None:
    async with Microphone(backend=backend) as microphone:
        await microphone.read()
        began_s = microphone.chunk_began_s
        await asyncio.sleep(2.4)
        await microphone.read()
        forgotten_s = microphone.chunk_began_s - began_s
    assert 0.2 < microphone.stats.dropped_s < 1
    assert forgotten_s == pytest.approx(microphone.stats.dropped_s, abs=0.1)


async def test_a_read_that_is_cancelled_loses_nothing(
    sound: SoundServer, backend: BackendName
) -> None:
    async with Microphone(backend=backend) as microphone:
        chunk = b""
        for _ in range(10):  # until the device flows evenly
            chunk = await microphone.read()
        first_s, heard_s = microphone.chunk_began_s, 0.0
        while heard_s < 0.5:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.003):
                    before, chunk = chunk, await microphone.read()
                    heard_s += microphone.format.seconds(len(before))
        elapsed_s = microphone.chunk_began_s - first_s
    assert elapsed_s == pytest.approx(heard_s, abs=0.015)


async def test_closing_twice_leaves_no_thread_and_ends_the_reading(
    sound: SoundServer, backend: BackendName
) -> None:
    microphone, loudspeaker = Microphone(backend=backend), speaker(backend)
    reading = asyncio.create_task(microphone.read())
    await asyncio.sleep(0)
    loudspeaker.play(1, tone(1))
    for _ in range(2):
        await microphone.aclose()
        await loudspeaker.aclose()
    assert await reading == b""
    assert await microphone.read() == b""
    with pytest.raises(OrderError, match="closed"):
        loudspeaker.play(1, tone(1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sonic")]


async def test_cancelling_the_close_gives_the_device_back_all_the_same(
    sound: SoundServer, backend: BackendName
) -> None:
    loudspeaker = speaker(backend)
    loudspeaker.play(1, tone(1))
    await asyncio.sleep(0.2)
    closing = asyncio.create_task(loudspeaker.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sonic")]


def test_what_cannot_be_opened_is_said_with_what_can(
    sound: SoundServer, backend: BackendName
) -> None:
    assert [device.name for device in devices(backend) if device.default_input] == ["default"]
    with pytest.raises(DeviceError, match=r"'defalt'.*Did you mean 'default'\?.*ALSA"):
        Microphone("defalt", backend=backend)
    with pytest.raises(
        DeviceError, match=r"'default' does not open with 300 Hz.*takes.*48000.* Hz"
    ):
        Speaker(backend=backend, rate_hz=300)
    with pytest.raises(DeviceError, match=r"with 40 channels.*up to 32 channels"):
        Microphone(backend=backend, channels=40)
    with pytest.raises(ConfigError, match="block cannot last 0 ms"):
        Microphone(backend=backend, block_ms=0)
