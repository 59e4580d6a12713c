"""Each rule of the protocol reference, 2.1, 6 and 11.3, broken once, strict and lenient.

A row says what the rule is, the way there, what breaks it, and the service's text. `MISTAKES` end
the stream either way. `TOLERATED` are what real clients do and get away with: lenient, they are
noted by a name and the stream goes on; strict, they are refused with the text.

Faults that are nobody's mistake (section 6: throttling, instability) are tested where they are
made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service import checks, order
from sonic_voice.emulator.service.checks import (
    BAD_VOICE,
    DUPLICATE_SYSTEM,
    EMPTY_CONTENT,
    HISTORY_LIMIT,
    HISTORY_OPEN,
    HISTORY_ORDER,
    NO_EVENTS,
    NO_VOICE,
    TOOL_MEDIA,
    TOOL_PARSE,
    UNREADABLE,
)
from sonic_voice.emulator.service.effects import Fail
from sonic_voice.emulator.service.order import (
    INVALID,
    NO_AUDIO,
    NO_PROMPT,
    OPEN_CONTENT,
    OPEN_PROMPT,
    UNEXPECTED,
)
from sonic_voice.wire import (
    AudioInput,
    AudioStart,
    ContentEnd,
    Input,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolDefinition,
    ToolResult,
    ToolResultStart,
    UnknownInput,
)

from ..support.service_host import GO, V1, V2, Host, spoken

type Way = Callable[[Host], None]

# Ways to a state of the stream.


def new(host: Host) -> None:
    """Nothing was sent."""


def session(host: Host) -> None:
    host.send(SessionStart(1024))


def prompted(host: Host) -> None:
    session(host)
    host.send(prompt())


def history(*roles: str) -> Way:
    def send(host: Host) -> None:
        prompted(host)
        for number, role in enumerate(roles):
            host.text(f"H{number}", role, "words")

    return send


def long_history(host: Host) -> None:
    """As much as fits, in five messages of forty pieces."""
    prompted(host)
    for number in range(5):
        host.send(TextStart("P", f"H{number}", ("USER", "ASSISTANT")[number % 2]))
        for _ in range(40):
            host.send(TextInput("P", f"H{number}", "x" * 1000))
        host.send(ContentEnd("P", f"H{number}"))


def long_system(host: Host) -> None:
    """As much as fits."""
    prompted(host)
    host.send(TextStart("P", "S", "SYSTEM"))
    for _ in range(200):
        host.send(TextInput("P", "S", "x" * 1000))


def live(host: Host) -> None:
    host.begin(tools=(GO,))
    host.audio(100)


def quiet(host: Host) -> None:
    live(host)
    host.send(ContentEnd("P", "A"))


def ended(host: Host) -> None:
    quiet(host)
    host.send(PromptEnd("P"))


def called(host: Host) -> None:
    """A tool is called; `CALL` is what its result carries."""
    host.begin(tools=(GO,))
    host.audio(4000)
    assert [call.tool_use for call in host.calls] == [CALL]


def answering(host: Host) -> None:
    called(host)
    host.send(ToolResultStart("P", "T", CALL))


def answered(host: Host) -> None:
    called(host)
    host.result(CALL, "{}")


CALL = "id-4"


def prompt(**changes: Any) -> PromptStart:
    fields: dict[str, Any] = {"prompt": "P", "voice": "matthew", "rate_hz": 24_000}
    return PromptStart(**(fields | changes))


def tool(name: str = "go", schema: str = '{"type":"object"}') -> tuple[ToolDefinition, ...]:
    return (ToolDefinition(name, "", schema),)


def property_schema(schema: str) -> str:
    return f'{{"type":"object","properties":{{"x":{schema}}}}}'


def text(content: str, role: str, words: str = "words") -> list[Input]:
    start, end = TextStart("P", content, role), ContentEnd("P", content)
    return [start, TextInput("P", content, words), end]


SCHEMA_AS_OBJECT = b"""{"event":{"promptStart":{"promptName":"P","toolConfiguration":{"tools":
    [{"toolSpec":{"name":"go","inputSchema":{"json":{"type":"object"}}}}]}}}}"""

type Row = tuple[str, Way, list[Input | bytes], str]

MISTAKES: list[Row] = [
    # 2.1, the legal order.
    ("2.1.1 sessionStart comes first", new, [prompt()], INVALID),
    ("2.1.1 and only once", session, [SessionStart(1024)], INVALID),
    ("2.1.1 then promptStart", session, [TextStart("P", "S", "SYSTEM")], INVALID),
    ("2.1.1 a session has a prompt", session, [SessionEnd()], NO_PROMPT),
    ("2.1.2 one prompt, before audio", prompted, [prompt(prompt="Q")], INVALID),
    ("2.1.2 one prompt, during audio", live, [prompt(prompt="Q")], INVALID),
    ("2.1.2 one prompt, after its end", ended, [prompt(prompt="Q")], INVALID),
    ("2.1.3 data has a start", live, [TextInput("P", "X", "words")], INVALID),
    ("2.1.3 an end has a start", live, [ContentEnd("P", "X")], INVALID),
    ("2.1.3 a block has one start", live, [TextStart("P", "X", "USER")] * 2, INVALID),
    ("2.1.3 a block has one end", live, [*text("X", "USER"), ContentEnd("P", "X")], INVALID),
    ("2.1.3 data is of its block's kind", live, [TextInput("P", "A", "words")], INVALID),
    ("2.1.3 a result is of its block", live, [ToolResult("P", "A", "{}")], INVALID),
    ("2.1.3 audio is of its block", live,
     [TextStart("P", "X", "USER"), AudioInput("P", "X", b"")], INVALID),
    ("2.1.5 SYSTEM once", history("SYSTEM"), [TextStart("P", "S2", "SYSTEM")], DUPLICATE_SYSTEM),
    ("2.1.5 SYSTEM once, during audio", live, [TextStart("P", "S2", "SYSTEM")], DUPLICATE_SYSTEM),
    ("2.1.6 history begins with USER", prompted, [TextStart("P", "X", "ASSISTANT")], HISTORY_ORDER),
    ("2.1.6 history is sent completely", prompted,
     [TextStart("P", "X", "USER"), AudioStart("P", "A", 16_000)], HISTORY_OPEN),
    ("2.1.8 one audio container", live, [AudioStart("P", "A2", 16_000)], UNEXPECTED),
    # 2.2 to 2.7, the values; 6 and 11.3, their texts.
    ("2.2 maxTokens is positive", new, [SessionStart(0)], INVALID),
    ("2.2 maxTokens is whole", new, [SessionStart(1.5)], INVALID),  # pyright: ignore[reportArgumentType]
    ("2.2 maxTokens is a number", new, [SessionStart("1")], INVALID),  # pyright: ignore[reportArgumentType]
    ("2.2 topP is at most 1", new, [SessionStart(1, 1.1)], INVALID),
    ("2.2 temperature is not negative", new, [SessionStart(1, 1, -0.1)], INVALID),
    ("2.2 temperature is a number", new, [SessionStart(1, 1, True)], INVALID),
    ("2.2 sensitivities are in upper case", new, [SessionStart(1, endpointing="medium")], INVALID),
    ("2.3 a prompt has a name", session, [prompt(prompt="")], INVALID),
    ("2.3 a voice is named", session, [prompt(voice="")], NO_VOICE),
    ("2.3 in lower case", session, [prompt(voice="Carlos")], BAD_VOICE.format(voice="Carlos")),
    ("5.2 of this model", session, [prompt(voice="greta")], BAD_VOICE.format(voice="greta")),
    ("2.3 rates are 8, 16, 24 kHz", session, [prompt(rate_hz=44_100)], INVALID),
    ("2.3 sound is LPCM", session, [prompt(audio_media="audio/mpeg")], INVALID),
    ("2.3 of 16 bits", session, [prompt(sample_bits=8)], INVALID),
    ("2.3 and one channel", session, [prompt(channels=2)], INVALID),
    ("2.3 text is plain", session, [prompt(text_media="text/html")], INVALID),
    ("2.4 roles are four", prompted, [TextStart("P", "X", "TEACHER")], INVALID),
    ("2.4 text is plain", prompted, [TextStart("P", "X", "USER", media="text/html")], INVALID),
    ("2.4 a prompt is named", prompted, [TextStart("Q", "X", "USER")], INVALID),
    ("2.4 a block has a name", prompted, [TextStart("P", "", "USER")], INVALID),
    ("2.4 input is 8, 16, 24 kHz", prompted, [AudioStart("P", "A", 44_100)], INVALID),
    ("2.4 input is LPCM", prompted, [AudioStart("P", "A", 16_000, media="audio/mpeg")], INVALID),
    ("2.6 audio names its block", live, [AudioInput("P", "B", bytes(64))], INVALID),
    ("2.6 audio names its prompt", live, [AudioInput("Q", "A", bytes(64))], INVALID),
    ("2.8 an end names its prompt", quiet, [PromptEnd("Q")], INVALID),
    ("6 a system prompt fits", long_system, [TextInput("P", "S", "x")], INVALID),
    ("6 a message of the history fits", history("USER"),
     [TextStart("P", "X", "ASSISTANT"), TextInput("P", "X", "x" * 50_001)], HISTORY_LIMIT),
    ("6 the history fits", long_history,
     [TextStart("P", "H5", "ASSISTANT"), TextInput("P", "H5", "x")], HISTORY_LIMIT),
    # 8, tools.
    ("8.1 names match a pattern", session, [prompt(tools=tool("no spaces"))], INVALID),
    ("8.1 names differ", session, [prompt(tools=tool() + tool())], INVALID),
    ("8.1 a schema is a string", session, [SCHEMA_AS_OBJECT], UNREADABLE),
    ("8.1 a schema is JSON", session, [prompt(tools=tool(schema="{"))], INVALID),
    ("8.1 of an object", session, [prompt(tools=tool(schema="[]"))], INVALID),
    ("8.1 that is an object", session, [prompt(tools=tool(schema='{"type":"string"}'))], INVALID),
    ("6 a schema has no anyOf", session,
     [prompt(tools=tool(schema=property_schema('{"anyOf":[{"type":"string"}]}')))], INVALID),
    ("6 no unions with null", session,
     [prompt(tools=tool(schema=property_schema('{"type":["string","null"]}')))], INVALID),
    ("6 no $ref", session,
     [prompt(tools=tool(schema=property_schema('{"$ref":"#/x"}')))], INVALID),
    ("8.2 a choice names a tool", session,
     [prompt(tools=tool(), tool_choice="tool:come")], INVALID),
    ("8.2 choices are three", session, [prompt(tools=tool(), tool_choice="some")], INVALID),
    ("11.3 a result has a call", live, [ToolResultStart("P", "T", "unknown")], INVALID),
    ("6 a result is plain text", called,
     [ToolResultStart("P", "T", CALL, media="application/json")], TOOL_MEDIA),
    ("11.3 a result is JSON", answering, [ToolResult("P", "T", "{")], TOOL_PARSE),
    ("2.7 and not empty", answering, [ToolResult("P", "T", "")], TOOL_PARSE),
    ("2.7 no list", answering, [ToolResult("P", "T", "[1]")], TOOL_PARSE),
    ("2.7 no number", answering, [ToolResult("P", "T", "7")], TOOL_PARSE),
    ("2.7 no string", answering, [ToolResult("P", "T", '"done"')], TOOL_PARSE),
    ("2.7 no null", answering, [ToolResult("P", "T", "null")], TOOL_PARSE),
    ("8.4 one result", answered, [ToolResultStart("P", "T2", CALL)], INVALID),
    ("8.4 one result at a time", answering, [ToolResultStart("P", "T2", CALL)], INVALID),
    ("8.4 one toolResult in it", answering, [ToolResult("P", "T", "{}")] * 2, INVALID),
    # 11.3, the ends.
    ("11.3 a text ends with data", prompted,
     [TextStart("P", "X", "USER"), ContentEnd("P", "X")], EMPTY_CONTENT.format(content="X")),
    ("11.3 audio ends with data", prompted,
     [AudioStart("P", "A", 16_000), ContentEnd("P", "A")], EMPTY_CONTENT.format(content="A")),
    ("11.3 a result ends with data", answering,
     [ContentEnd("P", "T")], EMPTY_CONTENT.format(content="T")),
    ("11.3 no open history at the end", prompted,
     [TextStart("P", "X", "USER"), PromptEnd("P")], OPEN_CONTENT),
    ("11.3 no open text at the end", live,
     [TextStart("P", "X", "USER"), PromptEnd("P")], OPEN_CONTENT),
    ("11.3 no open result at the end", answering, [PromptEnd("P")], OPEN_CONTENT),
    ("11.3 no end without a container", prompted, [PromptEnd("P")], NO_AUDIO.format(prompt="P")),
    ("2.1 nothing after promptEnd", ended, [TextStart("P", "X", "USER")], INVALID),
    # 11.2, what is no event.
    ("11.2 no bytes", new, [b""], UNREADABLE),
    ("11.2 no UTF-8", new, [b"\xff\xfe"], UNREADABLE),
    ("11.2 no JSON", new, [b"{"], UNREADABLE),
    ("11.2 too deep", new, [b"[" * 100_000], UNREADABLE),
    ("11.2 no object in it", new, [b'{"event":{"sessionStart":7}}'], UNREADABLE),
    ("11.2 fields are missing", new, [b'{"event":{"contentStart":{"type":"TEXT"}}}'], UNREADABLE),
    ("11.2 no type", new, [b'{"event":{"contentStart":{"type":[]}}}'], UNREADABLE),
    ("11.2 no base64", new,
     [b'{"event":{"audioInput":{"promptName":"P","contentName":"A","content":"?"}}}'], UNREADABLE),
]  # fmt: skip

NO_EVENT = (b"{}", b"7", b'{"event":{}}', b'{"event":7}', b'{"sessionStart":{}}')


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A deviation of real clients: its note's name, and the text against it when strict."""

    rule: str
    way: Way
    sent: list[Input]
    note: str
    text: str
    model: str = V2


TOLERATED = [
    Tolerance("2.1.3 names differ", history("USER"), [TextStart("P", "H0", "ASSISTANT")],
              "content-name", INVALID),
    Tolerance("2.1.6 roles alternate", history("USER"), [TextStart("P", "X", "USER")],
              "history-order", INVALID),
    Tolerance("2.9 history is 40 messages", history(*["USER", "ASSISTANT"] * 20),
              [TextStart("P", "X", "USER")], "history-messages", HISTORY_LIMIT),
    Tolerance("2.1 SYSTEM before history", history("USER"), [TextStart("P", "S", "SYSTEM")],
              "late-system", INVALID),
    Tolerance("2.1 SYSTEM_SPEECH before audio", live, [TextStart("P", "S2", "SYSTEM_SPEECH")],
              "late-system", INVALID),
    Tolerance("2.1.7 audio is opened once", quiet, [AudioStart("P", "A2", 16_000)],
              "second-audio", UNEXPECTED),
    Tolerance("2.1 no audio after its end", quiet, [AudioInput("P", "A", bytes(64))],
              "late-audio", INVALID),
    Tolerance("2.1 no audio after the prompt", ended, [AudioInput("P", "A", bytes(64))],
              "late-audio", INVALID),
    Tolerance("1.8 audio ends before the prompt", live, [PromptEnd("P")],
              "open-audio", OPEN_CONTENT),
    Tolerance("1.8 the prompt ends before the session", quiet, [SessionEnd()],
              "open-prompt", OPEN_PROMPT),
    Tolerance("2 names are these", live, [UnknownInput("userNod")], "unknown-event", INVALID),
    Tolerance("2.8 sessionEnd is the goodbye", ended, [UnknownInput("connectionEnd")],
              "unknown-event", INVALID),
    Tolerance("2.2 v1 has no endpointing", new, [SessionStart(1024, endpointing="LOW")],
              "endpointing", INVALID, V1),
]  # fmt: skip


def host_for(strict: bool, model: str = V2) -> Host:
    """Its first utterance is answered by a call."""
    step = ScenarioStep("go", calls=(ScenarioCall("go", {}, (), ("Gone.",)),))
    return Host(step, speech=spoken((0, 960)), model=model, strict=strict)


def send(host: Host, sent: list[Input] | list[Input | bytes]) -> None:
    for item in sent:
        if isinstance(item, bytes):
            host.do(host.service.receive(item))
        else:
            host.send(item)


def sent_before(host: Host, way: Way, sent: list[Any]) -> int:
    """Go the way and send all but the last; nothing of it may be wrong."""
    way(host)
    send(host, sent[:-1])
    assert (host.failure, host.notes) == (None, [])
    return len(host.effects)


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize(
    ("rule", "way", "sent", "text"), MISTAKES, ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_ends_the_stream_with_its_text(
    rule: str, way: Way, sent: list[Input | bytes], text: str, strict: bool
) -> None:
    host = host_for(strict)
    before = sent_before(host, way, sent)
    send(host, sent[-1:])
    wanted = Fail("validationException", f"RequestId=request-1 : {text}")
    assert host.effects[before:] == [wanted]


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize("payload", NO_EVENT)
def test_json_without_an_event_has_a_text_of_its_own_without_request_id(
    payload: bytes, strict: bool
) -> None:
    host = host_for(strict)
    host.do(host.service.receive(payload))
    assert host.effects == [Fail("validationException", NO_EVENTS)]


@pytest.mark.parametrize("case", TOLERATED, ids=lambda case: case.rule)
def test_a_deviation_of_real_clients_is_noted_and_refused_only_when_strict(case: Tolerance) -> None:
    lenient, strict = host_for(False, case.model), host_for(True, case.model)
    sent_before(lenient, case.way, case.sent)
    send(lenient, case.sent[-1:])
    assert (lenient.failure, lenient.notes) == (None, [case.note])
    before = sent_before(strict, case.way, case.sent)
    send(strict, case.sent[-1:])
    wanted = Fail("validationException", f"RequestId=request-1 : {case.text}")
    assert strict.effects[before:] == [wanted]


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_a_dialect_at_the_top_of_a_schema_is_taken_and_nowhere_else(strict: bool) -> None:
    named = '"$schema":"http://json-schema.org/draft-07/schema#"'
    host = host_for(strict)
    session(host)
    host.send(prompt(tools=tool(schema=f'{{{named},"type":"object"}}')))
    assert (host.failure, host.notes) == (None, [])
    deeper = host_for(strict)
    session(deeper)
    deeper.send(prompt(tools=tool(schema=property_schema(f'{{{named},"type":"string"}}'))))
    assert deeper.failure == INVALID


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_a_container_without_audio_is_open_first_and_empty_then(strict: bool) -> None:
    host = host_for(strict)
    prompted(host)
    host.send(AudioStart("P", "A", 16_000), PromptEnd("P"))
    assert host.failure == (OPEN_CONTENT if strict else NO_AUDIO.format(prompt="P"))
    assert host.notes == ([] if strict else ["open-audio"])


def test_v1_knows_no_speech_prompt() -> None:
    host = host_for(True, V1)
    prompted(host)
    host.send(TextStart("P", "SS", "SYSTEM_SPEECH"))
    assert host.failure == INVALID


def test_every_text_of_the_service_stands_in_a_row() -> None:
    texts = {
        name: value
        for module in (checks, order)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and " " in value
    }
    rows = [row[3] for row in MISTAKES] + [case.text for case in TOLERATED] + [NO_EVENTS]
    begins = {name: value.partition("{")[0] for name, value in texts.items()}
    missing = {n for n, begin in begins.items() if not any(row.startswith(begin) for row in rows)}
    assert missing == {"IDLE", "LIFE"}  # of the timers, which no event breaks
