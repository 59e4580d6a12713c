"""Parameters that an endpoint rejects by name. The texts are those of real servers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.chat.parameters import (
    OPTIONAL,
    ParameterChange,
    rejected_parameter,
    with_changes,
)

BODY: dict[str, Any] = {
    "model": "tiny",
    "stream": True,
    "max_tokens": 1024,
    "temperature": 0.7,
    "top_p": 0.9,
    "messages": [{"role": "user", "content": "The temperature, max_tokens and 'tools'?"}],
    "tools": [],
    "tool_choice": "auto",
}


def openai_error(message: str, param: str | None = None) -> str:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": "x"}
    return json.dumps({"error": error})


MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead."
)

REFUSALS: dict[str, tuple[str, str]] = {
    "OpenAI, renamed": (
        openai_error(MAX_TOKENS, "max_tokens"),
        "max_tokens is sent as max_completion_tokens",
    ),
    "a gateway without a param": (
        json.dumps({"error": {"message": MAX_TOKENS, "code": "invalid_request_body"}}),
        "max_tokens is sent as max_completion_tokens",
    ),
    "OpenAI, a value": (
        openai_error(
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the "
            "default (1) value is supported.",
            "temperature",
        ),
        "without temperature",
    ),
    "LiteLLM": (
        openai_error(
            "litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0.7. Only "
            "temperature=1 is supported. Received Model Group=tiny"
        ),
        "without temperature",
    ),
    "LiteLLM, quoted": (
        openai_error(
            "litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': "
            "\"Unsupported parameter: 'top_p' is not supported with this model.\"}}"
        ),
        "without top_p",
    ),
    "Bedrock": (
        (
            '{"message":"The model returned the following errors: `temperature` and `top_p` cannot '
            'both be specified for this model. Please use only one."}'
        ),
        "without top_p",
    ),
    "vLLM": (
        (
            '{"object":"error","message":"\'max_tokens\' or \'max_completion_tokens\' is too '
            "large: 1024. This model's maximum context length is 2048 tokens\"}"
        ),
        "max_tokens is sent as max_completion_tokens",
    ),
    "Mistral": (
        (
            '{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body",'
            '"tool_choice"],"msg":"Extra inputs are not permitted","input":"auto"}]},"param":null}'
        ),
        "without tool_choice",
    ),
    "FastAPI": (
        (
            '{"detail":[{"loc":["body","top_p"],"msg":"Input should be less than 1","input":'
            '{"temperature":0.7}}]}'
        ),
        "without top_p",
    ),
    "Ollama": (
        '{"error":{"message":"registry.ollama.ai/library/gemma:2b does not support tools"}}',
        "without tools",
    ),
    "Ollama, its own API": ('{"error":"\\"tiny\\" does not support tools"}', "without tools"),
    "no streaming": (openai_error("Unsupported value", "stream"), "without stream"),
    "no JSON": ("Unknown parameter: temperature\n", "without temperature"),
}


@pytest.mark.parametrize("server", REFUSALS)
def test_a_refusal_names_the_parameter_that_is_changed(server: str) -> None:
    refusal, change = REFUSALS[server]
    assert str(rejected_parameter(BODY, refusal)) == change


@pytest.mark.parametrize(
    "refusal",
    [
        "",
        "<html>Bad Request",
        "[1]",
        openai_error("Invalid API key"),
        openai_error("The stream of tools has ended"),
        openai_error("Unknown model", "model"),
        json.dumps({"detail": [{"loc": ["body", "messages", 0, "tools"], "msg": "bad"}]}),
        openai_error("'messages' is too long", "messages"),
        json.dumps({"detail": [{"loc": ["body", "messages", 0], "msg": "bad", "input": BODY}]}),
        '{"error":' * 900 + "1" + "}" * 900,
    ],
)
def test_a_refusal_of_anything_else_changes_nothing(refusal: str) -> None:
    assert rejected_parameter(BODY, refusal) is None


def test_a_renamed_parameter_keeps_its_value() -> None:
    change = ParameterChange("max_tokens", "max_completion_tokens")
    changed = with_changes(BODY, {"max_tokens": change})
    assert changed["max_completion_tokens"] == 1024
    assert "max_tokens" not in changed
    assert rejected_parameter(changed, openai_error(MAX_TOKENS, "max_tokens")) is None


def test_the_choice_of_a_tool_goes_with_the_tools() -> None:
    changed = with_changes(BODY, {"tools": ParameterChange("tools")})
    assert {"tools", "tool_choice"}.isdisjoint(changed)


@given(
    st.sets(st.sampled_from(OPTIONAL)), st.lists(st.text() | st.sampled_from(MAX_TOKENS.split()))
)
def test_every_change_takes_a_parameter_away_and_touches_nothing_else(
    left_out: set[str], words: list[str]
) -> None:
    body = {name: value for name, value in BODY.items() if name not in left_out}
    changes: dict[str, ParameterChange] = {}
    for _ in range(len(OPTIONAL) + 1):
        sent = with_changes(body, changes)
        change = rejected_parameter(sent, openai_error(" ".join([*words, *OPTIONAL])))
        if change is None:
            break
        assert change.name in sent
        changes[change.name] = change
    else:
        pytest.fail("a request was repeated more often than it has parameters")
    assert (sent["model"], sent["messages"]) == (BODY["model"], BODY["messages"])
    assert set(sent) <= {*body, "max_completion_tokens"}
