"""Recorded behaviour of the service in whole conversations: every heard word stands once."""

from importlib import resources
from pathlib import Path
from typing import cast

import pytest

from sonic_voice import (
    AudioFormat,
    LocalService,
    NullSink,
    Session,
    SessionConfig,
    Toolbox,
    WavSource,
    converse,
    tool,
)
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.transcript import Line

SPEECH = Path(__file__).parent.parent / "speech" / "goforward.wav"
DEMO = cast(Path, resources.files("sonic_voice.emulator"))
OUT = AudioFormat(24_000)
STEPS = """
steps:
  - user: go forward ten meters
    say: [I will go forward now., Please wait until I am there.]
"""
CALLS = """
steps:
  - user: go forward ten meters
    call:
      - {tool: go, meanwhile: One moment., then: "I went {result.meters} meters."}
      - {tool: halt, then: I stopped.}
"""


@tool
def go() -> dict[str, int]:
    """Move the robot."""
    return {"meters": 10}


@tool
def halt() -> None:
    """Stop the robot."""


async def heard(scenario: Path, *faults: str, speech: Path = SPEECH) -> tuple[Line, ...]:
    """Hold a conversation at eight times real time, and return what was heard of it."""
    tools = Toolbox([go, halt])
    source = WavSource(speech, speed=8)
    sink = NullSink(OUT, now=source.now)
    config = SessionConfig(tools=tools.specs)
    async with (
        LocalService(scenario, behaviour=Behaviour(faults=faults)) as transport,
        Session.open(config, transport, clock=source.now) as session,
    ):
        await converse(session, source, sink, tools)
    await sink.aclose()
    await source.aclose()
    return session.transcript.lines


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    (tmp_path / "steps.yaml").write_text(STEPS)
    return tmp_path / "steps.yaml"


async def test_an_answer_that_goes_on_after_a_spurious_marker_is_heard_to_its_end(
    steps: Path,
) -> None:
    lines = await heard(steps, "spurious-marker")
    user, *answers = [line.text for line in lines]
    assert user == "go forward ten meters"
    assert answers[-1] == "Please wait until I am there."
    assert "I will go forward now.".startswith("".join(answers[:-1]))


async def test_a_turn_in_two_texts_is_one_turn(steps: Path) -> None:
    lines = await heard(steps, "split-transcript")
    assert [(line.turn, line.text) for line in lines] == [
        (1, "go forward ten meters"),
        (1, "I will go forward now. Please wait until I am there."),
    ]


async def test_a_silent_barge_in_cuts_the_answer_where_it_was_heard() -> None:
    """The third utterance of the demonstration interrupts the story of the second."""
    marked = await heard(DEMO / "demo.yaml", speech=DEMO / "demo.wav")
    lines = await heard(DEMO / "demo.yaml", "silent-barge-in", speech=DEMO / "demo.wav")
    assert [line.planned for line in lines] == [line.planned for line in marked]
    assert [line.interrupted for line in lines] == [line.interrupted for line in marked]
    (cut,) = [line for line in lines if line.interrupted]
    assert cut.text
    assert cut.planned.startswith(cut.text)
    assert cut.text != cut.planned


async def test_two_different_calls_of_one_turn_are_both_answered(tmp_path: Path) -> None:
    (tmp_path / "calls.yaml").write_text(CALLS)
    lines = await heard(tmp_path / "calls.yaml")
    answer = " ".join(line.text for line in lines if line.role == "ASSISTANT")
    assert answer.startswith("One moment.")
    assert answer.count("I went 10 meters.") == answer.count("I stopped.") == 1
