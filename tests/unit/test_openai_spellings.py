"""What servers send in other spellings than OpenAI's, and what it means.

Most spellings were reported of a server or gateway: llama.cpp, vLLM, SGLang, TGI, Ollama, LiteLLM,
Mistral, Bedrock, MiniMax on NIM, DeepSeek, Gemini's compatible endpoint.
"""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.chat.calls import IncomingCalls, parse_arguments, resolve_tool
from sonic_voice.chat.pieces import END, AnswerPiece, error_of, read_piece
from sonic_voice.chat.speakable import Speakable
from sonic_voice.chat.thoughts import MARKERS, PAIRS, ThoughtFilter
from sonic_voice.emulator.brains import chat_completions as openai
from sonic_voice.emulator.service.effects import Note

from ..support.service_host import V25
from .test_openai import CALLS, SING, STOP, check_grammar, conversation, text, typed


def piece(delta: Any, **choice: Any) -> AnswerPiece:
    return read_piece({"choices": [{"delta": delta} | choice]})


# --- contents


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Yes.", "Yes."),
        (None, ""),
        ([{"type": "text", "text": "Yes."}], "Yes."),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}], ""),
        ([{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Yes."}], "Yes."),
        ([{"type": "output_text", "text": "Ye"}, "s."], "Yes."),
        ([{"type": "text", "text": {"value": "Yes."}}, None, 7, {}], "Yes."),
        ({"type": "text", "text": "Yes."}, "Yes."),
    ],
)
def test_a_content_is_a_text_a_part_or_a_list_of_parts(content: Any, said: str) -> None:
    assert piece({"content": content}).text == said


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_in_a_field_of_their_own_are_not_said(name: str) -> None:
    assert piece({"content": None, name: "Hm."}) == AnswerPiece()


def test_a_refusal_of_the_model_is_its_answer() -> None:
    assert piece({"content": None, "refusal": "I cannot."}).text == "I cannot."


def test_a_message_beside_a_delta_repeats_what_was_said() -> None:
    assert piece({}, message={"content": "All of it."}) == AnswerPiece()
    assert piece(None, message={"content": "All of it."}) == AnswerPiece("All of it.", whole=True)


@pytest.mark.parametrize(
    ("choice", "finished"),
    [
        ({"finish_reason": "stop"}, True),
        ({"finish_reason": ""}, False),
        ({"finish_reason": None}, False),
        ({"finishReason": "stop"}, True),
    ],
)
def test_an_end_has_a_reason(choice: dict[str, Any], finished: bool) -> None:
    assert piece({}, **choice).finished is finished


@pytest.mark.parametrize(
    ("read", "error"),
    [
        ({"error": "down"}, "down"),
        ({"error": {"message": "down", "code": 500}}, "down"),
        ({"error": {"code": 500}}, '{"code": 500}'),
        ({"object": "error", "message": "down", "code": 400}, "down"),
        ({"detail": "down"}, "down"),
        ({"message": "down"}, "down"),
        ({"error": None, "choices": []}, ""),
        ({"choices": [], "message": "not an error"}, ""),
        ({"usage": {"total_tokens": 1}}, ""),
        (json.loads(END), ""),
    ],
)
def test_an_error_is_found_in_every_place(read: dict[str, Any], error: str) -> None:
    assert error_of(read) == error


# --- calls

type Call = tuple[str, str, str]
"""Id, name and arguments of a call."""


def calls(*deltas: Any) -> list[Call]:
    """The calls that the `tool_calls` of some pieces make."""
    incoming = IncomingCalls()
    for delta in deltas:
        for one in piece(delta if isinstance(delta, dict) else {"tool_calls": delta}).calls:
            incoming.add(one)
    return [(one.id, one.tool, one.arguments_json) for one in incoming.calls]


def part(
    arguments: Any = None, name: str | None = None, id: str | None = None, index: Any = None
) -> dict[str, Any]:
    """An entry of `tool_calls`; what is None is left out."""
    function = {"name": name, "arguments": arguments}
    function = {name: value for name, value in function.items() if value is not None}
    others = {"id": id, "index": index}
    return {name: value for name, value in others.items() if value is not None} | (
        {"function": function} if function else {}
    )


SUNG = [("c1", "sing", '{"song":"La"}')]
BOTH = [("c1", "sing", '{"song":"La"}'), ("c2", "sing", '{"song":"Lo"}')]

SPELLINGS: dict[str, tuple[list[Any], list[Call]]] = {
    "OpenAI": (
        [[part("", "sing", "c1", 0)], [part('{"song":', index=0)], [part('"La"}', index=0)]],
        SUNG,
    ),
    "null for what was said": (
        [
            [part("", "sing", "c1", 0)],
            [{"index": 0, "id": None, "function": {"name": None, "arguments": '{"song":"La"}'}}],
        ],
        SUNG,
    ),
    "empty for what was said": (
        [[part("", "sing", "c1", 0)], [part('{"song":"La"}', "", "", 0)]],
        SUNG,
    ),
    "all of it repeated": (
        [
            [part("", "sing", "c1", 0)],
            [part('{"song":"La"', "sing", "c1", 0)],
            [part("}", "sing", "c1", 0)],
            [part("", "sing", "c1", 0)],
        ],
        SUNG,
    ),
    "no index": ([[part("", "sing", "c1")], [part('{"song":')], [part('"La"}')]], SUNG),
    "no index, ids": (
        [
            [part('{"song":"La"', "sing", "c1")],
            [part('{"song":"Lo"', "sing", "c2")],
            [part("}", None, "c1")],
            [part("}", None, "c2")],
        ],
        BOTH,
    ),
    "no index, all at once": (
        [[part('{"song":"La"}', "sing", "c1"), part('{"song":"Lo"}', "sing", "c2")]],
        BOTH,
    ),
    "index from one": ([[part('{"song":"La"}', "sing", "c1", 1)]], SUNG),
    "index as a text": ([[part("", "sing", "c1", "0")], [part('{"song":"La"}', index="0")]], SUNG),
    "every index 0": (
        [[part('{"song":"La"}', "sing", "c1", 0)], [part('{"song":"Lo"}', "sing", "c2", 0)]],
        BOTH,
    ),
    "every index 0, in pieces": (
        [
            [part("", "sing", "c1", 0)],
            [part('{"song":"La"}', index=0)],
            [part("", "sing", "c2", 0)],
            [part('{"song":"Lo"}', index=0)],
        ],
        BOTH,
    ),
    "every index 0, no ids": (
        [[part('{"song":"La"}', "sing", index=0), part('{"song":"Lo"}', "sing", index=0)]],
        [("", "sing", '{"song":"La"}'), ("", "sing", '{"song":"Lo"}')],
    ),
    "every index 0, no arguments": (
        [[part("", "sing", "c1", 0)], [part("", "sing", "c2", 0)]],
        [("c1", "sing", ""), ("c2", "sing", "")],
    ),
    "another id in every piece": (
        [
            [part("", "sing", "c1", 0)],
            [part('{"song":', None, "x", 0)],
            [part('"La"}', None, "y", 0)],
        ],
        SUNG,
    ),
    "id after the name": (
        [[part("", "sing", index=0)], [part('{"song":"La"}', None, "c1", 0)]],
        SUNG,
    ),
    "id before the name": (
        [[part(None, None, "c1", 0)], [part('{"song":"La"}', "sing", index=0)]],
        SUNG,
    ),
    "a name in pieces": (
        [[part("", "si", "c1", 0)], [part("", "ng", index=0)], [part('{"song":"La"}', index=0)]],
        SUNG,
    ),
    "a name that grows": (
        [[part("", "si", "c1", 0)], [part('{"song":"La"}', "sing", index=0)]],
        SUNG,
    ),
    "an object": ([[part({"song": "La"}, "sing", "c1", 0)]], [("c1", "sing", '{"song": "La"}')]),
    "one call, no list": ([{"tool_calls": part('{"song":"La"}', "sing", "c1", 0)}], SUNG),
    "no function": ([[{"id": "c1", "name": "sing", "arguments": '{"song":"La"}'}]], SUNG),
    "the old spelling": (
        [
            {"function_call": {"name": "sing", "arguments": ""}},
            {"function_call": {"arguments": '{"song":"La"}'}},
        ],
        [("", "sing", '{"song":"La"}')],
    ),
    "a number for an id": (
        [[{"id": 7, "function": {"name": "sing", "arguments": "{}"}}]],
        [("7", "sing", "{}")],
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_pieces_of_calls_are_put_together(spelling: str) -> None:
    deltas, made = SPELLINGS[spelling]
    assert calls(*deltas) == made


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sing", "dance", "go"]),
            st.dictionaries(st.text(), st.integers(), max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["index", "id", "both"]),
    st.booleans(),
    st.integers(1, 9),
)
def test_calls_survive_every_consistent_spelling(
    made: list[tuple[str, dict[str, int]]], names: str, repeats: bool, size: int
) -> None:
    deltas: list[Any] = []
    for number, (tool, arguments) in enumerate(made):
        index = number if names != "id" else None
        id = f"c{number}" if names != "index" else None
        spelled = json.dumps(arguments)
        pieces = [spelled[at : at + size] for at in range(0, len(spelled), size)]
        deltas.append([part("", tool, id, index)])
        deltas += [[part(one, tool if repeats else None, id, index)] for one in pieces]
    found = [(tool, parse_arguments(arguments)) for _, tool, arguments in calls(*deltas)]
    assert found == made


@pytest.mark.parametrize(
    ("spelled", "arguments"),
    [
        ("", {}),
        (" ", {}),
        ("null", {}),
        ("{}", {}),
        ('{"a":1}', {"a": 1}),
        ('"{\\"a\\":1}"', {"a": 1}),
        ('""', {}),
        ('{}{"a":1}', {"a": 1}),
        ('{"a":1}\n{"a":1}', {"a": 1}),
        ('{"a":1}{"a":2}', None),
        ('{"a":1', None),
        ("[1]", None),
        ("7", None),
        ('"\\"{}\\""', None),
        ("[" * 100_000, None),
    ],
)
def test_arguments_are_one_object(spelled: str, arguments: dict[str, int] | None) -> None:
    assert parse_arguments(spelled) == arguments


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("get_weather", "get_weather"),
        ("functions.get_weather", "get_weather"),
        ("default_api:get_weather", "get_weather"),
        ("get_weather<|channel|>commentary", "get_weather"),
        ("getWeather", "get_weather"),
        ("get-weather", "get_weather"),
        ("Get Weather", "get_weather"),
        ("weather", None),
        ("", None),
        ("ab", "ab"),
        ("AB", None),
    ],
)
def test_a_name_means_the_tool_that_it_spells(name: str, tool: str | None) -> None:
    assert resolve_tool(name, ["get_weather", "ab", "a_b"]) == tool


def test_a_call_in_another_spelling_is_made_and_kept_in_the_spelling_of_the_tool() -> None:
    host = conversation(SING, model=V25)
    typed(host, "sing")
    called = {"tool_calls": [part({"song": "La"}, "functions.Sing")]}
    host.think(json.dumps({"choices": [{"delta": called}]}), CALLS, None)
    host.audio(640)
    (made,) = host.calls
    assert (made.name, json.loads(made.arguments_json)) == ("sing", {"song": "La"})
    host.result(made.tool_use, "{}")
    (kept,) = json.loads(host.asked[-1].body_json)["messages"][-2]["tool_calls"]
    assert kept["function"] == {"name": "sing", "arguments": '{"song": "La"}'}
    check_grammar(host)


# --- the end


def test_an_end_of_the_stream_without_a_reason_ends_the_answer() -> None:
    host = conversation()
    typed(host, "hello")
    host.think(text("One. Two."), END, None)
    host.audio(3200)
    assert host.said("SPECULATIVE") == ["One.", " Two."]
    assert host.notes == []
    check_grammar(host)


# --- thoughts


def said(*pieces: str, thinks_first: bool = False) -> list[str]:
    speakable = Speakable(thinks_first=thinks_first)
    return [line for piece in pieces for line in speakable.add(piece)] + speakable.rest()


@pytest.mark.parametrize("opening", PAIRS)
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_thoughts_between_any_tags_are_not_said(opening: str, change: Any) -> None:
    thought = f"{change(opening)}\nHm. Let me see.\n{change(PAIRS[opening])}"
    for answer in (
        f"{thought}\n\nYes. No.",
        f"\n {thought}Yes.\n{thought} No.",
        f"Yes.\n{thought}No.",
    ):
        assert said(answer) == said(*answer) == ["Yes.", "No."]
    assert said(f"{change(opening)}For ever. And") == []


def test_the_channels_of_a_template_are_not_said() -> None:
    answer = (
        "<|channel|>analysis<|message|>The user greets.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hello. How are you?<|return|>"
    )
    assert said(answer) == said(*answer) == ["Hello.", "How are you?"]


def test_a_tag_within_a_line_is_a_part_of_the_text() -> None:
    assert said("Write <think> there.") == said(*"Write <think> there.") == ["Write <think> there."]


@pytest.mark.parametrize("thinks_first", [False, True])
def test_thoughts_without_an_opening_tag_are_an_option(thinks_first: bool) -> None:
    answer = "Okay. They greet.\n</think>\nHello."
    thoughts = [] if thinks_first else ["Okay.", "They greet."]
    assert said(answer, thinks_first=thinks_first) == [*thoughts, "Hello."]
    assert said(*answer, thinks_first=thinks_first) == [*thoughts, "Hello."]


def test_thoughts_that_were_spoken_are_noted_once_with_the_option() -> None:
    host = conversation()
    for _ in range(2):
        typed(host, "hello")
        host.think(text("Okay. "), text("</think>Hello. "), text("</think>"), STOP, None)
        host.audio(3200)
    (note,) = [effect for effect in host.effects if isinstance(effect, Note)]
    assert (note.rule, note.text) == ("chat-endpoint", openai.UNOPENED_THOUGHTS)


def test_a_whole_answer_shows_that_it_begins_with_thoughts() -> None:
    host = conversation()
    typed(host, "hello")
    message = {"role": "assistant", "content": "Okay. They greet.\n</think>\nHello."}
    host.think(json.dumps({"choices": [{"message": message}]}), END, None)
    host.audio(1600)
    assert host.said("SPECULATIVE") == ["Hello."]


TAGS = (*PAIRS, *PAIRS.values(), *MARKERS)


def test_no_tag_is_the_beginning_of_another() -> None:
    distinct = set(TAGS)
    assert not [(a, b) for a in distinct for b in distinct if a != b and b.startswith(a)]


@given(
    st.lists(
        st.one_of(st.sampled_from(TAGS), st.text("ab \n<>[/t|İſ\u212a", max_size=4)), max_size=12
    ),
    st.lists(st.integers(0, 200), max_size=12),
    st.booleans(),
)
def test_the_cuts_of_a_stream_do_not_decide_what_is_a_thought(
    parts: list[str], cuts: list[int], thinks_first: bool
) -> None:
    whole = "".join(parts)
    at = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]

    def shown(pieces: list[str]) -> tuple[str, bool]:
        thoughts = ThoughtFilter(thinks_first=thinks_first)
        visible = "".join(map(thoughts.add, pieces)) + thoughts.rest()
        return visible, thoughts.stray_closing_tag

    assert shown([whole[a:b] for a, b in pairwise(at)]) == shown([whole])


KEYS = (
    *("choices", "delta", "message", "content", "tool_calls", "function", "function_call", "name"),
    *("id", "index", "arguments", "error", "detail", "type", "text", "finish_reason"),
)
VALUES = st.none() | st.booleans() | st.integers() | st.text()


def objects_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(KEYS), values)


@given(
    objects_of(st.recursive(VALUES, lambda inner: st.lists(inner) | objects_of(inner))),
    st.booleans(),
)
def test_any_json_is_read(read: dict[str, Any], within: bool) -> None:
    read = {"choices": [{"delta": read}]} if within else read
    error_of(read)
    incoming = IncomingCalls()
    for one in read_piece(read).calls:
        incoming.add(one)
    for call in incoming.calls:
        parse_arguments(call.arguments_json)
        resolve_tool(call.tool, ["sing"])


def test_no_answer_is_left_when_all_of_it_was_thoughts() -> None:
    host = conversation()
    typed(host, "hello")
    host.think(text("<reasoning>Hm.</reasoning>"), STOP, None)
    host.audio(1600)
    assert host.said("SPECULATIVE") == [openai.NO_ANSWER]
