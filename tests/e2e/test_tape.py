"""A conversation over the production transport is recorded, exported, redacted and served."""

import asyncio
import json
import os
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest

from sonic_voice import (
    AudioFormat,
    Event,
    LocalService,
    Recorder,
    Session,
    SessionConfig,
    Toolbox,
    WavSink,
    WavSource,
    converse,
    read_tape,
    tool,
)
from sonic_voice.events import Audio, Ended
from sonic_voice.recording import (
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    heard_pcm,
    redacted_tape,
    tape_lines,
    user_pcm,
    write_tape,
)
from sonic_voice.recording.payload_parts import split_payload
from sonic_voice.wire import decode_input, decode_output

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
OUT = AudioFormat(24_000)
SPEED = 10
SYSTEM = "You steer a small robot."


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


def run_command(folder: Path, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program without the configuration of this machine."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "sonic_voice", *arguments],
        input=input, capture_output=True, text=True, cwd=folder, env=own | home, timeout=90,
        check=False,
    )  # fmt: skip


class Recorded:
    """The demonstration, recorded: three turns, a tool call, an interruption."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "talk.tape"
        self.answers = folder / "answers.wav"
        self.told: list[Event] = []
        self.session: Session | None = None

    async def hold(self) -> None:
        tools = Toolbox([go])
        config = SessionConfig(tools=tools.specs, system=SYSTEM)
        source = WavSource(DEMO / "demo.wav", speed=SPEED)
        speaker = WavSink(self.answers, OUT, now=source.now)
        async with (
            LocalService(DEMO / "demo.yaml") as transport,
            Recorder(transport, self.path, config, clock=source.now) as recorder,
        ):
            sink = recorder.sink(speaker)
            observers = [recorder.observer, lambda event, _: self.told.append(event)]  # pyright: ignore
            async with Session.open(config, recorder, clock=source.now) as session:
                self.session = session
                await converse(session, source, sink, tools, observers)  # pyright: ignore
            await sink.aclose()
        await source.aclose()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    talk = Recorded(tmp_path_factory.mktemp("tape"))
    asyncio.run(talk.hold())
    return talk


@pytest.fixture
def tape(recorded: Recorded) -> Tape:
    return read_tape(recorded.path)


def of[T](kind: type[T], tape: Tape) -> Iterator[T]:
    return (record for record in tape.records if isinstance(record, kind))


def samples(path: Path) -> np.ndarray[Any, Any]:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_the_tape_has_the_whole_conversation(recorded: Recorded, tape: Tape) -> None:
    assert tape.damage == ()
    assert tape.missing == 0
    assert recorded.path.stat().st_mode & 0o777 == 0o600
    assert (tape.header.config["system"], tape.header.config["tools"][0]["name"]) == (SYSTEM, "go")
    assert [type(r) for r in (tape.records[0], tape.records[-2])] == [StreamOpened, StreamEnded]
    events = [event for event in recorded.told if not isinstance(event, Audio | Ended)]
    assert [(e.name, dict(e.fields)) for e in of(SessionEvent, tape)] == [
        (type(event).__name__, json.loads(json.dumps(asdict(event)))) for event in events
    ]
    for record in of(Sent, tape):
        decode_input(record.payload)
    for record in of(Received, tape):
        decode_output(record.payload)


def test_the_transcript_is_that_of_the_session(recorded: Recorded, tape: Tape) -> None:
    assert recorded.session is not None
    lines = tape_lines(tape)
    expected = [(line.turn, line.role, line.text) for line in recorded.session.transcript.lines]
    assert [(line.turn, line.role, line.text) for line in lines] == expected
    assert [line.interrupted for line in lines] == [False, False, False, True, False, False]
    begins = [line.begins_s for line in lines]
    assert begins == sorted(begins)
    assert lines[3].ends_s > lines[4].begins_s  # the user began to speak into the answer


def test_both_sides_sound_as_they_did(recorded: Recorded, tape: Tape) -> None:
    said = samples(DEMO / "demo.wav")
    user = np.frombuffer(user_pcm(tape)[0], "<i2")
    offset = int(np.flatnonzero(user)[0]) - int(np.flatnonzero(said)[0])
    assert abs(offset) < 16_000
    assert np.array_equal(user[offset : offset + len(said)], said)
    answers, heard = samples(recorded.answers), np.frombuffer(heard_pcm(tape)[0], "<i2")
    begin = int(np.flatnonzero(answers)[0])
    delay = int(np.flatnonzero(heard)[0]) - begin
    second = answers[begin : begin + 24_000]
    assert np.array_equal(heard[begin + delay : begin + delay + 24_000], second)
    length_s = sum(len(record.pcm) for record in of(Played, tape)) / 48_000
    received_s = sum(
        len(parts[1]) for r in of(Received, tape) if (parts := split_payload(r.payload))
    ) / 48_000  # fmt: skip
    assert length_s < received_s - 3  # the interrupted story was not heard to its end


def test_a_redacted_tape_has_no_word_sample_or_id_of_the_original(
    recorded: Recorded, tape: Tape, tmp_path: Path
) -> None:
    path = tmp_path / "public.tape"
    write_tape(path, redacted_tape(tape))
    public = read_tape(path)
    original = b"\n".join(r.payload for r in (*of(Sent, tape), *of(Received, tape)))
    said = repr([r for r in public.records if not isinstance(r, Played)])
    said += json.dumps(dict(public.header.config))
    words = {
        word.lower() for line in tape_lines(tape) for word in re.findall(r"\w{4,}", line.planned)
    }
    words |= {word.lower() for word in re.findall(r"\w{4,}", SYSTEM)} | {"forward", "direction"}
    assert len(words) > 30
    kept = {"start", "none", "name", "text"}  # words of the protocol
    assert (words - kept) & set(re.findall(r"\w{4,}", said.lower())) == set()
    ids = set(re.findall(rb'"(?:\w*Id|\w*Name)":"([0-9a-f]{8}-[^"]*)"', original))
    assert len(ids) > 10
    data = path.read_bytes()
    assert not [id for id in ids if id in data or id.decode() in said]
    for record in (*of(Sent, public), *of(Received, public)):
        parts = split_payload(record.payload)
        assert parts is None or not parts[1].strip(b"\0")
    assert not heard_pcm(public)[0].strip(b"\0")
    assert not user_pcm(public)[0].strip(b"\0")
    assert public.duration_s == pytest.approx(tape.duration_s)
    assert [type(r) for r in public.records] == [type(r) for r in tape.records]


def test_the_commands_show_export_and_redact_a_tape(recorded: Recorded, tmp_path: Path) -> None:
    path = str(recorded.path)
    info = run_command(tmp_path, "tape", "info", path, "--json")
    facts = json.loads(info.stdout)
    assert (facts["turns"], facts["interruptions"], facts["tool_calls"]) == (3, 1, 1)
    assert (facts["damage"], facts["missing"]) == ([], 0)
    names = ("talk.wav", "talk.flac", "talk.txt", "talk.json", "talk.srt", "talk.vtt")
    files = [tmp_path / name for name in names]
    done = run_command(tmp_path, "tape", "export", path, *map(str, files))
    assert (done.returncode, done.stderr) == (0, "")
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    with wave.open(str(files[0])) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (2, 24_000)
        assert sound.getnframes() / 24_000 == pytest.approx(facts["duration_s"], abs=3)
    assert "You: go forward ten meters." in files[2].read_text()
    assert files[4].read_text().startswith("1\n00:00:0")
    assert files[5].read_text().startswith("WEBVTT\n\n00:00:0")
    public = tmp_path / "public.tape"
    assert run_command(tmp_path, "tape", "redact", path, str(public)).returncode == 0
    assert read_tape(public).header.redacted


def test_the_commands_name_damage_with_its_offset(recorded: Recorded, tmp_path: Path) -> None:
    data = bytearray(recorded.path.read_bytes())
    data[5000] ^= 0xFF
    damaged = tmp_path / "damaged.tape"
    damaged.write_bytes(data[:-10])
    done = run_command(tmp_path, "tape", "info", str(damaged))
    assert done.returncode == 0
    assert len(re.findall(r"Damage +\d+ bytes at \d+: ", done.stdout)) == 2
    other = tmp_path / "other.tape"
    other.write_bytes(b"RIFF")
    refused = run_command(tmp_path, "tape", "info", str(other))
    assert refused.returncode == 2
    assert "is no tape" in refused.stderr


def test_talk_and_demo_record_with_one_option(tmp_path: Path) -> None:
    path = tmp_path / "demo.tape"
    done = run_command(
        tmp_path,
        "demo",
        "--speed",
        str(SPEED),
        "-o",
        str(tmp_path / "demo.wav"),
        "--record",
        str(path),
    )
    assert done.returncode == 0
    assert f"Tape          {path}" in done.stdout
    assert len(tape_lines(read_tape(path))) == 6
    typed = tmp_path / "typed.tape"
    done = run_command(
        tmp_path,
        *("talk", "--local", "--text", "--no-speaker", "--no-save", "--record", str(typed)),
        input="hello\n",
    )
    assert done.returncode == 0
    assert tape_lines(read_tape(typed))[0].typed
    again = run_command(tmp_path, "demo", "--record", str(path))
    assert again.returncode == 2
    assert "never overwritten" in again.stderr
