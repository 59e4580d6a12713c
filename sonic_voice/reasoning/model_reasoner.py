"""A text model as a reasoner: its text is split into sentences while it streams, and it has tools.

    messages ──► request ──► text ──► sentences, yielded as each is complete
                    ▲   └──► tool calls ──► results ─┐
                    └────────────────────────────────┘     at most `MAX_ROUNDS` times a turn

`converse` runs the tools, so that observers see the calls and tools have their `ToolContext`;
called by itself, a reasoner runs them. Text before a tool call is spoken before the tool has run.
The model is a part of a spoken conversation: it is asked for sentences that can be heard, and
Markdown and thoughts that it writes all the same are not spoken (`chat.speakable`).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial

from ..chat.speakable import Speakable
from ..history import Message
from ..tools.toolbox import RunTool, Toolbox
from .requests import ModelApi, ModelCall, ModelRequest, ToolRound, begun_by_user

SPEAK = (
    "This is a spoken conversation: your words are heard, not read. Answer in a few short, plain "
    "sentences, without lists, headings, code, links or emoji."
)
"""Text that asks a model for words that are fit to be spoken, before the system prompt."""

MAX_ROUNDS = 5
"""Maximum number of answers with tool calls in one turn. The same limit is in the code from which
`ExpertTool` is known (reference 8.6)."""

MAX_CALLS = 16
"""Maximum number of tool calls that are made for one answer; the others get an error."""


class ModelReasoner:
    """A reasoner that asks a text model. One serves any number of conversations.

    Args:
        model: The model.
        system: System prompt of the model, beside the request for speakable text.
        tools: Tools that the model may call; they belong to it, not to the voice model.
        max_tokens: Maximum length of an answer, in tokens.
        thinks_first: Whether each answer begins with thoughts that have no opening tag.
    """

    def __init__(
        self,
        model: ModelApi,
        *,
        system: str = "",
        tools: Toolbox | None = None,
        max_tokens: int = 1024,
        thinks_first: bool = False,
    ) -> None:
        self._model = model
        self._system = f"{SPEAK}\n\n{system}".strip()
        self._tools = tools or Toolbox()
        self._max_tokens = max_tokens
        self._thinks_first = thinks_first

    async def __call__(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Yield the sentences of an answer as they come. Cancelling it ends the request.

        Args:
            messages: The conversation so far, the words to answer last.

        Raises:
            SonicError: The model gave no answer, or only the sentences that were yielded.
        """
        async with aclosing(self._sentences(Toolbox.run, messages)) as sentences:
            async for sentence in sentences:
                yield sentence

    def with_tools_run_by(self, run: RunTool) -> Callable[[Sequence[Message]], AsyncGenerator[str]]:
        """Return the same reasoner, whose tools are run by a function. `converse` uses it.

        Args:
            run: The function.
        """
        return partial(self._sentences, run)

    async def _sentences(self, run: RunTool, messages: Sequence[Message]) -> AsyncGenerator[str]:
        rounds: list[ToolRound] = []
        while True:
            request = ModelRequest(
                system=self._system,
                messages=begun_by_user(messages),
                tools=self._tools.specs,
                rounds=tuple(rounds),
                may_call=len(rounds) < MAX_ROUNDS,
                max_tokens=self._max_tokens,
            )
            speakable = Speakable(thinks_first=self._thinks_first)
            calls: list[ModelCall] = []
            said: list[str] = []
            async with aclosing(self._model.answer(request)) as parts:
                async for part in parts:
                    if isinstance(part, ModelCall):
                        calls.append(part)
                        continue
                    for sentence in speakable.add(part):
                        said.append(sentence)
                        yield sentence
            for sentence in speakable.rest():
                said.append(sentence)
                yield sentence
            if not calls or not request.may_call:
                return
            results = await self._results(run, calls)
            rounds.append(ToolRound(" ".join(said), tuple(calls), tuple(results)))

    async def _results(self, run: RunTool, calls: Sequence[ModelCall]) -> list[str]:
        """Return the results of the calls of an answer, which run concurrently."""
        made = calls[:MAX_CALLS]
        results = await asyncio.gather(
            *(run(self._tools, call.name, call.arguments_json) for call in made)
        )
        refused = '{"error": "Too many tool calls at once."}'
        return [*results, *(refused for _ in calls[len(made) :])]
