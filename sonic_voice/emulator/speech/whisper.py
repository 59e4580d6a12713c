"""Whisper through CTranslate2, with short windows.

Whisper was trained on windows of 30 s, and pads to that; for a short utterance most of its work is
spent on silence. CTranslate2 can encode fewer frames, which is three times as fast. Below 8 to 10 s
the decoder begins to repeat itself, hence the window of 10 s, or 2 s more than the speech. The
number of tokens is limited by the length of the speech; if it uses all of them, it has repeated
itself nevertheless, and the sound is decoded again in a window of 30 s.

Silence and noise are decoded as " you" or a sentence of thanks; the model's own probability of "no
speech" is then over 0.6. Together with the speech detector of `SpeculativeRecognition` this rejects
nearly all of it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.pcm import from_pcm
from ...errors import ConfigError
from .installed import GOOD_EXTRA, engine
from .mel import MEL_HZ, log_mel
from .sound import resample
from .speculation import SpeculativeRecognition
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
NO_SPEECH_OVER = 0.6
"""Probability of "no speech" above which the words are discarded."""


class WhisperRecognizer:
    """A `Recognizer` for any number of utterances; one is decoded at a time."""

    def __init__(
        self,
        model_dir: Path | None = None,
        *,
        model: str | None = None,
        language: str = "en",
        threads: int = 2,
    ) -> None:
        """Load the model, which takes up to some seconds.

        Args:
            model_dir: A folder in CTranslate2's format; None for a packaged model.
            model: Name of a packaged model ("base", "tiny.en"); None for the best one that is
                installed.
            language: Language code such as `en`, for models of several languages.
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
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._prompt = self._prompt_tokens(language)
        self._worker = ThreadPoolExecutor(1, "whisper")
        self._decode(bytes(MEL_HZ), MEL_HZ)  # the first decoding takes longer

    def begin(self, rate_hz: int, hints: Sequence[str] = ()) -> SpeculativeRecognition:
        """See `Recognizer`. Whisper needs no hints."""
        return SpeculativeRecognition(rate_hz, detector(rate_hz), self._decode, self._worker)

    def _prompt_tokens(self, language: str) -> list[int]:
        names = ["<|startoftranscript|>"]
        if self._model.is_multilingual:
            names += [f"<|{language}|>", "<|transcribe|>"]
        tokens = [self._tokenizer.token_to_id(name) for name in [*names, "<|notimestamps|>"]]
        if None in tokens:
            raise ConfigError(f"This Whisper model does not know the language {language!r}.")
        return tokens

    def _decode(self, pcm: bytes, rate_hz: int) -> str:
        sound = from_pcm(resample(pcm, rate_hz, MEL_HZ))
        length_s = len(sound) / MEL_HZ
        most = TOKENS + int(TOKENS_PER_S * length_s)
        found = self._generate(sound, max(SHORTEST_WINDOW_S, length_s + MARGIN_S), most)
        if len(found.sequences_ids[0]) >= most:
            found = self._generate(sound, LONGEST_WINDOW_S, MOST_TOKENS)
        if found.no_speech_prob > NO_SPEECH_OVER:
            return ""
        text: str = self._tokenizer.decode(found.sequences_ids[0])
        return text.strip().lower()

    def _generate(self, sound: Any, window_s: float, most: int) -> Any:
        mel = log_mel(np.pad(sound, (0, int(MEL_HZ * window_s) - len(sound))))
        return self._model.generate(
            self._storage.from_array(mel[None]),
            [self._prompt],
            beam_size=1,
            max_length=2 * most,  # of which CTranslate2 uses half
            return_no_speech_prob=True,
        )[0]
