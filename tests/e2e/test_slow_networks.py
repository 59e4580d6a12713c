"""Networks that are dead or too slow, between the production client and the emulator.

The kernel of this machine takes what a dead network does not carry. So what counts is the time
until the person is told.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from sonic_voice.bedrock import BedrockTransport
from sonic_voice.config import SessionConfig
from sonic_voice.doctor import Options
from sonic_voice.doctor.service import check_service
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.server import LOCAL_KEYS, Emulator
from sonic_voice.errors import ConnectionLost, SonicError
from sonic_voice.events import NetworkSlow
from sonic_voice.policies import NO_RECOVERY
from sonic_voice.session import Session

from ..support.faulty_servers import listening, nothing
from ..support.relay import Relay, Way, relayed

REPORTED_S = 10.0
"""When a dead network must have been reported, in seconds."""

FRAME_S = 0.04
SPEECH_BYTES_S = 57_000
"""What speech of 16 kHz takes on the wire: 16,000 * 2 * 16/9 bytes/s."""
SLOW_BYTES_S = 8_000

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "SSL_CERT")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/no/file")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/no/file")


class Speaker:
    """Somebody who speaks without a pause, in real time."""

    def __init__(self, session: Session) -> None:
        self.taken_s = 0.0
        """Speech that the session took, in seconds."""
        self.has_begun = asyncio.Event()
        """Set when a second of speech was taken."""
        self._session = session

    async def speak(self) -> None:
        """Speak until cancelled, or the session is over."""
        frame = os.urandom(self._session.config.input.size(FRAME_S))
        began_s = asyncio.get_running_loop().time()
        spoken_s = 0.0
        try:
            while True:
                await self._session.send_audio(frame)
                self.taken_s += FRAME_S
                spoken_s += FRAME_S
                if self.taken_s >= 1:
                    self.has_begun.set()
                ahead_s = began_s + spoken_s - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, ahead_s))  # the pace of speech
        except SonicError:
            return  # whoever reads the session's events is told


@asynccontextmanager
async def conversing(running: Emulator, relay: Relay) -> AsyncGenerator[tuple[Session, Speaker]]:
    """A session in which somebody speaks, over `relay`."""
    transport = BedrockTransport(
        region="us-east-1",
        endpoint=f"https://localhost:{relay.port}",
        ca_file=running.ca_file,
        access_key=LOCAL_KEYS.access_key,
        secret_key=LOCAL_KEYS.secret_key,
    )
    try:
        async with Session.open(SessionConfig(recovery=NO_RECOVERY), transport) as session:
            speaker = Speaker(session)
            speaking = asyncio.create_task(speaker.speak())
            try:
                yield session, speaker
            finally:
                speaking.cancel()
                await asyncio.wait({speaking})
    finally:
        await transport.aclose()


async def time_to_report(running: Emulator, up: Way, down: Way) -> float:
    """How long it takes until a dead network has been reported, in seconds."""
    loop = asyncio.get_running_loop()
    async with relayed(running.port) as relay:
        died_s = loop.time()
        with pytest.raises(ConnectionLost, match="not even a ping") as lost:
            async with conversing(running, relay) as (session, speaker):
                await speaker.has_begun.wait()
                relay.set(up=up, down=down)
                died_s = loop.time()
                async for _ in session:
                    pass
        reported_s = loop.time() - died_s
        assert lost.value.reason == "cut"
        assert "Check the network" in lost.value.hint
        relay.set()
        return reported_s


async def test_a_dead_network_is_reported_within_ten_seconds_whichever_way_it_died() -> None:
    ways: list[tuple[Way, Way]] = [
        ("stop", "stop"),
        ("swallow", "swallow"),
        ("stop", "pass"),
        ("pass", "swallow"),
    ]
    async with emulator(behaviour=Behaviour(ears="none")) as running:
        times = await asyncio.gather(*(time_to_report(running, *way) for way in ways))
    assert max(times) < REPORTED_S, dict(zip(ways, times, strict=True))


async def test_a_line_too_slow_for_speech_is_told_with_figures_and_hides_little() -> None:
    loop = asyncio.get_running_loop()
    told: list[tuple[float, NetworkSlow]] = []

    async def listen(session: Session) -> None:
        async for event in session:
            match event:
                case NetworkSlow():
                    told.append((loop.time() - slow_s, event))
                case _:
                    pass

    async with (
        emulator(behaviour=Behaviour(ears="none")) as running,
        relayed(running.port) as relay,
        conversing(running, relay) as (session, speaker),
    ):
        relay.up_bytes_s = SLOW_BYTES_S
        slow_s, taken_s, carried = loop.time(), speaker.taken_s, relay.carried_up
        listening_to = asyncio.create_task(listen(session))
        done, _ = await asyncio.wait({listening_to}, timeout=15)
        assert not done  # slow is not dead: pings that wait behind the audio are answered late
        carried_s = (relay.carried_up - carried) / SPEECH_BYTES_S
        waiting_s = speaker.taken_s - taken_s - carried_s
        relay.up_bytes_s = None
        session.finish()
        await listening_to
    assert waiting_s < 2  # of 15 s that were spoken
    first_s, first = told[0]
    assert first_s < 6
    assert first.late_s >= 1
    assert first.speech_per_s < 0.3
    assert len(told) <= 2


async def test_a_network_dead_from_the_start_is_reported_alike_by_talk_and_doctor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", LOCAL_KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", LOCAL_KEYS.secret_key)

    async def talked(endpoint: str) -> tuple[str, str]:
        transport = BedrockTransport(endpoint=endpoint)
        with pytest.raises(SonicError) as failed:
            async with Session.open(SessionConfig(recovery=NO_RECOVERY), transport):
                raise AssertionError("it was opened")
        await transport.aclose()
        return failed.value.message, failed.value.hint

    async def examined(endpoint: str) -> tuple[str, str]:
        found = [finding async for finding in check_service(Options(endpoint=endpoint))]
        (failure,) = [finding for finding in found if finding.grade == "failure"]
        return failure.found, failure.fix

    async with listening(nothing) as port:
        began_s = asyncio.get_running_loop().time()
        said = await asyncio.gather(
            *(
                ask(f"{scheme}://localhost:{port}")
                for scheme in ("https", "http")
                for ask in (talked, examined)
            )
        )
        took_s = asyncio.get_running_loop().time() - began_s
    secure, secure_doctor, clear, clear_doctor = said
    assert secure == secure_doctor
    assert "no TLS was agreed on within 8 s" in secure[0]
    assert clear == clear_doctor
    assert "has answered nothing for 8 s, not even a ping" in clear[0]
    assert took_s < REPORTED_S
