"""Recovery where real time and processes matter: refusals, stopped processes, credentials.

The times are as short as a fault allows. To run with longer ones:

    REFUSED_S=20 STOPPED_S=15 scripts/test tests/e2e/test_recovery_process.py -s --timeout=0
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from sonic_voice import RecoveryPolicy, RenewalPolicy, SessionConfig, Toolbox
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION
from sonic_voice.emulator.server.sigv4 import AccessKeyPair
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    Opened,
    Reconnecting,
    Renewed,
    ToolCall,
    TurnEnded,
    UserSpeechStarted,
    UserText,
)

from ..support import tone_words
from ..support.ledger import LedgerUser
from ..support.ledger_process import (
    Conversation,
    ledger_emulator,
    local_transport,
    look_up,
    served,
)

REFUSED_S = float(os.environ.get("REFUSED_S", "5"))
"""Time in which the service takes no stream, in seconds."""
STOPPED_S = float(os.environ.get("STOPPED_S", "0"))
"""Minimum time for which the emulator is stopped, in seconds. It is stopped at least until the
client has noticed."""
SUSPENDED_S = 16.0
"""Time for which the client is stopped, in seconds: longer than what it takes for a pause."""
POLICY = RecoveryPolicy()
"""The default limits, with which the conversations are held."""
OF_A_STREAM = (UserSpeechStarted, UserText, AssistantText, Audio, Interrupted, ToolCall, TurnEnded)
"""Events that a stream of the service causes."""


class Reciter(LedgerUser):
    """A user who speaks from the beginning, and does not wait for answers."""

    def _decide(self) -> None:
        if not self._sound and self._speak_at_s <= self.now() < self._seconds:
            self._say()
            self._speak_at_s = self.now() + self.format.seconds(len(self._sound)) + 1.5


def reconnections(conversation: Conversation) -> list[tuple[float, Reconnecting]]:
    """Return the attempts to reconnect, with their times."""
    return [(at, event) for at, event in conversation.events if isinstance(event, Reconnecting)]


async def test_a_client_that_is_throttled_at_opening_backs_off_and_keeps_what_is_said() -> None:
    conversation = Conversation(1.0, REFUSED_S + 1, Reciter)
    began_s = asyncio.get_running_loop().time()
    async with served("--fault", f"http:429@for={REFUSED_S:g}") as (_, endpoint, ca_file):
        transport = local_transport(endpoint, ca_file)
        await conversation.hold(transport)
        await transport.aclose()
    attempts = reconnections(conversation)
    at_s, opened = next((at, e) for at, e in conversation.events if isinstance(e, Opened))
    times = [at for at, _ in attempts]
    waits = [later - earlier for earlier, later in pairwise([*times, at_s])]
    print("attempts at", [f"{at - began_s:.2f}" for at in times], f"opened {at_s - began_s:.2f} s")
    print("said", conversation.user.ledger.said, opened)
    assert len(attempts) >= 3
    longest_s = (1 - POLICY.jitter) * POLICY.longest_wait_s
    assert all(later > earlier or later >= longest_s for earlier, later in pairwise(waits))
    assert [event.attempt for _, event in attempts] == list(range(1, len(attempts) + 1))
    assert opened.replayed_ms >= 1000 * REFUSED_S
    ledger = conversation.user.ledger
    assert ledger.said >= 6
    assert (ledger.lost, ledger.doubled) == ([], [])


async def test_nothing_of_a_stream_whose_process_was_stopped_comes_after_the_reconnection() -> None:
    speed = 1.0 if STOPPED_S else 2.0
    conversation = Conversation(speed=speed, seconds=16.0)
    loop = asyncio.get_running_loop()
    stopped_at_s = 0.0
    async with served("--speed", str(speed)) as (process, endpoint, ca_file):

        def stop_and_continue(event: Event) -> None:
            nonlocal stopped_at_s
            if isinstance(event, Audio) and not stopped_at_s:
                stopped_at_s = loop.time()
                process.send_signal(signal.SIGSTOP)
            if isinstance(event, Reconnecting) and event.attempt == 1:
                left_s = STOPPED_S - (loop.time() - stopped_at_s)
                loop.call_later(max(0.0, left_s), process.send_signal, signal.SIGCONT)

        transport = local_transport(endpoint, ca_file)
        await conversation.hold(transport, stop_and_continue)
        await transport.aclose()
    attempts = reconnections(conversation)
    renewed = [(at, event) for at, event in conversation.events if isinstance(event, Renewed)]
    print([f"{at - stopped_at_s:.2f} {event}" for at, event in [*attempts, *renewed]])
    events = [event for _, event in conversation.events]
    between = events[events.index(attempts[0][1]) : events.index(renewed[0][1])]
    assert [event for event in between if isinstance(event, OF_A_STREAM)] == []
    assert len(renewed) == 1
    assert conversation.errors() == []
    sound = b"".join(event.pcm for event in events if isinstance(event, Audio))
    answers = tone_words.decode(sound, conversation.config.output.rate_hz)
    whole = [word for word in answers if word != tone_words.GARBLED]  # it broke off in a word
    assert len(whole) == len(set(whole))


async def test_a_stream_is_renewed_with_fresh_credentials_before_its_own_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = AccessKeyPair("AKIALOCALEXPIRING000", "old", datetime.now(UTC) + timedelta(seconds=70))
    new = replace(LOCAL_KEYS, expires_at=datetime.now(UTC) + timedelta(hours=2))
    credentials = tmp_path / "credentials.json"
    write_credentials(credentials, old)
    config_file = tmp_path / "config"
    config_file.write_text(f"[profile voice]\ncredential_process = cat {credentials}\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config_file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    accepted = [old]

    def rotate(event: Event) -> None:
        if isinstance(event, Opened):
            accepted[:] = [new]  # a stream that is open goes on, a new one needs the new keys
            write_credentials(credentials, new)

    config = SessionConfig(
        tools=Toolbox([look_up]).specs,
        stream_s=320.0,  # the next stream is prepared 60 s before the switch at 65 s
        renewal=RenewalPolicy(before_expiry_s=5.0),
    )
    conversation = Conversation(speed=4.0, seconds=20.0, config=config)
    async with ledger_emulator(speed=4.0, keys=accepted) as emulator:
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=emulator.endpoint,
            ca_file=emulator.ca_file,
            profile="voice",
        )
        await conversation.hold(transport, rotate)
        await transport.aclose()
    renewals = [event for _, event in conversation.events if isinstance(event, Renewed)]
    assert [(event.reason, event.gap_ms) for event in renewals] == [("credentials", 0)]
    assert reconnections(conversation) == []
    assert conversation.errors() == []


def write_credentials(file: Path, keys: AccessKeyPair) -> None:
    """Write credentials as a `credential_process` prints them."""
    assert keys.expires_at is not None
    found = {
        "Version": 1,
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret_key,
        "SessionToken": "token",
        "Expiration": f"{keys.expires_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    file.write_text(json.dumps(found))


@pytest.mark.thorough
async def test_a_client_that_was_suspended_goes_on_with_a_new_stream() -> None:
    async with served() as (_, endpoint, ca_file):
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.ledger_process", "talk", endpoint, ca_file),
            *("--seconds", "24"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert client.stdout is not None
        assert client.stderr is not None
        lines: list[str] = []
        async for line in client.stdout:
            lines.append(line.decode())
            if len([text for text in lines if " Audio(" in text]) == 3:
                client.send_signal(signal.SIGSTOP)
                await asyncio.sleep(SUSPENDED_S)
                client.send_signal(signal.SIGCONT)
                lines.append("continued")
        printed = await client.stderr.read()
        code = await client.wait()
    events = [line for line in lines if " Audio(" not in line]
    after = events[events.index("continued") :]
    print("".join(after))
    assert any(" Renewed(" in line for line in after)
    assert any(" UserText(" in line for line in after)
    assert (code, printed) == (0, b"")
