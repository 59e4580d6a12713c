"""The volume of the loudspeaker, as it is heard."""

import asyncio
import time

import numpy as np

from sonic_voice.devices import BackendName

from ..support.device_sounds import LEVEL, TONE_HZ, quiet, speaker, tone
from ..support.virtual import CAPTURE_HZ, Capture, SoundServer


async def test_a_change_of_the_volume_is_heard_at_once_and_without_a_click(
    sound: SoundServer, backend: BackendName
) -> None:
    with sound.capture() as capture:
        async with speaker(backend) as loudspeaker:
            loudspeaker.play(1, tone(2.5))  # all of it is queued before the first change
            changed_s: list[float] = []
            for volume in (50, 0, 100):
                await asyncio.sleep(0.5)
                loudspeaker.volume = volume
                changed_s.append(time.monotonic())
            await asyncio.sleep(0.5)
            ended_s = time.monotonic()
            loudspeaker.flush()
            await quiet(loudspeaker)
    full = LEVEL / np.sqrt(2)
    at_half, at_none, at_full = (
        level(capture, began_s + 0.15, until_s)
        for began_s, until_s in zip(changed_s, [*changed_s[1:], ended_s], strict=True)
    )
    assert -12.6 < 20 * np.log10(at_half / full) < -11.5  # a half of the volume is -12 dB
    assert at_none == 0
    assert at_full > 0.9 * full
    steepest = LEVEL * 2 * np.pi * TONE_HZ / CAPTURE_HZ
    whole = capture.samples[capture.position(changed_s[0]) : capture.position(ended_s)]
    assert np.abs(np.diff(whole.astype(int))).max() < 1.2 * steepest


def level(capture: Capture, began_s: float, until_s: float) -> float:
    """Return the effective value of what sounded in between."""
    heard = capture.samples[capture.position(began_s) : capture.position(until_s)]
    return float(np.sqrt(np.mean(np.square(heard.astype(float)))))
