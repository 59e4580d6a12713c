"""A spoken conversation in Chromium: three turns, a tool, and an answer that is talked over.

It is held once. A microphone plays recorded people, behind the command `serve` is the emulator, and
the tests look at what the page showed and what it played.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from ..support.word_errors import word_error_rate
from .sounds import ANSWER_HZ, MICROPHONE_HZ, Played, script
from .visitor import Chromium, Flush, Shown

pytestmark = pytest.mark.asyncio(loop_scope="session")

PERSON = script(1.0, "hello", 5.5, "goforward", 6.0, "please-try-again")
"""The third into the second answer, which is a long story."""

SILENCE_S = 0.06
"""From the flush, as it comes to the page, to silence in the air."""

ALIKE = 0.97
"""Sound that was converted from 24 to 44.1 kHz by two resamplers; a lost frame of 20 ms in two
seconds costs 0.01, and all that follows a gap is lost."""

MOST_WORDS_WRONG = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is left of the conversation."""

    turns: list[Shown]
    read_aloud: str
    """The transcript as a screen reader has it."""
    latency: str
    latency_in_answer: tuple[str, str]
    """The same beside the third answer and below it, while the answer sounded."""
    messages: list[dict[str, Any]]
    sent: dict[int, bytes]
    """Sound of each turn, as it came to the page: 24 kHz."""
    played: Played
    flushes: list[Flush]

    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == type]

    @property
    def seconds(self) -> dict[int, float]:
        """How much of each answer sounded."""
        whole = {turn: len(pcm) / 2 / ANSWER_HZ for turn, pcm in self.sent.items()}
        cut = {said["turn"]: said["heard_ms"] / 1000 for said in self.of("heard")}
        return whole | cut

    def place(self, turn: int) -> tuple[float, int]:
        """As `Played.likeness`, of what sounded of an answer."""
        return self.played.likeness(self.sent[turn][: 2 * round(self.seconds[turn] * ANSWER_HZ)])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def held(chromium: Chromium, robot: str) -> AsyncIterator[Held]:
    async with chromium.visitor(hears=PERSON, tapped=True) as visitor:
        await visitor.page.goto(robot)
        await visitor.start()
        await visitor.reads("hello.", "go forward ten meters.", "please try again.", "go back")
        await visitor.is_("speaking")
        margins, below = visitor.log.locator(".margin"), visitor.page.locator(".latency")
        await expect(margins.last).to_have_text(re.compile(r"\d s$"))
        in_answer = await margins.last.inner_text(), await below.inner_text()
        await visitor.is_("listening")
        yield Held(
            turns=await visitor.turns(),
            read_aloud=await visitor.log.aria_snapshot(),
            latency=await below.inner_text(),
            latency_in_answer=in_answer,
            messages=visitor.messages,
            sent={turn: visitor.sound_of(turn) for turn in (1, 2, 3)},
            played=await visitor.played(),
            flushes=await visitor.flushes(),
        )


async def test_the_page_shows_what_both_said(held: Held) -> None:
    assert [turn["who"] for turn in held.turns] == ["You", "Tiffany"] * 3
    assert [turn["spoken"] for turn in held.turns if turn["who"] == "You"] == [
        "hello.",
        "go forward ten meters.",
        "please try again.",
    ]
    assert held.turns[1]["spoken"] == "Hello! Where do you want me to go?"
    assert held.turns[5]["spoken"] == "Of course. I will go back and try again."
    assert not any(turn["planned"] for turn in held.turns)


async def test_the_page_shows_the_tool_beside_the_answer(held: Held) -> None:
    assert [turn["tools"] for turn in held.turns] == [
        [],
        [],
        [],
        ["go direction forward, meters 10 → direction forward, meters 10"],
        [],
        [],
    ]


async def test_what_was_cut_off_is_struck_through_and_named_to_those_who_cannot_see_it(
    held: Held,
) -> None:
    """And is what the server has in its history as heard."""
    heard = held.of("heard")[-1]
    story = held.turns[3]
    assert story["spoken"].rstrip() == heard["heard"].rstrip()
    assert story["spoken"] + story["lost"] == heard["planned"]
    assert story["spoken"].startswith("I went forward 10 meters.")
    assert story["lost"].endswith("and they had to stay at home.")
    assert not any(turn["lost"] for turn in held.turns if turn is not story)
    assert f"(not heard:) {story['lost'].split()[0]}" in held.read_aloud


async def test_the_response_latency_is_shown_for_each_answer(held: Held) -> None:
    latency_counts = [message["response_ms"] / 1000 for message in held.of("latency")]
    shown_s = [_seconds(turn["margin"]) for turn in held.turns if turn["who"] != "You"]
    assert shown_s == pytest.approx(latency_counts, abs=0.051)
    assert _seconds(held.latency.removeprefix("answered after ")) == shown_s[-1]


async def test_the_latency_of_an_answer_is_shown_while_it_sounds(held: Held) -> None:
    beside, below = held.latency_in_answer
    assert below == f"answered after {beside}"


def _seconds(shown: str) -> float:
    assert shown.endswith(" s")
    return float(shown[:-2])


async def test_every_sample_of_the_answers_was_played_once_and_in_order(held: Held) -> None:
    found = [held.place(turn) for turn in held.seconds]
    assert min(likeness for likeness, _ in found) > ALIKE, found
    assert all(before < after for (_, before), (_, after) in pairwise(found))


async def test_the_answers_are_understood_by_who_only_listens(held: Held) -> None:
    pytest.importorskip("ctranslate2", reason="Whisper is of the extra `speech`")
    from sonic_voice.emulator.speech import WhisperRecognizer

    recognizer = WhisperRecognizer(model="tiny.en")
    pairs: list[tuple[str, str]] = []
    for turn, seconds in held.seconds.items():
        _, at = held.place(turn)
        utterance = recognizer.begin(MICROPHONE_HZ)
        utterance.feed(held.played.heard(at, at + round(seconds * held.played.rate_hz)))
        utterance.feed(bytes(MICROPHONE_HZ))
        pairs.append((held.turns[2 * turn - 1]["spoken"], utterance.finish() or ""))
    assert word_error_rate(pairs) < MOST_WORDS_WRONG, pairs


async def test_the_page_is_silent_soon_after_a_flush_and_without_a_click(held: Held) -> None:
    [flush] = held.flushes
    played = held.played
    came = round(flush["atS"] * played.rate_hz)
    _, next_answer = held.place(3)
    end = played.silent_from(came - played.rate_hz // 4, next_answer - 1)
    silent_s = end / played.rate_hz - flush["atS"] + flush["latencyS"]
    assert silent_s < SILENCE_S
    assert played.click(end) < 1.0


async def test_the_saved_text_of_a_conversation_that_ends_in_an_answer_is_what_was_heard(
    chromium: Chromium, robot: str
) -> None:
    async with chromium.visitor() as visitor:
        await visitor.page.goto(robot)
        await visitor.start()
        for said in ("hello.", "go forward ten meters."):
            await visitor.says(said)
            await visitor.reads(said)
        await visitor.reads("stay at home.")
        await visitor.is_("speaking")
        await visitor.button("End").click()
        await visitor.is_("ended")
        text = await visitor.saved("As text")
        saved = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in text.splitlines()]
        story = (await visitor.turns())[-1]
    assert story["lost"].endswith("and they had to stay at home.")
    assert saved[-1] == f"Assistant: {story['spoken'].rstrip()} [cut off]" or (
        not story["spoken"] and "Assistant" not in saved[-1]
    )
    assert "stay at home" not in "\n".join(saved)
