"""The judge of conformance: known deviations of real clients, and every rule of the table."""

import json

import pytest

from sonic_voice.emulator.observers import StreamStatistics
from sonic_voice.emulator.observers.conformance import ConformanceChecker, RuleViolation
from sonic_voice.emulator.observers.conformance_rules import RULES
from sonic_voice.emulator.observers.report import ConformanceReport
from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service.effects import Effect, Emit, Fail, Note, StreamRequest
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
    ToolResult,
    ToolResultStart,
    encode_input,
)

from ..support.service_host import GO, Host, spoken


class Judged:
    """A conversation and its judge, as the server would bring them together."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.judge = ConformanceChecker()
        self.mistakes: list[RuleViolation] = []
        self._seen = 0

    def raw(self, payload: bytes) -> None:
        self.mistakes += self.judge.received(payload)
        self.host.do(self.host.service.receive(payload))
        for effect in self.host.effects[self._seen :]:
            self.mistakes += self.judge.answered(effect)
        self._seen = len(self.host.effects)

    def send(self, *records: Input) -> None:
        for record in records:
            self.raw(encode_input(record))

    def begin(self, *, interactive: bool = False) -> None:
        system = TextStart("P", "S", "SYSTEM", interactive)
        self.send(SessionStart(1024, 0.9, 0.7), PromptStart("P", "matthew", 16_000, (GO,)))
        self.send(system, TextInput("P", "S", "Be kind."), ContentEnd("P", "S"))
        self.send(AudioStart("P", "A", 16_000))

    def audio(self, ms: int) -> None:
        for _ in range(ms // 32):
            self.send(AudioInput("P", "A", bytes(1024)))

    def end(self) -> None:
        self.send(ContentEnd("P", "A"), PromptEnd("P"), SessionEnd())
        self.mistakes += self.judge.input_ended()

    @property
    def rules(self) -> list[tuple[str, str]]:
        return [(mistake.rule, mistake.outcome) for mistake in self.mistakes]


def judged(
    *steps: ScenarioStep, strict: bool = False, model: str = "amazon.nova-2-sonic-v1:0"
) -> Judged:
    return Judged(Host(*steps, speech=spoken((0, 960)), strict=strict, model=model))


def test_a_good_conversation_keeps_what_it_puts_to_the_test() -> None:
    talk = judged()
    talk.begin()
    talk.audio(8_000)
    talk.end()
    assert talk.mistakes == []
    kept = set(talk.judge.findings)
    assert {"order", "signature", "system-once", "open-audio", "cut-answer", "no-goodbye"} <= kept
    assert not kept & {"tool-answered", "history-first"}  # nobody tried


def test_a_goodbye_of_strands_is_found() -> None:
    """`connectionEnd`, then nothing but the end of the input."""
    talk = judged()
    talk.begin()
    talk.audio(320)
    talk.raw(b'{"event":{"connectionEnd":{}}}')
    for effect in talk.host.service.end_of_input():
        talk.mistakes += talk.judge.answered(effect)
    talk.mistakes += talk.judge.input_ended()
    assert talk.rules == [("unknown-event", "deviates"), ("no-goodbye", "deviates")]
    assert "connectionEnd in state LIVE" in str(talk.mistakes[0])
    assert talk.judge.conforms


def test_a_prompt_of_pipecat_that_ends_with_its_audio_open_is_found() -> None:
    talk = judged()
    talk.begin()
    talk.audio(320)
    talk.send(PromptEnd("P"), SessionEnd())
    assert talk.rules == [("open-audio", "deviates")]
    assert "All contents must be closed before ending prompt" in str(talk.mistakes[0])


def test_an_interactive_system_of_langchain_is_found() -> None:
    talk = judged()
    talk.begin(interactive=True)
    assert talk.rules == [("interactive-system", "deviates")]


def test_strict_a_deviation_breaks_its_own_rule() -> None:
    talk = judged(strict=True)
    talk.begin()
    talk.raw(b'{"event":{"connectionEnd":{}}}')
    assert talk.rules == [("unknown-event", "broken")]
    assert "connectionEnd: " in str(talk.mistakes[0])
    assert not talk.judge.conforms


def test_a_goodbye_in_the_middle_of_an_answer_is_found() -> None:
    talk = judged(ScenarioStep("hello", ("A long answer with many words, and then some more.",)))
    talk.begin()
    talk.audio(2_400)
    talk.end()
    assert talk.rules == [("cut-answer", "deviates")]


def test_a_call_without_a_result_is_found_at_the_end() -> None:
    talk = judged(ScenarioStep("go", calls=(ScenarioCall("go", {}, then=("Done.",)),)))
    talk.begin()
    talk.audio(3_200)
    (call,) = talk.host.calls
    talk.end()
    assert ("tool-answered", "deviates") in talk.rules
    assert call.tool_use in talk.judge.findings["tool-answered"].details[0]


def test_a_call_with_a_result_is_none() -> None:
    talk = judged(ScenarioStep("go", calls=(ScenarioCall("go", {}, then=("Done.",)),)))
    talk.begin()
    talk.audio(3_200)
    (call,) = talk.host.calls
    talk.send(ToolResultStart("P", "T", call.tool_use), ToolResult("P", "T", "{}"))
    talk.send(ContentEnd("P", "T"))
    talk.audio(6_400)
    talk.end()
    assert talk.mistakes == []


START = SessionStart(1024, 0.9, 0.7)
PROMPT = PromptStart("P", "matthew", 16_000)
AUDIO = AudioStart("P", "A", 16_000)

BREAKING: list[tuple[str, list[Input]]] = [
    ("order", [PROMPT]),
    ("order", [START, START]),
    ("order", [START, AUDIO]),
    ("session-values", [SessionStart(0, 0.9, 0.7)]),
    ("prompt-values", [START, PromptStart("P", "matthew", 44_100)]),
    ("voice", [START, PromptStart("P", "Carlos", 16_000)]),
    ("content-values", [START, PROMPT, AudioStart("P", "A", 11_025)]),
    ("system-once", [START, PROMPT, *[TextStart("P", n, "SYSTEM") for n in "xy"]]),
    ("history-first", [START, PROMPT, TextStart("P", "H", "ASSISTANT")]),
    ("history-closed", [START, PROMPT, TextStart("P", "H", "USER"), AUDIO]),
    ("empty-content", [START, PROMPT, TextStart("P", "S", "SYSTEM"), ContentEnd("P", "S")]),
    ("tool-id", [START, PROMPT, AUDIO, ToolResultStart("P", "T", "nobody's")]),
    ("tool-media", [START, PROMPT, AUDIO, ToolResultStart("P", "T", "x", "application/json")]),
    ("second-audio", [START, PROMPT, AUDIO, AudioStart("P", "B", 16_000)]),
    ("prompt-audio", [START, PROMPT, AUDIO, ContentEnd("P", "A")]),
    ("prompt-audio", [START, PROMPT, PromptEnd("P")]),
    ("no-prompt", [START, SessionEnd()]),
    ("names", [START, PROMPT, AUDIO, AudioInput("P", "other", bytes(64))]),
]


@pytest.mark.parametrize(("rule", "records"), BREAKING)
def test_an_exception_is_laid_at_the_rule_that_was_broken(rule: str, records: list[Input]) -> None:
    talk = judged()
    talk.send(*records)
    expected = "empty-content" if records[-1] == ContentEnd("P", "A") else rule
    assert talk.rules == [(expected, "broken")]
    assert not talk.judge.conforms


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "RequestId=x : The event stream cannot be accepted: the frame is not signed.",
            "signature",
        ),
        ("RequestId=x : A chunk is at most 1000000 bytes.", "chunk-size"),
        ("Unable to parse input chunk. Please check input format.", "readable"),
        ("No events to transform were found.", "one-event"),
        ("RequestId=x : Timed out waiting for audio bytes or interactive content.", "audio-flow"),
        ("RequestId=x : Model has timed out in processing the request.", "life"),
    ],
)
def test_what_the_host_refuses_is_a_rule_too(text: str, rule: str) -> None:
    (mistake,) = ConformanceChecker().answered(Fail("validationException", text))
    assert mistake.rule == rule


@pytest.mark.parametrize(
    "effect",
    [
        Fail("validationException", "System instability detected. Please retry your request."),
        Fail("modelTimeoutException", "Model has timed out.", injected=True),
        Note("the scenario calls go", "tool-not-offered"),
        Emit(b"no JSON"),
    ],
)
def test_what_is_no_mistake_of_the_client_breaks_nothing(effect: Effect) -> None:
    judge = ConformanceChecker()
    assert judge.answered(effect) == []
    assert judge.conforms


def test_the_report_counts_and_names_and_is_json() -> None:
    told: list[str] = []
    changes: list[None] = []
    report = ConformanceReport(
        lambda _, mistake: told.append(str(mistake)), lambda: changes.append(None)
    )
    for model in ("m1", "m2"):
        statistics = StreamStatistics(StreamRequest(model, "us-east-1", f"id of {model}"))
        stream = report.opened(statistics)
        stream.received(encode_input(START))
        if model == "m2":
            stream.answered(Fail("validationException", "RequestId=id : A chunk is at most 1."))
        statistics.end = "finished"
        stream.over()
    document = json.loads(json.dumps(report.document()))
    assert (document["streams"], document["conforming"], len(changes)) == (2, 1, 2)
    good, bad = document["results"]
    assert good["conforms"]
    assert "signature" in good["kept"]
    assert "tool-id" in good["untested"]
    assert [found["rule"] for found in bad["broken"]] == ["chunk-size"]
    (line,) = told
    assert line == (
        "chunk-size (0.4): A chunk is at most 1. "
        "The real service ends the stream with a validationException."
    )
    assert set(document["rules"]) == set(RULES)
