"""Which language an utterance is in, what a recogniser does not know, and what no voice speaks."""

import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.catalog import VOICE_MODELS
from sonic_voice.emulator.speech import (
    PocketsphinxRecognizer,
    ToneSynthesizer,
    installed,
    synthesis,
    unspoken,
    whisper,
)
from sonic_voice.emulator.speech.unspoken import language_without_voice, report_unspoken
from sonic_voice.languages import LANGUAGE_NAMES

RATE_HZ = 16_000
CODES = sorted(LANGUAGE_NAMES)


@pytest.fixture(autouse=True)
def fresh_warnings() -> Iterator[None]:
    """Each test may be warned again."""
    installed.warn_once.cache_clear()
    yield
    installed.warn_once.cache_clear()


# --- the language


@given(
    st.dictionaries(st.sampled_from([*CODES, "th", "la"]), st.floats(0, 1), max_size=9),
    st.sampled_from(CODES),
)
def test_the_language_is_one_of_the_service_and_the_expected_one_in_doubt(
    probabilities: dict[str, float], expected: str
) -> None:
    found = whisper.likely_language(probabilities, expected)
    others = [probabilities.get(code, 0.0) for code in CODES if code != expected]
    if found == expected:
        assert probabilities.get(expected, 0.0) * whisper.EXPECTED_FACTOR >= max(others)
    else:
        assert probabilities[found] == max(others) > 0.0
        assert probabilities[found] > probabilities.get(expected, 0.0) * whisper.EXPECTED_FACTOR


@pytest.mark.parametrize(
    ("probabilities", "expected", "language"),
    [
        ({"de": 1.0}, "en", "de"),
        ({"pl": 0.18, "en": 0.15, "it": 0.04}, "it", "it"),  # measured: "Che tempo fa oggi a Roma?"
        ({"it": 0.61, "pt": 0.32, "en": 0.02}, "en", "it"),
        ({"hi": 0.87, "ur": 0.12}, "en", "hi"),
        ({"th": 1.0}, "pt", "pt"),
        ({}, "fr", "fr"),
    ],
)
def test_another_language_than_the_expected_one_must_be_far_more_probable(
    probabilities: dict[str, float], expected: str, language: str
) -> None:
    assert whisper.likely_language(probabilities, expected) == language


def test_pocketsphinx_guesses_no_words_of_another_language(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("pocketsphinx")
    recognizer = PocketsphinxRecognizer()
    for language in ("de", "hi", "de"):
        utterance = recognizer.begin(RATE_HZ, (), language)
        utterance.feed(bytes(RATE_HZ))
        assert utterance.finish() is None
    assert [record.getMessage() for record in caplog.records] == [installed.ENGLISH_ONLY]
    caplog.clear()
    english = recognizer.begin(RATE_HZ, (), "en")
    assert english.finish() == ""
    hinted = recognizer.begin(RATE_HZ, ("Guten Tag.",), "de")  # one of a few sentences is found
    assert hinted.finish() == ""
    assert caplog.records == []


# --- what is spoken


@pytest.mark.parametrize(
    ("text", "voice", "unspoken", "reported"),
    [
        ("Hello, Peter!", "tiffany", False, ""),
        ("Wie geht's? Schön, dass du da bist.", "tina", False, ""),
        ("It is 5 °C.", "matthew", False, ""),
        ("...", "carolina", False, ""),
        ("42", "kiara", False, ""),
        ("आज दिल्ली में मौसम कैसा है?", "kiara", True, "Devanagari"),
        ("Привет, Peter!", "tiffany", True, "Cyrillic"),
        ("Hello नमस्ते Peter, how are you?", "tiffany", False, "Devanagari"),
        ("今日は良い天気です。", "amy", True, "Cjk"),
        ("Não há ações.", "carolina", False, "Portuguese: carolina reads it"),
        ("Hello.", "nobody", False, ""),
    ],
)  # fmt: skip
def test_a_text_that_no_voice_speaks_is_reported_once(
    text: str, voice: str, unspoken: bool, reported: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert report_unspoken(text, voice) is unspoken
    assert len(caplog.records) == bool(reported)
    assert reported in caplog.text


def test_only_voices_of_portuguese_are_read_by_another_language() -> None:
    caught: list[str] = []
    for voice in {voice.id: voice for model in VOICE_MODELS for voice in model.voices}.values():
        installed.warn_once.cache_clear()
        with pytest.MonkeyPatch.context() as patch:
            warnings: list[str] = []
            patch.setattr(unspoken, "warn_once", warnings.append)
            report_unspoken("Hello.", voice.id)
        caught += [voice.locale] * len(warnings)
    assert set(caught) == {"pt-BR"}


@pytest.mark.parametrize(
    "text", ["आज दिल्ली में मौसम कैसा है?", "Привет, как дела?", "今日は良い天気です。"]
)
def test_a_text_that_no_voice_speaks_sounds_as_long_as_speech(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("py_nanotts")
    monkeypatch.setenv("PATH", "")  # no eSpeak
    pcm = synthesis.synthesizer("light")(text, "kiara", RATE_HZ)
    assert pcm == ToneSynthesizer().speak(text, "kiara", RATE_HZ)
    assert len(pcm) / 2 / RATE_HZ > 0.5
    assert np.abs(np.frombuffer(pcm, "<i2")).max() > 1_000


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("आज दिल्ली में मौसम कैसा है?", "kiara"),
        ("आज दिल्ली में मौसम कैसा है?", "tiffany"),
        ("Não há ações.", "leo"),
    ],
)
def test_portuguese_and_hindi_are_spoken_where_the_system_has_espeak(
    text: str, voice: str, caplog: pytest.LogCaptureFixture
) -> None:
    installed.warn_once.cache_clear()
    caplog.clear()
    speak = synthesis.synthesizer("light")
    pcm = speak(text, voice, RATE_HZ)
    assert 0.5 < len(pcm) / 2 / RATE_HZ < 6
    assert np.abs(np.frombuffer(pcm, "<i2")).max() > 1_000
    assert pcm == synthesis.synthesizer("light")(text, voice, RATE_HZ)
    assert pcm != ToneSynthesizer().speak(text, voice, RATE_HZ)
    assert not [message for message in caplog.messages if "No local voice" in message]


@pytest.mark.parametrize(
    ("text", "voice", "language"),
    [
        ("आज", "tiffany", "hi"),
        ("आज दिल्ली में Peter है", "matthew", "hi"),
        ("Hello नमस्ते Peter, how are you?", "kiara", ""),
        ("Bom dia.", "carolina", "pt"),
        ("42", "carolina", ""),
        ("Hello.", "tiffany", ""),
        ("Привет", "nobody", ""),
        ("", "leo", ""),
    ],
)
def test_the_language_of_a_text_without_a_voice(text: str, voice: str, language: str) -> None:
    assert language_without_voice(text, voice) == language
