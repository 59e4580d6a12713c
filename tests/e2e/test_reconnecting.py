"""The output of the command line for a conversation that survives a fault or its stream."""

import json
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts

from .test_cli import DEMO, Done, at, sonic_voice

CUT = Behaviour(faults=("cut@1",), latency="none")
"""The first stream is cut in the first answer."""
BUSY = Behaviour(faults=("http:429@2",), latency="none")
"""The first two streams are refused."""
LIFE_S = 8.0
SHORT_LIVED = Behaviour(timeouts=StreamTimeouts(life_s=LIFE_S), latency="none")
SHORT = ("--stream-life", str(LIFE_S))
TURNS = 3
"""Number of turns of the demonstration, the second with a tool call and a barge-in."""


async def talked(
    tmp_path: Path, behaviour: Behaviour, *arguments: str, debug: bool = False
) -> Done:
    """`talk --input demo.wav` with an emulator that behaves like this."""
    async with emulator(DEMO / "demo.yaml", behaviour=behaviour) as running:
        (tmp_path / "tool.py").write_text(TOOL)
        options = ("--ca", str(running.ca_file), "--tools", "tool.py", *arguments)
        return await sonic_voice(
            *(["--debug"] if debug else []),
            *at(running, *options),
            cwd=tmp_path,
            **running.environment(),
        )


TOOL = """
from typing import Any
from sonic_voice import tool

@tool
def go(direction: str, meters: int) -> dict[str, Any]:
    "Move."
    return {"direction": direction, "meters": meters}
"""


def notes(done: Done) -> list[str]:
    """The notes of a printed transcript."""
    return [line.strip() for line in done.out.splitlines() if line.startswith("    note  ")]


def records(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def of(printed: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [record for record in printed if record["event"] in names]


@pytest.mark.thorough
async def test_a_cut_is_two_lines_and_the_conversation_goes_on(tmp_path: Path) -> None:
    done = await talked(tmp_path, CUT)
    assert (done.code, done.err) == (0, "")
    lost, back = notes(done)
    assert lost.startswith("note  The ")
    assert lost.endswith(" Connecting again now.")
    assert back.startswith("note  Connected again after ")
    assert back.endswith(" s. The conversation goes on.")
    assert "you  please try again." in done.out
    assert f"Turns         {TURNS} in " in done.out


async def test_json_has_the_cut_and_the_new_stream_and_one_end(tmp_path: Path) -> None:
    done = await talked(tmp_path, CUT, "--json", "--events", "e.jsonl")
    assert (done.code, done.err) == (0, "")
    printed = records(done)
    opened, lost, back = of(printed, "Opened", "Reconnecting", "Renewed")
    assert opened["replayed_ms"] == 0, "the recording waited for the service"
    assert (lost["attempt"], lost["retry_in_s"], lost["kind"]) == (1, 0.0, "cut")
    assert back["reason"] == lost["reason"]
    assert back["gap_ms"] >= 0
    assert 0 <= back["replayed_ms"] < 5_000  # 0 if the new stream was faster than a chunk
    turns = [record["turn"] for record in of(printed, "UserText")]
    assert sorted(set(turns)) == list(range(1, TURNS + 1))
    (end,) = of(printed, "Ended")
    assert end == printed[-1]
    assert (end["reason"], end["exit_code"], end["error"]) == ("goodbye", 0, None)
    written = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [record["event"] for record in of(written, "Opened", "Reconnecting", "Renewed")] == [
        "Opened", "Reconnecting", "Renewed",
    ]  # fmt: skip


@pytest.mark.thorough
async def test_a_planned_renewal_is_silent(tmp_path: Path) -> None:
    done = await talked(tmp_path, SHORT_LIVED, *SHORT)
    assert (done.code, done.err) == (0, "")
    assert notes(done) == []
    assert "go forward ten meters." in done.out
    assert "please try again." in done.out
    assert f"Turns         {TURNS} in " in done.out
    assert "Unanswered" not in done.out


@pytest.mark.thorough
async def test_a_planned_renewal_is_a_line_with_debug(tmp_path: Path) -> None:
    done = await talked(tmp_path, SHORT_LIVED, *SHORT, debug=True)
    assert done.code == 0
    assert set(notes(done)) == {"note  The conversation moved to a new stream (age)."}


async def test_a_planned_renewal_is_an_event_in_json(tmp_path: Path) -> None:
    done = await talked(tmp_path, SHORT_LIVED, *SHORT, "--json")
    assert (done.code, done.err) == (0, "")
    printed = records(done)
    assert of(printed, "Reconnecting") == []
    renewals = of(printed, "Renewed")
    assert len(renewals) >= 2
    assert {(r["reason"], r["gap_ms"]) for r in renewals} == {("age", 0)}
    assert printed[-1]["reason"] == "goodbye"


async def test_a_service_that_is_busy_at_the_opening_is_waited_for(tmp_path: Path) -> None:
    done = await talked(tmp_path, BUSY, "--json", "--speed", "4")
    assert (done.code, done.err) == (0, "")
    printed = records(done)
    waits = of(printed, "Reconnecting")
    assert [(wait["attempt"], wait["kind"]) for wait in waits] == [
        (1, "throttled"),
        (2, "throttled"),
    ]
    assert waits[1]["retry_in_s"] > waits[0]["retry_in_s"] > 0
    (opened,) = of(printed, "Opened")
    waited_ms = 1000 * sum(wait["retry_in_s"] for wait in waits)
    assert opened["waited_ms"] >= waited_ms - 10
    assert (
        printed.index(waits[1]) < printed.index(opened) < printed.index(of(printed, "UserText")[0])
    )
    assert printed[-1]["unspoken_s"] == 0


async def test_without_reconnecting_the_first_fault_ends_it(tmp_path: Path) -> None:
    done = await talked(tmp_path, CUT, "--no-reconnect", "--json")
    assert done.code == 5
    printed = records(done)
    assert of(printed, "Reconnecting", "Renewed") == []
    (end,) = of(printed, "Ended")
    assert (end["reason"], end["error"]["kind"]) == ("network", "cut")
