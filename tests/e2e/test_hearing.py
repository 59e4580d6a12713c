"""The emulator hears people and synthesisers through the whole service, and answers to the point.

Ten recordings of people and ten sentences of two synthesisers go through the production client,
TLS and HTTP/2; what comes back is compared with what was said. Whisper is given no hint of it,
pocketsphinx the sentences of the scenario that it plays. Then the engines by themselves.
"""

import asyncio
import importlib.util
import json
import re
import wave
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from sonic_voice import (
    AudioFormat,
    BedrockTransport,
    NullSink,
    Session,
    SessionConfig,
    Toolbox,
    WavSource,
    converse,
    tool,
)
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION
from sonic_voice.emulator.service.brain import NO_WORDS
from sonic_voice.emulator.service.endpointing import WINDOW_MS
from sonic_voice.emulator.speech import (
    PicoSynthesizer,
    PiperSynthesizer,
    PocketsphinxRecognizer,
    Recognizer,
    WhisperRecognizer,
    installed,
    resample,
    weights,
)
from sonic_voice.events import AssistantText, Event, ToolAnswered, TurnEnded, UserText

from ..support.word_errors import plain_words, word_error_rate

SPEECH = Path(__file__).parent.parent / "speech"
RATE_HZ = 16_000
SPEED = 20.0
MOST_WORDS_WRONG = 0.15

whisper = pytest.mark.skipif(
    importlib.util.find_spec("ctranslate2") is None, reason="Whisper is of the extra `speech`"
)
pico = pytest.mark.skipif(
    importlib.util.find_spec("py_nanotts") is None, reason="Pico has no wheel here"
)
PIPER = importlib.util.find_spec("piper") is not None


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


TOOLS = Toolbox([go])

RECORDED = {
    "hello": r"Hello! I am a local emulator",
    "please-try-again": r"Hello! I am a local emulator",
    "goforward": r"One moment.*forward",
    "transfer": r"I am waiting",
    "cards-005": r"I understood: .* spades",
    "tt-weasels": r"I understood: .* phone system",
    "agent-newlocation": r"I understood: .* extension",
    "vm-sorry": r"let me say it again",
    "demo-thanks": r"Goodbye",
    "goodbye": r"Goodbye",
}
"""What people say, and what is to the point of it."""

SYNTHESISED = {
    "Who are you?": r"local emulator",
    "What time is it?": r"It is \d+:\d\d in the",
    "What day is it today?": r"Today is \w+day",
    "My name is Peter.": r"Nice to meet you, Peter",
    "What is my name?": r"Your name is Peter",
    "Count to five.": r"One, two, three, four, five",
    "Spell the word banana.": r"B, A, N, A, N, A",
    "What is seven plus five?": r"twelve",
    "Tell me a joke.": r"packet",
    "What is the weather like today?": r"cannot see the weather",
}


LANGUAGES = {
    "en": ("amy", "I would like to book a table for two people tomorrow evening."),
    "fr": ("ambre", "Envoyez-moi la facture avant vendredi, s'il vous plaît."),
    "it": ("beatrice", "Vorrei prenotare un tavolo per due persone domani sera."),
    "de": ("tina", "Ich möchte für morgen Abend einen Tisch für zwei Personen reservieren."),
    "es": ("lupe", "Me gustaría reservar una mesa para dos personas mañana por la noche."),
}
"""A voice of each language that a synthesiser here speaks, and a sentence for it."""

OTHER_LANGUAGES = {
    "hindi-table": "arjun",
    "hindi-order": "kiara",
    "portuguese-table": "carolina",
    "portuguese-order": "leo",
}
"""Recordings in the two other languages, and a voice of the language."""


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance as it should be heard."""

    text: str
    pcm: bytes


def recorded() -> list[Said]:
    """Ten utterances of people."""
    said: list[Said] = []
    for name in RECORDED:
        with wave.open(str(SPEECH / f"{name}.wav")) as file:
            assert file.getframerate() == RATE_HZ
            pcm = file.readframes(file.getnframes())
        said.append(Said((SPEECH / f"{name}.txt").read_text().strip(), pcm))
    return said


def synthesised() -> list[Said]:
    """Ten of two synthesisers, by turns; without Piper, of two speakers of Pico."""
    one = PicoSynthesizer().speak
    other, voice = (PiperSynthesizer().speak, "matthew") if PIPER else (one, "amy")
    speakers = ((one, "tiffany"), (other, voice)) * 5
    return [
        Said(text, speak(text, voice, RATE_HZ))
        for text, (speak, voice) in zip(SYNTHESISED, speakers, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back, utterance by utterance."""

    heard: list[str]
    said: list[str]
    tools: list[ToolAnswered]


async def talk(
    said: Sequence[Said],
    folder: Path,
    behaviour: Behaviour,
    *,
    scenario: Path | None = None,
    pause_s: int = 8,
    speed: float = SPEED,
    voice: str = "matthew",
) -> Answered:
    """One conversation of all that is `said`, with a pause after each for the answer."""
    told: list[Event] = []
    source = WavSource(_joined(said, folder, pause_s), speed=speed)
    sink = NullSink(AudioFormat(24_000), now=source.now)
    async with emulator(scenario, behaviour=behaviour) as running:
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=running.endpoint,
            ca_file=running.ca_file,
            access_key=LOCAL_KEYS.access_key,
            secret_key=LOCAL_KEYS.secret_key,
        )
        config = SessionConfig(tools=TOOLS.specs, voice=voice)
        async with Session.open(config, transport, clock=source.now) as session:
            await converse(session, source, sink, TOOLS, [lambda event, _: told.append(event)])
        await transport.aclose()
    await source.aclose()
    return _by_utterance(told)


def _joined(said: Sequence[Said], folder: Path, pause_s: int) -> Path:
    path = folder / "said.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for one in said:
            file.writeframes(one.pcm + bytes(pause_s * RATE_HZ * 2))
    return path


def _by_utterance(told: Sequence[Event]) -> Answered:
    answered = Answered([], [], [])
    turn = 0
    for event in told:
        match event:
            case UserText() if event.turn == turn:
                answered.heard[-1] += f" {event.text}"
            case UserText():
                turn = event.turn
                answered.heard.append(event.text)
                answered.said.append("")
            case AssistantText(text=text, stage="SPECULATIVE"):
                answered.said[-1] += f" {text}"  # what a tool's result brings is of a later turn
            case ToolAnswered():
                answered.tools.append(event)
            case _:
                pass
    return answered


def check_words(said: Sequence[Said], answered: Answered) -> None:
    """Each utterance is one turn, and few words are wrong."""
    assert len(answered.heard) == len(said), answered.heard
    pairs = [(one.text, heard) for one, heard in zip(said, answered.heard, strict=True)]
    rate = word_error_rate(pairs)
    assert rate < MOST_WORDS_WRONG, f"word error rate {rate:.1%}: {pairs}"


def check_answers(patterns: Sequence[str], answered: Answered) -> None:
    """Each answer is to the point."""
    found = zip(patterns, answered.heard, answered.said, strict=True)
    beside = [(h, a, p) for p, h, a in found if not re.search(p, a)]
    assert not beside, f"heard, answered, wanted: {beside}"


@whisper
async def test_whisper_hears_people_who_are_answered_to_the_point(tmp_path: Path) -> None:
    said = recorded()
    answered = await talk(said, tmp_path, Behaviour(ears="good"))
    check_words(said, answered)
    check_answers(list(RECORDED.values()), answered)
    assert [(tool.name, tool.result_json) for tool in answered.tools] == [
        ("go", '{"direction": "forward", "meters": 10}')
    ]


@whisper
@pico
async def test_whisper_hears_two_synthesisers_and_answers_their_questions(tmp_path: Path) -> None:
    said = synthesised()
    answered = await talk(said, tmp_path, Behaviour(ears="good"))
    check_words(said, answered)
    check_answers(list(SYNTHESISED.values()), answered)


@pico
async def test_pocketsphinx_hears_all_of_them_in_a_scenario(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    said = recorded() + synthesised()
    scenario = tmp_path / "steps.json"
    steps = [{"user": one.text, "say": f"Step {n}."} for n, one in enumerate(said)]
    scenario.write_text(json.dumps({"name": "all", "steps": steps}))
    answered = await talk(said, tmp_path, Behaviour(ears="light"), scenario=scenario, pause_s=4)
    check_words(said, answered)
    check_answers([rf"Step {n}\." for n in range(len(said))], answered)


@whisper
async def test_what_is_heard_does_not_depend_on_the_speed(tmp_path: Path) -> None:
    said = recorded()[:3]
    slow = await talk(said, tmp_path, Behaviour(ears="good"), pause_s=3, speed=4)
    quick = await talk(said, tmp_path, Behaviour(ears="good"), pause_s=3, speed=100)
    assert slow.heard == quick.heard


@pytest.mark.multilingual
@pico
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("voice", ["own", "tiffany"])
async def test_each_language_is_heard_as_what_it_is(
    language: str, voice: str, tmp_path: Path
) -> None:
    speaker, text = LANGUAGES[language]
    said = [Said(text, PicoSynthesizer().speak(text, speaker, RATE_HZ))]
    voice = speaker if voice == "own" else voice
    answered = await talk(said, tmp_path, Behaviour(ears="good"), pause_s=4, voice=voice)
    assert len(answered.heard) == 1
    rate = word_error_rate([(text, answered.heard[0])])
    assert rate < 0.25, f"word error rate {rate:.1%}: {answered.heard}"


@pytest.mark.multilingual
@pytest.mark.parametrize("name", OTHER_LANGUAGES)
@pytest.mark.parametrize("voice", ["own", "tiffany"])
async def test_portuguese_and_hindi_are_heard_as_what_they_are(
    name: str, voice: str, tmp_path: Path
) -> None:
    with wave.open(str(SPEECH / "languages" / f"{name}.wav")) as file:
        pcm = file.readframes(file.getnframes())
    said = [Said((SPEECH / "languages" / f"{name}.txt").read_text().strip(), pcm)]
    voice = OTHER_LANGUAGES[name] if voice == "own" else voice
    answered = await talk(said, tmp_path, Behaviour(ears="good"), pause_s=4, voice=voice)
    assert len(answered.heard) == 1
    rate = word_error_rate([(said[0].text, answered.heard[0])])
    assert rate < 0.25, f"word error rate {rate:.1%}: {answered.heard}"


@whisper
@pico
async def test_a_recogniser_of_english_guesses_no_german_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    known = [packaged for packaged in weights.PACKAGED if packaged.name == "tiny.en"]
    monkeypatch.setattr(weights, "PACKAGED", known)
    installed.warn_once.cache_clear()
    speaker, text = LANGUAGES["de"]
    said = [Said(text, PicoSynthesizer().speak(text, speaker, RATE_HZ))] * 2
    answered = await talk(said, tmp_path, Behaviour(ears="good"), pause_s=6, voice=speaker)
    assert answered.heard == [NO_WORDS.lower()] * 2
    assert all("habe die Worte nicht verstanden" in answer for answer in answered.said)
    assert caplog.messages.count(installed.ENGLISH_ONLY) == 1


async def test_without_a_recogniser_typed_words_are_understood() -> None:
    behaviour = Behaviour(ears="none", timeouts=StreamTimeouts(stall_s=0.05))
    said: list[str] = []
    async with asyncio.timeout(20), emulator(behaviour=behaviour) as running:
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=running.endpoint,
            ca_file=running.ca_file,
            access_key=LOCAL_KEYS.access_key,
            secret_key=LOCAL_KEYS.secret_key,
        )
        async with Session.open(SessionConfig(), transport) as session:
            await session.send_audio(bytes(8000))
            session.send_text("Count to three.")
            async for event in session:
                if isinstance(event, AssistantText) and event.stage == "SPECULATIVE":
                    said.append(event.text)
                if isinstance(event, TurnEnded):
                    break
        await transport.aclose()
    assert said == ["One, two, three."]


def heard(recognizer: Recognizer, pcm: bytes, rate_hz: int = RATE_HZ) -> str:
    """The words of one utterance, with silence after it."""
    utterance = recognizer.begin(rate_hz)
    pcm += bytes(rate_hz)
    step = rate_hz * WINDOW_MS // 1000 * 2
    for at in range(0, len(pcm), step):
        utterance.feed(pcm[at : at + step])
    return utterance.finish() or ""


@whisper
def test_whisper_hears_every_rate_and_nothing_in_noise() -> None:
    recognizer = WhisperRecognizer(model="tiny.en")
    hello = recorded()[0]
    for rate_hz in (8_000, 16_000, 24_000):
        sound = resample(hello.pcm, RATE_HZ, rate_hz)
        assert plain_words(heard(recognizer, sound, rate_hz)) == ["hello"]
    noise = np.random.default_rng(7).normal(0, 300, 3 * RATE_HZ).astype("<i2").tobytes()
    assert heard(recognizer, noise) == heard(recognizer, bytes(3 * RATE_HZ * 2)) == ""


@whisper
def test_four_streams_at_once_hear_what_each_hears_alone() -> None:
    recognizer = WhisperRecognizer(model="tiny.en")
    sounds = [one.pcm for one in recorded()[:4]]
    alone = [heard(recognizer, pcm) for pcm in sounds]
    with ThreadPoolExecutor(4) as streams:
        assert list(streams.map(heard, [recognizer] * 4, sounds)) == alone


def test_pocketsphinx_without_hints_gets_the_gist_of_people() -> None:
    pytest.importorskip("pocketsphinx")
    recognizer = PocketsphinxRecognizer()
    rate = word_error_rate([(one.text, heard(recognizer, one.pcm)) for one in recorded()[:5]])
    assert rate < 0.35, f"word error rate {rate:.1%}"


def test_piper_says_the_same_again_and_survives_odd_texts() -> None:
    pytest.importorskip("piper", reason="Piper is of the extra `speech`")
    one, two = PiperSynthesizer(), PiperSynthesizer()
    two.speak("Something else before.", "arjun", RATE_HZ)
    pcm = one.speak("Hello, this is a test.", "matthew", RATE_HZ)
    assert pcm == two.speak("Hello, this is a test.", "matthew", RATE_HZ)
    assert pcm != two.speak("Hello, this is a test.", "arjun", RATE_HZ)
    assert 0.8 < len(pcm) / 2 / RATE_HZ < 4.0
    for text in ("", "   ", "\0", "[[h@l'oU]]", "日本"):
        assert len(one.speak(text, "matthew", RATE_HZ)) % 2 == 0
