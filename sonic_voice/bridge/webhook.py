"""A webhook: the report of each conversation, posted to a URL of the application.

    POST /conversations HTTP/1.1
    Content-Type: application/json
    Sonic-Voice-Signature: sha256=<HMAC of the body, hexadecimal>

The receiver answers with a status of 200 to 299. Other statuses below 500 are final; all else is
tried again. A report may arrive twice, with the same `conversation`.
"""

import asyncio
import hashlib
import hmac
from urllib.parse import urlsplit

from ..errors import ConfigError, NetworkError
from ..http2.loopback import is_loopback
from .conversation_report import ConversationReport

TIMEOUT_S = 5.0
"""Maximum time for one attempt, in seconds."""

PAUSES_S = (0.5, 2.0)
"""Pauses before the second and the third attempt, in seconds."""


class Webhook:
    """A hook `on_end` that posts each report.

    Args:
        url: An https URL, or an http one on this machine.
        secret: Key of the signature; without one nothing is signed.

    Raises:
        ConfigError: The URL is neither.
    """

    def __init__(self, url: str, *, secret: bytes = b"") -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not (parts.scheme == "https" and host) and not (
            parts.scheme == "http" and is_loopback(host)
        ):
            raise ConfigError(
                f"{url!r} cannot be a webhook.",
                hint="Reports hold what people said: use https, or http on this machine.",
            )
        self._url = url
        self._secret = secret

    async def __call__(self, report: ConversationReport) -> None:
        """Post a report.

        Args:
            report: The report.

        Raises:
            NetworkError: It could not be delivered in three attempts, or was refused.
        """
        body = report.to_json().encode()
        headers = {"Content-Type": "application/json"}
        if self._secret:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers["Sonic-Voice-Signature"] = f"sha256={digest}"
        for pause_s in (*PAUSES_S, None):
            problem = await self._post(body, headers)
            if problem is None:
                return
            if pause_s is None or problem.final:
                raise problem
            await asyncio.sleep(pause_s)

    async def _post(self, body: bytes, headers: dict[str, str]) -> "_NotDelivered | None":
        """Return None after an attempt that succeeded, else why it did not."""
        import aiohttp  # importing it takes 0.2 s

        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self._url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _NotDelivered(type(error).__name__, final=False)
        if 200 <= status < 300:
            return None
        return _NotDelivered(f"HTTP status {status}", final=status < 500 and status != 429)


class _NotDelivered(NetworkError):
    """A report that the webhook has not taken."""

    def __init__(self, what: str, *, final: bool) -> None:
        super().__init__(f"The webhook did not take a report: {what}.")
        self.final = final
