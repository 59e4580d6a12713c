"""The report of a recorded conversation in Chromium: it opens, plays from a click, and searches."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from sonic_voice import LocalService, NullSink, Session, SessionConfig, Toolbox, WavSource, converse
from sonic_voice.events import TurnEnded
from sonic_voice.recording import Recorder, read_tape
from sonic_voice.report import report_of, report_page, report_run, write_report

from ..e2e.test_conversation import go
from .test_accessibility import AXE, FINDINGS, SCREENS
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
TOOLS = Toolbox([go])

SOUND = """() => { const { currentTime, paused, duration } = document.querySelector('audio');
  return { currentTime, paused, duration }; }"""


async def recorded(tape: Path) -> None:
    """The three turns of the demonstration; the second stream begins after the first turn."""
    source = WavSource(DEMO / "demo.wav", speed=10)
    config = SessionConfig(tools=TOOLS.specs)
    async with (
        LocalService(DEMO / "demo.yaml") as transport,
        Recorder(transport, tape, config, clock=source.now) as recorder,
        Session.open(config, recorder, clock=source.now) as session,
    ):
        updated: list[None] = []

        def update(event: Any, now: float) -> None:
            if isinstance(event, TurnEnded) and not updated:
                updated.append(None)
                session.update(voice="matthew")

        sink = recorder.sink(NullSink(now=source.now))
        await converse(session, source, sink, TOOLS, [recorder.observer, update])
    await source.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the recorded conversation. `runs.html` beside it has it twice, failed."""
    folder = tmp_path_factory.mktemp("report")
    await recorded(folder / "talk.tape")
    page = await asyncio.to_thread(report_of, folder / "talk.tape")
    write_report(folder / "talk.html", page)
    tape = read_tape(folder / "talk.tape")
    runs = [
        report_run(tape, name, outcome="failed", notes=("It is late.",)) for name in ("one", "two")
    ]
    write_report(folder / "runs.html", report_page(runs))
    return folder / "talk.html"


@asynccontextmanager
async def opened(chromium: Chromium, report: Path) -> AsyncGenerator[Page]:
    """The report in a page of its own, which must not complain or ask for anything else."""
    complaints: list[str] = []
    asked: list[str] = []
    context = await chromium.browser.new_context()
    page = await context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url[:40]))
    await page.goto(report.as_uri())
    await expect(page.locator(".count").first).to_contain_text("events")
    yield page
    await context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()[:40]]


async def test_a_click_plays_from_there(chromium: Chromium, report: Path) -> None:
    async with opened(chromium, report) as page:
        await expect(page.locator(".turn")).to_have_count(3)
        second = page.locator(".turn").nth(1)
        await second.locator(".line.model .play").click()
        begins_s = float(str(await second.locator(".line.model .play").get_attribute("data-at")))
        await page.wait_for_function("() => document.querySelector('.turn.now')")
        await page.wait_for_function(
            "(from) => document.querySelector('audio').currentTime > from + 0.2", arg=begins_s
        )
        sound = await page.evaluate(SOUND)
        assert sound["paused"] is False
        assert begins_s < sound["currentTime"] < begins_s + 3
        await expect(second).to_have_class("turn now")

        axis = page.locator(".timeline")
        box = await axis.bounding_box()
        assert box is not None
        await axis.click(position={"x": box["width"] * 0.1, "y": 40})
        sound = await page.evaluate(SOUND)
        assert sound["currentTime"] == pytest.approx(0.1 * sound["duration"], abs=1)


async def test_the_sound_is_at_its_place_on_the_axis(chromium: Chromium, report: Path) -> None:
    """The sound that the browser decodes is as long as the axis, and loud where answers are."""
    async with opened(chromium, report) as page:
        loud = """async () => {
          const context = new OfflineAudioContext(2, 1, 16000);
          const source = document.querySelector('audio').src;
          const bytes = Uint8Array.from(atob(source.split(',')[1]), (c) => c.charCodeAt(0));
          const { duration, sampleRate, getChannelData } =
            await context.decodeAudioData(bytes.buffer).then((decoded) => ({
              duration: decoded.duration, sampleRate: decoded.sampleRate,
              getChannelData: (n) => decoded.getChannelData(n),
            }));
          const first = [0, 1].map((channel) =>
            getChannelData(channel).findIndex((sample) => Math.abs(sample) > 0.1) / sampleRate);
          return { duration, first };
        }"""
        found = await page.evaluate(loud)
        axis_s = float(str(await page.locator(".timeline").get_attribute("data-duration")))
        assert found["duration"] == pytest.approx(axis_s, abs=0.2)
        first = page.locator(".turn").first
        said_s = float(str(await first.locator(".line.you .play").get_attribute("data-at")))
        answered_s = float(str(await first.locator(".line.model .play").get_attribute("data-at")))
        assert found["first"] == pytest.approx([said_s, answered_s], abs=0.4)


async def test_events_are_found_by_word_and_side(chromium: Chromium, report: Path) -> None:
    async with opened(chromium, report) as page:
        rows = page.locator(".events tbody tr")
        await page.get_by_label("Search").fill('toolUse"')
        await expect(rows).to_have_count(1)
        await rows.locator("summary").click()
        await expect(rows.locator("pre")).to_contain_text('"toolName": "go"')
        await page.get_by_label("Search").fill("")
        await page.get_by_label("Side").select_option("stream")
        await expect(rows).to_have_count(4)  # two streams, opened and ended


async def test_zooming_makes_the_axis_wider_and_not_the_page(
    chromium: Chromium, report: Path
) -> None:
    async with opened(chromium, report) as page:
        width = "() => document.querySelector('.timeline').clientWidth"
        before = await page.evaluate(width)
        await page.get_by_role("button", name="Zoom in").click()
        assert await page.evaluate(width) == pytest.approx(2 * before, abs=2)
        await page.get_by_role("button", name="Zoom out").click()
        assert await page.evaluate(width) == before
        await expect(page.get_by_role("button", name="Zoom out")).to_be_disabled()


@pytest.mark.parametrize("name", ["talk.html", "runs.html"])
async def test_axe_finds_nothing_in_a_report(chromium: Chromium, report: Path, name: str) -> None:
    if not AXE.exists():
        pytest.skip("without axe-core: npm ci in tests/web")
    found: list[str] = []
    async with opened(chromium, report.with_name(name)) as page:
        await page.evaluate(AXE.read_text())
        for scheme in ("light", "dark"):
            for screen in SCREENS:
                await page.emulate_media(color_scheme=scheme)
                await page.set_viewport_size(screen)
                where = f"{scheme}, {screen['width']} px: "
                found += [where + finding for finding in await page.evaluate(FINDINGS)]
                sideways = "document.documentElement.scrollWidth - innerWidth"
                assert await page.evaluate(sideways) <= 0, "it scrolls sideways"
    assert found == []
