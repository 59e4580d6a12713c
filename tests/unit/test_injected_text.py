"""Texts that a client injects into a conversation with Nova 2.5, and its regions."""

import pytest

from sonic_voice.catalog import NOVA_2_5_SONIC, voice_model
from sonic_voice.emulator.observers.conformance_rules import RULES
from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service.admission import admitted
from sonic_voice.emulator.service.checks import TOOL_PARSE
from sonic_voice.emulator.service.effects import Fail, StreamRefusal, StreamRequest
from sonic_voice.emulator.service.typed_text import dictated_words, is_description
from sonic_voice.events import ToolCall
from sonic_voice.handover import ANSWER_TEXT, CONTINUE_TEXT, late_result_text
from sonic_voice.tool_calls import instruction
from sonic_voice.tools.results import silent_result

from ..support.output_grammar import OutputGrammar
from ..support.service_host import GO, V2, V25, Host, spoken

DESCRIPTIVE = "The order has shipped."
IMPERATIVE = "Tell the caller that the order has shipped."


@pytest.mark.parametrize(
    "text",
    [
        DESCRIPTIVE,
        "[The order has shipped.]",
        "It is raining in Oslo now.",
        "[System: the lookup takes longer than usual.]",
        "The user's account is locked, and support is closed.",
        "This is the customer's third call today. They are angry.",
    ],
)
def test_a_statement_about_a_person_or_a_thing_is_a_description(text: str) -> None:
    assert is_description(text)


@pytest.mark.parametrize(
    "text",
    [
        IMPERATIVE,
        "Please tell the caller that the order has shipped.",
        "The order has shipped. Now tell the caller.",
        "[The lookup takes long; ask the user to wait.]",
        "Don\N{RIGHT SINGLE QUOTATION MARK}t mention the price.",
        "What are your opening hours?",
        "The blue one?",
        "I want a large pizza.",
        "hello",
        "Erzähl mir etwas.",
        "",
        "...",
        CONTINUE_TEXT,
        ANSWER_TEXT,
        late_result_text(ToolCall(1, "id", "go", "{}"), '{"done": true}'),
    ],
)
def test_instructions_questions_and_the_users_own_words_are_none(text: str) -> None:
    assert not is_description(text)


def answered(model: str, text: str) -> Host:
    host = Host(ScenarioStep("hello", ("To {user}",)), model=model)
    host.begin()
    host.audio(320)
    host.text("X", "USER", text, interactive=True)
    host.audio(4000)
    return host


def test_a_descriptive_text_opens_no_turn_of_nova_2_5_and_is_noted() -> None:
    host = answered(V25, DESCRIPTIVE)
    assert "completionStart" not in host.shape()
    assert host.said("SPECULATIVE") == []
    assert host.notes == ["descriptive-text"]
    assert "descriptive-text" in RULES


@pytest.mark.parametrize(
    ("model", "text"), [(V25, IMPERATIVE), (V2, DESCRIPTIVE), (V2, IMPERATIVE)]
)
def test_an_imperative_text_opens_a_turn_and_so_does_every_text_of_nova_2(
    model: str, text: str
) -> None:
    host = answered(model, text)
    assert host.said("SPECULATIVE") == [f"To {text}"]
    assert host.notes == []


def test_a_descriptive_text_interrupts_the_answer_before_it() -> None:
    host = Host(ScenarioStep("hello", ("One two three.",)), speech=spoken((0, 960)), model=V25)
    host.begin()
    while not host.pcm:
        host.audio(32)
    host.text("X", "USER", DESCRIPTIVE, interactive=True)
    host.audio(4000)
    assert host.said("FINAL")[0] == '{ "interrupted" : true }'
    host.audio(2000)
    host.end()
    grammar = OutputGrammar(NOVA_2_5_SONIC)
    assert [words for payload in host.payloads for words in grammar.check(payload)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (instruction("One moment."), "One moment."),
        (IMPERATIVE, "The order has shipped."),
        ("Tell the caller you're connecting them now.", "You're connecting them now."),
        ("Please say \N{LEFT DOUBLE QUOTATION MARK}hi\N{RIGHT DOUBLE QUOTATION MARK}.", "hi"),
        ("[Inform the user: it is late.]", "It is late."),
        ("Let the customer know that we look.", "We look."),
        ("Tell me a story.", None),
        ("Tell the caller", None),
        (DESCRIPTIVE, None),
        ("Ask the user to wait.", None),
        ("", None),
    ],
)
def test_an_instruction_names_the_words_to_say(text: str, words: str | None) -> None:
    assert dictated_words(text, only_quoted=False) == words


def test_without_quotation_marks_it_may_be_a_user_who_speaks() -> None:
    assert dictated_words(IMPERATIVE, only_quoted=True) is None
    assert dictated_words(instruction("Yes."), only_quoted=True) == "Yes."


def with_call(model: str, then: str = "I went.", *further: ScenarioStep) -> Host:
    """A conversation in which a tool has been called that has no result yet."""
    call = ScenarioCall("go", {}, ("Let me look.",), (then,))
    host = Host(ScenarioStep("go", calls=(call,)), *further, speech=spoken((0, 960)), model=model)
    host.begin(tools=(GO,))
    while not host.calls:
        host.audio(32)
    return host


def test_in_the_gap_of_a_silent_tool_turn_only_an_instruction_is_spoken() -> None:
    host = with_call(V25)
    host.audio(1000)
    host.text("X1", "USER", DESCRIPTIVE, interactive=True)
    host.audio(3000)
    assert host.said("SPECULATIVE") == []
    host.text("X2", "USER", IMPERATIVE, interactive=True)
    host.audio(4000)
    assert host.said("SPECULATIVE") == ["The order has shipped."]
    host.result(host.calls[0].tool_use, "{}")
    host.audio(4000)
    assert host.said("SPECULATIVE") == ["The order has shipped.", "I went."]
    assert host.notes == ["descriptive-text"]
    host.end()
    grammar = OutputGrammar(NOVA_2_5_SONIC)
    assert [words for payload in host.payloads for words in grammar.check(payload)] == []


@pytest.mark.parametrize("model", [V2, V25])
def test_quoted_words_are_said_at_any_time_and_are_no_step_of_the_scenario(model: str) -> None:
    host = Host(ScenarioStep("hello", ("Hi.",)), speech=spoken((4992, 5952)), model=model)
    host.begin()
    host.audio(320)
    host.text("X", "USER", instruction("It is ready."), interactive=True)
    host.audio(9000)
    assert host.said("SPECULATIVE") == ["It is ready.", "Hi."]


def test_an_instruction_beside_an_answer_is_noted() -> None:
    host = Host(ScenarioStep("hello", ("One two three.",)), speech=spoken((0, 960)), model=V25)
    host.begin()
    while not host.pcm:
        host.audio(32)
    host.text("X", "USER", IMPERATIVE, interactive=True)
    assert host.notes == ["injected-text"]
    assert "injected-text" in RULES


def test_an_instruction_beside_the_user_is_noted() -> None:
    host = Host(speech=spoken((0, 1920)), model=V25)
    host.begin()
    host.audio(960)
    host.text("X", "USER", IMPERATIVE, interactive=True)
    assert host.notes == ["injected-text"]


@pytest.mark.parametrize("model", [V2, V25])
def test_a_result_that_asks_for_silence_is_not_spoken(model: str) -> None:
    host = with_call(model)
    host.result(host.calls[0].tool_use, silent_result('{"meters": 1}'))
    host.audio(6000)
    assert host.said("SPECULATIVE") == (["Let me look."] if model == V2 else [])


@pytest.mark.parametrize("prose", ["I went ten meters.", '"I went."', ""])
def test_a_result_in_prose_ends_a_stream_of_nova_2_5(prose: str) -> None:
    host = with_call(V25)
    host.result(host.calls[0].tool_use, prose)
    failed = [effect for effect in host.effects if isinstance(effect, Fail)]
    assert [fail.code for fail in failed] == ["validationException"]
    assert TOOL_PARSE in failed[0].message
    assert host.said("SPECULATIVE") == []


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1"])
def test_nova_2_5_is_offered_in_the_regions_of_its_announcement(region: str) -> None:
    admission = admitted(StreamRequest(V25, region, "request-1"), strict=True, today=None)
    assert not isinstance(admission, StreamRefusal)
    assert admission[0] is voice_model(V25)
