"""The page on small screens, in the floating form, and with settings that users need."""

import re
from typing import Any, cast

import pytest
from playwright.async_api import ViewportSize, expect

from ..e2e.test_serve import serving
from .test_accessibility import AXE, FINDINGS
from .visitor import OUTSIDE, PATIENCE_MS, Chromium, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

WIDE = ViewportSize(width=1280, height=800)
ZOOMED = ViewportSize(width=320, height=200)
"""1280 by 800 pixels at 400 %."""
LANDSCAPE = ViewportSize(width=780, height=360)
PHONE = ViewportSize(width=390, height=780)

FROM_END = "(log) => log.scrollHeight - log.scrollTop - log.clientHeight"

ROOM = """() => {
  const { shadowRoot } = document.querySelector('sonic-voice');
  const box = (name) => shadowRoot.querySelector(name).getBoundingClientRect();
  const bottom = Math.min(box('.log').bottom, box('.controls').top);
  return bottom - Math.max(box('.log').top, box('header').bottom);
}"""
"""Returns the height of the transcript that is in view, in CSS pixels."""
TWO_LINES_PX = 40

MUTED_TRACK = """
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (options) => {
    const stream = await ask(options);
    [window.track] = stream.getAudioTracks();
    return stream;
  };
"""
"""Keeps the track of the microphone, so that a test can mute it as the system does."""

STOPPED_CLOCK = """
  const clock = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, 'currentTime');
  Object.defineProperty(BaseAudioContext.prototype, 'currentTime', {
    get() { return window.stoppedAt ?? clock.get.call(this); },
  });
"""
"""Lets a test stop the clock of the sound, as browsers do."""

SLEEPLESS = """
  window.locks = [];
  navigator.wakeLock.request = async (kind) => {
    const lock = { kind, released: false, release: async () => { lock.released = true; } };
    window.locks.push(lock);
    return lock;
  };
"""
"""Records the requests to keep the screen on."""


async def _outside(visitor: Visitor) -> list[str]:
    return cast(list[str], await visitor.page.evaluate(OUTSIDE))


async def test_the_controls_are_in_the_window_at_four_times_the_size_and_in_landscape(
    chromium: Chromium, robot: str
) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.goto(robot)
        for begin in ("Start talking", "hello."):
            if begin == "Start talking":
                await visitor.is_("ready")
            else:
                await visitor.start()
                await visitor.says(begin)
                await visitor.is_("speaking")
            for size in (ZOOMED, LANDSCAPE, PHONE):
                await visitor.page.set_viewport_size(size)
                assert await _outside(visitor) == [], f"{begin} {size}"
                sideways = "document.documentElement.scrollWidth - innerWidth"
                assert await visitor.page.evaluate(sideways) <= 0


async def test_the_newest_words_stay_in_view_when_width_and_height_shrink(
    chromium: Chromium, robot: str
) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.set_viewport_size(WIDE)
        await visitor.page.goto(robot)
        await visitor.start()
        for said in ("hello.", "go forward ten meters."):
            await visitor.says(said)
            await visitor.reads(said)
        await visitor.reads("stay at home.")
        for size in (PHONE, LANDSCAPE, ViewportSize(width=320, height=420), WIDE):
            await visitor.page.set_viewport_size(size)
            await visitor.page.wait_for_timeout(100)
            assert await visitor.log.evaluate(FROM_END) < 2, size
        await visitor.page.set_viewport_size(ViewportSize(width=320, height=420))
        await visitor.log.evaluate("(log) => log.scrollTo(0, 0)")
        await expect(visitor.button("Newest words")).to_be_visible()
        await visitor.page.set_viewport_size(ViewportSize(width=300, height=400))
        await visitor.page.wait_for_timeout(100)
        assert await visitor.log.evaluate("(log) => log.scrollTop") < 100, "the user reads there"


async def test_the_floating_form_opens_and_closes_and_talks_on(
    chromium: Chromium, robot: str
) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.goto(robot)
        await visitor.page.evaluate(AXE.read_text())
        await visitor.page.evaluate(
            "document.querySelector('sonic-voice').setAttribute('floating', '')"
        )
        await expect(visitor.button("Start talking")).to_be_hidden()
        await visitor.button("Sonic Voice").click()
        await visitor.start()
        await visitor.says("hello.")
        await visitor.is_("speaking")
        assert await visitor.page.evaluate(FINDINGS) == []
        for size in (LANDSCAPE, ZOOMED, PHONE):
            await visitor.page.set_viewport_size(size)
            assert await _outside(visitor) == [], size
            assert await visitor.page.evaluate(ROOM) >= TWO_LINES_PX, size
        await visitor.is_("listening")
        await visitor.button("Mute").focus()
        await visitor.page.keyboard.press("Escape")
        await expect(visitor.button("Mute")).to_be_hidden()
        await expect(visitor.button("Sonic Voice")).to_be_focused()
        assert await _state(visitor) == "listening"
        findings = cast(list[str], await visitor.page.evaluate(FINDINGS))
        assert [one for one in findings if "heading-one" not in one] == [], "its page has one"


async def _state(visitor: Visitor) -> str:
    script = "() => document.querySelector('sonic-voice').client.state"
    return cast(str, await visitor.page.evaluate(script))


async def test_a_microphone_that_the_system_mutes_is_told_and_that_it_is_back(
    chromium: Chromium, robot: str
) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.add_init_script(MUTED_TRACK)
        await visitor.page.goto(robot)
        await visitor.start()
        await visitor.page.evaluate("track.dispatchEvent(new Event('mute'))")
        await visitor.is_("muted by the system")
        status = visitor.page.get_by_role("status")
        await expect(status).to_have_text(re.compile("Unmute it there. muted by the system$"))
        await visitor.reads("The system or the device has muted the microphone")
        await visitor.page.evaluate("track.dispatchEvent(new Event('unmute'))")
        await visitor.is_("listening")
        await visitor.reads("The microphone is back.")


async def test_sound_that_stands_still_is_told(chromium: Chromium, robot: str) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.add_init_script(STOPPED_CLOCK)
        await visitor.page.goto(robot)
        await visitor.start()
        await visitor.page.evaluate("window.stoppedAt = 7")
        await visitor.is_("sound stopped")
        await visitor.reads("The browser or the device has stopped the sound.")
        await visitor.page.evaluate("window.stoppedAt = undefined")
        await visitor.is_("listening")
        await visitor.reads("The sound is back.")


async def test_the_screen_stays_on_during_a_conversation(chromium: Chromium, robot: str) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.add_init_script(SLEEPLESS)
        await visitor.page.goto(robot)
        await visitor.start()
        held = "() => locks.map(({ kind, released }) => [kind, released])"
        assert await visitor.page.evaluate(held) == [["screen", False]]
        await visitor.button("End").click()
        await visitor.is_("ended")
        assert await visitor.page.evaluate(held) == [["screen", True]]


async def test_screen_readers_are_told_little(chromium: Chromium, robot: str) -> None:
    """Of three answers they are told nothing; of the end, they are."""
    async with chromium.visitor() as visitor:
        await visitor.page.goto(robot)
        await visitor.page.evaluate(
            """() => {
              const { shadowRoot } = document.querySelector('sonic-voice');
              const status = shadowRoot.querySelector('[role=status]');
              window.told = [];
              new MutationObserver(() => window.told.push(status.textContent))
                .observe(status, { childList: true, characterData: true, subtree: true });
            }"""
        )
        await visitor.start()
        for _ in range(2):
            await visitor.says("hello.")
            await visitor.is_("speaking")
            await visitor.is_("listening")
        await visitor.button("End").click()
        await visitor.is_("ended")
        assert await visitor.page.evaluate("told") == ["connecting", "listening", "ended"]


async def test_the_volume_and_the_voice_of_the_next_conversation_can_be_chosen(
    chromium: Chromium,
) -> None:
    offered = ("--voice", "tiffany", "--offer-voice", "ambre")
    async with serving(*offered) as (_, url), chromium.visitor() as visitor:
        await visitor.page.goto(url)
        await visitor.button("Sound").click()
        voices = visitor.page.get_by_role("combobox", name="Next voice")
        await expect(voices.locator("option")).to_have_text(
            ["Default", "Tiffany (en-US)", "Ambre (fr-FR)"], timeout=PATIENCE_MS
        )
        await voices.select_option("ambre")
        await visitor.page.get_by_role("slider", name="Volume").fill("40")
        await visitor.start()
        assert visitor.of("ready")[0]["voice"] == "ambre"
        element = "document.querySelector('sonic-voice')"
        assert await visitor.page.evaluate(f"{element}.client.volume") == pytest.approx(0.4)
        await expect(visitor.page.locator(".waveform")).to_contain_text("Ambre")


async def test_the_texts_can_be_in_another_language(chromium: Chromium, robot: str) -> None:
    labels = {"Start talking": "Gespräch beginnen", "listening": "hört zu", "Mute": "Stumm"}
    async with chromium.visitor() as visitor:
        await visitor.page.route(
            "**/page.js",
            lambda route: route.fulfill(content_type="text/javascript", body=_translated(labels)),
        )
        await visitor.page.goto(robot)
        await visitor.button("Gespräch beginnen").click()
        await visitor.is_("hört zu")
        await expect(visitor.button("Stumm")).to_be_visible()
        await expect(visitor.button("Interrupt")).to_be_visible()


def _translated(labels: dict[str, Any]) -> str:
    return (
        "import { useLabels } from './labels.js';\n"
        f"useLabels({labels!r});\n"
        "await import('./sonic-voice.js');\n"
    )
