"""CMU Sphinx's recogniser: small, quick, and good when it knows what may be said.

With hints it searches a grammar of these sentences, each whole, and finds the best one, whatever
was said. So that it can also say "none of them", all phones are weighed in every 10 ms, not only
those that a sentence needs there: the score says how much better the best phones would have been.
Its mean is 43 at most for a right sentence, and 48 or more for a wrong one (25 recordings, clean
and with some noise, against 5 grammars; "hello" passes for "hello world"). In loud noise wrong
ones come down to 35. The silence before a sentence counts, so there is always some.

Without hints it takes its own model of English, which gets every fourth word wrong.

The decoder normalises the sound by the mean of its cepstrum, which in a stream it can only guess:
that doubles the errors. Here the mean of the utterance is taken first. The searches hold the
interpreter's lock; they are fed in steps of 10 ms so that others come in between.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...config import BYTES_PER_SAMPLE
from .installed import LIGHT_EXTRA, engine
from .pronunciation import sounds, words
from .sound import resample
from .speculation import SpeculativeRecognition
from .voice_activity import detector

SPHINX_HZ = 16_000
STEP_BYTES = SPHINX_HZ * 10 // 1000 * BYTES_PER_SAMPLE
MEAN_BYTES = SPHINX_HZ * 6 * BYTES_PER_SAMPLE
"""Enough for a mean; more would hold the lock for longer than 20 ms."""
SHORTEST_BYTES = SPHINX_HZ * 100 // 1000 * BYTES_PER_SAMPLE
LEAD = bytes(SPHINX_HZ * 300 // 1000 * BYTES_PER_SAMPLE)
"""Silence before each utterance: a word that begins at once is taken for a worse one."""
NO_MATCH = ""
"""The words of an utterance that is none of the hints."""
FARTHEST = 46.0
"""Mean distance from the best phones, in units of the decoder's logarithm (base 1.0001, of which
10 bits are dropped), from which on a sentence is not what was said."""
KEPT_GRAMMARS = 4
"""Decoders that are kept, of about 25 MB each."""
FREE_SPEECH = {"maxhmmpf": 5000, "maxwpf": 20}
"""States and words alive in one frame: half the work for nearly the same words."""


class PocketsphinxRecognizer:
    """A `Recognizer` for any number of utterances; one is decoded at a time.

    `hints`: sentences to be prepared for; `begin` may be given others.
    """

    def __init__(self, hints: Sequence[str] = ()) -> None:
        """Raises `ConfigError` if pocketsphinx is not installed."""
        self._mean = _CepstralMean()
        self._search = functools.lru_cache(KEPT_GRAMMARS)(_search)
        self._search(tuple(hints))
        self._worker = ThreadPoolExecutor(1, "pocketsphinx")

    def begin(self, rate_hz: int, hints: Sequence[str] = ()) -> SpeculativeRecognition:
        """A new utterance at `rate_hz`: one of `hints`, as it is written there in lower case,
        or nothing; without hints any English."""
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
    """A decoder that only measures: its search is for one word, and its result of no interest."""

    def __init__(self) -> None:
        self._decoder = _decoder()
        self._decoder.add_jsgf_string("mean", _grammar(["a"]))
        self._decoder.activate_search("mean")

    def of(self, sound: bytes) -> str:
        _forget(self._decoder)
        self._decoder.start_utt()
        self._decoder.process_raw(sound[:MEAN_BYTES], no_search=True, full_utt=True)
        mean: str = self._decoder.get_cmn()
        self._decoder.end_utt()
        return mean


class _Hinted:
    """The best of some sentences, or `NO_MATCH`. `spoken` has them by their words."""

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
    """Any English."""

    def __init__(self) -> None:
        self._decoder = _decoder(
            lm=str(_model_folder() / "en-us.lm.bin"), bestpath=True, **FREE_SPEECH
        )

    def words(self, sound: bytes, mean: str) -> str:
        best = _run(self._decoder, "_default", sound, mean)
        return best.hypstr.strip().lower() if best is not None else ""


def _run(decoder: Any, search: str, sound: bytes, mean: str) -> Any:
    """The hypothesis of `search`; None if it found no way to the end."""
    decoder.activate_search(search)
    _forget(decoder)
    decoder.set_cmn(mean)
    decoder.start_utt()
    for at in range(0, len(sound), STEP_BYTES):
        decoder.process_raw(sound[at : at + STEP_BYTES])
    decoder.end_utt()
    return decoder.hyp()


def _forget(decoder: Any) -> None:
    """What earlier utterances left: their noise, which it takes off the sound, and their last
    frames, from which it starts to look for the nearest ones."""
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
