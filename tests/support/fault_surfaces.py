"""Hold the conversation of one cell of the fault table, and judge what its user saw.

The table is about how a conversation ends by a fault. Reconnecting is therefore switched off.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from playwright.async_api import Error as BrowserError
from playwright.async_api import Page as BrowserPage
from playwright.async_api import async_playwright

from sonic_voice import (
    NO_RECOVERY,
    Session,
    SessionConfig,
    Toolbox,
    WavSink,
    WavSource,
    converse,
    tool,
)
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.bridge import Bridge, Close, Offer, load_pages, served, web_client
from sonic_voice.emulator import speech
from sonic_voice.emulator.assembly import sonic_service
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.scenario import load_scenario
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION, Emulator
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.emulator.service.effects import Service, StreamRefusal, StreamRequest
from sonic_voice.errors import DeadlineError, NetworkError, ServiceError, SonicError

from .fault_cells import FAULTS, End, Fault, Surface, expected_end, time_limit_s
from .phases import AtPhase, Phase
from .relay import Relay, relayed

SPEECH = Path(__file__).parents[1] / "speech" / "goforward.wav"
PROGRAM = Path(sys.executable).with_name("sonic-voice")
LAST_WORDS = "the bells of the old town"
"""End of the answer: only a listener who heard all of it may find these words."""

SCENARIO = f"""
steps:
  - user: go forward ten meters
    call:
      tool: go
      arguments: {{direction: forward, meters: 10}}
      then: >-
        I went forward ten meters, and from here I see the river, the market and a small house,
        and I hear {LAST_WORDS}.
"""

TOOLS_FILE = '''
from typing import Any, Literal

from sonic_voice import tool


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}
'''
EXIT_CODES: dict[str, int] = {"clean": 0, "network": 5, "deadline": 5}
"""Exit code of the command line for each end that is not an error of the service."""

SERVICE_ERROR_EXIT = 4
NOISE = re.compile(r"Traceback|Task exception|never retrieved|RuntimeWarning|Exception ignored")
"""What only a program that failed prints."""

GIVE_UP_S = 150.0
"""Time after which a conversation that does not end is stopped and counts as hung."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: a fault, the phase in which it happens, and where the user is."""

    fault: str
    phase: Phase
    surface: Surface


@dataclass(slots=True)
class Seen:
    """What the user saw of one conversation."""

    end: End = "clean"
    code: int | None = None
    """Exit code, or close code of a page; None for the library."""
    told: str = ""
    """The sentences that the user was shown."""
    waited_s: float = 0.0
    """Time from the fault to its report."""
    heard: str = ""
    """The answer, as the transcript keeps it."""
    wrong: list[str] = field(default_factory=list[str])

    @property
    def in_short(self) -> str:
        """The cell of the table."""
        code = "" if self.code is None else f" {self.code}"
        return f"{self.end}{code} {self.waited_s:.1f}{' WRONG' if self.wrong else ''}"


@dataclass
class Incident:
    """When the fault of one conversation happened."""

    at_s: float | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the fault; 0 before it."""
        return 0.0 if self.at_s is None else time.monotonic() - self.at_s


@dataclass(frozen=True, slots=True)
class Faulty:
    """An emulator with one fault, and the way to it."""

    endpoint: str
    ca_file: Path
    incident: Incident


@asynccontextmanager
async def faulty_service(fault: Fault, phase: Phase, folder: Path) -> AsyncGenerator[Faulty]:
    """Run an emulator whose streams have `fault` in `phase`, until the context ends."""
    scenario = folder / "scenario.yaml"
    scenario.write_text(SCENARIO)
    incident = Incident()
    line: Relay | None = None

    def happen() -> list[Any]:
        incident.at_s = time.monotonic()
        if fault.freezes and line is not None:
            line.set(up="stop", down="stop")
        return fault.effects() if fault.effects else []

    healthy = sonic_service(
        ScriptedBrain(load_scenario(scenario), speech.resample), behaviour=Behaviour()
    )

    def factory(request: StreamRequest) -> Service | StreamRefusal:
        if fault.refusal is not None:
            incident.at_s = time.monotonic()
            return fault.refusal
        service = healthy(request)
        return service if isinstance(service, StreamRefusal) else AtPhase(service, phase, happen)

    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(
            Emulator(factory, engines=Engines(speech.synthesizer("light")))
        )
        port = emulator.port
        if fault.freezes:
            line = await stack.enter_async_context(relayed(port))
            port = line.port
        yield Faulty(f"https://localhost:{port}", emulator.ca_file, incident)


async def hold(cell: Cell, folder: Path, pages: "Pages | None") -> Seen:
    """Hold the conversation of `cell` and judge it.

    Args:
        cell: What goes wrong, when, and where the user is.
        folder: Folder for what the conversation writes.
        pages: The browser, for cells of the page.
    """
    fault = FAULTS[cell.fault]
    home = folder / re.sub(r"\W+", "-", f"{cell.surface} {cell.fault} {cell.phase}")
    home.mkdir()
    async with faulty_service(fault, cell.phase, home) as service:
        match cell.surface:
            case "library":
                seen = await _use_library(service, home)
            case "command line":
                seen = await _use_command_line(service, home)
            case "page":
                assert pages is not None
                seen = await pages.use(service, cell.phase)
    if service.incident.at_s is None:
        seen.wrong.append("the fault never happened")
    _judge(cell, fault, seen)
    return seen


def _judge(cell: Cell, fault: Fault, seen: Seen) -> None:
    end = expected_end(fault, cell.phase, cell.surface)
    if cell.surface != "page" and seen.end != end:
        seen.wrong.append(f"ended as {seen.end}, not {end}")
    limit_s = time_limit_s(fault, cell.phase, cell.surface)
    if seen.waited_s > limit_s:
        seen.wrong.append(f"reported after {seen.waited_s:.1f} s, not {limit_s:g}")
    if NOISE.search(seen.told):
        seen.wrong.append("printed what only a developer can read")
    if cell.phase == "goodbye":
        if LAST_WORDS not in seen.heard:
            seen.wrong.append("the transcript lacks words that were heard")
    elif LAST_WORDS in seen.heard:
        seen.wrong.append("the transcript holds words that nobody heard")
    elif cell.phase != "answer" and seen.heard:
        seen.wrong.append("the transcript holds an answer that never sounded")
    if end != "clean" and not seen.told:
        seen.wrong.append("the user was told nothing")
    if cell.surface == "command line" and seen.code != EXIT_CODES.get(end, SERVICE_ERROR_EXIT):
        seen.wrong.append(f"exit code {seen.code}")
    if cell.surface == "page" and seen.code != _close_code(end):
        seen.wrong.append(f"close code {seen.code}")


def _end_of(error: SonicError) -> End:
    match error:
        case ServiceError():
            return error.kind.value
        case DeadlineError():
            return "deadline"
        case NetworkError():
            return "network"
        case _:
            return type(error).__name__


# -- library -----------------------------------------------------------------------------------


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


async def _use_library(service: Faulty, home: Path) -> Seen:
    seen = Seen()
    tools = Toolbox([go])
    config = SessionConfig(tools=tools.specs, system="You steer a robot.", recovery=NO_RECOVERY)
    source = WavSource(SPEECH, config.input)
    sink = WavSink(home / "answer.wav", config.output, now=source.now)
    transport = _transport(service)
    session = Session.open(config, transport, clock=source.now)
    try:
        async with asyncio.timeout(GIVE_UP_S):
            async with session:
                await converse(session, source, sink, tools)
    except SonicError as error:
        seen.end, seen.told = _end_of(error), str(error)
    except TimeoutError:
        seen.end = "hung"
    except Exception as error:
        seen.end, seen.told = "bug", f"{type(error).__name__}: {error}"
    seen.waited_s = service.incident.age_s
    await sink.aclose()
    await source.aclose()
    await transport.aclose()
    lines = session.transcript.lines
    seen.heard = " ".join(line.text for line in lines if line.role == "ASSISTANT")
    return seen


def _transport(service: Faulty) -> BedrockTransport:
    return BedrockTransport(
        region=LOCAL_REGION,
        endpoint=service.endpoint,
        ca_file=service.ca_file,
        access_key=LOCAL_KEYS.access_key,
        secret_key=LOCAL_KEYS.secret_key,
    )


# -- command line ------------------------------------------------------------------------------


async def _use_command_line(service: Faulty, home: Path) -> Seen:
    (home / "robot.py").write_text(TOOLS_FILE)
    events = home / "events.jsonl"
    environment = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "TMPDIR", "PYTHONPATH")
        if name in os.environ
    }
    environment |= {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": LOCAL_KEYS.access_key,
        "AWS_SECRET_ACCESS_KEY": LOCAL_KEYS.secret_key,
        "AWS_REGION": LOCAL_REGION,
    }
    process = await asyncio.create_subprocess_exec(
        *(
            PROGRAM,
            "talk",
            "--no-reconnect",
            "--endpoint",
            service.endpoint,
            "--ca",
            service.ca_file,
        ),
        *("--input", SPEECH, "--output", home / "answer.wav"),
        *("--tools", home / "robot.py", "--events", events),
        env=environment,
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    seen = Seen()
    try:
        async with asyncio.timeout(GIVE_UP_S):
            _, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        _, stderr = await process.communicate()
    seen.waited_s = service.incident.age_s
    seen.code = process.returncode
    seen.told = stderr.decode(errors="replace").strip()
    records = [json.loads(line) for line in events.read_text().splitlines()]
    ended = next((r for r in records if r["event"] == "Ended"), None)
    if ended is None:
        seen.end = "untold"
        seen.wrong.append("no last record tells how it ended")
    else:
        seen.end = _end_of_record(ended)
    seen.heard = _heard(records)
    if list(home.glob("*.part")):
        seen.wrong.append("a .part file is left")
    return seen


def _end_of_record(ended: dict[str, Any]) -> End:
    error = ended.get("error")
    if not error:
        return "clean"
    if error.get("type") == "ServiceError":
        return str(error["kind"])
    return "deadline" if error.get("type") in ("DeadlineError", "NotAnswered") else "network"


def _heard(records: list[dict[str, Any]]) -> str:
    """Return the answer as the events have it: planned, unless a record says what was heard."""
    heard = [r["heard"] for r in records if r["event"] == "Heard"]
    if heard:
        return str(heard[-1])
    planned = [r for r in records if r["event"] == "AssistantText" and r["stage"] == "SPECULATIVE"]
    return "".join(record["text"] for record in planned)


# -- page --------------------------------------------------------------------------------------

READ = r"""() => {
  const { client } = document.querySelector('sonic-voice');
  return client.transcript().replace(/^\d\d:\d\d:\d\d /gm, '');
}"""
STATE = "(state) => document.querySelector('sonic-voice').client.state === state"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={SPEECH}%noloop",
)


class Pages:
    """A browser, which opens a page for one conversation at a time."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @classmethod
    @asynccontextmanager
    async def opened(cls, home: Path) -> AsyncGenerator[Self]:
        """Start Debian's Chromium with its profile in `home`; end it with the context."""
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=FLAGS, downloads_path=home
            )
            yield cls(browser)
            await browser.close()

    async def use(self, service: Faulty, phase: Phase) -> Seen:
        """Hold a conversation on the page that `serve` serves."""
        tools = Toolbox([go])
        config = SessionConfig(tools=tools.specs, recovery=NO_RECOVERY)
        offer = Offer(config=config, tools=tools)
        transport = _transport(service)
        async with (
            Bridge(offer, transport) as bridge,
            served(bridge, pages=load_pages(web_client())) as url,
        ):
            context = await self._browser.new_context(permissions=["microphone"])
            try:
                seen = await _talk(await context.new_page(), url, phase, service)
            finally:
                await context.close()
            closed = [code for code, count in bridge.metrics.closed.items() if count]
        await transport.aclose()
        if closed:
            seen.code, seen.end = int(closed[-1]), closed[-1].name.lower()
        return seen


async def _talk(page: BrowserPage, url: str, phase: Phase, service: Faulty) -> Seen:
    seen = Seen()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(url)
    await page.get_by_role("button", name="Start talking").click()
    limit_ms = GIVE_UP_S * 1000
    try:
        if phase == "goodbye":
            await page.wait_for_function(STATE, arg="speaking", timeout=limit_ms)
            await page.wait_for_function(STATE, arg="listening", timeout=limit_ms)
            await page.get_by_role("button", name="End", exact=True).click()
        await page.wait_for_function(STATE, arg="ended", timeout=limit_ms)
    except BrowserError:
        seen.wrong.append("the page did not end the conversation")
    seen.waited_s = service.incident.age_s
    said = [*await page.get_by_role("alert").all_inner_texts()]
    said += await page.locator(".notice").all_inner_texts()
    seen.told = " ".join(filter(None, said))
    saved = str(await page.evaluate(READ))
    answers = [line for line in saved.splitlines() if line.startswith("Assistant: ")]
    seen.heard = re.sub(r"\[.*?\]|Assistant: ", "", " ".join(answers)).strip()
    seen.wrong += errors
    return seen


def _close_code(end: End) -> int:
    match end:
        case "clean":
            return Close.BYE
        case "throttled" | "capacity":
            return Close.SERVICE_BUSY
        case "filtered":
            return Close.FILTERED
        case "lifetime":
            return Close.SERVICE_CLOSED
        case "access" | "not-found" | "history" | "tool" | "request":
            return Close.SERVICE_REFUSED
        case _:
            return Close.SERVICE_FAILED
