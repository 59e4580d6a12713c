"""`ExpertTool` at the emulated service: each turn is a call, each sentence is spoken at once."""

import json
from typing import Any

import pytest

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.observers.conformance import ConformanceChecker
from sonic_voice.emulator.scenario import ScenarioStep
from sonic_voice.wire import (
    AudioStart,
    ContentEnd,
    PromptStart,
    SessionStart,
    TextInput,
    TextStart,
    ToolDefinition,
    ToolResult,
    ToolResultStart,
    encode_input,
)

from ..support.output_grammar import OutputGrammar
from ..support.service_host import V1, V2, V25, Host, spoken

EXPERT = ToolDefinition("ExpertTool", "Thinks.", '{"type":"object"}')
TWO_STEPS = (
    ScenarioStep("what time is it?", ("The scenario's own answer.",)),
    ScenarioStep("and tomorrow?", ("Another one.",)),
)


def expert_host(*speech: tuple[int, int], model: str = V2, strict: bool = False) -> Host:
    """Return a host whose client offers `ExpertTool`."""
    host = Host(*TWO_STEPS, speech=spoken(*speech), model=model, strict=strict)
    host.begin(tools=(EXPERT,))
    return host


def messages(host: Host, call: int = -1) -> list[dict[str, Any]]:
    """Return the messages of a call."""
    return json.loads(host.calls[call].arguments_json)["messages"]


def until_called(host: Host, calls: int = 1) -> str:
    """Send silence until the tool was called so many times, and return the id of the last call."""
    for _ in range(400):
        if len(host.calls) >= calls:
            return host.calls[-1].tool_use
        host.audio(32)
    raise AssertionError("the tool was not called")


def sentence(host: Host, content: str, text: str) -> None:
    host.send(ToolResult("P", content, json.dumps({"text": text, "type": "TEXT"})))


def violations(host: Host) -> list[str]:
    grammar = OutputGrammar(voice_model(host.model))
    return [line for payload in host.payloads for line in grammar.check(payload)]


def test_a_turn_becomes_a_call_with_the_conversation_and_no_answer_of_the_service() -> None:
    host = expert_host((0, 1920))
    call = until_called(host)
    assert host.calls[-1].name == "ExpertTool"
    assert messages(host) == [{"role": "USER", "content": [{"text": "what time is it?"}]}]
    host.audio(4000)
    assert host.said("SPECULATIVE") == []
    assert call


def test_each_sentence_is_spoken_before_the_next_comes_and_the_end_ends_the_turn() -> None:
    host = expert_host((0, 1920))
    call = until_called(host)
    host.send(ToolResultStart("P", "T", call))
    sentence(host, "T", "It is noon.")
    host.audio(1500)
    assert host.said("SPECULATIVE") == ["It is noon."]
    assert "contentEnd AUDIO END_TURN" not in host.shape()
    sentence(host, "T", "Half past, to be exact.")
    host.send(ContentEnd("P", "T"))
    host.audio(6000)
    assert host.said("SPECULATIVE") == ["It is noon.", " Half past, to be exact."]
    assert host.shape().count("contentEnd AUDIO PARTIAL_TURN") == 1
    assert host.shape().count("contentEnd AUDIO END_TURN") == 1
    assert host.said("FINAL") == ["It is noon.", " Half past, to be exact."]
    assert violations(host) == []


def test_a_new_turn_makes_a_new_call_with_what_was_heard_and_drops_the_rest() -> None:
    host = expert_host((0, 1920), (5600, 7000))
    first = until_called(host)
    host.send(ToolResultStart("P", "T1", first))
    sentence(host, "T1", " ".join(["long"] * 40))
    second = until_called(host, 2)
    sentence(host, "T1", "Nobody hears this.")
    host.send(ContentEnd("P", "T1"))
    roles = [message["role"] for message in messages(host)]
    assert roles == ["USER", "ASSISTANT", "USER"]
    heard = messages(host)[1]["content"][0]["text"]
    assert 0 < len(heard.split()) < 40
    host.send(ToolResultStart("P", "T2", second))
    sentence(host, "T2", "It rains.")
    host.send(ContentEnd("P", "T2"))
    host.audio(3000)
    assert host.said("SPECULATIVE")[1:] == ["It rains."]
    assert host.failure is None
    assert violations(host) == []


def test_an_empty_block_is_the_error_of_the_reference() -> None:
    host = expert_host((0, 1920))
    host.send(ToolResultStart("P", "T", until_called(host)), ContentEnd("P", "T"))
    assert host.failure == "Cannot end content [T] as no content data was received"


def test_a_call_is_answered_in_one_block_only() -> None:
    host = expert_host((0, 1920))
    call = until_called(host)
    host.send(ToolResultStart("P", "T", call))
    sentence(host, "T", "Yes.")
    host.send(ContentEnd("P", "T"))
    host.send(ToolResultStart("P", "T2", call))
    assert host.failure is not None


@pytest.mark.parametrize("strict", [False, True])
def test_an_object_that_is_no_sentence_is_noted_or_refused(strict: bool) -> None:
    host = expert_host((0, 1920), strict=strict)
    host.send(ToolResultStart("P", "T", until_called(host)))
    host.send(ToolResult("P", "T", '{"temp_c":21}'))
    assert host.notes == ([] if strict else ["expert-sentence"])
    assert host.failure == ("Tool Response parsing error" if strict else None)


def test_prose_instead_of_an_object_is_refused() -> None:
    host = expert_host((0, 1920))
    host.send(ToolResultStart("P", "T", until_called(host)), ToolResult("P", "T", "It is noon."))
    assert host.failure == "Tool Response parsing error"


@pytest.mark.parametrize("model", [V1, V25])
def test_other_models_know_no_such_tool(model: str) -> None:
    host = expert_host((0, 1920), model=model)
    host.audio(6000)
    assert host.calls == []
    assert host.said("SPECULATIVE") == ["The scenario's own answer."]


def test_typed_turns_and_the_history_are_in_the_messages() -> None:
    host = Host(*TWO_STEPS)
    host.send(*_beginning())
    host.text("H1", "USER", "I am Ada.")
    host.text("H2", "ASSISTANT", "Hello Ada.")
    host.send(*_audio())
    host.audio(100)
    host.text("X", "USER", "what time is it?", interactive=True)
    until_called(host)
    assert [message["content"][0]["text"] for message in messages(host)] == [
        "I am Ada.", "Hello Ada.", "what time is it?",
    ]  # fmt: skip


def _beginning() -> list[Any]:
    return [
        SessionStart(1024, 0.9, 0.7),
        PromptStart("P", "matthew", 16_000, (EXPERT,)),
        TextStart("P", "S", "SYSTEM", False),
        TextInput("P", "S", "Be kind."),
        ContentEnd("P", "S"),
    ]


def _audio() -> list[Any]:
    return [AudioStart("P", "A", 16_000)]


def test_a_call_that_the_user_interrupted_may_stay_without_an_answer() -> None:
    """An ordinary call may not, and neither may the newest one."""
    host = expert_host((0, 1920), (3200, 4400))
    checker = ConformanceChecker()
    until_called(host, 2)
    for effect in host.effects:
        checker.answered(effect)
    checker.received(encode_input(_beginning()[0]))
    found = checker.input_ended()
    assert [violation.rule for violation in found] == ["tool-answered"]
