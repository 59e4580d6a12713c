"""Texts that Pico and Piper cannot speak: they are reported, and sound as tones.

These voices speak five languages in Latin script. Pico makes next to no sound of any other script,
and an answer of 0.04 s would end before anybody could interrupt it. Portuguese and Hindi are spoken
by eSpeak, if the system has it.
"""

import unicodedata

from ...catalog import VOICE_MODELS
from ...languages import LANGUAGE_NAMES
from .installed import warn_once
from .voices import pico_voice

HINT = "Portuguese and Hindi are spoken if the system has the program espeak-ng."
"""Last sentence of the warnings."""

_LOCALES = {voice.id: voice.locale for model in VOICE_MODELS for voice in model.voices}


def report_unspoken(text: str, voice: str) -> bool:
    """Log, once each, a script that no local voice speaks and a voice that speaks with an accent.

    Args:
        text: A text that is to be spoken.
        voice: Id of the voice.

    Returns:
        Whether most of the text cannot be spoken.
    """
    letters = [letter for letter in text if letter.isalpha()]
    foreign = [letter for letter in letters if _script(letter) != "Latin"]
    if foreign:
        warn_once(
            f"No local voice speaks text in {_script(foreign[0])} script. Where most of an answer "
            f"is in it, the answer sounds as plain tones; its text is complete. {HINT}"
        )
    wanted, local = _LOCALES.get(voice, "en").partition("-")[0], pico_voice(voice).language[:2]
    if letters and wanted != local:
        warn_once(
            f"No local voice speaks {LANGUAGE_NAMES[wanted]}: {voice} reads it aloud as if it were "
            f"{LANGUAGE_NAMES[local]}. {HINT}"
        )
    spoken = sum(letter.isalnum() for letter in text) - len(foreign)
    return len(foreign) > spoken


def language_without_voice(text: str, voice: str) -> str:
    """Return the language of a text that Pico and Piper do not speak, as far as it shows.

    Args:
        text: A text that is to be spoken.
        voice: Id of the voice.

    Returns:
        `hi` for a text in Devanagari for the most part, `pt` for a voice of Portuguese that reads
        another text, empty for all others.
    """
    letters = [letter for letter in text if letter.isalpha()]
    hindi = sum(_script(letter) == "Devanagari" for letter in letters)
    if 2 * hindi > len(letters):
        return "hi"
    return "pt" if _LOCALES.get(voice, "").startswith("pt") and letters else ""


def _script(letter: str) -> str:
    """Return the script of a letter, as the first word of its name in Unicode has it."""
    return unicodedata.name(letter, "UNKNOWN").split()[0].capitalize()
