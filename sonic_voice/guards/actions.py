"""The actions that the gate of a guard asks of its owner, beside delivering events."""

from dataclasses import dataclass

from ..events import Event, ToolCall
from .verdicts import Role


@dataclass(frozen=True, slots=True)
class StartCheck:
    """A request to ask the guard. `decide` or `fail` must follow, unless `StopCheck` comes."""

    id: int
    """Number of the check."""
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class StopCheck:
    """A notice that the verdict of a check is not needed any more."""

    id: int
    """Number of the check."""


@dataclass(frozen=True, slots=True)
class Withhold:
    """A request to take a sentence out of the transcript, because it is not heard."""

    turn: int
    block: int
    text: str
    """The words of the sentence."""
    replacement: str
    """The words in its place; empty for none."""
    is_replaced: bool
    """True if the replacement is to be heard now."""


@dataclass(frozen=True, slots=True)
class RefuseCall:
    """A request to answer a tool call with an error, because the user's words were flagged."""

    call: ToolCall


type Action = Event | StartCheck | StopCheck | Withhold | RefuseCall
"""An event to deliver, or something else to do. They are carried out in order."""
