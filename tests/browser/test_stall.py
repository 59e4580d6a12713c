"""The page stands still while the user speaks, as on a busy machine or in another tab."""

from pathlib import Path

import pytest

from ..e2e.test_serve import serving
from .conftest import HERE
from .sounds import script
from .visitor import Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICE_ENDPOINT_MS = 1750
"""Silence that ends a turn at the service's medium sensitivity, in milliseconds. The robot's own
480 ms are less than the gap in the sound of a page that stands still."""

STALL = """async (milliseconds) => {
  const { microphone } = document.querySelector('sonic-voice').client;
  while (microphone.level() < 0.5) await new Promise((resolve) => setTimeout(resolve, 10));
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}"""
"""Waits for speech, then blocks the page's main thread, which sends the sound of that time at once
afterwards."""


@pytest.mark.parametrize("stall_ms", [800, 1200])
async def test_a_page_that_stands_still_in_speech_has_one_turn_with_its_answer(
    chromium: Chromium, tmp_path: Path, stall_ms: int
) -> None:
    patient = tmp_path / "robot.yaml"
    text = (HERE / "robot.yaml").read_text()
    patient.write_text(text.replace("endpoint_ms: 480", f"endpoint_ms: {SERVICE_ENDPOINT_MS}"))
    robot = ("--scenario", str(patient), "--tools", str(HERE / "robot.py"))
    async with (
        serving(*robot) as (_, url),
        chromium.visitor(hears=script(3.0, "goforward")) as visitor,
    ):
        await visitor.page.goto(url)
        await visitor.start()
        await visitor.page.evaluate(STALL, stall_ms)
        await visitor.is_("speaking")
        await visitor.is_("listening")
        dropped = "document.querySelector('sonic-voice').client.droppedFrames"
        assert await visitor.page.evaluate(dropped) == 0
        assert [one["text"] for one in visitor.of("user_text")] == ["hello."]
        assert visitor.of("interrupted") == []
        [_, answer] = await visitor.turns()
        assert answer["spoken"] == "Hello! Where do you want me to go?"
