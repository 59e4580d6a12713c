"""What is recorded of a conversation over the bare SDK is what the client sent and got."""

import json
import wave
from pathlib import Path

import pytest

from sonic_voice import wire
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.observers.recorder import Recorder

from ..support.sdk_talk import frames, once


async def test_a_recording_holds_what_the_client_sent_and_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text("steps: [{user: go on, say: Where to then.}]")
    behaviour = Behaviour(latency="none")
    observers = [Recorder(tmp_path / "kept")]
    async with emulator(scenario, behaviour=behaviour, observers=observers) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        heard = await once()
    (folder,) = (tmp_path / "kept").iterdir()
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    events = {
        direction: [
            line["event"] for line in lines if direction == line["direction"] if "event" in line
        ]
        for direction in ("in", "out")
    }
    assert [next(iter(event)) for event in events["out"]] == [
        next(iter(json.loads(payload)["event"])) for payload in heard.payloads
    ]
    assert [e["textOutput"]["content"] for e in events["out"] if "textOutput" in e] == [
        output.text for output in heard.of(wire.TextOutput)
    ]
    sent = b"".join(frames())
    with wave.open(str(folder / "user.wav")) as file:
        assert file.getframerate() == 16_000
        user = file.readframes(file.getnframes())
    assert user
    assert sent.startswith(user)
    with wave.open(str(folder / "assistant.wav")) as file:
        assert file.readframes(file.getnframes()) == b"".join(
            output.pcm for output in heard.of(wire.AudioOutput)
        )
    stream = json.loads((folder / "stream.json").read_text())
    assert stream["end"] == "finished"
    assert stream["sent_events"] == len(heard.payloads)
    assert stream["received_events"] == len(events["in"])
    assert [line["t_ms"] for line in lines] == sorted(line["t_ms"] for line in lines)
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"AKIALOCAL" not in kept
    assert b"signature" not in kept.lower()
