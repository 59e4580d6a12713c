"""An emulator without a recogniser: typed words are understood, speech moves the scenario on."""

from datetime import UTC, datetime

from sonic_voice.emulator.brains.scripted import ScriptedBrain
from sonic_voice.emulator.brains.small_talk import SmallTalkBrain
from sonic_voice.emulator.brains.typed_words import TypedWordsBrain
from sonic_voice.emulator.scenario import Scenario, ScenarioCall, ScenarioStep
from sonic_voice.wire import AudioStart, PromptStart, SessionStart

from ..support.service_host import GO, RATE_HZ, V25, Host, no_resampling, spoken
from .test_openai import check_grammar

NOW = datetime(2026, 11, 22, 14, 5, tzinfo=UTC)
SCENARIO = Scenario(
    "spoken",
    (
        ScenarioStep(
            "go there", calls=(ScenarioCall("go", {"direction": "forward"}, then=("I am there.",)),)
        ),
        ScenarioStep("thanks", ("You are welcome.",)),
    ),
)


def conversation(speech: list[float]) -> Host:
    brain = TypedWordsBrain(
        ScriptedBrain(SCENARIO, no_resampling), SmallTalkBrain(lambda: NOW, no_resampling)
    )
    host = Host(brain=brain, model=V25, speech=speech)
    host.send(SessionStart(1024, 0.9, 0.7))
    host.send(PromptStart("P", "matthew", host.rate_hz, (GO,)))
    host.text("S", "SYSTEM", "Be kind.")
    host.send(AudioStart("P", "A", RATE_HZ))
    host.audio(96)
    return host


def typed(host: Host, words: str) -> None:
    host.text(f"T{len(host.effects)}", "USER", words, interactive=True)
    host.audio(6400)


def test_typed_words_are_understood_between_turns_that_are_not() -> None:
    host = conversation(spoken((320, 1280), (14_400, 15_360)))
    host.audio(4800)
    (call,) = host.calls
    host.result(call.tool_use, "{}")
    host.audio(3200)
    typed(host, "Count to three.")
    host.audio(6400)
    assert [line.strip() for line in host.said("SPECULATIVE")] == [
        "I am there.",
        "One, two, three.",
        "You are welcome.",
    ]
    check_grammar(host)


def test_results_reach_the_brain_that_made_the_call() -> None:
    host = conversation(spoken((320, 1280)))
    host.audio(4800)
    typed(host, "Go now.")
    by_speech, by_typing = host.calls
    host.result(by_typing.tool_use, '{"arrived": "at home"}', "R1")
    host.result(by_speech.tool_use, "{}", "R2")
    host.audio(6400)
    said = " ".join(host.said("SPECULATIVE"))
    assert "at home" in said
    assert "I am there." in said
    check_grammar(host)
