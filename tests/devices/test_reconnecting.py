"""A conversation at the microphone outlives a cut and its stream; the first words are kept."""

import asyncio
import time
from pathlib import Path

from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts

from ..support.device_sounds import speech
from ..support.gauges import last_sound
from ..support.talk_command import talking
from ..support.virtual import CAPTURE_HZ, Capture, SoundServer

LIFE_S = 16.0
SCENARIO = """
endpoint_ms: 480
steps:
  - user: hello
    say: Good morning, this is your robot speaking, and I wish you a very good day.
  - user: go forward ten meters
    say: I have gone forward, and now I am standing in front of the garden gate.
  - user: please try again
    say: All right.
"""


async def ask(sound: SoundServer, name: str) -> None:
    speaking = sound.say(await speech(name), 16_000)
    assert await asyncio.to_thread(speaking.wait) == 0


async def test_a_live_conversation_survives_a_cut_and_a_renewal(
    sound: SoundServer, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    behaviour = Behaviour(faults=("cut@1",), latency="none", timeouts=StreamTimeouts(life_s=LIFE_S))
    async with emulator(tmp_path / "s.yaml", behaviour=behaviour) as service:
        there = ("--endpoint", service.endpoint, "--ca", str(service.ca_file))
        life = ("--stream-life", str(LIFE_S))
        environment = service.environment()
        with Capture() as capture:
            async with talking(*there, *life, environment=environment) as talk:
                await talk.until("Opened")
                await ask(sound, "hello")
                await talk.until("Reconnecting", kind="cut")
                await talk.until("TurnEnded", turn=1)
                await talk.until("Renewed", reason="age")
                await ask(sound, "goforward")
                await talk.until("TurnEnded", turn=2)
                await asyncio.sleep(4.0)  # it is heard to its end
                played_s = last_sound(capture.samples, len(capture.samples)) / CAPTURE_HZ
                code, error, took_s = await talk.leave()
    assert code == 130
    # The cut makes a gap in the answer, on which the devices advise; nothing else is said.
    # (Virtual devices may also stop for a moment on a busy machine.)
    advice = ("sound came too late", "loudspeaker ran dry", "has stopped", "is back")
    assert not [line for line in error.splitlines() if not any(words in line for words in advice)]
    assert took_s < 1.5
    said = [(event["turn"], event["text"]) for event in talk.all("UserText")]
    assert said == [(1, "hello"), (2, "go forward ten meters")], "each word once"
    assert talk.all("Interrupted") == []
    renewals = [event["reason"] for event in talk.all("Renewed")]
    assert renewals[0] == talk.all("Reconnecting")[0]["reason"]
    assert set(renewals[1:]) == {"age"}
    assert played_s > 5.0


async def test_what_is_said_while_the_service_opens_is_answered(
    sound: SoundServer, tmp_path: Path
) -> None:
    """The service refuses the first streams; the user speaks meanwhile."""
    (tmp_path / "s.yaml").write_text(SCENARIO)
    behaviour = Behaviour(faults=("http:429@2",), latency="none")
    async with emulator(tmp_path / "s.yaml", behaviour=behaviour) as service:
        there = ("--endpoint", service.endpoint, "--ca", str(service.ca_file))
        async with talking(*there, environment=service.environment()) as talk:
            await talk.until("Reconnecting", attempt=1)
            began_s = time.monotonic()
            await ask(sound, "hello")
            opened_s = await talk.until("Opened")
            await talk.until("TurnEnded", turn=1)
            code, error, _ = await talk.leave()
    assert (code, error) == (130, "")
    assert opened_s > began_s, "the words began before the service was there"
    assert talk.all("Opened")[0]["replayed_ms"] > 500
    assert [event["text"] for event in talk.all("UserText")] == ["hello"]


async def test_a_failed_opening_is_reported_and_has_its_exit_code(sound: SoundServer) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}
    nobody = ("--region", "us-east-1", "--endpoint", "https://localhost:9")
    async with talking(*nobody, environment=keys) as talk:
        await talk.until("Ended")
        assert await talk.process.wait() == 5
    (ended,) = talk.all("Ended")
    assert (ended["at_s"], ended["reason"], ended["exit_code"]) == (None, "network", 5)
    assert talk.all("Reconnecting") == []
    assert ended["error"]["message"] in "".join(talk.notices)
