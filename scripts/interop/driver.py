"""Shared parts of the drivers: the demonstration's speech, and the lines that report events.

A driver runs in the virtual environment of another project's client, so that this module uses only
the standard library, and is imported from the driver's own folder. Each line that a driver prints
is a JSON object with `at_s`, the seconds since the person began to speak.
"""

import asyncio
import json
import os
import sys
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
"""Sample rate of the demonstration's recording, in Hz."""
CHUNK_MS = 20
"""Default length of a chunk, in milliseconds."""
SILENCE_S = 9.0
"""Silence after the recording, in seconds: enough time for the last answer."""

GO_RESULT = {"direction": "forward", "meters": 10}
"""Result of the tool `go`, for any arguments."""
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
_output = sys.stdout
"""The output that lines are printed to, also after a driver has replaced `sys.stdout`."""


async def speech(chunk_ms: int = CHUNK_MS) -> AsyncIterator[bytes]:
    """Yield the demonstration's recording in real time, then silence, as s16le mono at 16 kHz.

    Args:
        chunk_ms: Length of a chunk, in milliseconds.
    """
    global _began_s
    size = 2 * INPUT_HZ * chunk_ms // 1000
    with wave.open(os.environ["INTEROP_SPEECH"]) as recording:
        pcm = recording.readframes(recording.getnframes())
    pcm += bytes(int(2 * INPUT_HZ * SILENCE_S))
    _began_s = time.monotonic()
    for number, at in enumerate(range(0, len(pcm) - size + 1, size)):
        await asyncio.sleep(max(0.0, _began_s + number * chunk_ms / 1000 - time.monotonic()))
        yield pcm[at : at + size]


def report(**facts: object) -> None:
    """Print one line.

    Args:
        facts: `user`, `assistant`, `tool`, `interrupted`, `audio_bytes` or `versions`.
    """
    at_s = round(time.monotonic() - _began_s, 2)
    line = json.dumps({"at_s": at_s, **facts}, ensure_ascii=False)
    print(line, file=_output, flush=True)


def report_versions(*clients: str, **others: str) -> None:
    """Print the versions of the client and of the SDK.

    Args:
        clients: Names of the client's packages.
        others: Versions of what is no package.
    """
    names = (*clients, "aws-sdk-bedrock-runtime", "awscrt")
    report(versions={**others, **{name: version(name) for name in names}})
