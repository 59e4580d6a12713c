"""What every driver shares: a person who speaks the demonstration, and lines about what is heard.

A driver runs in the virtual environment of a client that is not ours, so this needs nothing but
the standard library. Each line it prints is a JSON object with `at_s`, seconds since the person
began to speak.
"""

import asyncio
import json
import os
import time
import wave
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

MODEL = "amazon.nova-2-sonic-v1:0"
VOICE = "matthew"
REGION = os.environ["AWS_REGION"]
ENDPOINT = os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
SYSTEM = "You steer a small robot."

INPUT_HZ = 16_000
CHUNK_MS = 20
SILENCE_S = 9.0
"""After the last words: time enough for their answer."""

WENT = {"direction": "forward", "meters": 10}
"""What the tool `go` returns, whatever it was asked."""
GO_DESCRIPTION = "Move the robot."
GO_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "direction": {"type": "string", "enum": ["forward", "backward"]},
        "meters": {"type": "integer"},
    },
    "required": ["direction", "meters"],
}

_began_s = time.monotonic()


async def speech(chunk_ms: int = CHUNK_MS) -> AsyncIterator[bytes]:
    """The demonstration's recording in real time, then silence: s16le mono at 16 kHz."""
    global _began_s
    size = 2 * INPUT_HZ * chunk_ms // 1000
    with wave.open(os.environ["INTEROP_SPEECH"]) as recording:
        pcm = recording.readframes(recording.getnframes())
    pcm += bytes(int(2 * INPUT_HZ * SILENCE_S))
    _began_s = time.monotonic()
    for number, at in enumerate(range(0, len(pcm) - size + 1, size)):
        await asyncio.sleep(max(0.0, _began_s + number * chunk_ms / 1000 - time.monotonic()))
        yield pcm[at : at + size]


def tell(**facts: object) -> None:
    """Print one line: `user`, `assistant`, `tool`, `interrupted`, `audio_bytes` or `versions`."""
    at_s = round(time.monotonic() - _began_s, 2)
    print(json.dumps({"at_s": at_s, **facts}, ensure_ascii=False), flush=True)


def tell_versions(client: str) -> None:
    """Which client this is, on which release of the SDK."""
    names = (client, "aws-sdk-bedrock-runtime", "awscrt")
    tell(versions={name: version(name) for name in names})
