"""The legal order of what a client sends, as a table (protocol reference 2.1).

A *step* is a whole content block where the block is short (system prompt, one message of the
history, one typed text, one tool result). Its start, data and end are written together, so that
neither a block left open nor the data of another block within it can be expressed. Two blocks stay
open: the user's audio, of which each chunk is a step, and the result of an `ExpertTool` call, of
which each sentence is one (reference 8.6). The first sentence opens that result, which therefore
never ends without data.

    NEW --session_start--> SESSION --prompt_start--> PROMPT --system--> PRIMED
    PRIMED --system_speech--> PRIMED_SPEECH         (v2, at most once)
    PRIMED, PRIMED_SPEECH, HISTORY --history--> HISTORY
    PRIMED, PRIMED_SPEECH, HISTORY --audio_start--> LIVE
    LIVE --audio, text, tool_result--> LIVE         (at any time, for the whole session)
    LIVE --result_sentence, result_end--> LIVE      (for each call: sentences, then one end)
    LIVE --audio_end--> QUIET --prompt_end--> DONE --session_end--> ENDED

A step that is not in the table is an `OrderError`.
"""

from enum import Enum, auto

from .errors import OrderError


class InputState(Enum):
    """The progress of the client through the order of a stream."""

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


class InputStep(Enum):
    """A unit that the client sends as a whole."""

    SESSION_START = auto()
    PROMPT_START = auto()
    SYSTEM = auto()
    SYSTEM_SPEECH = auto()
    HISTORY = auto()
    AUDIO_START = auto()
    AUDIO = auto()
    TEXT = auto()
    TOOL_RESULT = auto()
    RESULT_SENTENCE = auto()
    RESULT_END = auto()
    AUDIO_END = auto()
    PROMPT_END = auto()
    SESSION_END = auto()


ORDER: dict[tuple[InputState, InputStep], InputState] = {
    (InputState.NEW, InputStep.SESSION_START): InputState.SESSION,
    (InputState.SESSION, InputStep.PROMPT_START): InputState.PROMPT,
    (InputState.PROMPT, InputStep.SYSTEM): InputState.PRIMED,
    (InputState.PRIMED, InputStep.SYSTEM_SPEECH): InputState.PRIMED_SPEECH,
    (InputState.PRIMED, InputStep.HISTORY): InputState.HISTORY,
    (InputState.PRIMED_SPEECH, InputStep.HISTORY): InputState.HISTORY,
    (InputState.HISTORY, InputStep.HISTORY): InputState.HISTORY,
    (InputState.PRIMED, InputStep.AUDIO_START): InputState.LIVE,
    (InputState.PRIMED_SPEECH, InputStep.AUDIO_START): InputState.LIVE,
    (InputState.HISTORY, InputStep.AUDIO_START): InputState.LIVE,
    (InputState.LIVE, InputStep.AUDIO): InputState.LIVE,
    (InputState.LIVE, InputStep.TEXT): InputState.LIVE,
    (InputState.LIVE, InputStep.TOOL_RESULT): InputState.LIVE,
    (InputState.LIVE, InputStep.RESULT_SENTENCE): InputState.LIVE,
    (InputState.LIVE, InputStep.RESULT_END): InputState.LIVE,
    (InputState.LIVE, InputStep.AUDIO_END): InputState.QUIET,
    (InputState.QUIET, InputStep.PROMPT_END): InputState.DONE,
    (InputState.DONE, InputStep.SESSION_END): InputState.ENDED,
}
"""The state that each legal step leads to, by the state before it and the step."""

_WHY: dict[InputState, str] = {
    InputState.QUIET: "the session is being closed",
    InputState.DONE: "the session is being closed",
    InputState.ENDED: "the session is closed",
}


def next_state(state: InputState, step: InputStep) -> InputState:
    """Return the state that a step leads to.

    Args:
        state: The state before it.
        step: The step to be sent.

    Raises:
        OrderError: `step` is not legal in `state`.
    """
    follows = ORDER.get((state, step))
    if follows is None:
        what = step.name.lower().replace("_", " ")
        why = _WHY.get(state, f"the session is at {state.name.lower()}")
        raise OrderError(f"Cannot send {what} now: {why}.")
    return follows
