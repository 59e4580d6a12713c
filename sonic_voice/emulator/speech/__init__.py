"""The engines behind the emulator's ears and voice; no other module of it imports any.

    port            light engine (extra `emulator`)        good one (extra `speech`)
    SpeechDetector  Silero; without its wheel, loudness    the same
    Recognizer      pocketsphinx, at its best with hints   Whisper, through CTranslate2
    Synthesizer     Pico; without its wheel, tones         Piper for the voices that it has

`detector`, `recognizer` and `synthesizer` choose. What stands in for an engine that is not
installed says so once, in the log; what was asked for by name and is not there is a
`ConfigError` with the command that gets it. An engine and its files are loaded when one is made,
never by an import.

The same sound gives the same words and the same text the same sound, always, in whatever pieces
and at whatever speed it comes.
"""

from ..service.endpointing import SpeechDetector
from .installed import Quality
from .pico import PicoSynthesizer
from .piper import PiperSynthesizer
from .pocketsphinx import PocketsphinxRecognizer
from .recognition import Recognizer, UtteranceRecognition, recognizer
from .sound import resample
from .synthesis import Synthesize, ToneSynthesizer, synthesizer
from .voice_activity import LoudnessDetector, SileroDetector, detector, prepare
from .whisper import WhisperRecognizer

__all__ = [
    "LoudnessDetector",
    "PicoSynthesizer",
    "PiperSynthesizer",
    "PocketsphinxRecognizer",
    "Quality",
    "Recognizer",
    "SileroDetector",
    "SpeechDetector",
    "Synthesize",
    "ToneSynthesizer",
    "UtteranceRecognition",
    "WhisperRecognizer",
    "detector",
    "prepare",
    "recognizer",
    "resample",
    "synthesizer",
]
