"""The choice of a voice by language.

The service has no field for the language: a voice speaks the languages that it was made for, and
the model understands every language of its own (protocol reference 5). To speak German is to take a
German voice.
"""

from .catalog import Voice, VoiceModel
from .errors import ConfigError

LANGUAGE_NAMES = {
    "en": "English",
    "fr": "French",
    "it": "Italian",
    "de": "German",
    "es": "Spanish",
    "pt": "Portuguese",
    "hi": "Hindi",
}
"""English name of each language of the catalog, by its ISO 639-1 code."""


def locales(model: VoiceModel) -> tuple[str, ...]:
    """Return the locales of the voices of a model, such as `en-US`, without repetition.

    Args:
        model: The model.
    """
    return tuple(dict.fromkeys(locale for voice in model.voices for locale in voice.locales))


def voice_for(model: VoiceModel, language: str, voice_id: str | None = None) -> Voice:
    """Return a voice that speaks a language.

    Args:
        model: The model.
        language: A code (`de`), a locale (`en-GB`, `en_GB`), or an English name (`German`).
        voice_id: Id of the voice that is asked for; None for the first of those made for the
            language.

    Raises:
        ConfigError: The model does not have the language, or the voice does not speak it. The hint
            lists what there is.
    """
    wanted = _code_or_locale(language)
    speaking = sorted(
        (voice for voice in model.voices if _rank(model, voice, wanted) is not None),
        key=lambda voice: _rank(model, voice, wanted) or 0,
    )
    if not speaking:
        raise ConfigError(
            f"{model.name} does not speak {language!r}.",
            hint=f"Its languages are: {_listed(model)}.",
        )
    if voice_id is None:
        return speaking[0]
    voice = model.voice(voice_id)
    if voice not in speaking:
        raise ConfigError(
            f"The voice {voice.id} of {model.name} does not speak {language!r}.",
            hint=f"These voices do: {', '.join(voice.id for voice in speaking)}.",
        )
    return voice


def language_code(language: str) -> str:
    """Return the ISO 639-1 code of a language.

    Args:
        language: As `voice_for` takes it.
    """
    return _code_or_locale(language).partition("-")[0]


def _code_or_locale(language: str) -> str:
    codes = {name.lower(): code for code, name in LANGUAGE_NAMES.items()}
    asked = language.strip().lower().replace("_", "-")
    return codes.get(asked, asked)


def _rank(model: VoiceModel, voice: Voice, wanted: str) -> int | None:
    """Return how far a voice is from a language: 0 is made for it, 2 speaks it as all others."""
    if _matches(voice.locale, wanted):
        return 0
    if any(_matches(locale, wanted) for locale in voice.locales):
        return 1
    known = wanted in model.languages or any(_matches(one, wanted) for one in locales(model))
    return 2 if voice.polyglot and known else None


def _matches(locale: str, wanted: str) -> bool:
    return wanted in (locale.lower(), locale.lower().partition("-")[0])


def _listed(model: VoiceModel) -> str:
    return ", ".join(
        f"{LANGUAGE_NAMES[code]} ({', '.join(x for x in locales(model) if _matches(x, code))})"
        for code in model.languages
    )
