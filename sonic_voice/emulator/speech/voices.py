"""A local voice for each voice of the service.

Pico has one speaker for each of six languages, and Piper's package one man of the United States.
Pitch and speed make the rest, so that no two voices of the service sound the same. Nothing here
speaks Portuguese, Hindi, or the English of Australia and India; the nearest stands in.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PicoVoice:
    """Pico's speaker of `language`, changed."""

    language: str
    pitch: float = 1.0
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class PiperVoice:
    """Piper's speaker, changed. Pitch moves the resonances too, as for a smaller or larger man."""

    pitch: float = 1.0
    speed: float = 1.0


PICO = {
    "tiffany": PicoVoice("en-US"),
    "matthew": PicoVoice("en-US", 0.8),
    "amy": PicoVoice("en-GB"),
    "olivia": PicoVoice("en-GB", 1.12, 1.05),
    "kiara": PicoVoice("en-GB", 1.06, 0.92),
    "arjun": PicoVoice("en-GB", 0.8),
    "ambre": PicoVoice("fr-FR"),
    "florian": PicoVoice("fr-FR", 0.8),
    "beatrice": PicoVoice("it-IT"),
    "lorenzo": PicoVoice("it-IT", 0.8),
    "tina": PicoVoice("de-DE"),
    "greta": PicoVoice("de-DE", 1.1, 1.05),
    "lennart": PicoVoice("de-DE", 0.8),
    "lupe": PicoVoice("es-ES"),
    "carlos": PicoVoice("es-ES", 0.8),
    "carolina": PicoVoice("es-ES", 1.12, 1.05),
    "leo": PicoVoice("es-ES", 0.75, 1.05),
}

PIPER = {"matthew": PiperVoice(), "arjun": PiperVoice(1.1, 0.95)}
"""Men who speak English. All others keep Pico's speakers, so the good voices are of two engines:
better than a man's voice for everybody, or his accent in every language."""

DEFAULT = "tiffany"
"""How a voice speaks that is not in the tables."""

LOW_PITCH = 0.9
"""Below this a voice is one of the low ones."""


def pico_voice(voice: str) -> PicoVoice:
    """Pico's for `voice`."""
    return PICO.get(voice, PICO[DEFAULT])
