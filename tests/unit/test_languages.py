"""The choice of a voice by language, over the whole catalog."""

import pytest

from sonic_voice.catalog import NOVA_2_SONIC, NOVA_SONIC, VOICE_MODELS, VoiceModel
from sonic_voice.errors import ConfigError
from sonic_voice.languages import LANGUAGE_NAMES, language_code, locales, voice_for


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en", "tiffany"),
        ("en-GB", "amy"),
        ("en_AU", "olivia"),
        ("de", "tina"),
        ("German", "tina"),
        ("de-DE", "tina"),
        ("hi", "kiara"),
        ("HINDI", "kiara"),
        ("hi-IN", "kiara"),
        ("pt", "carolina"),
        ("es", "lupe"),
    ],
)
def test_a_language_takes_the_first_voice_that_is_made_for_it(language: str, voice: str) -> None:
    assert voice_for(NOVA_2_SONIC, language).id == voice


@pytest.mark.parametrize("model", VOICE_MODELS, ids=lambda model: model.id)
def test_every_language_and_locale_of_a_model_has_a_voice(model: VoiceModel) -> None:
    for language in (*model.languages, *locales(model)):
        voice = voice_for(model, language)
        assert any(locale.startswith(language_code(language)) for locale in voice.locales)


@pytest.mark.parametrize("model", VOICE_MODELS, ids=lambda model: model.id)
def test_every_voice_may_be_asked_for_in_its_own_language(model: VoiceModel) -> None:
    for voice in model.voices:
        for locale in voice.locales:
            assert voice_for(model, locale, voice.id) is voice


def test_every_language_of_the_catalog_has_a_name() -> None:
    assert {code for model in VOICE_MODELS for code in model.languages} == LANGUAGE_NAMES.keys()


def test_a_polyglot_voice_speaks_every_language_of_its_model() -> None:
    assert voice_for(NOVA_2_SONIC, "de", "tiffany").id == "tiffany"
    with pytest.raises(ConfigError, match="tiffany of Nova Sonic does not speak 'de'"):
        voice_for(NOVA_SONIC, "de", "tiffany")


def test_a_language_that_the_model_does_not_have_is_an_error_with_the_list() -> None:
    with pytest.raises(ConfigError, match="Nova Sonic does not speak 'hi'") as caught:
        voice_for(NOVA_SONIC, "hi")
    assert "German (de-DE)" in caught.value.hint
    assert "Hindi" not in caught.value.hint


def test_a_voice_of_another_language_is_an_error_with_the_voices() -> None:
    with pytest.raises(ConfigError, match="amy of Nova 2 Sonic does not speak 'fr'") as caught:
        voice_for(NOVA_2_SONIC, "fr", "amy")
    assert "ambre, florian" in caught.value.hint


def test_a_voice_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no voice 'nobody'"):
        voice_for(NOVA_2_SONIC, "fr", "nobody")
