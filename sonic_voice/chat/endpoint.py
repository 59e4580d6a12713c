"""Clients of HTTP endpoints of chat models, which stream their answer as JSON objects.

    endpoint, model = chat_endpoint("openai:http://localhost:11434/v1#llama3.2")
    async for piece in endpoint.request({"model": model, "messages": [...], "stream": True}): ...

`ChatEndpoint` is one that speaks OpenAI's Chat Completions: Ollama, llama.cpp, vLLM, or a remote
one. `StreamingEndpoint` knows no API, and also serves Responses and Messages (`reasoning`).

A request is a POST. Its answer is a stream of server-sent events, or one JSON document from a
server that does not stream. A failure is an `EndpointError` with URL and status. A request that a
`ChatEndpoint` refuses because of a parameter is repeated without it (`parameters`), and so are all
later requests.

Keys come from environment variables. A key is sent to the endpoint only: it appears neither in the
log nor in an error, and no redirection is followed. Every request has its own connection, so there
is nothing to close, and cancelling a request ends its connection, which stops the model. `aiohttp`
comes with the AWS SDK and is imported with the first request.
"""

import asyncio
import codecs
import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigError
from .json_values import Json, parse_object
from .parameters import ParameterChange, rejected_parameter, with_changes
from .pieces import END, error_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_log = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable that holds the key of an endpoint of OpenAI's APIs."""

AWS_KEY_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""Environment variable that holds the key of an endpoint of AWS: an API key of Bedrock."""

_AWS_HOSTS = (".amazonaws.com", ".api.aws")
"""Ends of the names of hosts that are AWS's."""

_PATH = "/chat/completions"
_DONE = "[DONE]"
_MAX_EVENT = 1_000_000
"""Maximum length of one event, or of an answer that is not streamed, in characters."""
_REJECTIONS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
"""Statuses of a refusal that may name a parameter."""
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


class _RefusedError(EndpointError):
    """The endpoint refused the request.

    Args:
        status: The HTTP status.
        refusal: The body of the refusal.
    """

    def __init__(self, status: int, refusal: str) -> None:
        super().__init__(f"answered {status}: {' '.join(refusal.split())[:_SHOWN]}")
        self.status = status
        self.refusal = refusal


class ServerSentEventParser:
    """A parser of server-sent events, which may be split at any byte. Comments are skipped.

    A line that begins with a brace is an event of its own: some servers send JSON without `data:`,
    one object a line. So is a line of data that follows a complete JSON object, from servers that
    leave out the empty line between two events.
    """

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
            yield from self._read_line(line.removesuffix("\r"))
        if len(self._line) + sum(map(len, self._event)) > _MAX_EVENT:
            raise EndpointError("sent an event without an end")

    def finish(self) -> Iterator[str]:
        """Yield the event that the end of the stream completes, if there is one."""
        line, self._line = self._line, ""
        yield from self._read_line(line.removesuffix("\r"))
        if self._event and _is_complete(self._event):
            yield from self._read_line("")

    def _read_line(self, line: str) -> Iterator[str]:
        name, _, value = line.partition(":")
        if line.startswith("{"):
            name, value = "data", line
        if name == "data":
            if len(self._event) == 1 and _is_complete(self._event):
                yield from self._read_line("")
            self._event.append(value.removeprefix(" "))
        elif not line and self._event:
            yield "\n".join(self._event)
            self._event.clear()


def _is_complete(event: list[str]) -> bool:
    """Return whether the lines of an event are a JSON object or the end of the stream."""
    text = "\n".join(event)
    return text.strip() == _DONE or parse_object(text) is not None


class StreamingEndpoint:
    """An endpoint that serves any number of requests at once.

    Args:
        url: URL of the requests.
        headers: Headers of each request beside those of JSON and server-sent events.
        secret: The key in `headers`, which no message may show; empty if there is none.
        read_error: Returns the error that a JSON object of an answer reports; empty for none.
        timeouts: Timeouts of a request; None for the usual ones.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secret: str = "",
        read_error: Callable[[Json], str] = error_of,
        timeouts: EndpointTimeouts | None = None,
    ) -> None:
        self.url = url
        self._shown_url = url.partition("?")[0]  # a query may hold secrets
        self._headers = dict(headers or {})
        self._secret = secret
        self._read_error = read_error
        self._timeouts = timeouts or EndpointTimeouts()

    async def request(self, body: Json) -> AsyncGenerator[str]:
        """Yield the JSON objects of the answer. Cancelling it closes the connection.

        Args:
            body: The body of the request.

        Raises:
            EndpointError: The endpoint gave no answer, or only the part that was yielded.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s)
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers | self._headers) as session,
                aclosing(self._answers(session, body)) as pieces,
            ):
                async for piece in pieces:
                    yield piece
        except EndpointError as error:
            raise self._failure(str(error)) from error
        except TimeoutError as error:
            raise self._failure("did not answer in time") from error
        except aiohttp.ClientConnectorError as error:
            raise self._failure(f"cannot be reached: {error.os_error.strerror}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = f"could not be asked: {error or type(error).__name__}"
            raise self._failure(why) from error

    def _answers(self, session: "ClientSession", body: Json) -> AsyncGenerator[str]:
        """Return the pieces of the answer to a request; a subclass may send it differently."""
        return self._answer(session, body)

    async def _answer(self, session: "ClientSession", body: Json) -> AsyncGenerator[str]:
        """Yield the pieces of the answer to one request, each before its deadline."""
        # One deadline covers the response and its first piece; each later piece has its own.
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + self._timeouts.first_s
        async with asyncio.timeout_at(until_s):
            response = await session.post(
                self.url, data=json.dumps(body).encode(), allow_redirects=False
            )
        async with response, aclosing(self._pieces(response)) as pieces:
            while True:
                async with asyncio.timeout_at(until_s):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece
                until_s = now_s() + self._timeouts.next_s

    async def _pieces(self, response: "ClientResponse") -> AsyncGenerator[str]:
        """Yield each JSON object of the answer."""
        if response.status != HTTPStatus.OK:
            raise _RefusedError(response.status, await _whole(response))
        if response.content_type == "application/json":
            yield self._checked(await _whole(response))
            yield END
            return
        events = ServerSentEventParser()
        async for received in response.content.iter_any():
            for event in events.feed(received):
                if event.strip() == _DONE:
                    yield END
                    return
                yield self._checked(event)
        for event in events.finish():
            yield END if event.strip() == _DONE else self._checked(event)

    def _checked(self, event: str) -> str:
        """Return `event` if it is a JSON object that reports no error."""
        read = parse_object(event)
        if read is None:
            raise EndpointError(f"sent what is no JSON object: {event[:_SHOWN]!r}")
        if error := self._read_error(read):
            raise EndpointError(f"reported an error: {error[:_SHOWN]}")
        return event

    def _failure(self, why: str) -> EndpointError:
        text = f"{self._shown_url} {why}"
        return EndpointError(text.replace(self._secret, "***") if self._secret else text)


class ChatEndpoint(StreamingEndpoint):
    """An endpoint of the Chat Completions API.

    Args:
        url: URL of `chat/completions`.
        key: Key of the endpoint; empty for none.
        timeouts: Timeouts of a request; None for the usual ones.
    """

    def __init__(
        self, url: str, *, key: str = "", timeouts: EndpointTimeouts | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        super().__init__(url, headers=headers, secret=key, timeouts=timeouts)
        self._changes: dict[str, ParameterChange] = {}

    async def consult(self, body_json: str) -> AsyncGenerator[str]:
        """Yield the pieces of an answer; see `effects.Consult` of the emulator.

        A failure is logged, and is yielded as the last piece, `{"error": {"message": ...}}`.

        Args:
            body_json: The body of the request.
        """
        try:
            async with aclosing(self.request(parse_object(body_json) or {})) as pieces:
                async for piece in pieces:
                    yield piece
        except EndpointError as error:
            _log.warning("%s", error)
            yield json.dumps({"error": {"message": str(error)}})

    async def _answers(self, session: "ClientSession", body: Json) -> AsyncGenerator[str]:
        """Yield the pieces of the answer to a request without the parameters that are rejected."""
        changes = dict(self._changes)
        while True:
            sent = with_changes(body, changes)
            try:
                async with aclosing(self._answer(session, sent)) as pieces:
                    async for piece in pieces:
                        self._keep(changes)
                        yield piece
                return
            except _RefusedError as refused:
                # A change removes a name from `sent` that is not sent again, so this ends.
                change = rejected_parameter(sent, refused.refusal)
                if change is None or refused.status not in _REJECTIONS:
                    raise
                changes[change.name] = change

    def _keep(self, changes: Mapping[str, ParameterChange]) -> None:
        """Make the changes with which a request was answered those of all later requests."""
        new = [str(change) for name, change in changes.items() if name not in self._changes]
        if new:
            text = ", ".join(new)
            _log.warning("%s rejects a parameter: from now on, %s", self._shown_url, text)
        self._changes.update(changes)


async def _whole(response: "ClientResponse") -> str:
    body = bytearray()
    async for received in response.content.iter_any():
        body += received
        if len(body) > _MAX_EVENT:
            raise EndpointError("sent an answer without an end")
    return body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """An address of the form `PREFIX:URL#MODEL`, taken apart."""

    url: str
    """URL of the requests, with the path of the API."""
    model: str
    """Name of the model at the endpoint."""
    key: str = field(repr=False)
    """Key of the endpoint, from an environment variable; empty if there is none."""
    of_aws: bool = False
    """True if the endpoint is one of AWS."""

    @property
    def bearer(self) -> dict[str, str]:
        """Header with the key as a bearer token; empty without a key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


def chat_endpoint(spec: str, timeouts: EndpointTimeouts | None = None) -> tuple[ChatEndpoint, str]:
    """Return the endpoint and the name of the model that `openai:URL#MODEL` asks for.

    The URL is the root of the API as clients are configured with it
    (`http://localhost:11434/v1`), a server without a path, or the full URL of `chat/completions`.

    Args:
        spec: The address.
        timeouts: Timeouts of the endpoint; None for the usual ones.

    Raises:
        ConfigError: `spec` is malformed, names no model, or holds a user or a password.
    """
    address = endpoint_address(spec, "openai", _PATH, KEY_VARIABLE)
    return ChatEndpoint(address.url, key=address.key, timeouts=timeouts), address.model


def endpoint_address(spec: str, prefix: str, path: str, key_variable: str) -> EndpointAddress:
    """Take an address of the form `PREFIX:URL#MODEL` apart.

    Args:
        spec: The address.
        prefix: What it begins with, without the colon.
        path: Path of the API behind the root of the URL, such as `/chat/completions`.
        key_variable: Environment variable with the key. Endpoints of AWS have another one,
            `AWS_KEY_VARIABLE`, so that no key is sent to a service that it is not for.

    Raises:
        ConfigError: `spec` is malformed, names no model, or holds a user or a password.
    """
    url = _split(spec.removeprefix(f"{prefix}:"))
    hint = f"Such as {prefix}:http://localhost:11434/v1#llama3.2 for Ollama."
    if not spec.startswith(f"{prefix}:") or url is None:
        raise ConfigError(f"{spec!r} is no {prefix}:URL#MODEL.", hint=hint)
    of_aws = (url.hostname or "").endswith(_AWS_HOSTS)
    if of_aws:
        key_variable = AWS_KEY_VARIABLE
    if "@" in url.netloc:
        raise ConfigError(
            "The URL of a chat endpoint holds no user and password.",
            hint=f"Put the key into the environment variable {key_variable}.",
        )
    if not url.fragment:
        raise ConfigError(f"{spec!r} names no model.", hint=f"Put it behind a #. {hint}")
    root = url.path.rstrip("/")
    if not root.endswith(path):
        root = (root or "/v1") + path
    whole = url._replace(path=root, fragment="").geturl()
    key = os.environ.get(key_variable, "").strip()
    return EndpointAddress(whole, unquote(url.fragment), key, of_aws)


def _split(url: str) -> SplitResult | None:
    """Return the parts of an HTTP URL, or None for anything that cannot be requested."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half a bracket
        return None
    return parts if sound else None
