"""A chat model behind an OpenAI-compatible endpoint, which judges, or speaks for a caller.

The request runs in a thread with an event loop of its own, so that its deadlines are real ones
where the conversation is on virtual time, which stands still meanwhile.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, Literal

from ..chat.endpoint import EndpointTimeouts, chat_endpoint
from ..chat.json_values import parse_object
from ..chat.messages import ChatMessage, IncomingAnswer
from ..chat.pieces import error_of, read_piece
from ..daemon_thread import in_thread
from ..errors import NetworkError
from ..virtual_time import VirtualTimeLoop

ATTEMPTS = 2
"""Number of times that a request is sent: servers close connections that were idle, and a request
without any answer can be repeated."""

MAX_TOKENS = 100
"""Maximum length of an answer, in tokens: a verdict with its reason, or what is said in one turn.
Small models often find no end."""

type Message = tuple[Literal["system", "user", "assistant"], str]
"""A message of a chat: its role, and its text."""


class ChatModel:
    """A chat model that answers a request at a time.

    Args:
        spec: `openai:URL#MODEL`. Its key is read from `OPENAI_API_KEY`.
        timeouts: Timeouts of a request.

    Raises:
        ConfigError: `spec` is malformed.
    """

    def __init__(self, spec: str, timeouts: EndpointTimeouts | None = None) -> None:
        self._endpoint, self._model = chat_endpoint(spec, timeouts)

    async def answer(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None
    ) -> str:
        """Return the answer of the model as plain text, without thoughts and Markdown.

        Cancelling it loses the answer; the request may go on for as long as its timeouts.

        Args:
            messages: The conversation so far.
            schema: JSON schema of the answer. An endpoint that takes none is asked without it.

        Raises:
            NetworkError: The endpoint did not answer.
        """
        loop = asyncio.get_running_loop()
        held: AbstractContextManager[None] = nullcontext()
        if isinstance(loop, VirtualTimeLoop):
            held = loop.hold()
        with held:
            return await in_thread(lambda: asyncio.run(self._ask(messages, schema)), "chat model")

    async def _ask(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
        body: dict[str, Any] = {
            "model": self._model,
            "stream": True,
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "messages": [{"role": role, "content": text} for role, text in messages],
        }
        if schema is not None:
            named = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        error = ""
        for _ in range(ATTEMPTS):
            said, error = await self._request(json.dumps(body))
            if said or not error:
                return said
        raise NetworkError(
            f"The chat model did not answer: {error}.",
            hint="Check the URL behind openai:, and that the server runs.",
        )

    async def _request(self, body_json: str) -> tuple[str, str]:
        """Return the text of the answer so far, and the error that ended it."""
        incoming = IncomingAnswer(ChatMessage("assistant"))
        said: list[str] = []
        async with aclosing(self._endpoint.consult(body_json)) as pieces:
            async for piece in pieces:
                read = parse_object(piece)
                error = "its answer is unreadable" if read is None else error_of(read)
                if read is None or error:
                    return " ".join(said), error
                said += incoming.add(read_piece(read))
                if incoming.too_long:
                    break
        return " ".join([*said, *incoming.speakable.rest()]).strip(), ""
