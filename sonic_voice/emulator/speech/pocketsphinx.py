"""CMU Sphinx's recogniser: small, fast, and good when it knows what may be said.

With hints it searches a grammar of these sentences, each as a whole, and finds the best one,
whatever was said. So that it can also reject all of them, every phone is scored in every 10 ms, not
only the phones that a sentence needs there: the score says how much better the best phones would
have been. Its mean is 43 at most for a correct sentence, and 48 or more for a wrong one (25
recordings, clean and with some noise, against 5 grammars; "hello" is accepted as "hello world"). In
loud noise the score of wrong sentences falls to 35. Silence before a sentence affects the score, so
some is always added.

Without hints it uses its own model of English, which gets every fourth word wrong.

The decoder normalises the sound by the mean of its cepstrum, which it can only estimate while a
stream is running: that doubles the errors. Here the mean of the utterance is computed first. The
searches hold the interpreter's lock; they are fed in steps of 10 ms so that other threads can run
in between.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...config import BYTES_PER_SAMPLE
from .installed import ENGLISH_ONLY, LIGHT_EXTRA, engine, warn_once
from .pronunciation import sounds, words
from .sound import resample
from .speculation import SpeculativeRecognition
from .unknown_language import UnknownLanguage
from .voice_activity import detector

SPHINX_HZ = 16_000
"""Sample rate of the decoder's input, in Hz."""
STEP_BYTES = SPHINX_HZ * 10 // 1000 * BYTES_PER_SAMPLE
"""Sound that is decoded at a time: 10 ms, in bytes."""
MEAN_BYTES = SPHINX_HZ * 6 * BYTES_PER_SAMPLE
"""Sound from which the cepstral mean is computed: 6 s, in bytes. Enough for a mean; more would hold
the interpreter's lock for longer than 20 ms."""
SHORTEST_BYTES = SPHINX_HZ * 100 // 1000 * BYTES_PER_SAMPLE
"""Shortest sound that is decoded: 100 ms, in bytes."""
LEAD = bytes(SPHINX_HZ * 300 // 1000 * BYTES_PER_SAMPLE)
"""Silence added before each utterance, 300 ms: a word that begins at once gets a worse score."""
NO_MATCH = ""
"""Words of an utterance that is none of the hints."""
FARTHEST = 46.0
"""Limit of the mean distance from the best phones, above which a sentence was not what was said.
The unit is the decoder's logarithm (base 1.0001, of which 10 bits are dropped)."""
KEPT_GRAMMARS = 4
"""Number of decoders that are kept, each of about 25 MB."""
FREE_SPEECH = {"maxhmmpf": 5000, "maxwpf": 20}
"""Limits of active states and words in one frame: half the work for nearly the same words."""


class PocketsphinxRecognizer:
    """A `Recognizer` for any number of utterances; one is decoded at a time."""

    def __init__(self, hints: Sequence[str] = ()) -> None:
        """Load the decoders.

        Args:
            hints: Sentences to prepare for; `begin` may be given others.

        Raises:
            ConfigError: pocketsphinx is not installed.
        """
        self._mean = _CepstralMean()
        self._search = functools.lru_cache(KEPT_GRAMMARS)(_search)
        self._search(tuple(hints))
        self._worker = ThreadPoolExecutor(1, "pocketsphinx")

    def begin(
        self, rate_hz: int, hints: Sequence[str] = (), language: str = "en"
    ) -> SpeculativeRecognition | UnknownLanguage:
        """See `Recognizer`. Returns one of `hints` or nothing; without hints, any English."""
        if language != "en" and not hints:
            warn_once(ENGLISH_ONLY)
            return UnknownLanguage()
        sentences = tuple(hints)
        self._worker.submit(self._search, sentences)

        def decode(pcm: bytes, rate_hz: int) -> str:
            sound = resample(pcm, rate_hz, SPHINX_HZ)
            if len(sound) < SHORTEST_BYTES:
                return ""
            sound = LEAD + sound
            return self._search(sentences).words(sound, self._mean.of(sound))

        return SpeculativeRecognition(rate_hz, detector(rate_hz), decode, self._worker)


def _search(hints: tuple[str, ...]) -> "_Hinted | _Free":
    spoken = {" ".join(words(hint)): hint.strip().lower() for hint in reversed(hints)}
    spoken.pop("", None)
    return _Hinted(spoken) if spoken else _Free()


class _CepstralMean:
    """A decoder that only measures: its search is for one word, and its result is not used."""

    def __init__(self) -> None:
        self._decoder = _decoder()
        self._decoder.add_jsgf_string("mean", _grammar(["a"]))
        self._decoder.activate_search("mean")

    def of(self, sound: bytes) -> str:
        """Return the cepstral mean of the beginning of a sound."""
        _reset_features(self._decoder)
        self._decoder.start_utt()
        self._decoder.process_raw(sound[:MEAN_BYTES], no_search=True, full_utt=True)
        mean: str = self._decoder.get_cmn()
        self._decoder.end_utt()
        return mean


class _Hinted:
    """A search for the best of some sentences, or `NO_MATCH`. `spoken` maps their words to them."""

    def __init__(self, spoken: dict[str, str]) -> None:
        self._spoken = spoken
        self._decoder = _decoder(compallsen=True)
        for word in sorted({word for sentence in spoken for word in sentence.split()}):
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, sounds(word))
        self._decoder.add_jsgf_string("hints", _grammar(spoken))
        self._log: Any = self._decoder.get_logmath().log

    def words(self, sound: bytes, mean: str) -> str:
        best = _run(self._decoder, "hints", sound, mean)
        if best is None:
            return NO_MATCH
        distance = -sum(self._log(segment.ascore) for segment in self._decoder.seg())
        near = distance < FARTHEST * self._decoder.n_frames()
        return self._spoken.get(best.hypstr, NO_MATCH) if near else NO_MATCH


class _Free:
    """A search for any English."""

    def __init__(self) -> None:
        self._decoder = _decoder(
            lm=str(_model_folder() / "en-us.lm.bin"), bestpath=True, **FREE_SPEECH
        )

    def words(self, sound: bytes, mean: str) -> str:
        best = _run(self._decoder, "_default", sound, mean)
        return best.hypstr.strip().lower() if best is not None else ""


def _run(decoder: Any, search: str, sound: bytes, mean: str) -> Any:
    """Return the hypothesis of a search, or None if it found no path to the end."""
    decoder.activate_search(search)
    _reset_features(decoder)
    decoder.set_cmn(mean)
    decoder.start_utt()
    for at in range(0, len(sound), STEP_BYTES):
        decoder.process_raw(sound[at : at + STEP_BYTES])
    decoder.end_utt()
    return decoder.hyp()


def _reset_features(decoder: Any) -> None:
    """Reset the state that earlier utterances left.

    It consists of their noise, which the decoder subtracts from the sound, and of their last
    frames,
    from which it starts to search for the nearest ones.
    """
    decoder.reinit_feat()


def _grammar(sentences: Sequence[str] | dict[str, str]) -> str:
    return f"#JSGF V1.0;\ngrammar hints;\npublic <hint> = {' | '.join(sentences)};\n"


def _decoder(**options: Any) -> Any:
    model = _model_folder()
    defaults = {"lm": None, "fwdflat": False, "bestpath": False, "loglevel": "FATAL"}
    return _pocketsphinx().Decoder(
        hmm=str(model / "en-us"), dict=str(model / "cmudict-en-us.dict"), **(defaults | options)
    )


def _model_folder() -> Path:
    return Path(_pocketsphinx().get_model_path("en-us"))


def _pocketsphinx() -> Any:
    return engine("pocketsphinx", LIGHT_EXTRA)
