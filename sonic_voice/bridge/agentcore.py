"""The contract of Amazon Bedrock AgentCore Runtime, which can run the bridge. No I/O.

    page ── SigV4 or OAuth ──► AgentCore ── one microVM for each session id ──► /ws ──► Bridge
                                   └────────── every few seconds ──► GET /ping

AgentCore authenticates each client, and it alone can reach the container. The bridge therefore
asks for no token of its own, and expects no `Origin`, which AgentCore does not forward. It does not
know subprotocols other than `BEARER_PROTOCOL` either, so that none is required.

Source: AgentCore Developer Guide, "HTTP protocol contract", "Get started with bidirectional
streaming using WebSocket", "Pass custom headers" and "Quotas", as of September 2026.
"""

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .messages import SUBPROTOCOL
from .tokens import SUBJECT_CHARACTERS

HOST = "0.0.0.0"
"""Address at which the container must listen."""

PORT = 8080
"""Port at which the container must listen."""

SOCKET_PATH = "/ws"
"""Path of the WebSocket."""

PING_PATH = "/ping"
"""Path of the health check."""

SESSION_HEADER = "x-amzn-bedrock-agentcore-runtime-session-id"
"""Header with the id of the session. Connections with one id reach the same microVM."""

BEARER_PROTOCOL = "base64UrlBearerAuthorization"
"""Subprotocol of browsers that authenticate with OAuth, the only one that AgentCore knows. Another
one that begins with it and a dot has the token."""

_SESSION = re.compile(r"[\w.:@-]{1,256}", re.ASCII)
"""Session ids that are believed. The documentation demands 33 to 256 characters; a local client may
send none, or a shorter one."""


def session_id(headers: Mapping[str, str]) -> str:
    """Return the id of AgentCore's session; empty without one.

    Args:
        headers: The headers of the handshake, by lower-case name.
    """
    given = headers.get(SESSION_HEADER, "")
    return given if _SESSION.fullmatch(given) else ""


def verified_subject(headers: Mapping[str, str]) -> str:
    """Return the subject (`sub`) of the JSON Web Token that AgentCore has verified.

    AgentCore forwards `Authorization` only if the runtime has a JWT authorizer, which has checked
    the token, and if the header is in its list of allowed headers. The signature is therefore not
    verified here.

    Args:
        headers: The headers of the handshake, by lower-case name.

    Returns:
        The subject; empty if no token was forwarded or it has no usable subject.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    parts = token.strip().split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        return ""
    try:
        claims: Any = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    subject = cast(dict[str, Any], claims).get("sub") if isinstance(claims, dict) else None
    usable = isinstance(subject, str) and len(subject) <= SUBJECT_CHARACTERS
    return subject if usable and subject is not None else ""


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the subprotocol to agree on; None if none that is known is offered.

    Args:
        offered: The subprotocols that the client offers. One of them may contain a token.
    """
    return next((name for name in (SUBPROTOCOL, BEARER_PROTOCOL) if name in offered), None)


class PingStatus:
    """The answers to AgentCore's health check.

    `HealthyBusy` keeps the microVM alive while a conversation waits for its page to return. It does
    not without `time_of_last_update` (aws/bedrock-agentcore-sdk-python, issue 471). As in that SDK,
    this is the time at which the status has changed.
    """

    def __init__(self) -> None:
        self._status = ""
        self._changed_s = 0.0

    def body(self, *, busy: bool, now_s: float) -> bytes:
        """Return the JSON body of an answer to `GET /ping`.

        Args:
            busy: Whether there is a conversation.
            now_s: The time of day, `time.time()`.
        """
        status = "HealthyBusy" if busy else "Healthy"
        if status != self._status:
            self._status, self._changed_s = status, now_s
        answer = {"status": status, "time_of_last_update": int(self._changed_s)}
        return json.dumps(answer).encode()
