"""Holds the demonstration with clients that are not ours, and prints a table of how it went.

Runs where `run` puts it: in a network of its own, in which the service's name is this machine, so
that clients whose endpoint cannot be changed come to the emulator, and nothing leaves it. Each
client talks in real time, in a process and a virtual environment of its own (`drive_*.py`), to an
emulator of its own, whose conformance report is the last column.

The person says three things: `hello`, then `go forward ten meters`, which calls a tool, and
`please try again` into the story that follows. Ends with 0 if every client heard all three.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, cast

import sonic_voice

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("sonic-voice")
DEMO = cast(Path, resources.files("sonic_voice.emulator"))

SAID = ("hello.", "go forward ten meters.", "please try again.")
BARGE_IN_S = 16.192
"""Where in demo.wav the third begins, by our speech detection."""
BY_RESULT = "Done, I went"
"""How the answer begins that is given once the tool's result is in."""
PATIENCE_S = 90.0

type Told = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    client: str
    versions: str
    turns: str
    tool: str
    barge_in: str
    found: str
    complete: bool

    def __str__(self) -> str:
        cells = (self.client, self.versions, self.turns, self.tool, self.barge_in, self.found)
        return f"| {' | '.join(cells)} |"


HEAD = """\
| client | versions | turns heard | tool call | barge-in, after its onset | found by the report |
|---|---|---|---|---|---|"""


async def main(folder: Path, clients: Sequence[str]) -> int:
    """Try each client, one after the other. Returns the exit code."""
    rows: list[Row] = []
    for client in clients:
        print(f"{client} talks ...", file=sys.stderr)
        rows.append(await attempt(folder, client))
    print(f"sonic-voice {sonic_voice.__version__}, {datetime.now(UTC).date()}\n\n{HEAD}")
    for row in rows:
        print(row)
    return 0 if all(row.complete for row in rows) else 1


async def attempt(folder: Path, client: str) -> Row:
    """One conversation of `client`, whose environment is `folder/client`."""
    report = folder / f"{client}-report.json"
    async with emulator(folder, report) as variables:
        told = await drive(folder, client, variables)
    streams: Told = json.loads(report.read_text())["results"]
    return row(client, told, streams)


@asynccontextmanager
async def emulator(folder: Path, report: Path) -> AsyncGenerator[dict[str, str]]:
    """`sonic-voice emulate` with the demonstration; the variables it prints."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "emulate", "--port", "443", "--scenario", DEMO / "demo.yaml"),
        *("--ca-out", folder / "ca.pem", "--report", report),
        env=os.environ | {"HOME": str(folder)},
        stdout=PIPE,
        stderr=DEVNULL,
    )
    assert process.stdout is not None
    try:
        variables: dict[str, str] = {}
        while b"Ctrl-C ends" not in (line := await process.stdout.readline()):
            if not line:
                raise RuntimeError("the emulator did not start")
            name, equals, value = line.decode().strip().removeprefix("export ").partition("=")
            if equals:
                variables[name] = value
        reading = asyncio.create_task(process.stdout.read())  # so that it never waits for us
        yield variables
        process.terminate()
        await reading
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def drive(folder: Path, client: str, variables: dict[str, str]) -> Told:
    """What the driver of `client` told; its stderr goes to a file beside."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    region = variables["AWS_REGION"]
    # Without the port: the Python SDK's signer breaks on a 443 that is spelled out, and hangs.
    endpoint = f"https://bedrock-runtime.{region}.amazonaws.com"
    more = {
        "HOME": str(folder),
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "INTEROP_SPEECH": str(DEMO / "demo.wav"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with (folder / f"{client}-stderr.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(folder / client / "bin" / "python", HERE / f"drive_{client}.py"),
            env=clean | variables | more,
            stdout=PIPE,
            stderr=errors,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        except TimeoutError:
            process.kill()
            out, _ = await process.communicate()
    return [json.loads(line) for line in out.splitlines() if line.startswith(b'{"at_s"')]


def row(client: str, told: Told, streams: Told) -> Row:
    """The line of `client`."""
    versions: dict[str, str] = told[0]["versions"] if told else {}
    heard = [line["user"] for line in told if "user" in line]
    turns = sum(words in heard for words in SAID)
    return Row(
        client,
        ", ".join(f"{name} {version}" for name, version in versions.items()) or "did not start",
        f"{turns} of {len(SAID)}",
        _tool(told),
        _barge_in(told),
        "; ".join(_found(streams)) or "nothing",
        turns == len(SAID),
    )


def _tool(told: Told) -> str:
    called = next((line for line in told if "tool" in line), None)
    if called is None:
        return "no"
    arguments = ", ".join(str(value) for value in called["arguments"].values())
    said = "".join(line["assistant"] for line in told if "assistant" in line)
    return f"{called['tool']}({arguments}), {'' if BY_RESULT in said else 'not '}answered"


def _barge_in(told: Told) -> str:
    after = (line["at_s"] - BARGE_IN_S for line in told if "interrupted" in line)
    late_s = next((late_s for late_s in after if late_s > 0), None)
    return "no" if late_s is None else f"{1000 * late_s:.0f} ms"


def _found(streams: Told) -> list[str]:
    if not streams:
        return ["no stream"]
    outcomes = ("deviates", "broken")
    return [
        f"`{broken['rule']}`" + (" (ends it)" if outcome == "broken" else "")
        for stream in streams
        for outcome in outcomes
        for broken in stream[outcome]
    ]


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2:])))
