"""The voice service fails in the middle of a conversation: the cause is shown, no word is lost."""

import json

import pytest
from playwright.async_api import expect

from ..e2e.test_serve import serving
from .conftest import HERE
from .test_layout import ZOOMED
from .visitor import PATIENCE_MS, Chromium, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO = ["hello.", "Hello! Where do you want me to go?"]
"""Words of the turn before the failure."""

ORDER = "go forward ten meters."
"""Words of the turn in whose answer the service fails."""

FILTERED = "content-filter@event=answer,n=2,after=1,streams=1"
FILTERED_REASON = (
    "The content filter of the voice service ended it. Start again and say it differently."
)
INVALID = "exception:validationException@event=answer,n=2,after=1,streams=1"
INVALID_REASON = "The voice service refused this server. Its operator can find out why."

HIDDEN_PX = "(trouble) => trouble.scrollHeight - trouble.clientHeight"
"""Returns how much of a text is not in view, in CSS pixels."""


def _robot(fault: str) -> tuple[str, ...]:
    """Options of a server whose robot fails with `fault`, one second into its story."""
    return (
        *("--scenario", str(HERE / "robot.yaml"), "--tools", str(HERE / "robot.py")),
        *("--fault", fault),
    )


async def _saved(visitor: Visitor) -> list[list[str]]:
    """Return the texts of each conversation in the saved JSON."""
    document = json.loads(await visitor.saved("As JSON"))
    return [[turn["text"] for turn in one["turns"]] for one in document["conversations"]]


@pytest.mark.parametrize(
    ("fault", "reason", "step"),
    [(FILTERED, FILTERED_REASON, "Start again"), (INVALID, INVALID_REASON, "Try again")],
    ids=["filtered", "invalid"],
)
async def test_the_words_outlive_a_service_that_fails(
    chromium: Chromium, fault: str, reason: str, step: str
) -> None:
    async with serving(*_robot(fault)) as (_, url), chromium.visitor() as visitor:
        await visitor.page.goto(url)
        await visitor.start()
        await visitor.says(HELLO[0])
        await visitor.is_("speaking")
        await visitor.is_("listening")
        await visitor.says(ORDER)
        await visitor.reads("stay at home.")
        await visitor.is_("ended")
        await visitor.complains(reason)
        size = visitor.page.viewport_size
        await visitor.page.set_viewport_size(ZOOMED)
        assert await visitor.trouble.evaluate(HIDDEN_PX) <= 1, "the whole reason can be read"
        assert size is not None
        await visitor.page.set_viewport_size(size)

        turns = await visitor.turns()
        assert [turn["spoken"] + turn["planned"] for turn in turns[:3]] == [*HELLO, ORDER]
        heard = turns[3]["spoken"]
        assert heard.strip(), "a second of the answer was heard before the failure"
        assert turns[3]["lost"].endswith("stay at home.")
        assert not turns[3]["planned"], "nothing will be said any more"
        [saved] = await _saved(visitor)
        assert saved == [*HELLO, ORDER, heard.strip()]

        await visitor.button(step).click()
        await visitor.is_("listening")
        await expect(visitor.trouble).to_be_hidden()
        separator = visitor.log.get_by_text("A new conversation, ").filter(visible=True)
        await expect(separator).to_have_count(1, timeout=PATIENCE_MS)
        assert (await visitor.turns())[: len(turns)] == turns
        await visitor.says(HELLO[0])
        await visitor.is_("speaking")
        await visitor.is_("listening")
        assert await _saved(visitor) == [saved, HELLO]
