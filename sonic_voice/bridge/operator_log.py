"""The operator's log: one line for each conversation started and ended, and for each rejection.

    conversation started conversation=4b1d0c9f2a7e subject=alice address=198.51.100.7 voice=tiffany
    conversation ended conversation=4b1d0c9f2a7e code=4031 reason=service_failed error="..." ...
    connection rejected code=4013 reason=bad_origin address=198.51.100.9 origin=https://x.example

A line never has tokens, prompts or what was said. Values come from clients: they are quoted, so
that none of them can begin another line or look like another fact. The facts are also attached to
the log record as `facts`, for formats other than text.
"""

import json
import logging
import re
from collections.abc import Mapping

from .closing import Close
from .conversation_report import ConversationReport

log = logging.getLogger(__name__)

VALUE_CHARACTERS = 500
"""Maximum length of one value, in characters. An `Origin` header may have 16 KiB."""

_PLAIN = re.compile(r"[\w.:/@+*\[\]-]+", re.ASCII)

_FOR_THE_OPERATOR = frozenset(
    {
        *(Close.INTERNAL, Close.KEYS_UNAVAILABLE, Close.FULL),
        *(close for close in Close if close >= Close.SERVICE_BUSY),  # all that the service does
    }
    - {Close.SERVICE_LIFETIME}
)
"""Codes that the operator can do something about. They are logged as warnings."""


def log_started(
    conversation: str, *, subject: str, address: str, voice: str, continued: bool
) -> None:
    """Log that a conversation has started.

    Args:
        conversation: The id of the conversation.
        subject: The subject of its token; empty if there is none.
        address: The network address of the client.
        voice: The voice that speaks.
        continued: Whether another process has begun it.
    """
    what = "conversation continued" if continued else "conversation started"
    facts = {"conversation": conversation, "subject": subject, "address": address, "voice": voice}
    _log(logging.INFO, what, facts)


def log_ended(report: ConversationReport, address: str) -> None:
    """Log that a conversation has ended.

    Args:
        report: The report of the conversation.
        address: The network address from which it was started.
    """
    facts: dict[str, str | float] = {
        "conversation": report.conversation,
        "code": report.close.value,
        "reason": report.reason,
        "subject": report.subject,
        "address": address,
        "duration_s": round(report.duration_s, 1),
        "turns": report.turns,
        "cost_usd": round(report.cost_usd, 4),
        "error": report.error,
        "request_id": report.request_id,
    }
    _log(_level(report.close), "conversation ended", facts)


def log_draining(conversations: int, within_s: float) -> None:
    """Log that the server accepts no new conversations and waits for the present ones.

    Args:
        conversations: Number of present conversations.
        within_s: The time that they have, in seconds.
    """
    _log(logging.INFO, "draining", {"conversations": conversations, "within_s": within_s})


def log_rejected(close: Close, *, address: str, origin: str | None, error: str = "") -> None:
    """Log that a connection was rejected before it belonged to a conversation.

    Args:
        close: The code with which it is closed.
        address: The network address of the client.
        origin: The `Origin` header of its handshake; None if there was none.
        error: What was wrong, for the operator; empty if the code says it.
    """
    facts = {
        "code": close.value,
        "reason": close.name.lower(),
        "address": address,
        "origin": origin or "",
        "error": error,
    }
    _log(_level(close), "connection rejected", facts)


def _level(close: Close) -> int:
    return logging.WARNING if close in _FOR_THE_OPERATOR else logging.INFO


def _log(level: int, what: str, facts: Mapping[str, str | float]) -> None:
    known = {
        name: value[:VALUE_CHARACTERS] if isinstance(value, str) else value
        for name, value in facts.items()
        if value != ""
    }
    text = " ".join([what, *(f"{name}={_quoted(value)}" for name, value in known.items())])
    log.log(level, "%s", text, extra={"event": what, "facts": known})


def _quoted(value: str | float) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
