"""Client of an OpenAI-compatible chat endpoint: Ollama, llama.cpp, vLLM, or a remote one.

    brain, endpoint = openai_brain("openai:http://localhost:11434/v1#llama3.2", speech.resample)
    Emulator(sonic_service(brain, hear), engines=Engines(consult=endpoint.consult), ...)

A request is a POST to `/chat/completions`. Its answer is a stream of server-sent events, or one
JSON document from a server that does not stream. A failure is logged with URL and status, and is
yielded as the last piece, `{"error": {"message": ...}}`: the conversation goes on, and the partner
tells the user.

The key comes from the environment variable `OPENAI_API_KEY`, if it is set. It is sent to the
endpoint only: it appears neither in the log nor in an error, and no redirection is followed. Every
request has its own connection, so there is nothing to close, and cancelling a request ends its
connection, which stops the model. `aiohttp` comes with the AWS SDK and is imported with the first
request.
"""

import asyncio
import codecs
import json
import logging
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

from ...errors import ConfigError
from ..service.brain import Resample
from .chat_completions import ChatBrain

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_log = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable that holds the endpoint's key."""

_PREFIX = "openai:"
_HINT = "Such as openai:http://localhost:11434/v1#llama3.2 for Ollama."
_PATH = "/chat/completions"
_DONE = "[DONE]"
_MAX_EVENT = 1_000_000
"""Maximum length of one event, or of an answer that is not streamed, in characters."""
_SHOWN = 300
"""Maximum number of characters of a refusal's body that are logged."""


@dataclass(frozen=True, slots=True)
class EndpointTimeouts:
    """The timeouts of an endpoint, in seconds."""

    connect_s: float = 5.0
    """Timeout for the TCP connection."""
    first_s: float = 60.0
    """Timeout from the request to the first piece: a local model may first be loaded from the
    disk."""
    next_s: float = 20.0
    """Timeout from one piece to the next."""


class EndpointError(Exception):
    """The endpoint gave no answer, or only a part of it; the message says why."""


class ServerSentEventParser:
    """A parser of server-sent events, which may be split at any byte. Comments are skipped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._event: list[str] = []

    def feed(self, received: bytes) -> Iterator[str]:
        """Yield the `data` of each event that `received` completes.

        Args:
            received: The next bytes of the stream.

        Raises:
            EndpointError: An event is longer than `_MAX_EVENT`.
        """
        *lines, self._line = (self._line + self._decoder.decode(received)).split("\n")
        for line in lines:
            line = line.removesuffix("\r")
            name, _, value = line.partition(":")
            if name == "data":
                self._event.append(value.removeprefix(" "))
            elif not line and self._event:
                yield "\n".join(self._event)
                self._event.clear()
        if len(self._line) + sum(map(len, self._event)) > _MAX_EVENT:
            raise EndpointError("sent an event without an end")


class ChatEndpoint:
    """An endpoint that serves any number of requests at once."""

    def __init__(
        self, url: str, *, key: str = "", timeouts: EndpointTimeouts | None = None
    ) -> None:
        self.url = url
        self._shown_url = url.partition("?")[0]  # a query may hold secrets
        self._key = key
        self._timeouts = timeouts or EndpointTimeouts()

    async def consult(self, body_json: str) -> AsyncGenerator[str]:
        """See `effects.Consult`. Cancelling closes the connection, which stops the model."""
        import aiohttp

        timeouts = self._timeouts
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s)
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # One deadline covers the response and its first piece; each later piece has its own.
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + timeouts.first_s
        try:
            async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
                async with asyncio.timeout_at(until_s):
                    response = await session.post(
                        self.url, data=body_json.encode(), allow_redirects=False
                    )
                async with response, aclosing(_pieces(response)) as pieces:
                    while True:
                        async with asyncio.timeout_at(until_s):
                            piece = await anext(pieces, None)
                        if piece is None:
                            return
                        yield piece
                        until_s = now_s() + timeouts.next_s
        except EndpointError as error:
            yield self._failed(str(error))
        except TimeoutError:
            yield self._failed("did not answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            yield self._failed(f"could not be asked: {error or type(error).__name__}")

    def _failed(self, why: str) -> str:
        text = f"{self._shown_url} {why}"
        text = text.replace(self._key, "***") if self._key else text
        _log.warning("%s", text)
        return json.dumps({"error": {"message": text}})


async def _pieces(response: "ClientResponse") -> AsyncGenerator[str]:
    """Yield each JSON object of the answer. Raises `EndpointError` or an error of aiohttp."""
    if response.status != HTTPStatus.OK:
        why = " ".join((await _whole(response)).split())[:_SHOWN]
        raise EndpointError(f"answered {response.status}: {why}")
    if response.content_type == "application/json":
        yield _checked(await _whole(response))
        return
    events = ServerSentEventParser()
    async for received in response.content.iter_any():
        for event in events.feed(received):
            if event.strip() == _DONE:
                return
            yield _checked(event)


async def _whole(response: "ClientResponse") -> str:
    body = bytearray()
    async for received in response.content.iter_any():
        body += received
        if len(body) > _MAX_EVENT:
            raise EndpointError("sent an answer without an end")
    return body.decode("utf-8", "replace")


def _checked(event: str) -> str:
    """Return `event` if it is a JSON object that reports no error."""
    try:
        read: Any = json.loads(event)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise EndpointError(f"sent what is no JSON object: {event[:_SHOWN]!r}")
    error: Any = cast(dict[str, Any], read).get("error")
    if error:
        raise EndpointError(f"reported an error: {json.dumps(error)[:_SHOWN]}")
    return event


def openai_brain(spec: str, resample: Resample) -> tuple[ChatBrain, ChatEndpoint]:
    """Return the brain and the endpoint that `openai:URL#MODEL` asks for.

    Args:
        spec: `openai:URL#MODEL`. The URL is the root of the API as clients are configured with it
            (`http://localhost:11434/v1`), a server without a path, or the full URL of
            `chat/completions`.
        resample: Converts recordings to the output rate.

    Raises:
        ConfigError: `spec` is malformed, names no model, or holds a user or a password.
    """
    url = _split(spec.removeprefix(_PREFIX))
    if not spec.startswith(_PREFIX) or url is None:
        raise ConfigError(f"{spec!r} is no openai:URL#MODEL.", hint=_HINT)
    if "@" in url.netloc:
        raise ConfigError(
            "The URL of a chat endpoint holds no user and password.",
            hint=f"Put the key into the environment variable {KEY_VARIABLE}.",
        )
    if not url.fragment:
        raise ConfigError(f"{spec!r} names no model.", hint=f"Put it behind a #. {_HINT}")
    path = url.path.rstrip("/")
    if not path.endswith(_PATH):
        path = (path or "/v1") + _PATH
    whole = url._replace(path=path, fragment="").geturl()
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return ChatBrain(unquote(url.fragment), resample), ChatEndpoint(whole, key=key)


def _split(url: str) -> SplitResult | None:
    """Return the parts of an HTTP URL, or None for anything that cannot be requested."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half a bracket
        return None
    return parts if sound else None
