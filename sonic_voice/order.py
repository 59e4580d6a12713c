"""The legal order of what a client sends, as a table (protocol reference 2.1).

A *step* is a whole content block where the block is short (system prompt, one message of the
history, one typed text, one tool result): its start, data and end are written together, so a
block left open, or another block's data within it, cannot be expressed. Only the user's audio
stays open, and its frames are steps of their own.

    NEW --session_start--> SESSION --prompt_start--> PROMPT --system--> PRIMED
    PRIMED --system_speech--> PRIMED_SPEECH         (v2, at most once)
    PRIMED, PRIMED_SPEECH, HISTORY --history--> HISTORY
    PRIMED, PRIMED_SPEECH, HISTORY --audio_start--> LIVE
    LIVE --audio, text, tool_result--> LIVE         (at any time, for the whole session)
    LIVE --audio_end--> QUIET --prompt_end--> DONE --session_end--> ENDED

What is not in the table is an `OrderError`.
"""

from enum import Enum, auto

from .errors import OrderError


class State(Enum):
    """How far the client has come."""

    NEW = auto()
    SESSION = auto()
    PROMPT = auto()
    PRIMED = auto()
    PRIMED_SPEECH = auto()
    HISTORY = auto()
    LIVE = auto()
    QUIET = auto()
    DONE = auto()
    ENDED = auto()


class Step(Enum):
    """What the client may send next."""

    SESSION_START = auto()
    PROMPT_START = auto()
    SYSTEM = auto()
    SYSTEM_SPEECH = auto()
    HISTORY = auto()
    AUDIO_START = auto()
    AUDIO = auto()
    TEXT = auto()
    TOOL_RESULT = auto()
    AUDIO_END = auto()
    PROMPT_END = auto()
    SESSION_END = auto()


ORDER: dict[tuple[State, Step], State] = {
    (State.NEW, Step.SESSION_START): State.SESSION,
    (State.SESSION, Step.PROMPT_START): State.PROMPT,
    (State.PROMPT, Step.SYSTEM): State.PRIMED,
    (State.PRIMED, Step.SYSTEM_SPEECH): State.PRIMED_SPEECH,
    (State.PRIMED, Step.HISTORY): State.HISTORY,
    (State.PRIMED_SPEECH, Step.HISTORY): State.HISTORY,
    (State.HISTORY, Step.HISTORY): State.HISTORY,
    (State.PRIMED, Step.AUDIO_START): State.LIVE,
    (State.PRIMED_SPEECH, Step.AUDIO_START): State.LIVE,
    (State.HISTORY, Step.AUDIO_START): State.LIVE,
    (State.LIVE, Step.AUDIO): State.LIVE,
    (State.LIVE, Step.TEXT): State.LIVE,
    (State.LIVE, Step.TOOL_RESULT): State.LIVE,
    (State.LIVE, Step.AUDIO_END): State.QUIET,
    (State.QUIET, Step.PROMPT_END): State.DONE,
    (State.DONE, Step.SESSION_END): State.ENDED,
}

_WHY: dict[State, str] = {
    State.QUIET: "the session is being closed",
    State.DONE: "the session is being closed",
    State.ENDED: "the session is closed",
}


def after(state: State, step: Step) -> State:
    """The state after `step`; `OrderError` if it is not legal in `state`."""
    follows = ORDER.get((state, step))
    if follows is None:
        what = step.name.lower().replace("_", " ")
        why = _WHY.get(state, f"the session is at {state.name.lower()}")
        raise OrderError(f"Cannot send {what} now: {why}.")
    return follows
