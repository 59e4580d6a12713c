"""`talk --output --transcript --record` on devices: both sides are in the files, as heard."""

import asyncio
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sonic_voice.audio.decoding import open_recording
from sonic_voice.recording import read_tape, tape_lines
from sonic_voice.recording.stereo import stereo_frames

from ..support.device_sounds import speech
from ..support.talk_command import talking
from ..support.virtual import CAPTURE_HZ, Capture, SoundServer, likeness

RATE = 24_000
SCENARIO = """
name: recorded
endpoint_ms: 480
steps:
  - user: hello
    say: Good morning, this is your robot speaking.
  - user: transfer
    say: While you are waiting, let me tell you the story of a lighthouse keeper, who counted the
      ships each night, and wrote their names into a book, until one evening a ship came that had
      no name at all, and he rowed out to look for its captain.
  - user: please try again
    say: All right, I will tell it another time. Goodbye!
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    return str(path)


def onsets_s(samples: NDArray[np.int16], rate_hz: int) -> list[float]:
    """Return when something loud begins, after half a second without."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 800) / rate_hz
    return [float(at) for at in loud[np.diff(loud, prepend=-10) > 0.5]]


async def ask(sound: SoundServer, name: str) -> None:
    speaking = sound.say(await speech(name), 16_000)
    assert await asyncio.to_thread(speaking.wait) == 0


@pytest.mark.parametrize(
    "name", ["talk.wav", pytest.param("talk.flac", marks=pytest.mark.thorough)]
)
async def test_both_sides_are_recorded_in_time(
    sound: SoundServer, scenario: str, tmp_path: Path, name: str
) -> None:
    path, written = tmp_path / name, tmp_path / "talk.txt"
    with Capture() as heard, Capture("micfeed.monitor") as spoken:
        arguments = ("--local", "--scenario", scenario, "--no-aec", "--output", str(path))
        arguments += ("--transcript", str(written), "--record", str(tmp_path / "talk.tape"))
        async with talking(*arguments) as talk:
            await talk.until("Opened")
            await asyncio.sleep(1.0)
            await ask(sound, "hello")
            await talk.until("TurnEnded", turn=1)
            await asyncio.sleep(4.0)
            first_turn = written.read_text()  # nothing happens, and it is there
            await ask(sound, "transfer")
            await talk.until("Audio", turn=2)
            await asyncio.sleep(4.0)
            so_far = open_recording(path)  # as `kill -9` would leave it
            so_far.close()
            await ask(sound, "please-try-again")
            await talk.until("TurnEnded", turn=3)
            await asyncio.sleep(4.0)
            code, error, _ = await talk.leave()
    assert code == 130
    assert name not in error  # a busy machine lets the loudspeaker run dry, which is noted
    assert so_far.frames > 10 * RATE
    assert "] you: hello" in first_turn.lower()
    assert "] nova: Good morning, this is your robot speaking.\n" in first_turn
    [story] = [line for line in written.read_text().splitlines() if "lighthouse" in line]
    [heard_of_it] = talk.all("Heard")
    assert f"nova: {heard_of_it['heard']} [interrupted after " in story
    frames, rate_hz = soundfile.read(path, dtype="int16")
    both = np.asarray(frames, np.int16)
    assert rate_hz == RATE
    left, right = both[:, 0], both[:, 1]
    # The captures share a clock, which says when the file began: the same for both sides.
    began_s = [began(left, spoken), began(right, heard)]
    assert began_s[0] == pytest.approx(began_s[1], abs=0.05)
    # The question is on the left and its answer on the right alone; what was cut off is not there.
    assert likeness(np.frombuffer(await speech("hello", RATE), "<i2"), left) > 0.6
    for speaks, is_silent in ((left, right), (right, left)):
        first = round(onsets_s(speaks, RATE)[0] * RATE)
        assert np.abs(is_silent[first : first + RATE // 2].astype(int)).max() < 100
    assert heard_of_it["turn"] == 2
    story_s = sum(1 for second in seconds(right) if second > 100)
    heard_s = sum(1 for second in seconds(heard.samples[::2]) if second > 100)
    assert abs(story_s - heard_s) <= 2
    check_tape(tmp_path / "talk.tape", both, heard_of_it["heard"])


def check_tape(path: Path, recording: NDArray[np.int16], heard: str) -> None:
    """Check that a tape has the same conversation as the recording in stereo."""
    tape = read_tape(path)
    assert (tape.damage, tape.missing) == ((), 0)
    frames = np.frombuffer(b"".join(stereo_frames(tape)), "<i2").reshape(-1, 2)
    # The two begin at different moments; what is on one side lies as it does to the other. On the
    # left is what the service received: on a busy machine that has pauses where sound was late.
    there, here = onsets_s(recording[:, 1], RATE), onsets_s(frames[:, 1], RATE)
    assert np.diff(here) == pytest.approx(np.diff(there), abs=0.25)
    first_s = [onsets_s(both[:, 0], RATE)[0] for both in (recording, frames)]
    assert there[0] - first_s[0] == pytest.approx(here[0] - first_s[1], abs=0.25)
    lines = tape_lines(tape)
    assert [line.role for line in lines] == ["USER", "ASSISTANT"] * 3
    [cut] = [line for line in lines if line.interrupted]
    assert cut.text == heard


def began(side: NDArray[np.int16], capture: Capture) -> float:
    """Return when the file began, in seconds of `time.monotonic()`: the median of all onsets."""
    there = [
        capture.time_s(round(at_s * CAPTURE_HZ)) for at_s in onsets_s(capture.samples, CAPTURE_HZ)
    ]
    here = onsets_s(side, RATE)
    assert len(here) == len(there) >= 3, (here, there)
    return median(at_s - in_file_s for at_s, in_file_s in zip(there, here, strict=True))


def seconds(samples: NDArray[np.int16]) -> list[float]:
    """Return the level of each second."""
    whole = samples[: len(samples) // RATE * RATE].astype(float).reshape(-1, RATE)
    return [float(level) for level in np.sqrt(np.mean(whole**2, axis=1))]
