"""`tape play` on devices: the sound of both sides is heard, and the words are printed."""

import asyncio
import sys
from pathlib import Path

import numpy as np

from sonic_voice.recording import Played, SessionEvent, TapeRecord

from ..support.tapes import written
from ..support.virtual import Capture, SoundServer

TONE = (8_000 * np.sin(np.arange(48_000) * 2 * np.pi * 440 / 24_000)).astype("<i2").tobytes()
"""Two seconds at 24 kHz."""


async def test_a_tape_is_heard_from_where_one_wants(sound: SoundServer, tmp_path: Path) -> None:
    records: list[TapeRecord] = [
        SessionEvent(0.1, "UserText", {"turn": 1, "text": "skip me", "typed": True}),
        Played(60.0, 2, TONE),
        SessionEvent(60.0, "AssistantText", {"turn": 2, "block": 0, "text": "A tone."}),
    ]
    path = written(tmp_path / "talk.tape", records)
    with Capture() as heard:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sonic_voice", "tape", "play", str(path), "--from", "59.5"),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode() == "[   60.0] nova: A tone.\n"
    loud = np.abs(heard.samples.astype(int)) > 2_000
    assert loud.sum() > 10_000
