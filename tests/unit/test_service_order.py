"""The service's order table: every (state, event) pair, and the states on a real service."""

import pytest

from sonic_voice.emulator.service.order import (
    INVALID,
    NO_AUDIO,
    NO_PROMPT,
    OPEN_CONTENT,
    OPEN_PROMPT,
    TABLE,
    UNEXPECTED,
    Came,
    Refused,
    State,
    Tolerated,
    came,
    verdict,
)
from sonic_voice.wire import (
    AudioInput,
    AudioStart,
    ContentEnd,
    Input,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolResult,
    ToolResultStart,
    UnknownInput,
)

from ..support.service_host import Host

# A state's name: goes on there. `-`: out of place. `!`: refused with a text of its own.
# `~`: tolerated, with the state it goes on in.
GRID = """
               NEW      SESSION   PROMPT    LIVE     QUIET    ENDED    OVER
SESSION_START  SESSION  -         -         -        -        -        -
PROMPT_START   -        PROMPT    -         -        -        -        -
TEXT_START     -        -         PROMPT    LIVE     QUIET    -        -
AUDIO_START    -        -         LIVE      !        ~LIVE    -        -
TOOL_START     -        -         PROMPT    LIVE     QUIET    -        -
TEXT           -        -         PROMPT    LIVE     QUIET    -        -
AUDIO          -        -         -         LIVE     ~QUIET   ~ENDED   -
RESULT         -        -         PROMPT    LIVE     QUIET    -        -
BLOCK_END      -        -         PROMPT    LIVE     QUIET    -        -
AUDIO_END      -        -         -         QUIET    -        -        -
PROMPT_END     -        -         !         ~ENDED   ENDED    -        -
SESSION_END    -        !         ~OVER     ~OVER    ~OVER    OVER     -
UNKNOWN        -        ~SESSION  ~PROMPT   ~LIVE    ~QUIET   ~ENDED   -
"""

TEXTS = {
    (State.SESSION, Came.SESSION_END): NO_PROMPT,
    (State.PROMPT, Came.PROMPT_END): NO_AUDIO,
    (State.LIVE, Came.AUDIO_START): UNEXPECTED,
    (State.QUIET, Came.AUDIO_START): UNEXPECTED,
    (State.LIVE, Came.PROMPT_END): OPEN_CONTENT,
    (State.PROMPT, Came.SESSION_END): OPEN_PROMPT,
    (State.LIVE, Came.SESSION_END): OPEN_PROMPT,
    (State.QUIET, Came.SESSION_END): OPEN_PROMPT,
}
"""Texts of those pairs that do not have the general one."""


def grid() -> dict[tuple[State, Came], str]:
    header, *rows = (line.split() for line in GRID.strip().splitlines())
    return {
        (State[state], Came[row[0]]): cell
        for row in rows
        for state, cell in zip(header, row[1:], strict=True)
    }


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("what", Came)
def test_every_pair_has_its_verdict(state: State, what: Came) -> None:
    cell = grid()[state, what]
    text = TEXTS.get((state, what), INVALID)
    match verdict(state, what):
        case Refused(refusal):
            assert cell in "-!"
            assert refusal == text
        case Tolerated(after, rule, refusal):
            assert cell == f"~{after.name}"
            assert refusal == text
            assert rule
        case after:
            assert cell == after.name


def test_the_grid_is_the_whole_table() -> None:
    legal = {pair for pair, cell in grid().items() if cell != "-"}
    assert set(TABLE) == legal


EVENTS: dict[Came, Input] = {
    Came.SESSION_START: SessionStart(1024, 0.9, 0.7),
    Came.PROMPT_START: PromptStart("P", "matthew", 16_000),
    Came.TEXT_START: TextStart("P", "X", "USER"),
    Came.AUDIO_START: AudioStart("P", "A2", 16_000),
    Came.TOOL_START: ToolResultStart("P", "T", "nothing"),
    Came.TEXT: TextInput("P", "X", "words"),
    Came.AUDIO: AudioInput("P", "A", bytes(1024)),
    Came.RESULT: ToolResult("P", "T", "{}"),
    Came.BLOCK_END: ContentEnd("P", "X"),
    Came.AUDIO_END: ContentEnd("P", "A"),
    Came.PROMPT_END: PromptEnd("P"),
    Came.SESSION_END: SessionEnd(),
    Came.UNKNOWN: UnknownInput("connectionEnd"),
}


def test_every_record_has_a_name_in_the_table() -> None:
    assert {came(record, "A") for record in EVENTS.values()} == set(Came)


WAY: dict[State, list[Input]] = {
    State.NEW: [],
    State.SESSION: [EVENTS[Came.SESSION_START]],
    State.PROMPT: [EVENTS[Came.PROMPT_START]],
    State.LIVE: [AudioStart("P", "A", 16_000), AudioInput("P", "A", bytes(1024))],
    State.QUIET: [ContentEnd("P", "A")],
    State.ENDED: [PromptEnd("P")],
    State.OVER: [SessionEnd()],
}

NEED_A_BLOCK = {Came.TOOL_START, Came.TEXT, Came.RESULT, Came.BLOCK_END}
"""Legal by the table, and refused here because there is nothing that they belong to."""


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("what", Came)
def test_a_service_does_as_the_table_says(state: State, what: Came, strict: bool) -> None:
    host = Host(strict=strict)
    for after in State:
        host.send(*WAY[after])
        if after is state:
            break
    assert host.failure is None
    assert host.notes == []
    host.send(EVENTS[what])
    wanted = verdict(state, what)
    if state is State.OVER:
        assert host.failure is None  # nothing follows the end
    elif isinstance(wanted, Refused):
        assert host.failure == wanted.text.format(prompt="P")
    elif isinstance(wanted, Tolerated):
        assert host.failure == (wanted.text if strict else None)
        assert host.notes == ([] if strict else [wanted.rule])
    else:
        assert host.failure == (INVALID if what in NEED_A_BLOCK else None)
