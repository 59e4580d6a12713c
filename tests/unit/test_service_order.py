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
    InputKind,
    Refused,
    StreamState,
    Tolerated,
    input_kind,
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
    (StreamState.SESSION, InputKind.SESSION_END): NO_PROMPT,
    (StreamState.PROMPT, InputKind.PROMPT_END): NO_AUDIO,
    (StreamState.LIVE, InputKind.AUDIO_START): UNEXPECTED,
    (StreamState.QUIET, InputKind.AUDIO_START): UNEXPECTED,
    (StreamState.LIVE, InputKind.PROMPT_END): OPEN_CONTENT,
    (StreamState.PROMPT, InputKind.SESSION_END): OPEN_PROMPT,
    (StreamState.LIVE, InputKind.SESSION_END): OPEN_PROMPT,
    (StreamState.QUIET, InputKind.SESSION_END): OPEN_PROMPT,
}
"""Texts of those pairs that do not have the general one."""


def grid() -> dict[tuple[StreamState, InputKind], str]:
    header, *rows = (line.split() for line in GRID.strip().splitlines())
    return {
        (StreamState[state], InputKind[row[0]]): cell
        for row in rows
        for state, cell in zip(header, row[1:], strict=True)
    }


@pytest.mark.parametrize("state", StreamState)
@pytest.mark.parametrize("what", InputKind)
def test_every_pair_has_its_verdict(state: StreamState, what: InputKind) -> None:
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


EVENTS: dict[InputKind, Input] = {
    InputKind.SESSION_START: SessionStart(1024, 0.9, 0.7),
    InputKind.PROMPT_START: PromptStart("P", "matthew", 16_000),
    InputKind.TEXT_START: TextStart("P", "X", "USER"),
    InputKind.AUDIO_START: AudioStart("P", "A2", 16_000),
    InputKind.TOOL_START: ToolResultStart("P", "T", "nothing"),
    InputKind.TEXT: TextInput("P", "X", "words"),
    InputKind.AUDIO: AudioInput("P", "A", bytes(1024)),
    InputKind.RESULT: ToolResult("P", "T", "{}"),
    InputKind.BLOCK_END: ContentEnd("P", "X"),
    InputKind.AUDIO_END: ContentEnd("P", "A"),
    InputKind.PROMPT_END: PromptEnd("P"),
    InputKind.SESSION_END: SessionEnd(),
    InputKind.UNKNOWN: UnknownInput("connectionEnd"),
}


def test_every_record_has_a_name_in_the_table() -> None:
    assert {input_kind(record, "A") for record in EVENTS.values()} == set(InputKind)


WAY: dict[StreamState, list[Input]] = {
    StreamState.NEW: [],
    StreamState.SESSION: [EVENTS[InputKind.SESSION_START]],
    StreamState.PROMPT: [EVENTS[InputKind.PROMPT_START]],
    StreamState.LIVE: [AudioStart("P", "A", 16_000), AudioInput("P", "A", bytes(1024))],
    StreamState.QUIET: [ContentEnd("P", "A")],
    StreamState.ENDED: [PromptEnd("P")],
    StreamState.OVER: [SessionEnd()],
}

NEED_A_BLOCK = {InputKind.TOOL_START, InputKind.TEXT, InputKind.RESULT, InputKind.BLOCK_END}
"""Legal by the table, and refused here because there is nothing that they belong to."""


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("state", StreamState)
@pytest.mark.parametrize("what", InputKind)
def test_a_service_does_as_the_table_says(
    state: StreamState, what: InputKind, strict: bool
) -> None:
    host = Host(strict=strict)
    for after in StreamState:
        host.send(*WAY[after])
        if after is state:
            break
    assert host.failure is None
    assert host.notes == []
    host.send(EVENTS[what])
    wanted = verdict(state, what)
    if state is StreamState.OVER:
        assert host.failure is None  # nothing follows the end
    elif isinstance(wanted, Refused):
        assert host.failure == wanted.text.format(prompt="P")
    elif isinstance(wanted, Tolerated):
        assert host.failure == (wanted.text if strict else None)
        assert host.notes == ([] if strict else [wanted.rule])
    else:
        assert host.failure == (INVALID if what in NEED_A_BLOCK else None)
