"""A local voice for each voice of the service.

Pico has one speaker for each of six languages, and Piper's package has one man from the United
States. Pitch and speed produce the other voices, so that no two voices of the service sound the
same. Neither speaks Portuguese, Hindi, or the English of Australia and India; the nearest voice is
used instead, unless the system has eSpeak (`espeak`) for the first two.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PicoVoice:
    """Pico's speaker of one language, with changed pitch and speed."""

    language: str
    """Language code, such as `en-US`."""
    pitch: float = 1.0
    """Factor of the pitch."""
    speed: float = 1.0
    """Factor of the speed."""


@dataclass(frozen=True, slots=True)
class PiperVoice:
    """Piper's speaker, with changed pitch and speed.

    The pitch moves the resonances too, as for a smaller or larger man.
    """

    pitch: float = 1.0
    """Factor of the pitch."""
    speed: float = 1.0
    """Factor of the speed."""


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
"""Pico's voice for each voice of the service."""

PIPER = {"matthew": PiperVoice(), "arjun": PiperVoice(1.1, 0.95)}
"""Piper's voice for men who speak English. All other voices stay with Pico, so the good voices come
from two engines: better than a man's voice for everybody, or his accent in every language."""

DEFAULT = "tiffany"
"""Voice that is used for a name that is not in the tables."""

LOW_PITCH = 0.9
"""Factor of the pitch below which a voice counts as low."""


def pico_voice(voice: str) -> PicoVoice:
    """Return Pico's voice for a voice of the service.

    Args:
        voice: Name of the voice; an unknown one gets that of `DEFAULT`.
    """
    return PICO.get(voice, PICO[DEFAULT])
