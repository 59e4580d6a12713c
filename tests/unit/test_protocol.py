"""SonicProtocol: what the client sends, in which order, and what it refuses to send."""

import json
from itertools import count
from typing import Any

import pytest

from sonic_voice import wire
from sonic_voice.config import SessionConfig, ToolChoice, ToolSpec
from sonic_voice.errors import AudioError, OrderError
from sonic_voice.events import Ignored, ToolCall, UserText
from sonic_voice.history import Message
from sonic_voice.order import ORDER, InputState, InputStep, next_state
from sonic_voice.protocol import SonicProtocol
from sonic_voice.transcript import Transcript

V1, V2 = "amazon.nova-sonic-v1:0", "amazon.nova-2-sonic-v1:0"
WEATHER = ToolSpec("weather", "The weather.", {"type": "object", "properties": {}})
FRAME = bytes(1024)


def protocol(**settings: Any) -> SonicProtocol:
    ids = count(1)
    return SonicProtocol(SessionConfig(**settings), Transcript(), new_id=lambda: f"id-{next(ids)}")


def live(**settings: Any) -> SonicProtocol:
    p = protocol(**settings)
    p.begin()
    p.go_live(p._config.history)  # pyright: ignore[reportPrivateUsage]
    return p


def names(payloads: list[bytes]) -> list[str]:
    return [next(iter(json.loads(payload)["event"])) for payload in payloads]


def records(payloads: list[bytes]) -> list[wire.Input]:
    return [wire.decode_input(payload) for payload in payloads]


def call(p: SonicProtocol, tool_use: str = "t1") -> None:
    ids = wire.Ids("s", "p", "c")
    p.receive(wire.encode_output(wire.ToolBlock(ids, "b")), 0.0)
    use = wire.ToolUse(ids, "b", tool_use, "weather", "{}")
    events = p.receive(wire.encode_output(use), 0.0)
    assert events == [ToolCall(1, tool_use, "weather", "{}")]


def test_a_session_begins_with_session_prompt_and_system() -> None:
    p = protocol(system="Be brief.")
    sent = records(p.begin() + p.go_live())
    assert [type(record).__name__ for record in sent] == [
        "SessionStart", "PromptStart", "TextStart", "TextInput", "ContentEnd", "AudioStart",
    ]  # fmt: skip
    assert sent[0] == wire.SessionStart(1024, 0.9, 0.7, "MEDIUM")
    assert isinstance(sent[1], wire.PromptStart)
    assert (sent[1].voice, sent[1].rate_hz) == ("matthew", 24_000) or sent[1].voice == "tiffany"
    assert sent[2] == wire.TextStart("id-1", "id-3", "SYSTEM", interactive=False)
    assert sent[3] == wire.TextInput("id-1", "id-3", "Be brief.")


def test_v1_gets_no_endpointing() -> None:
    assert b"turnDetection" not in protocol(model=V1).begin()[0]
    assert b"turnDetection" in protocol(model=V2).begin()[0]


def test_history_goes_between_system_and_audio_each_message_a_block() -> None:
    history = (Message("USER", "hi"), Message("ASSISTANT", "hello"))
    p = protocol(history=history)
    p.begin()
    sent = records(p.go_live(history))
    blocks = [(r.role, r.interactive) for r in sent if isinstance(r, wire.TextStart)]
    assert blocks == [("USER", False), ("ASSISTANT", False)]
    assert isinstance(sent[-1], wire.AudioStart)


def test_a_long_text_is_cut_into_pieces_of_one_block() -> None:
    text = "wörter " * 1000
    p = protocol(system=text)
    pieces = [r for r in records(p.begin()) if isinstance(r, wire.TextInput)]
    assert "".join(piece.text for piece in pieces) == text
    assert max(len(piece.text.encode()) for piece in pieces) <= 1000
    assert len({piece.content for piece in pieces}) == 1


def test_the_script_for_hindi_follows_the_system_prompt() -> None:
    roles = [
        r.role for r in records(protocol(script="latin").begin()) if isinstance(r, wire.TextStart)
    ]
    assert roles == ["SYSTEM", "SYSTEM_SPEECH"]


def test_tools_go_into_the_prompt_with_their_schema_as_a_string() -> None:
    p = protocol(tools=(WEATHER,), tool_choice=ToolChoice("tool", "weather"))
    prompt = json.loads(p.begin()[1])["event"]["promptStart"]["toolConfiguration"]
    spec = prompt["tools"][0]["toolSpec"]
    assert json.loads(spec["inputSchema"]["json"]) == WEATHER.schema
    assert prompt["toolChoice"] == {"tool": {"name": "weather"}}


def test_goodbye_closes_audio_prompt_and_session_in_the_documented_order() -> None:
    p = live()
    p.audio(FRAME)
    assert names(p.finish()) == ["contentEnd", "promptEnd", "sessionEnd"]
    assert p.finished


def test_goodbye_without_any_audio_sends_some_silence_first() -> None:
    """A prompt that ends without audio is refused (reference 6)."""
    sent = live().finish()
    assert names(sent)[0] == "audioInput"
    silence = wire.decode_input(sent[0])
    assert isinstance(silence, wire.AudioInput)
    assert len(silence.pcm) >= 2 * 16_000 * 0.068
    assert not any(silence.pcm)


def test_text_on_v2_is_one_interactive_block_and_a_turn() -> None:
    p = live()
    payloads, event = p.text("What time is it?")
    assert names(payloads) == ["contentStart", "textInput", "contentEnd"]
    start = wire.decode_input(payloads[0])
    assert isinstance(start, wire.TextStart)
    assert (start.role, start.interactive) == ("USER", True)
    assert event == UserText(1, "What time is it?", typed=True)


def test_text_on_v1_is_refused_with_the_reason() -> None:
    with pytest.raises(OrderError, match="takes no text"):
        live(model=V1).text("hello")


def test_a_tool_call_is_answered_once_and_only_once() -> None:
    p = live(tools=(WEATHER,))
    call(p)
    payloads, answered = p.tool_result("t1", '{"sky":"blue"}')
    assert names(payloads) == ["contentStart", "toolResult", "contentEnd"]
    assert answered.name == "weather"
    with pytest.raises(OrderError, match="waits for a result"):
        p.tool_result("t1", "{}")


@pytest.mark.parametrize("result", ["[1]", "3", '"text"', "null", "{broken"])
def test_a_tool_result_that_is_no_object_is_refused_and_can_be_sent_again(result: str) -> None:
    p = live(tools=(WEATHER,))
    call(p)
    with pytest.raises(OrderError, match="JSON object"):
        p.tool_result("t1", result)
    payloads, _ = p.tool_result("t1", "{}")
    assert payloads


def test_an_answer_to_a_call_nobody_made_is_refused() -> None:
    with pytest.raises(OrderError):
        live(tools=(WEATHER,)).tool_result("unknown", "{}")


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError):
        live().audio(b"\0")


def test_audio_after_the_goodbye_is_refused() -> None:
    p = live()
    p.finish()
    with pytest.raises(OrderError, match="is closed"):
        p.audio(FRAME)


@pytest.mark.parametrize(
    "payload", [b"", b"no json", b"[]", b'{"event":{}}', b"\xff", b'{"event":3}']
)
def test_a_payload_that_cannot_be_read_is_ignored_not_fatal(payload: bytes) -> None:
    [event] = live().receive(payload, 0.0)
    assert isinstance(event, Ignored)


def test_an_unknown_event_is_ignored_by_name() -> None:
    [event] = live().receive(b'{"event":{"newThing":{"x":1}}}', 0.0)
    assert event == Ignored("unknown event newThing")


@pytest.mark.parametrize("state", InputState)
@pytest.mark.parametrize("step", InputStep)
def test_every_pair_of_state_and_step_is_either_in_the_table_or_refused(
    state: InputState, step: InputStep
) -> None:
    if (state, step) in LEGAL:
        assert next_state(state, step) is LEGAL[state, step]
    else:
        with pytest.raises(OrderError, match=step.name.lower().replace("_", " ")):
            next_state(state, step)


# The same order, told a second time and the other way round: what may come before each step.
BEFORE = {
    InputStep.SESSION_START: "NEW -> SESSION",
    InputStep.PROMPT_START: "SESSION -> PROMPT",
    InputStep.SYSTEM: "PROMPT -> PRIMED",
    InputStep.SYSTEM_SPEECH: "PRIMED -> PRIMED_SPEECH",
    InputStep.HISTORY: "PRIMED PRIMED_SPEECH HISTORY -> HISTORY",
    InputStep.AUDIO_START: "PRIMED PRIMED_SPEECH HISTORY -> LIVE",
    InputStep.AUDIO: "LIVE -> LIVE",
    InputStep.TEXT: "LIVE -> LIVE",
    InputStep.TOOL_RESULT: "LIVE -> LIVE",
    InputStep.RESULT_SENTENCE: "LIVE -> LIVE",
    InputStep.RESULT_END: "LIVE -> LIVE",
    InputStep.AUDIO_END: "LIVE -> QUIET",
    InputStep.PROMPT_END: "QUIET -> DONE",
    InputStep.SESSION_END: "DONE -> ENDED",
}
LEGAL = {
    (InputState[before], step): InputState[rule.split(" -> ")[1]]
    for step, rule in BEFORE.items()
    for before in rule.split(" -> ")[0].split()
}


def test_the_table_holds_nothing_else() -> None:
    assert ORDER == LEGAL
