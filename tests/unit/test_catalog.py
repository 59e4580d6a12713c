"""The catalogue against the tables of the protocol reference, sections 0, 5 and 9.2."""

from datetime import date, timedelta

import pytest

from sonic_voice.catalog import (
    DEFAULT_MODEL,
    MS_PER_SPEECH_TOKEN,
    VOICE_MODELS,
    voice_model,
)
from sonic_voice.errors import ConfigError
from sonic_voice.other_models import OTHER_MODELS, other_model

V1, V2, V2_5 = "amazon.nova-sonic-v1:0", "amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic"

# Locale: feminine, masculine. Reference 5.1 and 5.2.
V1_VOICES = {
    "en-US": ("tiffany", "matthew"),
    "en-GB": ("amy", None),
    "fr-FR": ("ambre", "florian"),
    "it-IT": ("beatrice", "lorenzo"),
    "de-DE": ("greta", "lennart"),
    "es-US": ("lupe", "carlos"),
    "es-ES": ("lupe", "carlos"),
}
V2_VOICES = {
    "en-US": ("tiffany", "matthew"),
    "en-GB": ("amy", None),
    "en-AU": ("olivia", None),
    "en-IN": ("kiara", "arjun"),
    "hi-IN": ("kiara", "arjun"),
    "fr-FR": ("ambre", "florian"),
    "it-IT": ("beatrice", "lorenzo"),
    "de-DE": ("tina", "lennart"),
    "es-US": ("lupe", "carlos"),
    "pt-BR": ("carolina", "leo"),
}


@pytest.mark.parametrize(("id", "table"), [(V1, V1_VOICES), (V2, V2_VOICES), (V2_5, V2_VOICES)])
def test_the_voices_are_those_of_the_reference(
    id: str, table: dict[str, tuple[str, str | None]]
) -> None:
    expected = {
        (locale, gender, name)
        for locale, names in table.items()
        for gender, name in zip(("feminine", "masculine"), names, strict=True)
        if name
    }
    voices = voice_model(id).voices
    assert {(loc, v.gender, v.id) for v in voices for loc in v.locales} == expected
    assert len({voice.id for voice in voices}) == len(voices)
    assert all(voice.locales[0] == voice.locale for voice in voices)


def test_only_tiffany_and_matthew_of_v2_speak_all_its_languages() -> None:
    polyglots = {m.id: [v.id for v in m.voices if v.polyglot] for m in VOICE_MODELS}
    assert polyglots == {V1: [], V2: ["tiffany", "matthew"], V2_5: ["tiffany", "matthew"]}


@pytest.mark.parametrize("id", [V1, V2, V2_5])
def test_the_languages_of_a_model_are_those_of_its_voices(id: str) -> None:
    model = voice_model(id)
    assert {loc[:2] for v in model.voices for loc in v.locales} == set(model.languages)


@pytest.mark.parametrize("id", [V1, V2, V2_5])
def test_every_voice_is_found_by_its_id_and_the_first_by_none(id: str) -> None:
    model = voice_model(id)
    assert [model.voice(voice.id) for voice in model.voices] == list(model.voices)
    assert model.voice(None) is model.voices[0]


@pytest.mark.parametrize(
    ("id", "asked", "said"),
    [
        (V2, "tifany", "Did you mean 'tiffany'?"),
        (V2, "Matthew", "lower-case: 'matthew'"),
        (V2, "CARLOS", "lower-case: 'carlos'"),
        (V2, "greta", "tina"),
        (V1, "tina", "greta"),
        (V1, "olivia", "lorenzo"),
        (V2, "", "Its voices are: tiffany, matthew, amy"),
    ],
)
def test_an_unknown_voice_is_answered_with_the_way_out(id: str, asked: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        voice_model(id).voice(asked)
    assert repr(asked) in str(caught.value)
    assert said in str(caught.value)


def test_the_default_model_is_a_voice_model_that_has_not_ended() -> None:
    assert voice_model(DEFAULT_MODEL).end_of_life is None


@pytest.mark.parametrize("prefix", ["us.", "eu.", "apac.", "global."])
@pytest.mark.parametrize("id", [V1, V2, V2_5])
def test_a_voice_model_has_no_regional_id(prefix: str, id: str) -> None:
    with pytest.raises(ConfigError, match="bare id") as caught:
        voice_model(prefix + id)
    assert repr(id) in caught.value.hint


@pytest.mark.parametrize(
    ("id", "nearest"),
    [
        ("amazon.nova-2-sonic-v2:0", V2),
        ("amazon.nova-sonic-v2:0", V1),
        ("amazon.nova-2-5-sonic-v1:0", V2_5),
        ("Amazon.Nova-2-Sonic-v1:0", V2),
        ("us.amazon.nova-2-sonic", V2),
        ("nova-2-sonic", V2),
    ],
)
def test_an_unknown_voice_model_is_answered_with_the_nearest(id: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        voice_model(id)
    assert repr(id) in caught.value.message
    assert f"Did you mean {nearest!r}?" in caught.value.hint


@pytest.mark.parametrize("id", ["", ".", "us.", "gpt-4o", "arn:aws:bedrock:::x"])
def test_anything_else_is_answered_with_the_voice_models(id: str) -> None:
    with pytest.raises(ConfigError) as caught:
        voice_model(id)
    assert all(model.id in caught.value.hint for model in VOICE_MODELS)


@pytest.mark.parametrize(
    ("id", "name", "called_through"),
    [
        ("amazon.nova-lite-v1:0", "Nova Lite", "Converse or Invoke"),
        ("us.amazon.nova-micro-v1:0", "Nova Micro", "Converse or Invoke"),
        ("global.amazon.nova-2-lite-v1:0", "Nova 2 Lite", "Converse or Invoke"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude", "Converse, Invoke or Messages"),
        ("apac.amazon.nova-pro-v1:0", "Nova Pro", "Converse or Invoke"),
        ("mistral.mixtral-8x7b-instruct-v0:1", "Mistral", "Chat Completions"),
        ("mistral.ministral-3-8b-instruct", "Ministral", "Chat Completions"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss", "Responses"),
        ("openai.gpt-oss-safeguard-20b", "gpt-oss Safeguard", "Chat Completions"),
        ("amazon.titan-embed-text-v2:0", "Titan Embeddings", "through Invoke."),
        ("amazon.nova-2-multimodal-embeddings-v1:0", "Nova Multimodal", "StartAsyncInvoke"),
        ("cohere.rerank-v3-5:0", "Cohere Rerank", "through Invoke."),
        ("amazon.nova-canvas-v1:0", "Nova Canvas", "through Invoke."),
        ("amazon.nova-reel-v1:1", "Nova Reel", "through StartAsyncInvoke."),
        ("us.twelvelabs.pegasus-1-2-v1:0", "Pegasus", "through Invoke."),
    ],
)
def test_a_model_that_does_not_speak_is_answered_with_its_own_api(
    id: str, name: str, called_through: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        voice_model(id)
    assert name in caught.value.message
    assert called_through in caught.value.hint
    assert DEFAULT_MODEL in caught.value.hint


def test_no_voice_model_is_taken_for_another_one() -> None:
    assert [other_model(model.id) for model in VOICE_MODELS] == [None] * len(VOICE_MODELS)


def test_every_family_is_found_by_its_own_prefix() -> None:
    assert [other_model(f"us.{other.prefix}x") for other in OTHER_MODELS] == list(OTHER_MODELS)


@pytest.mark.parametrize(
    ("id", "regions"),
    [
        (V1, {"us-east-1", "eu-north-1", "ap-northeast-1"}),
        (V2, {"us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1"}),
        (V2_5, {"us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1"}),
    ],
)
def test_the_regions_are_those_of_the_reference(id: str, regions: set[str]) -> None:
    model = voice_model(id)
    for region in (*regions, None):
        model.check_region(region)
    for region in ({"us-west-2"} - regions) | {"eu-west-1", "eu-central-1", ""}:
        with pytest.raises(ConfigError) as caught:
            model.check_region(region)
        assert all(name in caught.value.hint for name in regions)


def test_v1_warns_of_its_end_and_says_when_it_has_come() -> None:
    model, end = voice_model(V1), date(2026, 9, 14)
    before, after = model.warning(end - timedelta(days=1)), model.warning(end)
    assert before is not None
    assert after is not None
    assert "reaches its end of life on 2026-09-14" in before
    assert "reached its end of life on 2026-09-14" in after
    assert DEFAULT_MODEL in before
    assert DEFAULT_MODEL in after


@pytest.mark.parametrize("id", [V2, V2_5])
def test_a_model_without_an_announced_end_has_no_warning(id: str) -> None:
    assert voice_model(id).warning(date(2099, 1, 1)) is None


def test_what_v1_cannot_do_is_known() -> None:
    v1, v2 = voice_model(V1), voice_model(V2)
    for model, able in ((v1, False), (v2, True)):
        assert model.turn_detection is able
        assert model.text_input is able
        assert model.speech_events is able
        assert model.system_speech is able
        assert model.silent_tools is not able
    assert voice_model(V2_5).silent_tools


def test_a_call_of_57_seconds_costs_what_was_billed() -> None:
    # Reference 9.1 and 9.2: 749, 1046, 737 and 465 tokens were 0.0126 USD.
    cost = voice_model(V2).prices.cost(speech_in=749, text_in=1046, speech_out=737, text_out=465)
    assert abs(cost - 0.0126) < 0.01 * 0.0126


def test_a_million_tokens_of_each_kind_cost_the_list_price() -> None:
    million = 1_000_000
    price = voice_model(V1).prices
    assert price.cost(speech_in=million) == 3.40
    assert price.cost(speech_out=million) == 13.60
    assert price.cost(text_in=million) == 0.06
    assert price.cost(text_out=million) == 0.24
    assert price.cost() == 0.0


def test_the_limits_are_those_of_the_reference() -> None:
    v1, v2 = voice_model(V1).limits, voice_model(V2).limits
    assert (v1.stream_s, v1.idle_s, v1.chunk_bytes) == (480, 55, 1_000_000)
    assert (v1.history_bytes, v2.history_bytes) == (40_000, 200_000)
    assert v2.history_message_bytes == 50_000
    assert (v1.history_messages, v2.history_messages) == (40, 40)
    assert (v1.concurrent_streams, v2.concurrent_streams) == (20, None)
    assert MS_PER_SPEECH_TOKEN == 1000 / 25
