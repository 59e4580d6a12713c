"""Mistakes of a client, each answered with the service's own exception and text."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from sonic_voice.emulator.effects import Fail, Finish, Note, Refusal, StreamRequest
from sonic_voice.emulator.order import INVALID, UNEXPECTED
from sonic_voice.emulator.scenario import Call, Step
from sonic_voice.emulator.service import SonicService, service_factory
from sonic_voice.wire import (
    AudioInput,
    AudioStart,
    ContentEnd,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolDefinition,
    ToolResult,
    ToolResultStart,
)

from .service_host import GO, V1, V2, V25, Host, spoken

UNREADABLE = "Unable to parse input chunk. Please check input format contains correct format."
NO_EVENTS = "No events to transform were found."


def failure_of(*payloads: bytes) -> list[object]:
    host = Host()
    for payload in payloads:
        host.do(host.service.receive(payload))
    return [effect for effect in host.effects if isinstance(effect, Fail)]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"event":{"sessionStart":7}}',
        b'{"event":{"contentStart":{"type":"TEXT"}}}',
        b'{"event":{"contentStart":{"type":[]}}}',
        b'{"event":{"audioInput":{"promptName":"P","contentName":"A","content":"?"}}}',
    ],
)
def test_what_cannot_be_read_is_unparsable(payload: bytes) -> None:
    message = f"RequestId=request-1 : {UNREADABLE}"
    assert failure_of(payload) == [Fail("validationException", message)]


@pytest.mark.parametrize("payload", [b"{}", b"7", b'{"event":{}}', b'{"sessionStart":{}}'])
def test_json_without_an_event_has_a_text_of_its_own_without_request_id(payload: bytes) -> None:
    assert failure_of(payload) == [Fail("validationException", NO_EVENTS)]


@pytest.mark.parametrize(
    "session",
    [
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": "many"},
        {"top_p": 1.1},
        {"temperature": -0.1},
        {"temperature": True},
        {"endpointing": "medium"},
    ],
)
def test_numbers_of_the_session_are_checked(session: dict[str, Any]) -> None:
    host = Host()
    host.send(SessionStart(**session))
    assert host.failure == INVALID


def prompt(**changes: Any) -> PromptStart:
    fields: dict[str, Any] = {"prompt": "P", "voice": "matthew", "rate_hz": 24_000}
    return PromptStart(**(fields | changes))


def tool(name: str = "go", schema: str = '{"type":"object"}') -> tuple[ToolDefinition, ...]:
    return (ToolDefinition(name, "", schema),)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (prompt(voice=""), "Received invalid voiceId: value must not be empty"),
        (prompt(voice="Carlos"), "Received invalid id: 'Carlos'"),
        (prompt(voice="greta"), "Received invalid id: 'greta'"),  # of v1
        (prompt(rate_hz=44_100), INVALID),
        (prompt(audio_media="audio/mpeg"), INVALID),
        (prompt(sample_bits=8), INVALID),
        (prompt(channels=2), INVALID),
        (prompt(text_media="text/html"), INVALID),
        (prompt(prompt=""), INVALID),
        (prompt(tools=tool("no spaces")), INVALID),
        (prompt(tools=tool() + tool()), INVALID),
        (prompt(tools=tool(schema="{")), INVALID),
        (prompt(tools=tool(schema="[]")), INVALID),
        (prompt(tools=tool(schema='{"type":"string"}')), INVALID),
        (prompt(tools=tool(schema='{"type":"object","anyOf":[]}')), INVALID),
        (prompt(tools=tool(), tool_choice="tool:come"), INVALID),
        (prompt(tools=tool(), tool_choice="some"), INVALID),
    ],
)
def test_values_of_the_prompt_are_checked(record: PromptStart, text: str) -> None:
    host = Host()
    host.send(SessionStart(1024), record)
    assert host.failure == text


@pytest.mark.parametrize("choice", ["", "auto", "any", "tool:go"])
def test_tool_choices_are_accepted(choice: str) -> None:
    host = Host()
    host.send(SessionStart(1024), prompt(tools=tool(), tool_choice=choice))
    assert host.failure is None


def test_a_schema_that_is_no_string_cannot_be_parsed() -> None:
    host = Host()
    host.send(SessionStart(1024))
    spec = {"toolSpec": {"name": "go", "inputSchema": {"json": {"type": "object"}}}}
    host.raw("promptStart", {"promptName": "P", "toolConfiguration": {"tools": [spec]}})
    assert host.failure == UNREADABLE


def live(host: Host) -> None:
    host.begin(tools=(GO,))
    host.audio(100)


def in_prompt(host: Host) -> None:
    host.send(SessionStart(1024), prompt())


def history(*roles: str) -> Callable[[Host], None]:
    def send(host: Host) -> None:
        in_prompt(host)
        for number, role in enumerate(roles):
            host.text(f"H{number}", role, "words")

    return send


HISTORY_LIMIT = "Chat history is over max limit. Trim chat history and try again."
DUPLICATE = "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt"
OPEN = "Error(s):\nError 1 : All contents must be closed before ending prompt"

MISTAKES: list[tuple[Callable[[Host], None], list[Any], str]] = [
    (live, [TextStart("P", "S2", "SYSTEM")], DUPLICATE),
    (in_prompt, [TextStart("P", "X", "TEACHER")], INVALID),
    (in_prompt, [TextStart("P", "X", "USER", media="text/html")], INVALID),
    (in_prompt, [TextStart("Q", "X", "USER")], INVALID),
    (in_prompt, [TextStart("P", "", "USER")], INVALID),
    (in_prompt, [TextStart("P", "X", "USER"), TextStart("P", "X", "USER")], INVALID),
    (in_prompt, [TextStart("P", "X", "USER"), ContentEnd("P", "X")],
     "Cannot end content [X] as no content data was received"),
    (in_prompt, [PromptEnd("P")], "Prompt [P] must have at least one audio content"),
    (in_prompt, [TextStart("P", "X", "USER"), PromptEnd("P")], OPEN),
    (in_prompt, [AudioStart("P", "A", 44_100)], INVALID),
    (in_prompt, [AudioStart("P", "A", 16_000, media="audio/mpeg")], INVALID),
    (in_prompt, [AudioStart("P", "A", 16_000), PromptEnd("P")],
     "Prompt [P] must have at least one audio content"),
    (in_prompt, [AudioStart("P", "A", 16_000), ContentEnd("P", "A")],
     "Cannot end content [A] as no content data was received"),
    (in_prompt, [TextStart("P", "X", "USER"), AudioStart("P", "A", 16_000)],
     "Chat history should be sent completely before streaming audio."),
    (history(), [TextStart("P", "X", "ASSISTANT")],
     "First message in chat history should not be Assistant"),
    (history("USER"), [TextStart("P", "X", "ASSISTANT"), TextInput("P", "X", "x" * 50_001)],
     HISTORY_LIMIT),
    (live, [AudioStart("P", "A2", 16_000)], UNEXPECTED),
    (live, [TextStart("P", "X", "USER"), PromptEnd("P")], OPEN),
    (live, [TextStart("P", "X", "USER"), AudioInput("P", "X", b"")], INVALID),
    (live, [TextInput("P", "A", "words")], INVALID),
    (live, [ToolResult("P", "A", "{}")], INVALID),
    (live, [AudioInput("P", "B", bytes(64))], INVALID),
    (live, [AudioInput("Q", "A", bytes(64))], INVALID),
    (live, [ToolResultStart("P", "T", "unknown")], INVALID),
    (live, [ToolResultStart("P", "T", "unknown", media="application/json")],
     "Tool result media type must be one of: [text/plain]"),
]  # fmt: skip


@pytest.mark.parametrize(("way", "records", "text"), MISTAKES)
def test_each_mistake_has_its_text(
    way: Callable[[Host], None], records: list[Any], text: str
) -> None:
    host = Host()
    way(host)
    host.send(*records[:-1])
    assert host.failure is None
    host.send(records[-1])
    assert host.failure == text


def test_the_whole_history_has_a_limit() -> None:
    host = Host()
    in_prompt(host)
    for number in range(5):
        role = ("USER", "ASSISTANT")[number % 2]
        host.send(TextStart("P", f"H{number}", role))
        for _ in range(40):
            host.send(TextInput("P", f"H{number}", "x" * 1000))
            assert host.failure is None
        host.send(ContentEnd("P", f"H{number}"))
    host.send(TextStart("P", "H5", "ASSISTANT"), TextInput("P", "H5", "x"))
    assert host.failure == HISTORY_LIMIT


def test_a_system_prompt_has_a_limit() -> None:
    host = Host()
    in_prompt(host)
    host.send(TextStart("P", "S", "SYSTEM"))
    for _ in range(200):
        host.send(TextInput("P", "S", "x" * 1000))
    assert host.failure is None
    host.send(TextInput("P", "S", "x"))
    assert host.failure == INVALID


def called() -> Host:
    host = Host(Step("go", call=Call("go", {}, (), ("Gone.",))), speech=spoken((0, 960)), model=V25)
    host.begin(tools=(GO,))
    host.audio(4000)
    assert len(host.calls) == 1
    return host


@pytest.mark.parametrize("result", ["", "{", "[1]", "7", '"done"', "null"])
def test_a_result_that_is_no_json_object_is_refused(result: str) -> None:
    host = called()
    host.send(ToolResultStart("P", "T", host.calls[0].tool_use), ToolResult("P", "T", result))
    assert host.failure == "Tool Response parsing error"


def test_a_second_result_is_refused() -> None:
    host = called()
    host.result(host.calls[0].tool_use, "{}")
    assert host.failure is None
    host.send(ToolResultStart("P", "T2", host.calls[0].tool_use))
    assert host.failure == INVALID


def test_a_result_begun_twice_or_sent_twice_is_refused() -> None:
    for again in (ToolResultStart, ToolResult):
        host = called()
        call = host.calls[0].tool_use
        host.send(ToolResultStart("P", "T", call))
        if again is ToolResultStart:
            host.send(ToolResultStart("P", "T2", call))
        else:
            host.send(ToolResult("P", "T", "{}"), ToolResult("P", "T", "{}"))
        assert host.failure == INVALID


TOLERATED: list[tuple[str, Callable[[Host], None], list[Any], str]] = [
    (V2, live, [PromptEnd("P")], "open-audio"),
    (V2, live, [SessionEnd()], "open-prompt"),
    (V2, history("USER"), [TextStart("P", "H9", "USER")], "history-order"),
    (V2, history("USER"), [TextStart("P", "S", "SYSTEM")], "late-system"),
    (V2, history("USER"), [TextStart("P", "H0", "ASSISTANT")], "content-name"),
    (V2, history(*["USER", "ASSISTANT"] * 20), [TextStart("P", "X", "USER")], "history-messages"),
    (V1, lambda host: None, [SessionStart(1024, endpointing="LOW")], "endpointing"),
]


@pytest.mark.parametrize(("model", "way", "records", "rule"), TOLERATED)
def test_what_real_clients_do_is_noted_and_refused_only_when_strict(
    model: str, way: Callable[[Host], None], records: list[Any], rule: str
) -> None:
    for strict in (False, True):
        host = Host(model=model, strict=strict)
        way(host)
        assert (host.failure, host.notes) == (None, [])
        host.send(*records)
        assert (host.failure is not None) is strict
        assert host.notes == ([] if strict else [rule])


def test_the_goodbye_of_another_client_works() -> None:
    """`connectionEnd` instead of `sessionEnd`, then the end of the input."""
    host = Host()
    host.raw("sessionStart", {})
    host.send(prompt(), AudioStart("P", "A", 16_000))
    host.audio(100)
    host.send(ContentEnd("P", "A"), PromptEnd("P"))
    host.raw("connectionEnd", {})
    host.do(host.service.end_of_input())
    assert isinstance(host.effects[-1], Finish)
    assert host.notes == ["no-inference", "unknown-event", "no-goodbye"]


@pytest.mark.parametrize("interactive", [False, True])
def test_system_and_history_may_be_marked_interactive(interactive: bool) -> None:
    host = Host(strict=True)
    in_prompt(host)
    host.text("S", "SYSTEM", "Be kind.", interactive=interactive)
    host.text("SS", "SYSTEM_SPEECH", "In Latin script.", interactive=interactive)
    host.text("H", "USER", "Hello.", interactive=interactive)
    host.send(AudioStart("P", "A", 16_000))
    host.audio(2000)
    assert (host.failure, host.notes, host.spoken) == (None, [], [])


def test_v1_knows_no_speech_prompt() -> None:
    host = Host(model=V1)
    in_prompt(host)
    host.send(TextStart("P", "SS", "SYSTEM_SPEECH"))
    assert host.failure == INVALID


def test_timers_end_the_stream_with_their_texts() -> None:
    idle, life = Host(), Host()
    live(idle)
    idle.do(idle.service.expire("idle"))
    assert idle.effects[-1] == Fail(
        "validationException",
        "RequestId=request-1 : Timed out waiting for audio bytes or interactive content. Please "
        "ensure gaps between audio bytes and interactive content are less than 55 seconds.",
    )
    life.do(life.service.expire("life"))
    assert life.effects[-1] == Fail(
        "modelTimeoutException",
        "RequestId=request-1 : Model has timed out in processing the request. "
        "Try your request again.",
    )


@pytest.mark.parametrize("expired", [False, True])
def test_nothing_follows_the_end(expired: bool) -> None:
    host = Host(speech=spoken((0, 960)))
    host.begin()
    host.audio(1400)
    host.do(host.service.expire("life") if expired else host.service.end_of_input())
    assert isinstance(host.effects[-1], Fail if expired else Finish)
    before = len(host.effects)
    host.do(host.service.stalled())
    host.do(host.service.end_of_input())
    host.do(host.service.expire("idle"))
    host.audio(2000)
    assert len(host.effects) == before


def new_service(model: str, region: str = "us-east-1", **options: Any) -> SonicService | Refusal:
    host = Host()
    factory = service_factory(
        host.brain, lambda rate_hz: host.detector, new_id=lambda: "id", **options
    )
    return factory(StreamRequest(model, region, "request-1"))


@pytest.mark.parametrize("model", [V1, V2, V25])
def test_the_factory_serves_every_voice_model(model: str) -> None:
    assert isinstance(new_service(model), SonicService)


@pytest.mark.parametrize(
    ("model", "region"),
    [("amazon.nova-lite-v1:0", "us-east-1"), ("nothing", "us-east-1"), (V2, "eu-west-1")],
)
def test_the_factory_finds_no_other_model_and_none_elsewhere(model: str, region: str) -> None:
    refusal = new_service(model, region)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (404, "ResourceNotFoundException")


def test_a_regional_id_is_noted_and_refused_only_when_strict() -> None:
    assert isinstance(new_service(f"us.{V2}", strict=True), Refusal)
    service = new_service(f"us.{V2}")
    assert isinstance(service, SonicService)
    (note,) = service.receive(
        b'{"event":{"sessionStart":{"inferenceConfiguration":{"maxTokens":1}}}}'
    )
    assert isinstance(note, Note)
    assert note.rule == "regional-id"


def test_a_model_past_its_end_of_life_is_not_found_on_that_day() -> None:
    assert isinstance(new_service(V1, today=date(2026, 9, 13)), SonicService)
    assert isinstance(new_service(V1, today=date(2026, 9, 14)), Refusal)
    assert isinstance(new_service(V1), SonicService)
