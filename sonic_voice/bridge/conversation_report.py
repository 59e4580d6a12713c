"""The report of a conversation that has ended: transcript, usage and latency. Pure."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from ..history import Message
from ..masking import mask
from ..wire import Tokens
from .closing import Close


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """One side's part of a turn."""

    turn: int
    """Number of the turn, from 1."""
    role: str
    """`USER` or `ASSISTANT`."""
    text: str
    """Words that were said and heard."""
    planned: str
    """Words that were meant to be said."""
    interrupted: bool = False
    """True if the answer was cut off."""


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """The response latency of one turn."""

    turn: int
    """Number of the turn, from 1."""
    response_s: float
    """Time from the end of the user's speech to the first audible sample, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationReport:
    """The report of one conversation, for the application and for the operator's log."""

    conversation: str
    """Id of the conversation, as in the log."""
    subject: str
    """Subject of the token with which it began; empty if none was needed."""
    voice: str
    """Voice that spoke."""
    began_s: float
    """Beginning, in seconds since 1970."""
    duration_s: float
    """Duration, in seconds."""
    close: Close
    """Code with which it ended."""
    error: str = ""
    """Error that ended it, with its hint; empty without one."""
    request_id: str = ""
    """Id by which Amazon finds the request that failed; empty if there is none."""
    transcript: tuple[SpokenLine, ...] = ()
    """The turns that were said and heard, in order."""
    tokens: Tokens = field(default_factory=Tokens)
    """Tokens used."""
    cost_usd: float = 0.0
    """Cost of the tokens, in USD."""
    latencies: tuple[TurnLatency, ...] = ()
    """Response latency of each turn that was measured."""

    @property
    def reason(self) -> str:
        """Name of the close code in lower case, such as `service_failed`."""
        return self.close.name.lower()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns as the history of a later conversation."""
        return tuple(
            Message("USER" if line.role == "USER" else "ASSISTANT", line.text)
            for line in self.transcript
            if line.text
        )

    @property
    def turns(self) -> int:
        """Number of turns in which something was said."""
        return len({line.turn for line in self.transcript})

    def masked(self) -> "ConversationReport":
        """Return the report with the personal data in its transcript masked."""
        lines = tuple(
            replace(line, text=mask(line.text), planned=mask(line.planned))
            for line in self.transcript
        )
        return replace(self, transcript=lines)

    def to_json(self) -> str:
        """Return the report as JSON, with the names of the fields. Webhooks receive it."""
        return json.dumps(self._document(), ensure_ascii=False, separators=(",", ":"))

    def _document(self) -> dict[str, Any]:
        return {
            "conversation": self.conversation,
            "subject": self.subject,
            "voice": self.voice,
            "began_s": round(self.began_s, 3),
            "duration_s": round(self.duration_s, 3),
            "code": self.close.value,
            "reason": self.reason,
            "error": self.error,
            "request_id": self.request_id,
            "transcript": [
                {
                    "turn": line.turn,
                    "role": line.role,
                    "text": line.text,
                    "planned": line.planned,
                    "interrupted": line.interrupted,
                }
                for line in self.transcript
            ],
            "tokens": {
                "speech_in": self.tokens.speech_in,
                "text_in": self.tokens.text_in,
                "speech_out": self.tokens.speech_out,
                "text_out": self.tokens.text_out,
            },
            "cost_usd": round(self.cost_usd, 6),
            "latencies": [
                {"turn": one.turn, "response_s": round(one.response_s, 3)} for one in self.latencies
            ],
        }
