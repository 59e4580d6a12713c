"""Small talk through the whole service: names, tools, and a story that is interrupted."""

import json
from datetime import UTC, datetime

from sonic_voice.emulator.brains.small_talk import SmallTalkBrain
from sonic_voice.emulator.brains.story import SHALL_I, STORY
from sonic_voice.wire import AudioStart, PromptStart, SessionStart, ToolDefinition

from ..support.service_host import GO, V25, Host, no_resampling

NOW = datetime(2026, 11, 22, 14, 5, tzinfo=UTC)
METERS = ToolDefinition(
    "go",
    "Drives.",
    '{"type":"object","properties":{"meters":{"type":"integer"}},"required":["meters"]}',
)


def conversation(*tools: ToolDefinition, model: str | None = None) -> Host:
    brain = SmallTalkBrain(lambda: NOW, no_resampling)
    host = Host(brain=brain, model=model) if model else Host(brain=brain)
    host.begin(tools=tools)
    host.audio(96)
    return host


def typed(host: Host, words: str, then_ms: int) -> None:
    host.text(f"T{len(host.effects)}", "USER", words, interactive=True)
    host.audio(then_ms)


def test_a_typed_greeting_is_answered() -> None:
    host = conversation()
    typed(host, "hello", 6400)
    assert host.said("FINAL")[0] == "Hello! I am a local emulator of Nova Sonic."


def test_an_interrupted_story_goes_on_with_the_sentence_in_which_it_was_cut() -> None:
    host = conversation()
    typed(host, "tell me a story", 6400)  # 16 words of 200 ms are the first sentence
    typed(host, "what time is it", 6400)
    spoken = [line.strip() for line in host.said("FINAL")]
    assert spoken[:2] == ['{ "interrupted" : true }', STORY[0]]
    assert STORY[1].startswith(spoken[2])
    assert SHALL_I in spoken
    before = len(host.said("SPECULATIVE"))
    typed(host, "yes please", 6400)
    again = [line.strip() for line in host.said("SPECULATIVE")[before:]]
    assert again[:2] == ["Where was I?", STORY[1]]


def test_a_call_is_made_and_its_result_read_back() -> None:
    host = conversation(METERS, model=V25)
    typed(host, "go ten meters", 3200)
    (call,) = host.calls
    assert json.loads(call.arguments_json) == {"meters": 10}
    assert host.said("SPECULATIVE") == []
    host.result(call.tool_use, '{"meters":10}')
    host.audio(3200)
    assert host.said("SPECULATIVE") == ["Go: meters is 10."]


def test_two_calls_of_one_utterance_wait_for_each_other() -> None:
    host = conversation(METERS, ToolDefinition("sing", "Sings.", GO.schema_json))
    typed(host, "go ten meters and sing", 6400)
    first, second = host.calls
    host.result(second.tool_use, '{"result":"La."}', "T1")
    host.audio(3200)
    assert host.said("SPECULATIVE") == ["One moment, please."]
    host.result(first.tool_use, '{"result":"Gone."}', "T2")
    host.audio(3200)
    assert host.said("SPECULATIVE") == ["One moment, please.", "Gone.", " La."]


def test_a_name_is_remembered_from_the_history_of_the_session_before() -> None:
    host = Host(brain=SmallTalkBrain(lambda: NOW, no_resampling))
    host.send(SessionStart(1024, 0.9, 0.7), PromptStart("P", "matthew", host.rate_hz))
    host.text("S", "SYSTEM", "Be kind.")
    host.text("H", "USER", "My name is Ada.")
    host.send(AudioStart("P", "A", 16_000))
    host.audio(96)
    typed(host, "what is my name", 3200)
    assert host.said("SPECULATIVE") == ["Your name is Ada."]
