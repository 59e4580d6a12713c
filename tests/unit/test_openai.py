"""A chat endpoint as the brain, through the whole service; its answers are the test's."""

import json
from typing import Any

import pytest

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.brains import chat_completions as openai
from sonic_voice.emulator.brains.chat_completions import ChatBrain
from sonic_voice.wire import AudioStart, PromptStart, SessionStart, ToolDefinition

from ..support.output_grammar import OutputGrammar
from ..support.service_host import GO, RATE_HZ, V2, V25, Host, no_resampling, spoken

SING = ToolDefinition("sing", "Sings.", '{"type":"object","properties":{"song":{"type":"string"}}}')


def conversation(
    *tools: ToolDefinition,
    model: str = V2,
    tool_choice: str = "",
    history: tuple[tuple[str, str], ...] = (),
    speech: list[float] | None = None,
    words: list[str] | None = None,
) -> Host:
    """A host in a conversation that may be typed in."""
    host = Host(
        brain=ChatBrain("tiny", no_resampling), model=model, speech=speech or (), words=words
    )
    host.send(SessionStart(1024, 0.9, 0.7))
    host.send(PromptStart("P", "matthew", host.rate_hz, tools, tool_choice))
    host.text("S", "SYSTEM", "Be kind.")
    for number, (role, text) in enumerate(history):
        host.text(f"H{number}", role, text)
    host.send(AudioStart("P", "A", RATE_HZ))
    host.audio(96)
    return host


def typed(host: Host, words: str, then_ms: int = 1600) -> None:
    host.text(f"T{len(host.effects)}", "USER", words, interactive=True)
    host.audio(then_ms)


def text(content: str, finish: str | None = None) -> str:
    return json.dumps({"choices": [{"delta": {"content": content}, "finish_reason": finish}]})


def call(arguments: str, *, index: int = 0, id: str | None = None, name: str | None = None) -> str:
    """A piece of a tool call; the first has its id and name."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    delta: dict[str, Any] = {"index": index, "function": function} | ({"id": id} if id else {})
    return json.dumps({"choices": [{"delta": {"tool_calls": [delta]}}]})


STOP = json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]})
CALLS = json.dumps({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})


def request(host: Host) -> dict[str, Any]:
    """The body of the latest request."""
    return json.loads(host.asked[-1].body_json)


def messages(host: Host) -> list[tuple[str, str]]:
    """Roles and contents of the latest request, but for the system message."""
    return [(one["role"], one["content"]) for one in request(host)["messages"][1:]]


def check_grammar(host: Host) -> None:
    grammar = OutputGrammar(voice_model(host.model))
    assert [broken for payload in host.payloads for broken in grammar.check(payload)] == []
    assert grammar.end() == []


def test_the_request_holds_model_numbers_system_history_words_and_tools() -> None:
    history = (("USER", "Hi."), ("ASSISTANT", "Hello."))
    host = conversation(SING, history=history)
    typed(host, "Sing!")
    body = request(host)
    system = body.pop("messages")[0]
    assert system["role"] == "system"
    assert system["content"].startswith(openai.SPEAK)
    assert system["content"].endswith("Be kind.")
    assert messages(host) == [("user", "Hi."), ("assistant", "Hello."), ("user", "Sing!")]
    parameters = {"type": "object", "properties": {"song": {"type": "string"}}}
    function = {"name": "sing", "description": "Sings.", "parameters": parameters}
    assert body == {
        "model": "tiny",
        "stream": True,
        "max_tokens": 1024,
        "top_p": 0.9,
        "temperature": 0.7,
        "tools": [{"type": "function", "function": function}],
    }


def test_a_sentence_is_said_before_the_next_has_come() -> None:
    host = conversation()
    typed(host, "hello")
    host.think(text("Hello to "), text("you. What"))
    assert host.said("SPECULATIVE") == ["Hello to you."]
    host.audio(960)
    assert [line for line in host.shape() if line.startswith("contentEnd AUDIO")] == []
    host.think(text(" is it?"), STOP, None)
    host.audio(3200)
    assert host.said("SPECULATIVE") == ["Hello to you.", " What is it?"]
    ends = [line for line in host.shape() if line.startswith("contentEnd AUDIO")]
    assert ends == ["contentEnd AUDIO PARTIAL_TURN", "contentEnd AUDIO END_TURN"]
    assert host.said("FINAL") == ["Hello to you.", " What is it?"]
    check_grammar(host)


def test_an_answer_that_is_there_at_once_keeps_the_latency_of_the_service() -> None:
    host = conversation()
    typed(host, "hello", then_ms=96)
    host.think(text("Yes. "), STOP, None)
    assert host.said("SPECULATIVE") == []
    host.audio(960)
    assert host.said("SPECULATIVE") == ["Yes."]


def test_the_answer_goes_on_while_the_client_sends_nothing() -> None:
    host = conversation()
    typed(host, "hello")
    host.do(host.service.stalled())
    host.think(text("Yes. No. "), STOP, None)
    assert host.said("SPECULATIVE") == ["Yes.", " No."]
    assert host.shape()[-1] == "contentEnd AUDIO END_TURN"


def test_speech_is_answered_by_its_words() -> None:
    host = conversation(speech=spoken((320, 1280)), words=["What time is it?"])
    host.audio(3200)
    assert messages(host) == [("user", "What time is it?")]
    host.think(text("Late.", "stop"), None)
    host.audio(1600)
    assert host.said("FINAL") == ["Late."]
    check_grammar(host)


def test_without_ears_it_says_so_and_asks_nobody() -> None:
    host = conversation(speech=spoken((320, 1280)))
    host.audio(4800)
    assert host.asked == []
    assert host.said("SPECULATIVE") == [openai.NO_RECOGNISER]


def test_a_barge_in_dismisses_the_request_and_cuts_the_answer_in_the_history() -> None:
    host = conversation()
    typed(host, "tell me")
    host.think(text("One two three. Four five six. Seven"))
    host.audio(1280)  # 120 ms until sound, six words of 200 ms
    typed(host, "stop")
    assert host.dismissed == [1]
    kept = [("user", "tell me"), ("assistant", "One two three. Four five"), ("user", "stop")]
    assert messages(host) == kept
    host.think(text("Stopped.", "stop"), None)
    host.audio(1600)
    assert host.said("SPECULATIVE")[-1] == "Stopped."
    check_grammar(host)


def test_thoughts_of_a_dismissed_request_are_not_said() -> None:
    host = conversation()
    typed(host, "one")
    typed(host, "two")
    host.do(host.service.chat_piece(1, text("Late. ")))
    host.audio(3200)
    assert host.said("SPECULATIVE") == []
    assert messages(host) == [("user", "one\ntwo")]


def test_a_call_is_made_and_the_answer_goes_on_with_its_result() -> None:
    host = conversation(SING, model=V25)
    typed(host, "sing")
    host.think(call("", id="c1", name="sing"), call('{"so'), call('ng":"La"}'), CALLS, None)
    host.audio(640)
    (made,) = host.calls
    assert (made.name, json.loads(made.arguments_json)) == ("sing", {"song": "La"})
    host.result(made.tool_use, '{"done":true}')
    body = request(host)["messages"][1:]
    function = {"name": "sing", "arguments": '{"song":"La"}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    assert body[1:] == [
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": '{"done": true}'},
    ]
    host.think(text("I sang.", "stop"), None)
    host.audio(3200)
    assert host.said("SPECULATIVE") == ["I sang."]
    check_grammar(host)


def test_a_model_that_talks_while_tools_run_says_so_and_joins_the_result() -> None:
    host = conversation(SING)
    typed(host, "sing")
    host.think(call("{}", id="c1", name="sing"), CALLS, None)
    host.audio(352)  # and the sentence is being said
    host.result(host.calls[0].tool_use, "{}")
    host.think(text("I sang. "), STOP, None)
    host.audio(3200)
    assert host.said("SPECULATIVE") == [openai.MEANWHILE, " I sang."]
    check_grammar(host)


def test_what_is_said_before_a_call_is_a_turn_of_its_own() -> None:
    host = conversation(SING)
    typed(host, "sing")
    host.think(text("Let me see. "), call("{}", id="c1", name="sing"), CALLS, None)
    host.audio(1600)
    lines = host.shape()
    assert lines.index("contentEnd AUDIO END_TURN") < lines.index("toolUse")
    assert host.said("SPECULATIVE") == ["Let me see."]
    check_grammar(host)


def test_two_calls_at_once_are_both_made_and_answered_together() -> None:
    host = conversation(SING, GO, model=V25)
    typed(host, "sing and go")
    both = [call("{}", id="c1", name="sing"), call("{}", index=1, id="c2", name="go")]
    host.think(*both, CALLS, None)
    host.audio(640)
    sing, go = host.calls
    host.result(go.tool_use, '{"at":2}', "R1")
    assert len(host.asked) == 1
    host.result(sing.tool_use, '{"at":1}', "R2")
    results = [m for m in request(host)["messages"] if m["role"] == "tool"]
    assert [(m["tool_call_id"], m["content"]) for m in results] == [
        ("c1", '{"at": 1}'),
        ("c2", '{"at": 2}'),
    ]


def test_calls_that_all_have_the_same_index_are_told_apart_by_their_ids() -> None:
    host = conversation(SING, GO, model=V25)
    typed(host, "sing and go")
    host.think(call("{}", id="c1", name="sing"), call("{}", id="c2", name="go"), CALLS, None)
    host.audio(640)
    assert [made.name for made in host.calls] == ["sing", "go"]


def test_a_call_of_no_tool_or_with_no_object_goes_back_to_the_model() -> None:
    host = conversation(SING)
    typed(host, "sing")
    wrong = [call("{}", id="c1", name="dance"), call("[1", index=1, id="c2", name="sing")]
    host.think(*wrong, CALLS, None)
    assert host.calls == []
    assert messages(host)[2:] == [
        ("tool", '{"error": "There is no tool dance."}'),
        ("tool", '{"error": "The arguments are no JSON object."}'),
    ]
    host.think(text("I cannot dance.", "stop"), None)
    host.audio(1600)
    assert host.said("SPECULATIVE") == ["I cannot dance."]


def test_a_model_that_calls_for_ever_gets_no_more_tools() -> None:
    host = conversation(SING)
    typed(host, "sing")
    for _ in range(openai.ROUNDS + 1):
        host.think(call("{}", id="c1", name="dance"), CALLS, None)
    host.audio(1600)
    assert len(host.asked) == openai.ROUNDS + 1
    assert "tools" not in request(host)
    assert host.said("SPECULATIVE") == [openai.NO_ANSWER]


@pytest.mark.parametrize(
    ("choice", "first"),
    [
        ("auto", "auto"),
        ("any", "required"),
        ("tool:sing", {"type": "function", "function": {"name": "sing"}}),
    ],
)
def test_a_tool_choice_binds_the_first_request_of_a_turn_only(choice: str, first: Any) -> None:
    host = conversation(SING, model=V25, tool_choice=choice)
    typed(host, "sing")
    assert request(host)["tool_choice"] == first
    host.think(call("{}", id="c1", name="sing"), CALLS, None)
    host.audio(640)
    host.result(host.calls[0].tool_use, "{}")
    assert request(host)["tool_choice"] == "auto"


def test_a_result_that_comes_after_the_talk_went_on_is_told_then() -> None:
    host = conversation(SING, model=V25)
    typed(host, "sing")
    host.think(call("{}", id="c1", name="sing"), CALLS, None)
    host.audio(640)
    typed(host, "hello")
    assert messages(host)[2] == ("tool", openai.STILL_RUNNING)
    host.think(text("Hello "))
    host.result(host.calls[0].tool_use, '{"song":"La"}')
    assert len(host.asked) == 2
    host.think(text("there. "), STOP, None)
    assert len(host.asked) == 3
    assert messages(host)[3:] == [
        ("user", "hello"),
        ("assistant", "Hello there."),
        ("user", '(The tool sing has now given its result: {"song": "La"})'),
    ]
    host.think(text("La.", "stop"), None)
    host.audio(3200)
    assert host.said("SPECULATIVE") == ["Hello there.", " La."]
    check_grammar(host)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (['{"error":{"message":"down"}}'], [openai.UNREACHABLE]),
        (["rubbish"], [openai.UNREACHABLE]),
        (["[1]", None], [openai.UNREACHABLE]),
        ([None], [openai.UNREACHABLE]),
        ([STOP, None], [openai.NO_ANSWER]),
        ([text("*\n\U0001f600"), STOP, None], [openai.NO_ANSWER]),
        ([text("One. Two"), None], ["One.", " Two", f" {openai.BROKEN_OFF}"]),
        ([text("One. Two"), '{"error":"down"}'], ["One.", f" {openai.BROKEN_OFF}"]),
    ],
)
def test_trouble_is_told_in_one_honest_sentence(pieces: list[str | None], said: list[str]) -> None:
    host = conversation()
    typed(host, "hello")
    host.think(*pieces)
    host.audio(6400)
    assert host.said("SPECULATIVE") == said
    typed(host, "again?")
    assert "Sorry" not in json.dumps(messages(host))
    check_grammar(host)


def test_an_answer_without_an_end_is_ended() -> None:
    host = conversation()
    typed(host, "hello")
    host.think(*[text("word " * 1000)] * 5)
    assert host.dismissed == [1]


def test_a_whole_answer_is_taken_from_a_server_that_does_not_stream() -> None:
    host = conversation()
    typed(host, "hello")
    choice = {"message": {"role": "assistant", "content": "All at once."}, "finish_reason": "stop"}
    host.think(json.dumps({"choices": [choice]}), None)
    host.audio(1600)
    assert host.said("SPECULATIVE") == ["All at once."]


def test_odd_pieces_are_survived() -> None:
    host = conversation(SING)
    typed(host, "hello")
    odd: list[Any] = [
        {},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 7, "tool_calls": {}}}]},
        {"choices": [{"delta": {"tool_calls": [None, {"index": [], "id": 3}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"name": 1, "arguments": 2}}]}}]},
        {"choices": [], "usage": {"total_tokens": 3}},
        {"error": None, "choices": [{"delta": {"content": "\ud83d"}}]},
    ]
    host.think(*map(json.dumps, odd))
    host.think(text("Fine."), STOP, None)
    host.audio(3200)
    assert not host.over


def test_the_end_of_the_prompt_dismisses_what_is_under_way() -> None:
    host = conversation()
    typed(host, "hello")
    host.end()
    assert host.dismissed == [1]
