"""A recorded conversation is held again: with the tape, with the emulator, and by a changed client.

The conversation has a tool call, a barge-in and a renewal. It is recorded once.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.config import AudioFormat, SessionConfig, ToolSpec
from sonic_voice.demo import DEMO_SCENARIO
from sonic_voice.events import Event, Renewed, Usage, UserText
from sonic_voice.history import Message
from sonic_voice.policies import NO_RENEWAL
from sonic_voice.recording import Received, read_tape
from sonic_voice.recording.conversation_outline import conversation_outline
from sonic_voice.recording.outline_comparison import compare_conversations
from sonic_voice.recording.recorded_user import RecordedUser, SpokenChunk, TypedTurn, recorded_user
from sonic_voice.recording.redaction import redacted_tape
from sonic_voice.recording.replay import Replay, ReplayDifference
from sonic_voice.recording.rerun import hold_again, replay_tape
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.virtual_time import VirtualTimeLoop

from ..support.demo_tape import CONFIG, RecordedDemo, record_demo, without_observer

PROGRAM = [sys.executable, "-m", "sonic_voice"]
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> RecordedDemo:
    """Return the recorded conversation."""
    return record_demo(tmp_path_factory.mktemp("demo") / "demo.tape")


def kinds(events: Sequence[tuple[float, Event]]) -> list[str]:
    """Return the names of events."""
    return [type(event).__name__ for _, event in events]


def ordered(events: Sequence[tuple[float, Event]]) -> list[tuple[float, Event]]:
    """Return events in order, those of the session after those of the service, without tokens.

    Several payloads of the service may come at once or one by one: then the session acts after the
    last or after the first of them, and tokens are counted before or after a chunk of audio.
    """
    said = [timed for timed in events if not isinstance(timed[1], Usage)]
    return sorted(said, key=lambda timed: (timed[0], isinstance(timed[1], Renewed)))


def test_the_recording_has_what_is_to_be_replayed(demo: RecordedDemo) -> None:
    assert {"ToolCall", "ToolAnswered", "Interrupted", "Heard", "Renewed"} <= set(
        kinds(demo.events)
    )
    assert not demo.tape.damage


def test_twenty_replays_have_the_events_of_the_recording(demo: RecordedDemo) -> None:
    first = replay_tape(demo.tape)
    assert ordered(first.events) == ordered(demo.events)
    for _ in range(19):
        assert replay_tape(demo.tape).events == first.events


def test_a_conversation_with_a_fault_and_a_typed_turn_replays(tmp_path: Path) -> None:
    cut = record_demo(tmp_path / "cut.tape", faults=["cut:3"], typed="What now?")
    assert {"Reconnecting", "Renewed"} <= set(kinds(cut.events))
    again = replay_tape(cut.tape)
    assert ordered(again.events) == ordered(cut.events)
    assert UserText(2, "What now?", typed=True) in [event for _, event in again.events]


def test_faults_in_a_row_replay_at_the_same_times(tmp_path: Path) -> None:
    """After each, a part of what the user said meanwhile is sent until the next one comes."""
    cut = record_demo(tmp_path / "cuts.tape", faults=["cut@t=2,streams=1-6"])
    assert kinds(cut.events).count("Reconnecting") == 6
    again = replay_tape(cut.tape)
    assert ordered(again.events) == ordered(cut.events)


def test_a_tape_without_events_of_the_session_replays(demo: RecordedDemo) -> None:
    again = replay_tape(without_observer(demo.tape), config=CONFIG)
    assert ordered(again.events) == ordered(demo.events)


def test_the_configuration_is_found_in_what_was_sent(demo: RecordedDemo) -> None:
    again = replay_tape(without_observer(demo.tape), strict=False)
    assert {"ToolAnswered", "Interrupted", "Heard"} <= set(kinds(again.events))


def test_a_redacted_tape_replays(demo: RecordedDemo) -> None:
    again = replay_tape(redacted_tape(demo.tape))
    assert again.error is None
    said, before = ordered(again.events), ordered(demo.events)
    assert kinds(said) == kinds(before)
    assert [now for now, _ in said] == [now for now, _ in before]


def test_a_tape_that_was_cut_replays_to_the_cut(demo: RecordedDemo, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tape"
    cut.write_bytes(demo.path.read_bytes()[: demo.path.stat().st_size // 2])
    again = replay_tape(read_tape(cut), strict=False)
    same = kinds(demo.events)[: kinds(again.events).index("ToolAnswered")]
    assert kinds(again.events)[: len(same)] == same


# -- ten planted changes of the client, and more


@dataclass
class Change:
    """A change of the client, and the words with which strict replay names it."""

    named: str
    config: SessionConfig = CONFIG
    tools: Toolbox | None = None
    chunks: slice = slice(None)
    louder: int = 0
    """Number of a chunk whose samples are changed; 0 for none."""
    typed: str = ""


@tool(name="go")
async def go_elsewhere(direction: str, meters: int) -> dict[str, str | int]:
    """Move the robot."""
    return {"direction": direction, "meters": meters + 1}


OTHER_SPEC = ToolSpec("go", "Move.", dict(CONFIG.tools[0].schema))

CHANGES = {
    "voice": Change(
        "In promptStart the client changed audioOutputConfiguration.voiceId",
        replace(CONFIG, voice="matthew"),
    ),
    "system prompt": Change(
        "In the system prompt the client changed content",
        replace(CONFIG, system="You drive a robot."),
    ),
    "temperature": Change(
        "In sessionStart the client changed inferenceConfiguration.temperature",
        replace(CONFIG, temperature=0.5),
    ),
    "endpointing": Change(
        "In sessionStart the client changed turnDetectionConfiguration.endpointingSensitivity",
        replace(CONFIG, endpointing="LOW"),
    ),
    "description of a tool": Change(
        "In promptStart the client changed toolConfiguration.tools[0].toolSpec.description",
        replace(CONFIG, tools=(OTHER_SPEC,)),
    ),
    "output rate": Change(
        "In promptStart the client changed audioOutputConfiguration.sampleRateHertz",
        replace(CONFIG, output=AudioFormat(16_000)),
    ),
    "history": Change(
        "The client sent a message of the history instead of the start of the audio",
        replace(CONFIG, history=(Message("USER", "Hello."), Message("ASSISTANT", "Hello."))),
    ),
    "result of a tool": Change(
        'In the result of go({"direction": "forward", "meters": 10}) the client changed '
        "content.meters",
        tools=Toolbox([go_elsewhere]),
    ),
    "tool that fails": Change(
        'In the result of go({"direction": "forward", "meters": 10}) the client left out '
        "content.direction",
        tools=Toolbox(),
    ),
    "other audio": Change("The client sent other audio after", louder=200),
    "goodbye before the last words": Change("did not open stream 2", chunks=slice(0, 500)),
    "typed text": Change("The client sent a text of the user instead of", typed="Stop!"),
    "no renewal": Change("did not open stream 2", replace(CONFIG, renewal=NO_RENEWAL)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_strict_replay_names_a_planted_change(demo: RecordedDemo, name: str) -> None:
    change = CHANGES[name]
    user = recorded_user(demo.tape)
    chunks = list(user.chunks[change.chunks])
    if change.louder:
        chunk = chunks[change.louder]
        chunks[change.louder] = SpokenChunk(chunk.at_s, b"\x00\x10" * (len(chunk.pcm) // 2))
    typed = (TypedTurn(2.0, 64_000, change.typed),) if change.typed else ()
    user = RecordedUser(user.rate_hz, tuple(chunks), typed, user.calls)

    async def run() -> None:
        async with Replay(demo.tape, strict=True, speed=1.0) as transport:
            await hold_again(
                user, change.config, transport, tools=change.tools, speed=None, hangs_up=True
            )

    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        pytest.raises(ReplayDifference) as raised,
    ):
        runner.run(run())
    assert change.named in raised.value.difference.sentence


# -- on the clock, and from the command line


async def test_a_replay_outside_of_virtual_time_has_the_same_turns(demo: RecordedDemo) -> None:
    tape = demo.path.with_name("fast.tape")
    async with Replay(demo.tape, strict=True) as transport:
        again = await hold_again(
            recorded_user(demo.tape), CONFIG, transport, speed=50.0, hangs_up=True, record=tape
        )
    assert again.error is None
    compared = compare_conversations(
        conversation_outline(demo.tape), conversation_outline(read_tape(tape))
    )
    assert set(compared.differences) <= {"latency"}
    assert len(compared.turns) == 3


def run(*arguments: object, folder: Path) -> tuple[int, str, str]:
    """Run `sonic-voice replay`, and return its exit code and its outputs."""
    done = subprocess.run(
        [*PROGRAM, "replay", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_replays_a_tape(demo: RecordedDemo, tmp_path: Path) -> None:
    code, out, err = run(demo.path, folder=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-2:] == [
        "3 turns on the tape, 3 now: no difference.",
        "The client sent what it sent on the tape.",
    ]


def test_the_command_shows_how_the_client_differs(demo: RecordedDemo, tmp_path: Path) -> None:
    code, out, err = run(demo.path, "--voice", "matthew", folder=tmp_path)
    assert (code, err) == (1, "")
    assert '-  audioOutputConfiguration.voiceId: "tiffany"' in out.splitlines()
    assert '+  audioOutputConfiguration.voiceId: "matthew"' in out.splitlines()


def test_the_command_compares_the_emulator_with_a_tape(demo: RecordedDemo, tmp_path: Path) -> None:
    scenario = tmp_path / "changed.yaml"
    text = DEMO_SCENARIO.read_text(encoding="utf-8")
    scenario.write_text(text.replace("meters: 10}", "meters: 20}"), encoding="utf-8")
    again = tmp_path / "again.tape"
    arguments = ("--against", "local", "--scenario", scenario, "--record", again, "--json")
    code, out, err = run(demo.path, *arguments, "--fail-on", "tools", folder=tmp_path)
    assert (code, err) == (1, "")
    found: dict[str, Any] = json.loads(out)
    assert found["differences"] == ["tools"]
    second = found["turns"][1]
    assert second["before"]["tools"][0]["arguments"]["meters"] == 10
    assert second["after"]["tools"][0]["arguments"]["meters"] == 20
    # The tape has the result of the call with other arguments, which is the best that is known.
    assert second["assistant_word_errors"] == 0.0
    assert any(isinstance(record, Received) for record in read_tape(again).records)

    code, out, err = run(demo.path, "--against", again, "--fail-on", "turns", folder=tmp_path)
    assert (code, err) == (0, "")
    assert "turn 2, tools" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "nowhere"), "is not local, bedrock, a URL or a tape"),
        (("--scenario", "x.yaml"), "--scenario is an option of the emulator"),
        (("--fail-on", "turns,mood"), "'mood' is none of turns"),
        (("--speed", "2"), "--speed is for other endpoints"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    demo: RecordedDemo, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = run(demo.path, *arguments, folder=tmp_path)
    assert code == 2
    assert message in " ".join(err.replace("│", " ").split())


def test_a_file_that_is_no_tape_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.tape").write_bytes(b"nothing")
    code, _, err = run("x.tape", folder=tmp_path)
    assert code == 2
    assert "x.tape" in err
