"""The service with a host that recognises words: what it listens to, what it makes of words."""

import pytest

from sonic_voice.emulator.scenario import ScenarioStep
from sonic_voice.emulator.service.effects import Listen, Recognize
from sonic_voice.emulator.service.endpointing import WINDOW_MS
from sonic_voice.wire import AudioStart, PromptStart, SessionStart

from ..support.service_host import RATE_HZ, V1, Host, ListedSpeech, spoken

HELLO = ScenarioStep("these words are not said", ("Hi.",))
SAID = spoken((960, 1920))


def listened(host: Host) -> list[Listen]:
    return [effect for effect in host.effects if isinstance(effect, Listen)]


def test_what_was_recognised_is_the_transcript() -> None:
    host = Host(HELLO, speech=SAID, words=["Good Morning, Ada."])
    host.begin()
    host.audio(6000)
    assert 'textOutput "good morning, ada."' in host.shape()
    assert host.said("SPECULATIVE") == ["Hi."]


def test_v1_has_no_punctuation() -> None:
    host = Host(HELLO, speech=SAID, words=["Good Morning, Ada."], model=V1)
    host.begin()
    host.audio(6000)
    assert 'textOutput "good morning ada"' in host.shape()


def test_it_listens_from_before_the_onset_to_the_end_and_then_asks() -> None:
    host = Host(HELLO, speech=SAID, words=["hello"])
    host.begin()
    host.audio(6000)
    parts = listened(host)
    ms = sum(len(part.pcm) for part in parts) / (RATE_HZ * 2) * 1000
    # 960 ms of speech, the silence that ended it, and what came before the onset.
    assert 960 + 480 + 250 <= ms <= 960 + 480 + 400
    assert {(part.key, part.rate_hz) for part in parts} == {(1, RATE_HZ)}
    asked = host.effects.index(Recognize(1))
    assert host.effects.index(parts[-1]) < asked


def test_the_host_hears_the_samples_in_their_order() -> None:
    host = Host(HELLO, speech=SAID, words=["hello"])
    host.begin()
    host.audio(6000)
    assert isinstance(host.detector, ListedSpeech)
    windows = host.detector.windows
    heard = b"".join(part.pcm for part in listened(host))
    assert heard in b"".join(windows)
    assert len(heard) % len(windows[0]) == 0


def test_each_utterance_has_a_key_of_its_own() -> None:
    twice = spoken((960, 1920), (6400, 7360))
    host = Host(HELLO, ScenarioStep("", ("Bye.",)), speech=twice, words=["hello", "goodbye"])
    host.begin()
    host.audio(12_000)
    assert [part.key for part in listened(host)][-1] == 2
    assert host.said("SPECULATIVE") == ["Hi.", "Bye."]


def test_a_noise_without_words_is_no_turn() -> None:
    twice = spoken((960, 1920), (6400, 7360))
    host = Host(HELLO, speech=twice, words=["", "hello"])
    host.begin()
    host.audio(5000)
    assert not [line for line in host.shape() if "USER TEXT" in line]
    host.audio(7000)
    assert host.said("SPECULATIVE") == ["Hi."]


def test_speech_whose_words_cannot_be_known_is_answered_without_them() -> None:
    host = Host(HELLO, speech=SAID, words=[None])
    host.begin()
    host.audio(6000)
    assert 'textOutput "these words are not said"' in host.shape()
    assert host.said("SPECULATIVE") == ["Hi."]


@pytest.mark.parametrize(("voice", "language"), [("tina", "de"), ("kiara", "en"), ("leo", "pt")])
def test_a_recogniser_is_told_the_language_of_the_voice(voice: str, language: str) -> None:
    host = Host(HELLO, speech=SAID, words=["hello"])
    host.send(SessionStart(1024, 0.9, 0.7))
    host.send(PromptStart("P", voice, host.rate_hz))
    host.text("S", "SYSTEM", "Be kind.")
    host.send(AudioStart("P", "A", RATE_HZ))
    host.audio(6000)
    assert {part.language for part in listened(host)} == {language}


def test_words_that_come_too_late_are_nothing() -> None:
    host = Host(HELLO, speech=SAID, words=["hello"])
    host.begin()
    host.audio(6000)
    before = len(host.effects)
    host.do(host.service.words(1, "hello again"))
    assert len(host.effects) == before


def test_without_a_recogniser_nothing_is_listened_to() -> None:
    host = Host(HELLO, speech=SAID)
    host.begin()
    host.audio(6000)
    assert listened(host) == []
    assert 'textOutput "these words are not said"' in host.shape()


def test_it_listens_the_same_whatever_the_chunks() -> None:
    heard: list[bytes] = []
    for chunk_ms in (WINDOW_MS, 7, 640):
        host = Host(HELLO, speech=SAID, words=["hello"])
        host.begin()
        host.audio(6000, chunk_ms)
        heard.append(b"".join(part.pcm for part in listened(host)))
    assert heard[0] == heard[1] == heard[2]
