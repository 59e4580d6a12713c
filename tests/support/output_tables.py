"""The order of the service's output as tables: the tokens, and the state machines that know them.

A token without a transition in the state of a machine that knows it is illegal there. The machines
are checked by `output_grammar`. Sections are those of the protocol reference.
"""

from collections.abc import Mapping
from enum import Enum, auto


class Token(Enum):
    """The alphabet of the state machines."""

    USAGE = auto()
    COMPLETION_START = auto()
    COMPLETION_END = auto()
    SPEECH_START = auto()
    SPEECH_END = auto()
    TRANSCRIPT = auto()
    NO_WORDS = auto()
    CALL = auto()
    SPECULATIVE = auto()
    FINAL = auto()
    MARKER = auto()
    SOUND_START = auto()
    SOUND = auto()
    SOUND_PART = auto()
    SOUND_END = auto()
    SOUND_CUT = auto()


T = Token
type Table = Mapping[str, Mapping[Token, str]]
"""Transitions of a state machine: state, token, next state. It begins in its first state. A token
that occurs nowhere in a table is ignored by it."""

COMPLETION: Table = {
    "before": {T.USAGE: "before", T.SPEECH_START: "before", T.COMPLETION_START: "running"},
    "running": dict.fromkeys(set(T) - {T.COMPLETION_START}, "running") | {T.COMPLETION_END: "over"},
    "over": {},
}
"""The completion: it starts once, holds all blocks, and nothing follows its end."""

_GENERATED = (T.CALL, T.SPECULATIVE, T.SOUND_START, T.SOUND, T.SOUND_PART, T.SOUND_END)
_HEARD = (T.TRANSCRIPT, T.NO_WORDS)

# v1 and typed turns stay in the first state: v1 has no speech events, a typed turn no speech.
USER: Table = {
    "silent": dict.fromkeys((*_HEARD, *_GENERATED, T.MARKER), "silent")
    | {T.SPEECH_START: "speaking"},
    "speaking": {T.SPEECH_END: "heard", T.SOUND: "speaking", T.SOUND_PART: "speaking",
                 T.SOUND_END: "speaking", T.MARKER: "interrupting", T.TRANSCRIPT: "transcribed"},
    "transcribed": dict.fromkeys((T.TRANSCRIPT, T.SOUND, T.SOUND_PART, T.SOUND_END), "transcribed")
    | {T.SPEECH_END: "silent", T.MARKER: "transcribed"},
    "interrupting": dict.fromkeys((T.NO_WORDS, *_GENERATED), "silent")
    | {T.SPEECH_END: "heard", T.SPEECH_START: "speaking", T.MARKER: "interrupting",
       T.TRANSCRIPT: "transcribed"},
    "heard": dict.fromkeys(_HEARD, "silent") | {T.SPEECH_START: "speaking"},
}  # fmt: skip
"""The user's speech: start, end, transcript. No answer begins before the transcript, nor before the
end. Recordings also have the transcript before the end, in one or several parts. The block of sound
that the user interrupts may have a few more chunks. After a marker without cause the answer goes
on, and the speech that began has no end."""

# A FINAL text may come late, during the next answer; the marker also after the whole answer was
# sent but not yet played. The prompt may end at any time outside an open block.
_BETWEEN = {
    T.SPEECH_START: "none", T.SPEECH_END: "none", T.TRANSCRIPT: "none", T.NO_WORDS: "none",
    T.CALL: "none", T.SPECULATIVE: "shown", T.FINAL: "none", T.MARKER: "interrupted",
    T.COMPLETION_END: "none",
}  # fmt: skip
ANSWER: Table = {
    "none": _BETWEEN,
    # The user is heard, or the answer goes on after a marker without cause.
    "interrupted": _BETWEEN
    | {T.SPEECH_START: "interrupted", T.SPEECH_END: "interrupted", T.FINAL: "interrupted"},
    "shown": {T.SOUND_START: "sounding", T.FINAL: "shown", T.SPEECH_START: "shown",
              T.SPEECH_END: "shown", T.TRANSCRIPT: "none", T.NO_WORDS: "shown",
              T.MARKER: "interrupted", T.COMPLETION_END: "none"},
    "sounding": {T.SOUND: "sounding", T.FINAL: "sounding", T.SPEECH_START: "sounding",
                 T.MARKER: "sounding", T.NO_WORDS: "sounding", T.SOUND_PART: "unfinished",
                 T.SOUND_END: "none", T.SOUND_CUT: "cut"},
    "unfinished": {T.SPECULATIVE: "shown", T.CALL: "unfinished", T.FINAL: "unfinished",
                   T.SPEECH_START: "unfinished", T.SPEECH_END: "unfinished", T.TRANSCRIPT: "none",
                   T.NO_WORDS: "unfinished", T.MARKER: "interrupted", T.COMPLETION_END: "none"},
    "cut": {T.FINAL: "cut", T.MARKER: "interrupted", T.COMPLETION_END: "none"},
}  # fmt: skip
"""The assistant's answer: texts, their sound, and interruptions. A transcript silently supersedes
an answer that was shown and not spoken, or whose sound the user has cut (3.11)."""

STOPS: Mapping[Token, str] = {
    T.TRANSCRIPT: "PARTIAL_TURN",
    T.NO_WORDS: "PARTIAL_TURN",
    T.SPECULATIVE: "PARTIAL_TURN",
    T.MARKER: "INTERRUPTED",
    T.CALL: "TOOL_USE",
}
"""Stop reasons of whole blocks. That of a FINAL text depends on its place: END_TURN for the first
of a turn, PARTIAL_TURN for those after it and after an interruption."""

SOUND_STOPS: Mapping[str, Token] = {
    "PARTIAL_TURN": T.SOUND_PART,
    "END_TURN": T.SOUND_END,
    "INTERRUPTED": T.SOUND_CUT,
}
"""Token of each stop reason of a block of sound."""
