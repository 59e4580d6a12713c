"""`sonic-voice talk --local` as a person has it: spoken to a microphone, heard from a loudspeaker.

The person waits until it is quiet, says the next thing, and hears the answer to its end; the last
thing but one is said into the answer. What the loudspeaker gave is written down by Whisper.
"""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from sonic_voice.devices import BackendName
from sonic_voice.emulator.speech import WhisperRecognizer, synthesizer

from ..support.device_sounds import SPOKEN_HZ, speech
from ..support.gauges import gains, last_sound
from ..support.talk_command import talking
from ..support.virtual import CAPTURE_HZ, Capture, SoundServer
from ..support.word_errors import word_error_rate
from ..support.word_times import middles_s

VOICE = "matthew"
SCENARIO = f"""
name: four turns
voice: {VOICE}
endpoint_ms: 480
steps:
  - user: hello
    say: Good morning, this is your robot speaking.
  - user: go forward ten meters
    say: I have gone forward, and now I am standing in front of the garden gate.
  - user: transfer
    say: While you are waiting, let me tell you the story of a lighthouse keeper, who counted the
      ships each night, and wrote their names into a book, until one evening a ship came that had
      no name at all, and he rowed out to look for its captain.
  - user: please try again
    say: All right, I will tell it another time. Goodbye!
"""
QUESTIONS = ("hello", "goforward", "transfer", "please-try-again")
OUTPUT_FORMAT = {
    1: "Good morning, this is your robot speaking.",
    2: "I have gone forward, and now I am standing in front of the garden gate.",
    4: "All right, I will tell it another time. Goodbye!",
}
"""What is said to the end, by turn."""

INTO_THE_STORY_S = 4.0


async def ask(sound: SoundServer, name: str) -> None:
    speaking = sound.say(await speech(name), 16_000)
    assert await asyncio.to_thread(speaking.wait) == 0


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    return str(path)


@pytest.mark.parametrize(
    "backend", ["sounddevice", pytest.param("pyaudio", marks=pytest.mark.thorough)]
)
async def test_four_turns_are_spoken_heard_and_interrupted(
    sound: SoundServer, backend: BackendName, scenario: str
) -> None:
    recognizer = WhisperRecognizer()
    noise = np.random.default_rng(4).normal(0, 8, 16_000 * 90).astype("<i2").tobytes()
    room = sound.say(noise, 16_000)  # no microphone gives nothing but zeros
    with Capture() as capture:
        async with talking("--local", "--scenario", scenario, "--audio-backend", backend) as talk:
            spans: dict[int, tuple[int, int]] = {}
            await asyncio.sleep(4.0)  # the room
            for turn, question in enumerate(QUESTIONS, 1):
                await ask(sound, question)
                await talk.until("TurnEnded" if turn != 3 else "Audio", turn=turn)
                began = capture.position(time.monotonic() - 1.0)
                await asyncio.sleep(INTO_THE_STORY_S if turn == 3 else 6.0)
                spans[turn] = began, len(capture.samples)
            code, error, took_s = await talk.leave()
    room.terminate()
    room.wait()
    assert (code, error) == (130, "")
    assert took_s < 1.5
    assert [event["turn"] for event in talk.all("Interrupted")] == [3]
    pairs: list[tuple[str, str]] = []
    for turn, text in OUTPUT_FORMAT.items():
        pairs.append((text, words(recognizer, capture, *spans[turn])))
    assert word_error_rate(pairs) < 0.15, pairs
    (heard,) = talk.all("Heard")
    story = synthesizer("light")(heard["planned"], VOICE, SPOKEN_HZ)
    signal = capture.position(await talk.until("Interrupted"))
    cut = last_sound(capture.samples, signal + CAPTURE_HZ // 10)
    sounded_s = gains(story, capture.samples, cut - CAPTURE_HZ // 2).sounded_s(cut)
    assert -60 < heard["heard_ms"] - 1000 * sounded_s < 500  # it may end in a pause
    words_s = middles_s(heard["planned"], story, SPOKEN_HZ)
    sounded = sum(middle_s < sounded_s for middle_s in words_s)
    assert 3 < sounded < len(words_s)
    assert abs(len(heard["heard"].split()) - sounded) <= 1, (heard, sounded_s)


async def test_a_conversation_outlives_its_devices(sound: SoundServer, scenario: str) -> None:
    """They are taken away in the middle of an answer, and the rest of it waits for them."""
    recognizer = WhisperRecognizer()
    async with talking("--local", "--scenario", scenario) as talk:
        await asyncio.sleep(3.0)
        await ask(sound, QUESTIONS[0])
        await talk.until("TurnEnded", turn=1)
        await asyncio.sleep(3.0)
        await ask(sound, QUESTIONS[1])
        await talk.until("Audio", turn=2)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(sound.unplug)
        await talk.until_noticed("has stopped", 2)
        await asyncio.to_thread(sound.plug)
        with Capture() as capture:
            await talk.until_noticed("is back", 2)
            await asyncio.sleep(5.0)
            rest = words(recognizer, capture, 0, len(capture.samples))
            began = len(capture.samples)
            await ask(sound, QUESTIONS[3])
            await talk.until("TurnEnded", turn=3)
            await asyncio.sleep(4.0)
            story = words(recognizer, capture, began, len(capture.samples))
        code, _, took_s = await talk.leave()
    assert code == 130
    assert took_s < 1.5
    assert rest.lower().rstrip(".").endswith("garden gate"), rest
    assert "lighthouse" in story.lower(), story
    assert not talk.all("Interrupted")


def words(recognizer: WhisperRecognizer, capture: Capture, began: int, ended: int) -> str:
    utterance = recognizer.begin(CAPTURE_HZ)
    utterance.feed(capture.samples[began:ended].tobytes())
    return utterance.finish() or ""
