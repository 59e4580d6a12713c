"""Reasoners: a text model behind each API, asked over the network, with tools and cancellation."""

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from sonic_voice.errors import ConfigError, SonicError
from sonic_voice.history import ASSISTANT_FIRST, Message
from sonic_voice.reasoning.model_apis import MESSAGES_KEY_VARIABLE, reasoner_model
from sonic_voice.reasoning.model_reasoner import MAX_ROUNDS, ModelReasoner
from sonic_voice.tools.toolbox import Toolbox, tool

from ..support.text_models import KINDS, Answer, HttpTextModel, Kind, calling, saying, text_model

QUESTION = (Message("USER", "What time is it?"),)
PATIENCE_S = 20.0


@tool
def clock(zone: str) -> dict[str, str]:
    """Tell the time of a zone."""
    return {"zone": zone, "time": "noon"}


async def sentences(reasoner: ModelReasoner, messages: Sequence[Message] = QUESTION) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return [sentence async for sentence in reasoner(messages)]


async def collect(reasoner: ModelReasoner, said: list[str]) -> None:
    """Add each sentence to a list, which also has those before an error."""
    async with asyncio.timeout(PATIENCE_S):
        async for sentence in reasoner(QUESTION):
            said.append(sentence)  # noqa: PERF401 (an error would lose all)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_streamed_answer_becomes_sentences(kind: Kind) -> None:
    async with text_model(kind, saying("It is ", "noon. Or **nearly", "** so", ".")) as (_, model):
        assert await sentences(ModelReasoner(model)) == ["It is noon.", "Or nearly so."]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_first_sentence_comes_before_the_last_is_thought(kind: Kind) -> None:
    heard = asyncio.Event()

    async def move(answer: Answer) -> None:
        await answer.text("It is noon. ", "And")
        await heard.wait()
        await answer.text(" it rains.")
        await answer.stop()

    async with text_model(kind, move) as (_, model), asyncio.timeout(PATIENCE_S):
        said: list[str] = []
        async for sentence in ModelReasoner(model)(QUESTION):
            said.append(sentence)
            heard.set()
    assert said == ["It is noon.", "And it rains."]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_is_called_with_its_arguments_and_its_result_is_told(kind: Kind) -> None:
    moves = calling("clock", '{"zone"', ': "UTC"}', before="One moment. "), saying("It is noon.")
    async with text_model(kind, *moves) as (service, model):
        reasoner = ModelReasoner(model, system="You are a clock.", tools=Toolbox([clock]))
        assert await sentences(reasoner) == ["One moment.", "It is noon."]
    first, second = service.asked
    assert "You are a clock." in json.dumps(first)
    assert "Tell the time of a zone." in json.dumps(first)
    assert "call-1" not in json.dumps(first)
    told = json.dumps(second)
    assert "noon" in told
    assert "One moment." in told
    assert told.count("call-1") == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_of_tools_come_to_an_end(kind: Kind) -> None:
    moves = [calling("clock", '{"zone":"UTC"}') for _ in range(MAX_ROUNDS + 1)]
    async with text_model(kind, *moves) as (service, model):
        assert await sentences(ModelReasoner(model, tools=Toolbox([clock]))) == []
    assert len(service.asked) == MAX_ROUNDS + 1
    without = {"openai": "none", "responses": "none", "messages": {"type": "none"}}
    if kind in without:
        assert service.asked[-1]["tool_choice"] == without[kind]
        assert "tool_choice" not in service.asked[-2]
    else:
        assert "without further tool calls" in json.dumps(service.asked[-1]["messages"][-1])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_conversation_that_the_assistant_begins_is_told_as_models_take_it(
    kind: Kind,
) -> None:
    said = (
        Message("ASSISTANT", "Hello."), Message("USER", "Hi."), Message("USER", "I am Ada."),
        Message("ASSISTANT", "Hello Ada."), Message("USER", "Who am I?"),
    )  # fmt: skip
    async with text_model(kind, saying("Ada.")) as (service, model):
        await sentences(ModelReasoner(model), said)
    messages: list[dict[str, Any]] = service.asked[0].get("messages", service.asked[0].get("input"))
    told = [message for message in messages if message["role"] != "system"]
    assert [message["role"] for message in told] == ["user", "assistant"] * 2 + ["user"]
    assert ASSISTANT_FIRST in json.dumps(told[0])
    assert "Hi.\\nI am Ada." in json.dumps(told[2])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_is_an_error_with_its_reason(kind: Kind) -> None:
    async def move(answer: Answer) -> None:
        await answer.refuse(400, "ValidationException", "There is no such model.")

    async with text_model(kind, move, move) as (_, model):
        with pytest.raises(SonicError, match="There is no such model"):
            await sentences(ModelReasoner(model))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_breaks_off_is_an_error_after_its_sentences(kind: Kind) -> None:
    async def move(answer: Answer) -> None:
        await answer.text("It is noon. ", "And")

    said: list[str] = []
    async with text_model(kind, move) as (_, model):
        with pytest.raises(SonicError):
            await collect(ModelReasoner(model), said)
    assert said == ["It is noon."]


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_ends_the_request(kind: Kind) -> None:
    """The stand-in sees it within 50 ms on an idle machine; the bound here is for a busy one."""
    first = asyncio.Event()

    async def move(answer: Answer) -> None:
        await answer.text("It is noon. ", "And")
        await asyncio.Event().wait()

    async def read(reasoner: ModelReasoner) -> None:
        async with aclosing(reasoner(QUESTION)) as answer:
            async for _ in answer:
                first.set()

    async with text_model(kind, move) as (service, model), asyncio.timeout(PATIENCE_S):
        reading = asyncio.create_task(read(ModelReasoner(model)))
        await first.wait()
        cancelled_s = asyncio.get_running_loop().time()
        reading.cancel()
        await service.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await reading
        print(f"{kind}: ended {1000 * (service.left_s[0] - cancelled_s):.1f} ms after cancelling")


@pytest.mark.parametrize(
    ("kind", "variable", "header", "value"),
    [
        ("openai", "OPENAI_API_KEY", "authorization", "Bearer sk-secret"),
        ("responses", "OPENAI_API_KEY", "authorization", "Bearer sk-secret"),
        ("messages", MESSAGES_KEY_VARIABLE, "x-api-key", "sk-secret"),
    ],
)
async def test_a_key_is_sent_and_never_shown(
    kind: Kind,
    variable: str,
    header: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def move(answer: Answer) -> None:
        await answer.refuse(401, "authentication_error", "The key sk-secret is wrong.")

    monkeypatch.setenv(variable, "sk-secret")
    caplog.set_level(logging.DEBUG)
    async with HttpTextModel(kind, [move]).running() as service:
        model = reasoner_model(service.address)
        with pytest.raises(SonicError) as caught:
            await sentences(ModelReasoner(model))
    assert service.headers[0][header] == value
    assert "*** is wrong" in str(caught.value)
    assert "sk-secret" not in caplog.text + str(caught.value) + repr(model)


def test_a_key_of_openai_does_not_go_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    from sonic_voice.chat.endpoint import endpoint_address

    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock")
    host = "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1"
    address = endpoint_address(f"openai:{host}#m", "openai", "/chat/completions", "OPENAI_API_KEY")
    assert (address.key, address.url) == ("bedrock", f"{host}/chat/completions")
    assert "bedrock" not in repr(address).replace("bedrock-runtime", "")


@pytest.mark.parametrize(
    "address",
    ["", "llama", "converse:", "openai:llama3.2", "responses:http://x/v1", "messages:ftp://x#m",
     "openai:http://user:secret@x/v1#m"],
)  # fmt: skip
def test_a_wrong_address_is_refused_without_showing_a_password(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reasoner_model(address)
    assert "secret" not in str(caught.value)
