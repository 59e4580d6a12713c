"""When a conversation is at rest, so that it may move to another process."""

import pytest

from sonic_voice.bridge.exchange import ExchangeState
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    Opened,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)

PLAN = AssistantText(1, 0, "Hi.", "SPECULATIVE")
FINAL = AssistantText(1, 0, "Hi.", "FINAL")
CALL = ToolCall(1, "id", "go", "{}")
SAID = UserText(2, "stop.", typed=True)
SPOKE = UserSpeechEnded(1, 2)
RESULT = ToolAnswered(1, "id", "go", "{}")


@pytest.mark.parametrize(
    ("events", "at_rest"),
    [
        ((), True),
        ((Opened(0, 0),), True),
        ((UserSpeechStarted(0),), False),
        ((UserSpeechStarted(0), UserSpeechEnded(1, 2)), False),
        ((UserText(1, "hello."),), False),
        ((UserText(1, "hello."), PLAN, Audio(1, b"", 24_000)), False),
        ((UserText(1, "hello."), PLAN, Audio(1, b"", 24_000), TurnEnded(1)), True),
        ((PLAN,), False),
        ((PLAN, TurnEnded(1), FINAL), True),
        ((CALL,), False),
        ((CALL, RESULT), False),
        ((CALL, RESULT, TurnEnded(1)), True),
        ((PLAN, UserSpeechStarted(0), Interrupted(1, "marker")), False),
        ((PLAN, Interrupted(1, "marker"), Heard(1, 0, "", "Hi.")), True),
        ((PLAN, SAID, Interrupted(1, "marker")), False),
        ((PLAN, SAID, TurnEnded(1)), False),
        ((PLAN, SAID, TurnEnded(1), TurnEnded(2)), True),
        ((PLAN, UserSpeechStarted(0), Interrupted(1, "marker"), UserSpeechEnded(1, 2)), False),
        ((PLAN, UserSpeechStarted(0), UserSpeechEnded(1, 2), TurnEnded(1)), True),
        ((SPOKE, UserText(1, "a"), SPOKE, UserText(1, "b"), PLAN, TurnEnded(1)), True),
    ],
)
def test_a_conversation_is_at_rest_while_nobody_speaks_and_no_answer_is_owed(
    events: tuple[Event, ...], at_rest: bool
) -> None:
    state = ExchangeState()
    for event in events:
        state.observe(event)
    assert state.at_rest is at_rest


def test_typed_words_are_owed_an_answer_before_the_service_has_taken_them() -> None:
    state = ExchangeState()
    state.typed()
    state.observe(TurnEnded(1))
    assert not state.at_rest
    state.observe(UserText(2, "hello.", typed=True))
    assert not state.at_rest
    state.observe(TurnEnded(2))
    assert state.at_rest
