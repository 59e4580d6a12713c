"""Hold the demonstration with clients of other projects, and print a table of the results.

`run` starts this program in a separate network, in which the service's name is this machine.
Clients whose endpoint cannot be changed then connect to the emulator, and no data leaves the
machine. Each client talks in real time, in its own process and virtual environment (`drive_*.py`),
to its own emulator, whose conformance report is the last column.

The person says three things: `hello`, then `go forward ten meters`, which calls a tool, and
`please try again`, which interrupts the story that follows. The exit code is 0 if every client
received all three.
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
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import sonic_voice

HERE = Path(__file__).parent
"""Folder of the drivers."""
PROGRAM = Path(sys.executable).with_name("sonic-voice")
"""Path of the command `sonic-voice`."""
DEMO = cast(Path, resources.files("sonic_voice.emulator"))
"""Folder of the demonstration's recording and scenario."""

SAID = ("hello", "go forward ten meters", "please try again")
"""Transcripts of the person's three utterances, without the full stops that newer models write."""
BARGE_IN_S = 16.192
"""Position in demo.wav at which the third utterance begins, by our speech detection, in seconds."""
BY_RESULT = "Done, I went"
"""First words of the answer that follows the tool's result."""
TIMEOUT_S = 240.0
"""Maximum time for the conversation of one client, with the start of its server, in seconds."""
LATEST_S = 3.0
"""Maximum time from the onset of the third utterance to its barge-in, in seconds. An interruption
that is reported later is none of that utterance."""

SAMPLES = ("console", "nodejs")
"""Names of AWS's samples among the clients. They have a tool of their own, `samples.yaml` calls it,
and its result is the beginning of the answer."""
BY_SAMPLE_RESULT = "In PST it is"
"""First words of the answer that follows the result of the samples' tool."""

type Lines = list[dict[str, Any]]
"""Decoded lines of a driver's output, or records of a report."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    client: str
    versions: str
    date: str
    turns: str
    tool: str
    barge_in: str
    found: str
    complete: bool

    def __str__(self) -> str:
        cells = (
            *(self.client, self.versions, self.date, self.turns),
            *(self.tool, self.barge_in, self.found),
        )
        return f"| {' | '.join(cells)} |"


HEAD = """\
| client | versions | date | turns heard | tool call | barge-in after onset | the report finds |
|---|---|---|---|---|---|---|"""
"""First lines of the table, here and in the README."""


async def talk(folder: Path, clients: Sequence[str]) -> list[Row]:
    """Run each client, one after the other, and return their rows.

    Args:
        folder: Folder with the virtual environments.
        clients: Names of the clients.
    """
    rows: list[Row] = []
    for client in clients:
        print(f"{client} talks ...", file=sys.stderr)
        rows.append(await attempt(folder, client))
    return rows


def renewed(text: str, rows: Sequence[Row]) -> str:
    """Return the text of a README whose table has the given rows.

    Args:
        text: The text, with the table.
        rows: The new rows. A row of another client stays.

    Raises:
        ValueError: The text has no such table.
    """
    before, found, after = text.partition(HEAD + "\n")
    if not found:
        raise ValueError("the README has no table with the columns of this program")
    lines = [*takewhile(lambda line: line.startswith("|"), after.splitlines(keepends=True))]
    known = {line.split("|")[1].strip(): line for line in lines}
    known |= {row.client: f"{row}\n" for row in rows}
    return before + HEAD + "\n" + "".join(known.values()) + after[len("".join(lines)) :]


async def attempt(folder: Path, client: str) -> Row:
    """Hold one conversation and return its row.

    Args:
        folder: Folder with the virtual environments.
        client: Name of the client, whose environment is `folder/client`.
    """
    report = folder / f"{client}-report.json"
    scenario = HERE / "samples.yaml" if client in SAMPLES else DEMO / "demo.yaml"
    async with emulator(folder, report, scenario) as variables:
        lines = await drive(folder, client, variables)
    streams: Lines = json.loads(report.read_text())["results"]
    return row(client, lines, streams)


@asynccontextmanager
async def emulator(folder: Path, report: Path, scenario: Path) -> AsyncGenerator[dict[str, str]]:
    """Run `sonic-voice emulate`, and yield the variables that it prints.

    It accepts models past their end of life, which older samples use.

    Args:
        folder: Folder for the CA file, and home directory of the emulator.
        report: Path of the conformance report to write.
        scenario: Path of the scenario.
    """
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "emulate", "--port", "443", "--allow-retired", "--scenario", scenario),
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
        # Read the rest, so that the emulator never waits for a full pipe.
        reading = asyncio.create_task(process.stdout.read())
        yield variables
        process.terminate()
        await reading
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def drive(folder: Path, client: str, variables: dict[str, str]) -> Lines:
    """Run the driver of a client and return its lines; its stderr goes to a file in `folder`.

    Args:
        folder: Folder with the virtual environments.
        client: Name of the client.
        variables: Environment variables of the emulator.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    region = variables["AWS_REGION"]
    # Without the port, because the Python SDK's signer fails on an explicit 443, and hangs.
    endpoint = f"https://bedrock-runtime.{region}.amazonaws.com"
    more = {
        "HOME": str(folder),
        "INTEROP_SAMPLE": str(folder / client / "sample"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
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
            out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
        except TimeoutError:
            process.kill()
            out, _ = await process.communicate()
    return [json.loads(line) for line in out.splitlines() if line.startswith(b'{"at_s"')]


def row(client: str, lines: Lines, streams: Lines) -> Row:
    """Return the row of a client.

    Args:
        client: Name of the client.
        lines: Lines of its driver.
        streams: Results of the conformance report, one for each stream.
    """
    versions: dict[str, str] = lines[0]["versions"] if lines else {}
    heard = [line["user"].rstrip(".") for line in lines if "user" in line]
    turns = sum(words in heard for words in SAID)
    return Row(
        client,
        ", ".join(f"{name} {version}" for name, version in versions.items()) or "did not start",
        str(datetime.now(UTC).date()),
        f"{turns} of {len(SAID)}",
        _tool(lines, BY_SAMPLE_RESULT if client in SAMPLES else BY_RESULT),
        _barge_in(lines),
        "; ".join(_found(streams)) or "nothing",
        turns == len(SAID),
    )


def _tool(lines: Lines, by_result: str) -> str:
    called = next((line for line in lines if "tool" in line), None)
    if called is None:
        return "no"
    arguments = ", ".join(str(value) for value in called["arguments"].values())
    said = "".join(line["assistant"] for line in lines if "assistant" in line)
    return f"{called['tool']}({arguments}), {'' if by_result in said else 'not '}answered"


def _barge_in(lines: Lines) -> str:
    after = (line["at_s"] - BARGE_IN_S for line in lines if "interrupted" in line)
    late_s = next((late_s for late_s in after if 0 < late_s < LATEST_S), None)
    return "no" if late_s is None else f"{1000 * late_s:.0f} ms"


def _found(streams: Lines) -> list[str]:
    if not streams:
        return ["no stream"]
    outcomes = ("deviates", "broken")
    return [
        f"`{broken['rule']}`" + (" (ends it)" if outcome == "broken" else "")
        for stream in streams
        for outcome in outcomes
        for broken in stream[outcome]
    ]


def main(folder: Path, readme: Path, clients: Sequence[str]) -> int:
    """Run the clients, print their table, renew that of the README, and return the exit code.

    Args:
        folder: Folder with the virtual environments.
        readme: The README whose table is renewed.
        clients: Names of the clients.
    """
    rows = asyncio.run(talk(folder, clients))
    print(f"sonic-voice {sonic_voice.__version__}\n\n{HEAD}")
    for row in rows:
        print(row)
    readme.write_text(renewed(readme.read_text(), rows))
    return 0 if all(row.complete for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
