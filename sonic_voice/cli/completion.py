"""Values that the shell completes: what the catalog knows, without a network or a device."""

from collections.abc import Iterable

import typer

from ..catalog import DEFAULT_MODEL, VOICE_MODELS, VoiceModel
from ..languages import LANGUAGE_NAMES, locales


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of the models, each with its name.

    Args:
        incomplete: What was typed of the value.
    """
    return [(m.id, m.name) for m in VOICE_MODELS if m.id.startswith(incomplete)]


def complete_voice(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the voices of the model on the command line, each with its language.

    Args:
        context: The context of the command, with the options before this one.
        incomplete: What was typed of the value.
    """
    return [
        (voice.id, f"{voice.locale}, {voice.gender}")
        for voice in _model(context).voices
        if voice.id.startswith(incomplete)
    ]


def complete_region(context: typer.Context, incomplete: str) -> list[str]:
    """Return the regions of the model on the command line.

    Args:
        context: The context of the command, with the options before this one.
        incomplete: What was typed of the value.
    """
    return _beginning(_model(context).regions, incomplete)


def complete_language(context: typer.Context, incomplete: str) -> list[str]:
    """Return the languages and locales of the model on the command line.

    Args:
        context: The context of the command, with the options before this one.
        incomplete: What was typed of the value.
    """
    model = _model(context)
    known = [code for code in LANGUAGE_NAMES if code in model.languages]
    return _beginning((*known, *locales(model)), incomplete)


def _model(context: typer.Context) -> VoiceModel:
    asked = context.params.get("model") or DEFAULT_MODEL
    return next((model for model in VOICE_MODELS if model.id == asked), VOICE_MODELS[0])


def _beginning(values: Iterable[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]
