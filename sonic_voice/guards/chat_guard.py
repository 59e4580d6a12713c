"""A guard by a moderation model behind an endpoint of the form of OpenAI's Chat Completions.

    guard = ChatGuard("http://localhost:11434/v1", "gpt-oss-safeguard")

The key comes from the environment variable `OPENAI_API_KEY`, if it is set, and is sent to the
endpoint only. No redirection is followed. Connections are kept, and closed by `aclose`.
"""

import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import ConfigError, ConnectError, ServiceError, service_error
from ..http2.loopback import is_loopback
from .moderation_prompt import POLICY, ModerationModel
from .verdicts import REQUEST_TIMEOUT_S

if TYPE_CHECKING:
    from aiohttp import ClientSession

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable that holds the endpoint's key."""

ANSWER_BYTES = 256 * 1024
"""Maximum size of an answer, in bytes. A verdict has a few hundred."""


class ChatGuard(ModerationModel):
    """A guard by a moderation model behind an endpoint.

    Args:
        url: Base URL of the endpoint, such as `https://host/v1`; `http` for this machine alone.
        model: Name of the model.
        policy: What is not allowed, in words.

    Raises:
        ConfigError: The URL cannot be used.
    """

    def __init__(self, url: str, model: str, policy: str = POLICY) -> None:
        super().__init__(policy)
        parts = urlsplit(url)
        host = parts.hostname or ""
        local = parts.scheme == "http" and is_loopback(host)
        if not host or not (parts.scheme == "https" or local) or not model:
            raise ConfigError(
                f"{url!r} cannot be the endpoint of a guard.",
                hint="It sees what people say: use https, or http on this machine, and a #MODEL.",
            )
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        """The endpoint for messages, without what may be secret."""
        self._model = model
        self._session: ClientSession | None = None

    async def answer(self, question: str) -> str:
        """See `ModerationModel`."""
        import aiohttp  # importing it takes 0.2 s

        body = {
            "model": self._model,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": self.system},
                {"role": "user", "content": question},
            ],
        }
        if self._session is None:
            key = os.environ.get(KEY_VARIABLE, "")
            self._session = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            )
        try:
            async with self._session.post(self._url, json=body, allow_redirects=False) as response:
                answer = await response.content.read(ANSWER_BYTES)
                while len(answer) < ANSWER_BYTES and not response.content.at_eof():
                    answer += await response.content.read(ANSWER_BYTES - len(answer))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reached = "did not answer" if isinstance(error, TimeoutError) else "cannot be reached"
            raise ConnectError(
                f"The guard's endpoint {self._shown} {reached}.",
                hint="Start its server, or correct the address.",
            ) from error
        if response.status != HTTPStatus.OK:
            raise _refusal(response.status)
        return _content(answer)

    async def aclose(self) -> None:
        """Close the connections. May be called again."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _refusal(status: int) -> ServiceError:
    return service_error(
        "", f"The guard's endpoint answered with HTTP status {status}.", status=status
    )


def _content(answer: bytes) -> str:
    """Return the text of an answer of Chat Completions.

    Raises:
        ValueError: It has none.
    """
    try:
        return str(json.loads(answer)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError("the endpoint's answer is not of Chat Completions") from error
