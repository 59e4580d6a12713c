"""The options --fault and --chaos of the commands, as a person uses them."""

import asyncio
import re
import signal
from pathlib import Path

import pytest

from sonic_voice.emulator.faults.chaos import ChaosProfile, chaos_plan

from ..support.sdk_talk import once
from .test_cli import QUESTION, SCENARIO, sonic_voice
from .test_emulate import emulate, point_at, use

__all__ = ["use"]

SEED = next(
    seed
    for seed in range(1000)
    if (fault := chaos_plan(ChaosProfile(seed), 1)[0]) and str(fault) == "eof@event=opening"
)
"""A seed under which the first stream ends at its opening, after which the client opens another."""


async def test_emulate_prints_its_faults_and_each_time_that_one_comes(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text("steps: [{user: go on, say: Where to then.}]")
    arguments = ("--port", "0", "--latency", "none", "--scenario", "s.yaml")
    options = ("--fault", "eof@event=thinking,streams=1", "--life-clock", "audio")
    async with emulate(tmp_path, *arguments, *options) as running:
        point_at(use, running.exports)
        heard = await once()
        code, _, err = await running.stop(signal.SIGINT)
    assert code == 130
    assert heard.texts("USER", "FINAL") == ["go on"]
    assert not heard.texts("ASSISTANT", "SPECULATIVE")
    faults = [line for line in running.lines if line.startswith("Fault:")]
    assert faults == ["Fault: eof@event=thinking,streams=1: END_STREAM without `completionEnd`"]
    assert re.search(r"fault eof@event=thinking,streams=1 in stream 1 \(.*\), thinking after", err)


@pytest.mark.parametrize("asked", ["1234", "random"])
async def test_emulate_prints_the_seed_of_chaos(tmp_path: Path, asked: str) -> None:
    async with emulate(tmp_path, "--port", "0", "--chaos", asked) as running:
        await running.stop(signal.SIGTERM)
    (line,) = [line for line in running.lines if "Chaos" in line]
    found = re.fullmatch(r"Chaos with the seed (\d+); --chaos \1 repeats it\.", line)
    assert found is not None
    assert asked in (found[1], "random")


async def test_keys_of_emulate_expire_after_their_life(
    tmp_path: Path, use: pytest.MonkeyPatch
) -> None:
    async with emulate(tmp_path, "--port", "0", "--keys-life-s", "0") as running:
        point_at(use, running.exports)
        heard = await once()
        await running.stop(signal.SIGTERM)
    assert "ExpiredTokenException" in str(heard.end)


TALK = ("talk", "--local", *SCENARIO, "--input", QUESTION, "--speed", "10")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--fault", "content-filter@event=thinking"), 4, "content filter"),
        (("--fault", "http:404"), 4, "could not be found"),
        (("--fault", "exception:validationException:of my own@t=0.5"), 4, "of my own"),
        (("--chaos", str(SEED)), 0, f"--chaos {SEED} repeats it"),
        (("--fault", "cut@answer"), 3, "event=EVENT"),
        (("--chaos", "often"), 2, "random"),
    ],
)
async def test_talk_local_takes_faults(
    tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    done = await sonic_voice(*TALK, *options, cwd=tmp_path)
    assert done.code == code, done.err
    assert words in " ".join(done.err.split())
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["talk", "serve"])
@pytest.mark.parametrize("option", [("--fault", "cut"), ("--chaos", "1")])
async def test_faults_are_of_the_emulator_alone(
    tmp_path: Path, command: str, option: tuple[str, str]
) -> None:
    done = await asyncio.wait_for(sonic_voice(command, *option, cwd=tmp_path), 30)
    assert done.code == 2
    assert "add --local" in " ".join(done.err.split())
