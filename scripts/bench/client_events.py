"""The input events of the clients that do without this package: the bare SDK and the floor."""

import json
from base64 import b64encode
from typing import Any

from scripts.bench.common import INPUT_FORMAT, OUTPUT_FORMAT


def opening_events(system: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events before the audio, as the names and bodies of the SDK's samples.

    Args:
        system: The system prompt.
    """
    prompt = {"promptName": "prompt"}
    content, audio = prompt | {"contentName": "system"}, prompt | {"contentName": "audio"}
    text = {"mediaType": "text/plain"}
    sound = {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": INPUT_FORMAT.rate_hz,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "encoding": "base64",
        "audioType": "SPEECH",
    }
    voice = sound | {"sampleRateHertz": OUTPUT_FORMAT.rate_hz, "voiceId": "matthew"}
    inference = {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}
    kind = {"type": "TEXT", "role": "SYSTEM", "interactive": False}
    speech = {"type": "AUDIO", "role": "USER", "interactive": True}
    outputs = {"textOutputConfiguration": text, "audioOutputConfiguration": voice}
    return [
        ("sessionStart", {"inferenceConfiguration": inference}),
        ("promptStart", prompt | outputs),
        ("contentStart", content | kind | {"textInputConfiguration": text}),
        ("textInput", content | {"content": system}),
        ("contentEnd", content),
        ("contentStart", audio | speech | {"audioInputConfiguration": sound}),
    ]


CLOSING_EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("contentEnd", {"promptName": "prompt", "contentName": "audio"}),
    ("promptEnd", {"promptName": "prompt"}),
    ("sessionEnd", {}),
]
"""The events after the audio."""


def event_payload(name: str, body: dict[str, Any]) -> bytes:
    """Return the JSON of an event.

    Args:
        name: Name of the event.
        body: Its body.
    """
    return json.dumps({"event": {name: body}}).encode()


def audio_payload(pcm: bytes) -> bytes:
    """Return the JSON of an `audioInput`.

    Args:
        pcm: The frame.
    """
    body = {"promptName": "prompt", "contentName": "audio", "content": b64encode(pcm).decode()}
    return event_payload("audioInput", body)
