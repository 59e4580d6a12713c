"""The result of an `ExpertTool` call: a block, a `toolResult` a sentence, and never empty."""

import json
from itertools import count
from typing import Any

import pytest

from sonic_voice import wire
from sonic_voice.catalog import EXPERT_TOOL
from sonic_voice.config import SessionConfig
from sonic_voice.errors import OrderError
from sonic_voice.handover import can_finish
from sonic_voice.protocol import SonicProtocol
from sonic_voice.transcript import Transcript

IDS = wire.Ids("s", "p", "c")


def live_protocol() -> SonicProtocol:
    """Return a protocol whose audio block is open."""
    ids = count(1)
    protocol = SonicProtocol(SessionConfig(), Transcript(), new_id=lambda: f"id-{next(ids)}")
    protocol.begin()
    protocol.go_live()
    return protocol


def ask(protocol: SonicProtocol, tool_use: str) -> None:
    """Let the service transcribe words of the user, and call `ExpertTool`."""
    for record in (
        wire.TextBlock(IDS, f"u-{tool_use}", "USER", "FINAL"),
        wire.TextOutput(IDS, f"u-{tool_use}", "hello", "USER"),
        wire.BlockEnd(IDS, f"u-{tool_use}", "TEXT", "PARTIAL_TURN"),
        wire.ToolBlock(IDS, f"b-{tool_use}"),
        wire.ToolUse(IDS, f"b-{tool_use}", tool_use, EXPERT_TOOL, "{}"),
        wire.BlockEnd(IDS, f"b-{tool_use}", "TOOL", "TOOL_USE"),
    ):
        protocol.receive(wire.encode_output(record), 0.0)


def events(payloads: list[bytes]) -> list[tuple[str, dict[str, Any]]]:
    """Return the names and the bodies of payloads."""
    return [next(iter(json.loads(payload)["event"].items())) for payload in payloads]


def test_each_sentence_is_a_tool_result_of_one_block() -> None:
    protocol = live_protocol()
    ask(protocol, "t1")
    sent = events(
        protocol.result_sentence("t1", "It is noon.")
        + [protocol.audio(bytes(64))]
        + protocol.result_sentence("t1", "Über allen Gipfeln.")
        + protocol.end_result("t1")[0]
    )
    assert [name for name, _ in sent] == [
        "contentStart", "toolResult", "audioInput", "toolResult", "contentEnd",
    ]  # fmt: skip
    start = sent[0][1]
    assert start["toolResultInputConfiguration"]["toolUseId"] == "t1"
    assert {body["contentName"] for name, body in sent if name != "audioInput"} == {
        start["contentName"]
    }
    assert [json.loads(sent[at][1]["content"]) for at in (1, 3)] == [
        {"text": "It is noon.", "type": "TEXT"},
        {"text": "Über allen Gipfeln.", "type": "TEXT"},
    ]


def test_a_call_that_got_no_sentence_ends_without_a_block() -> None:
    protocol = live_protocol()
    ask(protocol, "t1")
    payloads, call = protocol.end_result("t1")
    assert payloads == []
    assert call.tool_use == "t1"
    assert protocol.turns.open_calls == ()


def test_a_result_ends_once_and_takes_no_sentence_afterwards() -> None:
    protocol = live_protocol()
    ask(protocol, "t1")
    protocol.result_sentence("t1", "Yes.")
    protocol.end_result("t1")
    with pytest.raises(OrderError):
        protocol.end_result("t1")
    with pytest.raises(OrderError):
        protocol.result_sentence("t1", "No.")
    with pytest.raises(OrderError):
        protocol.tool_result("t1", "{}")


def test_a_blank_sentence_and_a_second_kind_of_result_are_refused() -> None:
    protocol = live_protocol()
    ask(protocol, "t1")
    with pytest.raises(OrderError):
        protocol.result_sentence("t1", " ")
    protocol.result_sentence("t1", "Yes.")
    with pytest.raises(OrderError):
        protocol.tool_result("t1", "{}")
    assert events(protocol.end_result("t1")[0])[0][0] == "contentEnd"


def test_the_goodbye_closes_a_result_before_the_audio() -> None:
    protocol = live_protocol()
    ask(protocol, "t1")
    block = events(protocol.result_sentence("t1", "Yes."))[0][1]["contentName"]
    sent = events(protocol.finish())
    ends = [body["contentName"] for name, body in sent if name == "contentEnd"]
    assert ends[0] == block
    assert len(ends) == 2
    assert [name for name, _ in sent][-2:] == ["promptEnd", "sessionEnd"]
    with pytest.raises(OrderError):
        protocol.result_sentence("t1", "No.")


def test_a_call_owes_an_answer_until_it_ends_but_is_not_carried_to_the_next_stream() -> None:
    protocol = live_protocol()
    ask(protocol, "t1")
    protocol.result_sentence("t1", "Yes.")
    progress = protocol.progress
    assert protocol.owes_answer
    assert (progress.calls, progress.expert) == ((), True)
    assert not can_finish(progress)
    protocol.end_result("t1")
    assert not protocol.progress.expert


def test_a_retired_stream_makes_no_expert_call() -> None:
    protocol = live_protocol()
    protocol.turns.retire(finishing=False)
    use = wire.ToolUse(IDS, "b", "t1", EXPERT_TOOL, "{}")
    assert protocol.receive(wire.encode_output(use), 0.0) == []
