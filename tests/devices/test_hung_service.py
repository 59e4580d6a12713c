"""A service that hangs is shown to the person, and does not keep them when they want to quit."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from ..support.device_sounds import speech
from ..support.slow_terminal import ROOT, in_terminal
from ..support.virtual import SoundServer

SCENARIO = "steps: [{user: hello, say: Good morning.}]"


async def test_a_hung_service_is_shown_and_q_ends_the_conversation(
    sound: SoundServer, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", "emulate", "--scenario", "s.yaml", "--port", "0"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )
    assert service.stdout is not None
    try:
        settings: dict[str, str] = {}
        while "AWS_CA_BUNDLE" not in settings:
            line = (await asyncio.wait_for(service.stdout.readline(), 30)).decode()
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                settings[name] = value
        endpoint = settings.pop("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
        ca = settings.pop("AWS_CA_BUNDLE")
        async with in_terminal(
            *("talk", "--endpoint", endpoint, "--ca", ca, "--no-save"),
            cwd=tmp_path,
            environment=settings,
        ) as (terminal, process):
            await terminal.until(b"listening")
            service.send_signal(signal.SIGSTOP)
            speaking = sound.say(await speech("hello"), 16_000)
            speaking.wait()
            stopped_s = time.monotonic()
            await terminal.until(b"service silent for", 15)
            shown_s = time.monotonic() - stopped_s
            terminal.type("q")
            left_s = time.monotonic()
            code = await asyncio.wait_for(process.wait(), 20)
            took_s = time.monotonic() - left_s
    finally:
        service.send_signal(signal.SIGKILL)
        await service.wait()
    print(f"shown after {shown_s:.1f} s, ended after {took_s:.1f} s with {code}")
    assert code == 0
    assert b"did not end the stream within" in terminal.seen
    assert shown_s < 6
    assert took_s < 6
    assert b"Traceback" not in terminal.seen
