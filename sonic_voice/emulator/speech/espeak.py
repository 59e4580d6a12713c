"""eSpeak NG, if the system has it: a robot's voice for Portuguese and Hindi, which Pico lacks.

It is a program of the system (Debian's package `espeak-ng`) and is run for each sentence, which
takes some hundredths of a second. The same text always sounds the same.
"""

import functools
import shutil
import subprocess

from .sound import resample, trimmed
from .voices import LOW_PITCH, pico_voice

PROGRAM = "espeak-ng"
"""Name of the program, which is also that of its package."""
LANGUAGES = {"pt": "pt-br", "hi": "hi"}
"""Name of eSpeak's voice for each language, by its ISO 639-1 code."""
ESPEAK_HZ = 22_050
"""Sample rate of eSpeak's output, in Hz."""
CACHED_SENTENCES = 256
"""Number of sentences that are kept."""

_WAV_HEADER_BYTES = 44
_TIMEOUT_S = 20.0
_NOT_SPOKEN = {0: " ", ord("["): " ", ord("]"): " "}
"""Characters that are replaced: eSpeak reads double brackets as phones."""


class EspeakSynthesizer:
    """A synthesiser of the languages in `LANGUAGES`.

    Args:
        program: Path of the program.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._cached = functools.lru_cache(CACHED_SENTENCES)(self._speak)

    def speak(self, text: str, language: str, voice: str, rate_hz: int) -> bytes:
        """Return the speech of a text. Blocks until it is spoken.

        Args:
            text: The text.
            language: ISO 639-1 code of its language, one of `LANGUAGES`.
            voice: A voice of the service, which decides whether it is a man's or a woman's.
            rate_hz: Sample rate of the result, in Hz.

        Returns:
            s16le mono PCM; empty for a text without anything to pronounce.

        Raises:
            RuntimeError: The program failed.
        """
        variant = "" if pico_voice(voice).pitch < LOW_PITCH else "+f3"
        return self._cached(text.translate(_NOT_SPOKEN), LANGUAGES[language] + variant, rate_hz)

    def _speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        run = subprocess.run(
            [self._program, "-b", "1", "-v", voice, "--stdin", "--stdout"],
            input=text.encode(errors="ignore"),
            capture_output=True,
            timeout=_TIMEOUT_S,
            start_new_session=True,  # Ctrl-C must not end it
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"{PROGRAM} failed: {run.stderr.decode(errors='replace')}")
        return resample(trimmed(run.stdout[_WAV_HEADER_BYTES:], ESPEAK_HZ), ESPEAK_HZ, rate_hz)


def espeak() -> EspeakSynthesizer | None:
    """Return a synthesiser, None if the system does not have the program."""
    program = shutil.which(PROGRAM)
    return EspeakSynthesizer(program) if program else None
