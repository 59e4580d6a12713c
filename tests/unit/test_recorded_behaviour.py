"""Recorded behaviour of the service: the emulator produces it, and the client comes through it.

Each conversation is held against the grammar of the output, the conformance report and the turns
and transcript of the client.
"""

import json

import pytest

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.observers.conformance import ConformanceChecker
from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service.effects import Emit
from sonic_voice.events import (
    AssistantText,
    Event,
    Ignored,
    Interrupted,
    ToolCall,
    TurnEnded,
    UserText,
)
from sonic_voice.transcript import Transcript
from sonic_voice.turns import Turns
from sonic_voice.wire import (
    AudioOutput,
    PromptEnd,
    SessionEnd,
    ToolDefinition,
    UserSpeechStart,
    decode_output,
    encode_input,
)

from ..support.output_grammar import OutputGrammar
from ..support.service_host import GO, V1, V2, V25, Host, spoken, without_words

STORY = ScenarioStep("tell me a long story.", ("Once upon a time there was a lighthouse.",))
SHORT = ScenarioStep("stop, something shorter.", ("Sure.",))
TWO = ScenarioStep("one two three.", ("Of course.", "Which city do you mean?"))
STOP = ToolDefinition("stop", "Stops.", '{"type":"object"}')


def violations(host: Host) -> list[str]:
    """Return the rules of the grammar that the output of a host breaks, with and without roles."""
    found: list[str] = []
    for without_role in (False, True):
        grammar = OutputGrammar(voice_model(host.model))
        for payload in host.payloads:
            if without_role:
                event = json.loads(payload)
                ((name, body),) = event["event"].items()
                if name in ("textOutput", "audioOutput", "toolUse"):
                    del body["role"]
                payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
            found += grammar.check(payload)
        found += grammar.end()
    return found


class Client:
    """The client's turns and transcript, after all output of a host has come at one moment."""

    def __init__(self, host: Host) -> None:
        self.transcript = Transcript()
        self.turns = Turns(self.transcript)
        self.events: list[Event] = []
        for effect in host.effects:
            if isinstance(effect, Emit):
                self.events += self.turns.receive(decode_output(effect.payload), 0.0)

    def of[T](self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(line.role, line.text) for line in self.transcript.lines]


def silent_barge_in(onset_ms: int = 4000, word_ms: int = 1000) -> Host:
    speech = spoken((0, 1920), (onset_ms, onset_ms + 1024))
    host = Host(STORY, SHORT, speech=speech, word_ms=word_ms)
    host.wrap("silent-barge-in")
    host.begin()
    host.audio(9000)
    return host


def test_a_silent_barge_in_has_the_recorded_order() -> None:
    host = silent_barge_in()
    shape = without_words(host.shape())
    onset = len(shape) - 1 - shape[::-1].index("userSpeechStart")
    assert shape[onset - 1 : onset + 4] == [
        "audioOutput",
        "userSpeechStart",
        "audioOutput",
        "contentEnd AUDIO PARTIAL_TURN",
        "userSpeechEnd",
    ]
    records = [decode_output(payload) for payload in host.payloads]
    start = [n for n, record in enumerate(records) if isinstance(record, UserSpeechStart)][1]
    after = [isinstance(record, AudioOutput) for record in records[start + 1 : start + 4]]
    assert after == [True, True, False]
    assert host.said("FINAL") == ["Sure."]
    host.end()
    assert violations(host) == []


def test_a_silent_barge_in_after_all_sound_was_sent_shows_in_the_onset_alone() -> None:
    host = Host(STORY, SHORT, speech=spoken((0, 1920), (4000, 5024)))
    host.wrap("silent-barge-in")
    host.begin()
    host.audio(9000)
    host.end()
    assert host.said("FINAL") == ["Sure."]
    assert violations(host) == []


def test_a_silent_barge_in_interrupts_the_client_and_keeps_every_word() -> None:
    client = Client(silent_barge_in())
    assert client.of(Interrupted) == [Interrupted(1, "userSpeechStart")]
    assert not client.of(Ignored)
    client.transcript.hear(1, 3000)
    assert client.lines[0] == ("USER", "tell me a long story.")
    assert client.lines[1][0] == "ASSISTANT"
    assert STORY.say[0].startswith(client.lines[1][1])
    assert client.lines[2:] == [("USER", "stop, something shorter."), ("ASSISTANT", "Sure.")]
    assert not client.turns.owes_answer


def test_an_onset_in_an_open_block_of_sound_interrupts_although_all_of_it_has_played() -> None:
    """The two chunks that follow are not heard as a whole sentence."""
    host = silent_barge_in(2912, 300)
    client = Client(Host())
    played_s = 0.0
    for payload in host.payloads:
        record = decode_output(payload)
        events = client.turns.receive(record, played_s)
        if isinstance(record, AudioOutput):
            played_s += len(record.pcm) / 32_000  # each chunk is played before the next event
        if Interrupted(1, "userSpeechStart") in events:
            client.transcript.hear(1, round(played_s * 1000))
        client.events += events
    assert client.of(Interrupted) == [Interrupted(1, "userSpeechStart")]
    line = client.transcript.lines[1]
    assert line.interrupted
    assert line.planned == STORY.say[0]
    assert STORY.say[0].startswith(line.text)
    assert line.text != STORY.say[0]


@pytest.mark.parametrize("model", [V1, V2, V25])
def test_a_spoken_turn_comes_in_two_texts(model: str) -> None:
    host = Host(TWO, speech=spoken((0, 1920)), model=model)
    host.wrap("split-transcript")
    host.begin()
    host.audio(9000)
    host.end()
    assert violations(host) == []
    client = Client(host)
    dot = "" if model == V1 else "."
    assert client.of(UserText) == [UserText(1, "one two"), UserText(1, f"three{dot}")]
    assert client.lines == [
        ("USER", f"one two three{dot}"),
        ("ASSISTANT", "Of course. Which city do you mean?"),
    ]
    assert client.of(TurnEnded) == [TurnEnded(1)]


def test_a_word_alone_stays_one_text() -> None:
    host = Host(ScenarioStep("hello", ("Hi.",)), speech=spoken((0, 960)))
    host.wrap("split-transcript")
    host.begin()
    host.audio(4000)
    assert Client(host).of(UserText) == [UserText(1, "hello")]


def spurious_marker(model: str = V2) -> Host:
    host = Host(TWO, SHORT, speech=spoken((0, 1920), (9600, 10_560)), model=model, word_ms=300)
    host.wrap("spurious-marker:1")
    host.begin()
    host.audio(14_000)
    return host


@pytest.mark.parametrize("model", [V1, V2])
def test_a_spurious_marker_comes_after_a_final_text_and_the_answer_goes_on(model: str) -> None:
    host = spurious_marker(model)
    shape = host.shape()
    at = shape.index('textOutput "{ \\"interrupted\\" : true }"')
    onset = ["userSpeechStart"] if model == V2 else []
    assert shape[at - 4 - len(onset) : at + 3] == [
        *onset,
        "contentStart ASSISTANT TEXT FINAL",
        'textOutput "Of"',
        "contentEnd TEXT PARTIAL_TURN",
        "contentStart ASSISTANT TEXT FINAL",
        'textOutput "{ \\"interrupted\\" : true }"',
        "contentEnd TEXT INTERRUPTED",
        "audioOutput",
    ]
    assert shape.count("userSpeechEnd") == (2 if model == V2 else 0)
    host.end()
    assert violations(host) == []


def test_after_a_spurious_marker_no_word_is_lost_or_repeated() -> None:
    host = spurious_marker()
    client = Client(host)
    client.transcript.hear(1, 200)
    assert client.lines == [
        ("USER", "one two three."),
        ("ASSISTANT", "Of"),
        ("ASSISTANT", "Which city do you mean?"),
        ("USER", "stop, something shorter."),
        ("ASSISTANT", "Sure."),
    ]
    finals = [event for event in client.of(AssistantText) if event.stage == "FINAL"]
    assert [event.text.strip() for event in finals] == ["Of", "Which city do you mean?", "Sure."]
    assert not client.turns.owes_answer


def test_speech_that_a_spurious_marker_claimed_is_forgotten_when_the_answer_goes_on() -> None:
    host = Host(TWO, speech=spoken((0, 1920)), word_ms=300)
    host.wrap("spurious-marker:1")
    host.begin()
    host.audio(9000)
    client = Client(host)
    assert client.turns.is_settled(60.0)
    assert client.turns.progress.user_speaks is False
    assert client.turns.progress.speech_began_ms is None


def two_calls(model: str) -> Host:
    calls = (
        ScenarioCall("go", {"meters": 10}, ("One moment.",), ("I went.",)),
        ScenarioCall("stop", {}, (), ("I stopped.",)),
    )
    step = ScenarioStep("go, then stop.", calls=calls)
    host = Host(step, SHORT, speech=spoken((0, 1920)), model=model)
    host.begin(tools=(GO, STOP))
    while not host.calls:
        host.audio(32)
    return host


@pytest.mark.parametrize("model", [V1, V2, V25])
def test_two_different_tools_are_called_in_one_turn_and_answered_in_one(model: str) -> None:
    host = two_calls(model)
    first, second = host.calls
    assert (first.name, second.name) == ("go", "stop")
    host.result(second.tool_use, "{}", "T2")
    host.result(first.tool_use, "{}", "T1")
    host.audio(6000)
    host.end()
    meanwhile = ["One moment."] if model == V2 else []
    said = [*meanwhile, "I stopped.", "I went."]
    assert [text.strip() for text in host.said("SPECULATIVE")] == said
    assert violations(host) == []
    client = Client(host)
    assert [call.name for call in client.of(ToolCall)] == ["go", "stop"]
    assert client.of(TurnEnded) == [TurnEnded(1)]
    assert client.lines[1:] == [("ASSISTANT", " ".join(said))]


def test_a_model_that_is_silent_during_calls_waits_for_both_results() -> None:
    host = two_calls(V25)
    first, second = host.calls
    host.result(first.tool_use, "{}", "T1")
    host.audio(4000)
    assert host.said("SPECULATIVE") == []
    host.result(second.tool_use, "{}", "T2")
    host.audio(4000)
    assert host.said("SPECULATIVE") == ["I went.", " I stopped."]


def test_a_model_that_speaks_during_calls_answers_each_result_as_it_comes() -> None:
    host = two_calls(V2)
    first, second = host.calls
    host.audio(4000)
    host.result(first.tool_use, "{}", "T1")
    host.audio(4000)
    host.result(second.tool_use, "{}", "T2")
    host.audio(4000)
    assert host.said("SPECULATIVE") == ["One moment.", "I went.", "I stopped."]
    host.end()
    assert violations(host) == []


def test_an_empty_transcript_is_answered_and_is_no_turn_of_the_user() -> None:
    host = Host(ScenarioStep("", ("Hello, who is there?",)), speech=spoken((0, 960)))
    host.begin()
    host.audio(6000)
    host.end()
    assert 'textOutput ""' in host.shape()
    assert violations(host) == []
    client = Client(host)
    assert client.lines == [("ASSISTANT", "Hello, who is there?")]
    assert not client.turns.owes_answer


@pytest.mark.parametrize(
    ("fault", "end_ms"),
    [
        ("silent-barge-in", 4640),  # the user has begun to speak, and says goodbye instead
        ("spurious-marker:1", 4000),  # the answer that was reported as interrupted goes on
        ("spurious-interruption:1", 4000),
        ("split-transcript", 9000),
    ],
)
def test_the_report_blames_no_client_for_recorded_behaviour(fault: str, end_ms: int) -> None:
    barge_in = [(4000, 5024)] if fault == "silent-barge-in" else []
    host = Host(STORY, SHORT, speech=spoken((0, 1920), *barge_in), word_ms=1000)
    host.wrap(fault)
    checker = ConformanceChecker()
    host.begin()
    host.audio(end_ms)
    for payload in host.payloads:
        checker.answered(Emit(payload))
    for record in (PromptEnd("P"), SessionEnd()):
        assert [v.rule for v in checker.received(encode_input(record))] == []


def test_results_of_two_turns_do_not_wait_for_each_other() -> None:
    """The second turn's only call is answered while one of the first turn still runs."""
    calls = (ScenarioCall("go", {}, (), ("I went.",)), ScenarioCall("stop", {}, (), ("Stopped.",)))
    alone = ScenarioStep("go again.", calls=(ScenarioCall("go", {}, (), ("Again.",)),))
    host = Host(
        ScenarioStep("go, then stop.", calls=calls),
        alone,
        speech=spoken((0, 1920), (4000, 5024)),
        model=V25,
    )
    host.begin(tools=(GO, STOP))
    host.audio(8000)
    first, second, third = host.calls
    host.result(first.tool_use, "{}", "T1")
    host.result(third.tool_use, "{}", "T3")
    host.audio(4000)
    assert host.said("SPECULATIVE") == ["Again."]
    host.result(second.tool_use, "{}", "T2")
    host.audio(4000)
    assert host.said("SPECULATIVE")[1:] == ["I went.", " Stopped."]


def test_speech_without_words_is_counted_and_not_answered() -> None:
    speech = spoken((0, 1920), (4000, 5024))
    host = Host(ScenarioStep("hello", ("Hi.",)), speech=speech, words=["", "hello"])
    host.begin()
    host.audio(9000)
    host.end()
    assert host.said("SPECULATIVE") == ["Hi."]
    assert violations(host) == []
