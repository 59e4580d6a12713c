"""The command line as a person uses it: what it prints, what it leaves, how it exits."""

import asyncio
import io
import json
import os
import signal
import sys
import wave
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

import pytest
import soundfile

from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.server import Emulator

PROGRAM = Path(sys.executable).with_name("sonic-voice")
DEMO = cast(Path, resources.files("sonic_voice.emulator"))
QUESTION = str(DEMO / "demo.wav")
SCENARIO = ("--scenario", str(DEMO / "demo.yaml"))
"""Known words need no ears, which take a second to load."""

STORY = "This is a very long story about a house that nobody ever lived in."


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


async def sonic_voice(*arguments: str, cwd: Path, **environment: str) -> Done:
    running = await start(*arguments, cwd=cwd, **environment)
    out, err = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode is not None
    return Done(running.returncode, out.decode(), err.decode())


async def start(*arguments: str, cwd: Path, **environment: str) -> asyncio.subprocess.Process:
    """The program without anything of this machine's AWS configuration."""
    return await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        cwd=cwd,
        env=clean_environment(cwd) | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def piped(content: bytes, *arguments: str, cwd: Path) -> Done:
    """Run the program with `content` in a pipe at its standard input."""
    running = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        cwd=cwd,
        env=clean_environment(cwd),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(content), 60)
    assert running.returncode is not None
    return Done(running.returncode, out.decode(), err.decode())


def clean_environment(home: Path) -> dict[str, str]:
    """Return this process's environment without anything of its AWS configuration."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return clean | {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "COLUMNS": "200"}


BREAKS = [
    ("break: cut", 5),
    ('error: {code: modelTimeoutException, message: "Model has timed out"}', 4),
]


@pytest.mark.parametrize(("how", "code"), BREAKS)
async def test_a_fault_in_mid_answer_leaves_only_what_was_heard(
    how: str, code: int, tmp_path: Path
) -> None:
    """In the events, and in the recording of what one would have heard."""
    steps = f"steps:\n  - {{user: hello, say: [One two three., {STORY}], {how}}}\n"
    (tmp_path / "s.yaml").write_text(steps)
    arguments = ("--scenario", "s.yaml", "--input", QUESTION, "--output", "heard.wav", "--json")
    done = await sonic_voice("talk", "--local", "--no-reconnect", *arguments, cwd=tmp_path)
    assert done.code == code, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    [heard] = [event for event in events if event["event"] == "Heard"]
    assert STORY in heard["planned"]
    assert heard["planned"].startswith(heard["heard"])
    assert STORY not in heard["heard"]
    with wave.open(str(tmp_path / "heard.wav")) as file:
        samples = memoryview(file.readframes(file.getnframes())).cast("h").tolist()
        rate_hz = file.getframerate()
    sounding = [index for index, sample in enumerate(samples) if sample]
    sounded_ms = 1000 * (len(samples) - sounding[0]) / rate_hz if sounding else 0.0
    assert sounded_ms == pytest.approx(heard["heard_ms"], abs=80)


async def test_the_demonstration(tmp_path: Path) -> None:
    done = await sonic_voice("demo", "--speed", "8", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    for words in (
        "you  hello.",
        "nova  Hello! What shall I do?  [",
        'go({"direction":"forward","meters":10})',
        'go -> {"direction": "forward", "meters": 10}',
        "interrupted after",
        "you  please try again.",
        "Latency",
        "USD",
        "sonic-voice-demo.wav",
    ):
        assert words in done.out
    with wave.open(str(tmp_path / "sonic-voice-demo.wav")) as answer:
        assert answer.getnframes() / answer.getframerate() > 18
    assert [path.name for path in tmp_path.iterdir()] == ["sonic-voice-demo.wav"]


async def test_talk_writes_answer_and_events(tmp_path: Path) -> None:
    done = await sonic_voice(
        *("talk", "--local", *SCENARIO, "--speed", "10"),
        *("--input", QUESTION, "--output", "a.wav", "--events", "e.jsonl", "--json"),
        cwd=tmp_path,
    )
    assert (done.code, done.err) == (0, "")
    printed = [json.loads(line) for line in done.out.splitlines()]
    summary = printed.pop(-2)
    assert summary["event"] == "Summary"
    assert printed[-1]["event"] == "Ended"
    assert summary["output"] == "a.wav"
    assert summary["tokens"]["speech_in"] > 150
    assert summary["response_latency_s"]["mean"] > 0
    written = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert written == printed
    assert (tmp_path / "a.wav").stat().st_size > 100_000


async def test_the_assistant_speaks_first_and_ends_a_silent_conversation(tmp_path: Path) -> None:
    send_nothing = str(tmp_path / "silence.wav")
    with wave.open(send_nothing, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000 * 60))
    done = await sonic_voice(
        *("talk", "--local", "--input", send_nothing, "--speed", "20", "--json"),
        *("--greeting", "Welcome the caller."),
        *("--idle-prompt", "3:Ask whether the user is still there."),
        *("--idle-prompt", "3:end:Say goodbye."),
        cwd=tmp_path,
    )
    assert (done.code, done.err) == (0, "")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [e["turn"] for e in events if e["event"] == "TurnEnded"] == [1, 2, 3]
    assert not [e for e in events if e["event"] == "UserText"]
    [ended] = [e for e in events if e["event"] == "Ended"]
    assert ended["reason"] == "goodbye"
    assert ended["unspoken_s"] > 20  # the conversation ended before the recording


@pytest.mark.parametrize("prompt", ["soon:Ask.", "Ask.", ""])
async def test_an_idle_prompt_without_seconds_is_a_mistake_of_usage(
    tmp_path: Path, prompt: str
) -> None:
    done = await sonic_voice("talk", "--local", "--idle-prompt", prompt, cwd=tmp_path)
    assert done.code == 2
    assert "SECONDS:TEXT" in done.err


async def test_talk_calls_the_tools_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "robot.py").write_text(
        "from sonic_voice import tool\n\n"
        "@tool\n"
        "def go(direction: str, meters: int) -> dict[str, object]:\n"
        '    """Move."""\n'
        '    return {"direction": direction, "meters": 2 * meters}\n'
    )
    done = await sonic_voice(
        *("talk", "--local", *SCENARIO, "--speed", "10"),
        *("--input", QUESTION, "--tools", "robot.py"),
        cwd=tmp_path,
    )
    assert (done.code, done.err) == (0, "")
    assert "nova  Done, I went forward 20 meters." in done.out


async def test_ctrl_c_says_goodbye_and_keeps_what_was_heard(tmp_path: Path) -> None:
    running = await start("demo", "--json", cwd=tmp_path)
    assert running.stdout is not None
    assert running.stderr is not None
    while b'"Audio"' not in await running.stdout.readline():
        pass
    running.send_signal(signal.SIGINT)
    out = await asyncio.wait_for(running.stdout.read(), 20)
    assert await running.wait() == 130
    assert await running.stderr.read() == b""
    assert [json.loads(line)["event"] for line in out.splitlines()][-2:] == ["Summary", "Ended"]
    assert (tmp_path / "sonic-voice-demo.wav").exists()


async def test_models_lists_voices_and_with_all_how_the_others_are_called(tmp_path: Path) -> None:
    done = await sonic_voice("models", cwd=tmp_path)
    assert done.code == 0
    for words in ("amazon.nova-2-5-sonic", "tiffany", "us-east-1", "2026-09-14"):
        assert words in done.out
    assert "Titan" not in done.out
    done = await sonic_voice("models", "--all", cwd=tmp_path)
    for words in ("Nova Canvas", "StartAsyncInvoke", "Converse"):
        assert words in done.out


async def test_scenarios_are_checked_and_every_mistake_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("steps: [{user: hello, say: Hi.}]")
    (tmp_path / "bad.yaml").write_text("steps:\n  - user: hello\n    sai: hi\n  - say: hi\n")
    done = await sonic_voice("scenario", "good.yaml", "bad.yaml", "none.yaml", cwd=tmp_path)
    assert (done.code, done.out) == (2, "good.yaml: good\n")
    places = [line.split(" ")[0] for line in done.err.splitlines()]
    assert places == ["bad.yaml:3:5:", "bad.yaml:4:5:", "Cannot"]
    assert "Cannot read none.yaml" in done.err


async def test_devices_are_listed_or_it_is_said_that_there_are_none(tmp_path: Path) -> None:
    done = await sonic_voice("devices", cwd=tmp_path)
    assert done.code == 0 or (done.code == 6 and "--input" in done.err), done
    assert done.code == 6 or "Hz" in done.out


async def test_a_recording_comes_from_a_pipe_in_a_format_of_its_own(tmp_path: Path) -> None:
    samples, rate_hz = cast(tuple[Any, int], soundfile.read(QUESTION))
    flac = io.BytesIO()
    cast(Any, soundfile).write(flac, samples, rate_hz, format="FLAC")
    arguments = ("talk", "--local", *SCENARIO, "--speed", "20", "--input", "-")
    done = await piped(flac.getvalue(), *arguments, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "the input speaks for 17.8 s" in done.out
    nothing = await piped(b"", *arguments, cwd=tmp_path)
    assert nothing.code == 2
    assert "the input is empty: 0 bytes" in nothing.err


async def test_v1_is_usable_with_a_warning(tmp_path: Path) -> None:
    done = await sonic_voice(
        *("talk", "--local", "--model", "amazon.nova-sonic-v1:0", "--speed", "20"),
        *("--input", QUESTION),
        cwd=tmp_path,
    )
    assert done.code == 0
    assert "end of life" in done.err


def talk(*more: str, question: str = QUESTION) -> list[str]:
    return ["talk", "--input", question, *more]


WRONG_TOOL = """
from sonic_voice import tool

@tool
def send(size: bytes) -> None:
    '''Send it.'''
"""
NOBODY = "https://localhost:9"
LOCAL = ("--local", *SCENARIO, "--output", "a.wav")
BEARER = {"AWS_BEARER_TOKEN_BEDROCK": "secret-token"}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-key"}

WRONG: list[tuple[str, list[str], dict[str, str], int, list[str]]] = [
    ("no file", talk(*LOCAL, question="missing.wav"), {}, 2, ["missing.wav", "there is no"]),
    ("empty file", talk(*LOCAL, question="empty.wav"), {}, 2, ["empty.wav", "empty"]),
    ("no sound", talk(*LOCAL, question="silent.wav"), {}, 2, ["silent.wav", "no samples"]),
    ("not a WAV", talk(*LOCAL, question="text.wav"), {}, 2, ["text.wav", "looks like text"]),
    ("no folder", talk(*LOCAL, "--output", "no/a.wav"), {}, 2, ["folder no", "mkdir"]),
    ("unknown voice", talk(*LOCAL, "--voice", "tifany"), {}, 3, ["tifany", "tiffany"]),
    ("voice in capitals", talk(*LOCAL, "--voice", "Carlos"), {}, 3, ["carlos", "lower"]),
    ("no voice model", talk(*LOCAL, "--model", "amazon.nova-lite-v1:0"), {}, 3, ["Converse"]),
    ("unknown model", talk(*LOCAL, "--model", "amazon.nova-3-sonic"), {}, 3, ["nova-2-5-sonic"]),
    ("region", talk("--region", "eu-west-1"), KEYS, 3, ["eu-west-1", "us-east-1"]),
    ("no region", talk(), KEYS, 3, ["region"]),
    ("no credentials", talk("--region", "us-east-1"), {}, 3, ["redentials"]),
    ("bearer only", talk("--region", "us-east-1"), BEARER, 3, ["AWS_BEARER_TOKEN_BEDROCK"]),
    ("http", talk("--endpoint", "http://192.0.2.1"), KEYS, 3, ["http://", "this machine"]),
    ("nobody there", talk("--region", "us-east-1", "--endpoint", NOBODY), KEYS, 5, ["localhost"]),
    ("long system", talk(*LOCAL, "--system", "@long.txt"), {}, 3, ["200001 bytes", "200000"]),
    ("system file", talk(*LOCAL, "--system", "@none.txt"), {}, 2, ["none.txt"]),
    ("no system", talk(*LOCAL, "--system", " "), {}, 3, ["system prompt"]),
    ("scenario", talk(*LOCAL, "--scenario", "bad.yaml"), {}, 2, ["bad.yaml:3:5", "say"]),
    ("scenario alone", talk("--scenario", "bad.yaml"), {}, 2, ["--local"]),
    ("two services", talk("--local", "--endpoint", "https://x"), {}, 2, ["--local"]),
    ("no tools", talk(*LOCAL, "--tools", "text.wav"), {}, 2, ["text.wav", "fails"]),
    ("wrong tool", talk(*LOCAL, "--tools", "tool.py"), {}, 2, ["bytes", "size"]),
    ("speed", talk(*LOCAL, "--speed", "0"), {}, 3, ["speed"]),
    ("events", talk(*LOCAL, "--events", "no/e.jsonl"), {}, 2, ["no/e.jsonl"]),
    ("no device", ["talk", "--local", "--microphone", "nothing"], {}, 6, ["microphone"]),
    ("no recording", ["talk", "--local", "--speed", "2"], {}, 2, ["--input"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "words"),
    [case[1:] for case in WRONG],
    ids=[case[0] for case in WRONG],
)
async def test_bad_input_is_named_with_the_next_step_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], code: int, words: list[str]
) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "long.txt").write_text("x" * 200_001)
    (tmp_path / "text.wav").write_text("This is no sound.")
    (tmp_path / "tool.py").write_text(WRONG_TOOL)
    (tmp_path / "bad.yaml").write_text("steps:\n  - user: hello\n    sai: hi\n")
    with wave.open(str(tmp_path / "silent.wav"), "wb") as silent:
        silent.setparams((1, 2, 16_000, 0, "NONE", ""))
    before = sorted(path.name for path in tmp_path.iterdir())
    done = await sonic_voice(*arguments, cwd=tmp_path, **environment)
    assert done.code == code, done
    for word in words:
        assert word.lower() in done.err.lower(), done.err
    assert "Traceback" not in done.err
    assert "secret" not in done.err + done.out
    left = {path.name for path in tmp_path.iterdir()} - {".config"}  # PulseAudio's client
    assert sorted(left) == before


async def test_a_stack_trace_comes_with_debug_alone(tmp_path: Path) -> None:
    done = await sonic_voice("--debug", *talk(*LOCAL, "--voice", "tifany"), cwd=tmp_path)
    assert "Traceback" in done.err


def at(running: Emulator, *more: str) -> list[str]:
    return talk("--region", "us-east-1", "--endpoint", running.endpoint, *more)


async def test_an_untrusted_certificate_is_a_network_error(tmp_path: Path) -> None:
    async with emulator(DEMO / "demo.yaml") as running:
        done = await sonic_voice(*at(running), cwd=tmp_path, **KEYS)
    assert done.code == 5
    assert "certificate" in done.err
    assert "--ca" in done.err or "CA" in done.err


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (KEYS, "security token included in the request is invalid"),
        ({"AWS_SECRET_ACCESS_KEY": "secret-key"}, "signature"),
        ({"AWS_SESSION_TOKEN": "EXPIRED"}, "expired"),
    ],
)
async def test_credentials_the_service_refuses_are_its_refusal(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    async with emulator(DEMO / "demo.yaml") as running:
        known: dict[str, Any] = running.environment() | environment
        ca = str(running.ca_file)
        done = await sonic_voice(*at(running, "--ca", ca, "-o", "a.wav"), cwd=tmp_path, **known)
    assert done.code == 4
    assert words in done.err.lower()
    assert list(tmp_path.iterdir()) == []


async def test_emulate_prints_the_variables_that_point_an_sdk_at_it(tmp_path: Path) -> None:
    running = await start("emulate", "--port", "0", "--ca-out", "ca.pem", *SCENARIO, cwd=tmp_path)
    assert running.stdout is not None
    environment: dict[str, str] = {}
    while b"Ctrl-C" not in (line := await running.stdout.readline()):
        assert line, "it ended"
        name, equals, value = line.decode().strip().removeprefix("export ").partition("=")
        if equals:
            environment[name] = value
    done = await sonic_voice(
        *talk("--speed", "20", "--json", "--region", environment["AWS_REGION"]),
        cwd=tmp_path,
        **environment,
    )
    running.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(running.wait(), 10) == 130
    assert (done.code, done.err) == (0, "")
    assert '"UserText"' in done.out
