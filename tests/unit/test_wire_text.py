"""The wire as a text that is the same on every run."""

import base64
import json
from uuid import uuid4

from sonic_voice.testing.wire_text import WireText


def payload(name: str, **body: object) -> bytes:
    return json.dumps({"event": {name: body}}).encode()


def sound(name: str, ms: int, rate_hz: int) -> bytes:
    pcm = bytes(2 * rate_hz * ms // 1000)
    return payload(name, promptName="p", content=base64.b64encode(pcm).decode())


def conversation() -> list[tuple[int, str, bytes]]:
    """Return payloads with new ids each time."""
    prompt, call = str(uuid4()), str(uuid4())
    return [
        (1, "sent", payload("promptStart", promptName=prompt)),
        *[(1, "sent", sound("audioInput", 32, 16_000))] * 10,
        (1, "received", payload("usageEvent", totalTokens=5)),
        (1, "received", sound("audioOutput", 100, 24_000)),
        (1, "sent", sound("audioInput", 32, 16_000)),
        (
            1,
            "received",
            payload("toolUse", toolUseId=call, content='{"b": 1, "a": 2}'),
        ),
        (2, "sent", payload("sessionEnd")),
    ]


def test_ids_sound_and_counts_of_tokens_do_not_make_a_difference() -> None:
    lines = WireText(16_000, 24_000).lines(conversation())
    assert lines == WireText(16_000, 24_000).lines(conversation())
    assert lines == [
        "stream 1",
        '-> promptStart {"promptName": "promptName 1"}',
        "<- audioOutput 0.10 s",
        "-> audioInput 0.35 s",
        '<- toolUse {"content": {"b": 1, "a": 2}, "toolUseId": "toolUseId 1"}',
        "stream 2",
        "-> sessionEnd",
    ]
