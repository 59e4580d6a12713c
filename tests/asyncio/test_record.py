"""What a recorder leaves on the disk, and what it does when the disk does not want it."""

import json
import logging
import resource
import wave
from base64 import b64encode
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.emulator.observers import StreamStatistics
from sonic_voice.emulator.observers.recorder import Recorder, StreamRecorder
from sonic_voice.emulator.service.effects import Break, Emit, Fail, Finish, Note, StreamRequest
from sonic_voice.errors import ConfigError
from sonic_voice.wire import (
    AudioBlock,
    AudioInput,
    AudioOutput,
    AudioStart,
    Ids,
    SessionEnd,
    SessionStart,
    TextInput,
    encode_input,
    encode_output,
)

IDS = Ids("s", "P", "c")
REQUEST = StreamRequest("amazon.nova-2-sonic-v1:0", "us-east-1", "12345678-abcd")


class Hands:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def opened(below: Path, clock: Hands | None = None) -> StreamRecorder:
    return Recorder(below, now=clock or Hands()).opened(StreamStatistics(REQUEST))


def lines(stream: StreamRecorder) -> list[dict[str, Any]]:
    text = (stream.folder / "events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def sound(stream: StreamRecorder, name: str) -> tuple[int, bytes]:
    with wave.open(str(stream.folder / name)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), file.readframes(file.getnframes())


def pcm(first: int, samples: int) -> bytes:
    return b"".join((first + n).to_bytes(2, "little") for n in range(samples))


def test_a_line_leads_to_its_sound(tmp_path: Path) -> None:
    clock = Hands()
    stream = opened(tmp_path, clock)
    stream.received(encode_input(AudioStart("P", "A", 16_000)))
    stream.answered(Emit(encode_output(AudioBlock(IDS, "1", 24_000))))
    for first in (0, 512):
        clock.now_s += 0.032
        stream.received(encode_input(AudioInput("P", "A", pcm(first, 512))))
        stream.answered(Emit(encode_output(AudioOutput(IDS, "1", pcm(7 * first, 960)))))
    stream.over()
    assert sound(stream, "user.wav") == (16_000, pcm(0, 1024))
    rate_hz, said = sound(stream, "assistant.wav")
    assert rate_hz == 24_000
    last_in, last_out = lines(stream)[-2:]
    assert last_in == {
        "t_ms": 64,
        "direction": "in",
        "event": {
            "audioInput": {
                "promptName": "P",
                "contentName": "A",
                "content": {"wav": "user.wav", "samples": [512, 1024]},
            }
        },
    }
    where = last_out["event"]["audioOutput"]["content"]
    assert where["wav"] == "assistant.wav"
    assert said[2 * where["samples"][0] : 2 * where["samples"][1]] == pcm(7 * 512, 960)


def test_what_is_no_sound_stays_as_it_came(tmp_path: Path) -> None:
    stream = opened(tmp_path)
    odd = [
        b"no JSON \xff\n",
        b'{"other": 1}',
        b"[1]",
        b"[" * 100_000,
        b'{"event":{"audioInput":{"content":"%s"}}}' % b64encode(b"ab"),
        encode_input(AudioStart("P", "A", 8000)),
        b'{"event":{"audioInput":{"content":"no base64"}}}',
        encode_input(AudioInput("P", "A", b"abc")),
        encode_input(AudioStart("P", "B", 16_000)),
        encode_input(AudioInput("P", "B", b"abcd")),
        encode_input(AudioStart("P", "C", 10**12)),
        b'{"event":{"textInput":{"content":"\\ud800 \xc3\xa9"}}}',
        b'{"event":7}',
        b'{"event":{"a":{},"b":{}}}',
    ]
    for payload in odd:
        stream.received(payload)
    stream.over()
    read = [line.get("event", line.get("payload")) for line in lines(stream)]
    texts = [payload.decode(errors="backslashreplace") for payload in odd[:4]]
    assert read == [*texts, *[json.loads(payload)["event"] for payload in odd[4:]]]
    assert not (stream.folder / "user.wav").exists()


def test_how_the_stream_ended_is_in_the_lines_too(tmp_path: Path) -> None:
    stream = opened(tmp_path)
    stream.received(encode_input(SessionEnd()))
    stream.input_ended()
    for effect in (
        Note("It came late.", "late"),
        Fail("validationException", "No."),
        Break("reset"),
        Finish(),
    ):
        stream.answered(effect)
    stream.over()
    assert [(line.pop("t_ms"), line.pop("direction"), line)[1:] for line in lines(stream)] == [
        ("in", {"event": {"sessionEnd": {}}}),
        ("in", {"ended": "by the client"}),
        ("in", {"note": {"rule": "late", "text": "It came late."}}),
        ("out", {"exception": {"code": "validationException", "message": "No."}}),
        ("out", {"broken": "reset"}),
        ("out", {"ended": "by the service"}),
    ]


def test_the_stream_is_described_when_it_begins_and_when_it_is_over(tmp_path: Path) -> None:
    statistics = StreamStatistics(REQUEST)
    stream = Recorder(tmp_path).opened(statistics)
    file = stream.folder / "stream.json"
    assert json.loads(file.read_text())["end"] == "open"
    stream.received(encode_input(AudioStart("P", "A", 8000)))
    stream.received(encode_input(AudioInput("P", "A", bytes(4000))))
    statistics.received_events, statistics.end, statistics.error = 2, "failed", "x: No."
    stream.over()
    described = json.loads(file.read_text())
    assert described.pop("started") <= described.pop("ended")
    assert described == {
        "request_id": "12345678-abcd",
        "model": "amazon.nova-2-sonic-v1:0",
        "region": "us-east-1",
        "end": "failed",
        "error": "x: No.",
        "received_events": 2,
        "sent_events": 0,
        "notes": 0,
        "heard_s": 0.25,
        "said_s": 0.0,
    }


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    below = tmp_path / "not" / "there"
    stream = opened(below)
    stream.received(encode_input(AudioStart("P", "A", 8000)))
    stream.received(encode_input(AudioInput("P", "A", bytes(4000))))
    stream.over()
    assert stream.folder.name.endswith("Z-12345678")
    assert {path.stat().st_mode & 0o777 for path in (below, stream.folder)} == {0o700}
    files = {path.name: path.stat().st_mode & 0o777 for path in stream.folder.iterdir()}
    assert files == dict.fromkeys(("events.jsonl", "stream.json", "user.wav"), 0o600)


def test_an_emulator_that_is_killed_leaves_all_but_the_last_second(tmp_path: Path) -> None:
    clock = Hands()
    stream = opened(tmp_path, clock)
    stream.received(encode_input(AudioStart("P", "A", 16_000)))
    for step in range(1, 101):
        clock.now_s += 0.032
        stream.received(encode_input(AudioInput("P", "A", pcm(step, 512))))
        if clock.now_s - 1000 < 1:
            continue
        _, heard = sound(stream, "user.wav")  # while it is still open
        kept = lines(stream)
        assert kept[-1]["event"]["audioInput"]["content"]["samples"][1] == len(heard) // 2
        assert len(heard) // 2 > (step - 32) * 512
    stream.over()
    assert len(sound(stream, "user.wav")[1]) == 2 * 100 * 512


@contextmanager
def room_for(size_bytes: int) -> Generator[None]:
    """A disk on which no file may grow larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room_bytes", [0, 100, 1000, 50_000, 200_000])
def test_a_full_disk_is_said_once_and_the_stream_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, room_bytes: int
) -> None:
    clock = Hands()
    with room_for(room_bytes):
        stream = opened(tmp_path, clock)
        stream.received(encode_input(SessionStart()))
        stream.received(encode_input(TextInput("P", "T", "x" * 20_000)))
        stream.received(encode_input(AudioStart("P", "A", 16_000)))
        for _ in range(400):
            clock.now_s += 0.032
            stream.received(encode_input(AudioInput("P", "A", bytes(1024))))
        stream.over()
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert said.getMessage().startswith("stream 12345678-abcd goes on unrecorded: writing ")


def test_a_folder_that_is_gone_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    stream = recorder.opened(StreamStatistics(REQUEST))
    stream.received(encode_input(SessionEnd()))
    stream.over()
    assert len(caplog.records) == 1
    assert "No such file" in caplog.text


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_where_nothing_can_be_written_is_said_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Cannot record below"):
        Recorder(tmp_path / name)
