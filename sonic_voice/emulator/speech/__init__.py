"""Speech engines of the emulator: voice activity, recognition, synthesis. Only this package imports
any.

    port            light engine (extra `emulator`)          good engine (extra `speech`)
    SpeechDetector  Silero; without its wheel, loudness      the same
    Recognizer      pocketsphinx, at its best with hints     Whisper, through CTranslate2
    Synthesizer     Pico; without its wheel, tones           Piper for the voices that it has
                    eSpeak for Portuguese and Hindi, if the system has it (both)

`detector`, `recognizer` and `synthesizer` choose the engine. A substitute for an engine that is
not installed is reported once, in the log; an engine that was requested by name and is missing is
a `ConfigError` with the command that installs it. An engine and its files are loaded when an
object is made, never by an import.

The same sound always gives the same words, and the same text the same sound, however the sound is
divided into pieces and at whatever speed it arrives.
"""

from ..service.endpointing import SpeechDetector
from .deferred_recognition import DeferredRecognizer
from .installed import Quality
from .pico import PicoSynthesizer
from .piper import PiperSynthesizer
from .pocketsphinx import PocketsphinxRecognizer
from .recognition import Recognizer, UtteranceRecognition, recognizer
from .sound import resample
from .synthesis import Synthesize, ToneSynthesizer, synthesizer
from .voice_activity import LoudnessDetector, SileroDetector, detector, prepare, release
from .whisper import WhisperRecognizer

__all__ = [
    "DeferredRecognizer",
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
    "release",
    "resample",
    "synthesizer",
]
