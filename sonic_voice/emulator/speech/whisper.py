"""Whisper through CTranslate2, with short windows.

Whisper was trained on windows of 30 s, and pads to that; for a short utterance most of its work is
spent on silence. CTranslate2 can encode fewer frames, which is three times as fast. Below 8 to 10 s
the decoder begins to repeat itself, hence the window of 10 s, or 2 s more than the speech. The
number of tokens is limited by the length of the speech; if it uses all of them, it has repeated
itself nevertheless, and the sound is decoded again in a window of 30 s.

Silence and noise are decoded as " you" or a sentence of thanks; the model's own probability of "no
speech" is then over 0.6. Together with the speech detector of `SpeculativeRecognition` this rejects
nearly all of it.

A multilingual model finds out which language is spoken, among those of the service. The voice of
the conversation tells what to expect: another language must be `EXPECTED_FACTOR` times as probable.
The encoder, which takes most of the time, runs once for both.

Whisper base hears Hindi well and writes it in the letters of Urdu. `devanagari` writes its words in
those of Hindi, if there is a list of Hindi words.
"""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.pcm import from_pcm
from ...errors import ConfigError
from ...extras import install_command
from ...languages import LANGUAGE_NAMES
from .devanagari import DevanagariWriter, has_urdu_letters
from .installed import ENGLISH_ONLY, GOOD_EXTRA, engine, installed, warn_once
from .mel import BANDS, MEL_HZ, log_mel
from .sound import resample
from .speculation import SpeculativeRecognition
from .unknown_language import UnknownLanguage
from .voice_activity import detector
from .weights import weights

SHORTEST_WINDOW_S = 10.0
"""Minimum window, in seconds: below 8 to 10 s the decoder repeats itself."""
LONGEST_WINDOW_S = 30.0
"""Window that Whisper was trained on, in seconds."""
MARGIN_S = 2.0
"""Silence after the speech in a window, in seconds."""
TOKENS = 10
"""Number of tokens that any utterance may have."""
TOKENS_PER_S = 6
"""Number of tokens that an utterance may have in addition for each second."""
MOST_TOKENS = 224
"""Maximum number of tokens in a window of 30 s: half of Whisper's context."""
BEAM_SIZE = 3
"""Beam of the search in other languages than English. It halves the errors in French (23 to 13 % of
the words of three sentences by Pico and Kokoro) and takes up to twice the time; 5 is no better."""
EXPECTED_FACTOR = 10.0
"""Factor of the probability of the expected language. Of 30 sentences of Pico and Kokoro in seven
languages, all are told right where their own language is expected (without the factor one is not),
and 29 where English is: they are at least 18 times as probable."""
NO_HINDI_WORDS = (
    "Whisper has written Hindi in the letters of Urdu. The list of Hindi words is missing, with "
    f"which it is rewritten in Devanagari. Run: {install_command(GOOD_EXTRA)}."
)
"""Warning for the first utterance in Hindi that is left in another script."""
NO_SPEECH_OVER = 0.6
"""Probability of "no speech" above which the words are discarded."""


class WhisperRecognizer:
    """A `Recognizer` for any number of utterances; one is decoded at a time."""

    def __init__(
        self,
        model_dir: Path | None = None,
        *,
        model: str | None = None,
        language: str = "",
        threads: int = 2,
    ) -> None:
        """Load the model, which takes up to some seconds.

        Args:
            model_dir: A folder in CTranslate2's format; None for a packaged model.
            model: Name of a packaged model ("base", "tiny.en"); None for the best one that is
                installed.
            language: ISO 639-1 code of the language of all speech. Empty: a model of several
                languages finds out for each piece of speech.
            threads: Number of threads for one decoding.

        Raises:
            ConfigError: The engine or the model is missing, or the model is not Whisper.
        """
        ctranslate2 = engine("ctranslate2", GOOD_EXTRA)
        tokenizers = engine("tokenizers", GOOD_EXTRA)
        folder = weights(model_dir, model)
        self._storage: Any = ctranslate2.StorageView
        try:
            self._model: Any = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", intra_threads=threads
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"{folder} holds no usable Whisper model: {error}.") from error
        if self._model.n_mels != BANDS:
            raise ConfigError(
                f"{folder} holds a Whisper model of {self._model.n_mels} mel bands.",
                hint=f"Models up to large-v2 have the {BANDS} bands that are computed here.",
            )
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._language = language
        codes = LANGUAGE_NAMES if self._model.is_multilingual else ("en",)
        self._prompts = {code: self._prompt_tokens(code) for code in {*codes, language} - {""}}
        self._worker = ThreadPoolExecutor(1, "whisper")
        self._decode(bytes(MEL_HZ), MEL_HZ, "en")  # the first decoding takes longer

    def begin(
        self, rate_hz: int, hints: Sequence[str] = (), language: str = "en"
    ) -> SpeculativeRecognition | UnknownLanguage:
        """See `Recognizer`. Whisper needs no hints."""
        expected = self._language or language
        if expected != "en" and not self._model.is_multilingual:
            warn_once(ENGLISH_ONLY)
            return UnknownLanguage()
        if expected == "hi":
            self._worker.submit(_hindi_writer)  # takes a second, once

        def decode(pcm: bytes, rate_hz: int) -> str:
            return self._decode(pcm, rate_hz, expected)

        return SpeculativeRecognition(rate_hz, detector(rate_hz), decode, self._worker)

    def _prompt_tokens(self, language: str) -> list[int]:
        names = ["<|startoftranscript|>"]
        if self._model.is_multilingual:
            names += [f"<|{language}|>", "<|transcribe|>"]
        tokens = [self._tokenizer.token_to_id(name) for name in [*names, "<|notimestamps|>"]]
        if None in tokens:
            raise ConfigError(f"This Whisper model does not know the language {language!r}.")
        return tokens

    def _decode(self, pcm: bytes, rate_hz: int, expected: str) -> str:
        sound = from_pcm(resample(pcm, rate_hz, MEL_HZ))
        length_s = len(sound) / MEL_HZ
        most = TOKENS + int(TOKENS_PER_S * length_s)
        encoded = self._encode(sound, max(SHORTEST_WINDOW_S, length_s + MARGIN_S))
        language = self._spoken_language(encoded, expected)
        found = self._generate(encoded, language, most)
        if len(found.sequences_ids[0]) >= most:
            encoded = self._encode(sound, LONGEST_WINDOW_S)
            found = self._generate(encoded, language, MOST_TOKENS)
        if found.no_speech_prob > NO_SPEECH_OVER:
            return ""
        text: str = self._tokenizer.decode(found.sequences_ids[0])
        if language == "hi":
            text = in_devanagari(text)
        return text.strip().lower()

    def _spoken_language(self, encoded: Any, expected: str) -> str:
        """Return the code of the language that is spoken."""
        if self._language or not self._model.is_multilingual:
            return self._language or "en"
        found: list[tuple[str, float]] = self._model.detect_language(encoded)[0]
        return likely_language({token.strip("<|>"): p for token, p in found}, expected)

    def _encode(self, sound: Any, window_s: float) -> Any:
        mel = log_mel(np.pad(sound, (0, int(MEL_HZ * window_s) - len(sound))))
        return self._model.encode(self._storage.from_array(mel[None]))

    def _generate(self, encoded: Any, language: str, most: int) -> Any:
        return self._model.generate(
            encoded,
            [self._prompts[language]],
            beam_size=1 if language == "en" else BEAM_SIZE,
            max_length=2 * most,  # of which CTranslate2 uses half
            return_no_speech_prob=True,
        )[0]


@functools.cache
def _hindi_writer() -> DevanagariWriter | None:
    """Return the writer of Hindi, None without the list of Hindi words."""
    if not installed("wordfreq"):
        return None
    return DevanagariWriter(engine("wordfreq", GOOD_EXTRA).get_frequency_dict("hi"))


def in_devanagari(text: str) -> str:
    """Return a Hindi text without letters of Urdu, if there is a list of Hindi words.

    Args:
        text: The text.
    """
    if not has_urdu_letters(text):
        return text
    if (writer := _hindi_writer()) is None:
        warn_once(NO_HINDI_WORDS)
        return text
    return writer.write(text)


def likely_language(probabilities: Mapping[str, float], expected: str) -> str:
    """Return the language of the service that is most likely spoken.

    Args:
        probabilities: Probability of each language that the model knows, by its code.
        expected: Code of the language that is expected.
    """

    def weight(code: str) -> float:
        return probabilities.get(code, 0.0) * (EXPECTED_FACTOR if code == expected else 1.0)

    # Among equals, such as languages of probability 0, the expected one comes first.
    return max(LANGUAGE_NAMES, key=lambda code: (weight(code), code == expected))
