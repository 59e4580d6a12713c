"""A region without the model leads to the nearest one with it, a misspelt one to its spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.catalog import VOICE_MODELS, check_offered, voice_model
from sonic_voice.errors import ConfigError
from sonic_voice.regions import REGIONS, distance_km, nearest, suggestion

OFFERED = ("us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1")

NEAREST = {
    "us-east-1": "us-east-1 us-east-2 ca-central-1 mx-central-1 sa-east-1 sa-west-1",
    "us-west-2": "us-west-2 us-west-1 ca-west-1",
    "eu-north-1": "eu-north-1 eu-central-1 eu-central-2 eu-south-1 eu-south-2 eu-west-1 eu-west-2 "
    "eu-west-3 af-south-1 il-central-1 me-central-1 me-south-1 me-west-1 ap-south-1",
    "ap-northeast-1": "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-east-1 ap-east-2 ap-south-2 "
    "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 "
    "ap-southeast-7",
}
"""Every region of AWS's standard partition in November 2026, under the nearest with the model."""


def hint(region: str, model: str = "amazon.nova-2-sonic-v1:0") -> str:
    with pytest.raises(ConfigError) as caught:
        check_offered(model, region)
    assert repr(region) in caught.value.message
    return caught.value.hint


def test_the_table_of_tests_has_every_region() -> None:
    assert sorted(" ".join(NEAREST.values()).split()) == sorted(REGIONS)


@pytest.mark.parametrize(("expected", "regions"), NEAREST.items(), ids=list(NEAREST))
def test_the_nearest_region_on_the_globe_is_suggested(expected: str, regions: str) -> None:
    for region in regions.split():
        assert nearest(region, OFFERED) == expected, region
        if region != expected:
            assert hint(region).startswith(f"Use {expected} (")


def test_the_first_model_is_not_offered_in_oregon_so_california_goes_to_virginia() -> None:
    v1 = "amazon.nova-sonic-v1:0"
    assert "Use us-east-1" in hint("us-west-2", v1)
    assert "Use us-east-1" in hint("us-west-1", v1)


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ("us-est-1", "us-east-1"),
        ("US-EAST-1", "us-east-1"),
        ("us-east-1a", "us-east-1"),
        ("us_east_1", "us-east-1"),
        ("useast1", "us-east-1"),
        ("us-west2", "us-west-2"),
        ("eu-nord-1", "eu-north-1"),
        ("ap-northest-1", "ap-northeast-1"),
    ],
)
def test_a_misspelt_region_gets_its_spelling(spelt: str, meant: str) -> None:
    assert hint(spelt).startswith(f"Did you mean {meant!r}? It is available in")


def test_a_misspelt_region_without_the_model_gets_its_spelling_and_the_nearest() -> None:
    assert "Did you mean 'eu-central-1'? The nearest region with it is eu-north-1" in hint(
        "eu-centrl-1"
    )


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("cn-north-1", "China"),
        ("us-gov-west-1", "GovCloud"),
        ("eusc-de-east-1", "Sovereign"),
        ("us-isob-east-1", "isolated"),
    ],
)
def test_no_region_is_suggested_to_an_account_that_cannot_use_it(
    region: str, partition: str
) -> None:
    assert partition in hint(region)
    assert "Use " not in hint(region)
    assert "Did you mean" not in hint(region)


@pytest.mark.parametrize("nonsense", ["", " ", "mars", "\N{GREEK SMALL LETTER ALPHA}" * 100])
def test_nonsense_gets_the_list_alone(nonsense: str) -> None:
    assert hint(nonsense).startswith("It is available in")


@given(st.text(max_size=30))
def test_any_text_gets_a_sentence_about_a_region_that_offers_the_model_or_none(text: str) -> None:
    said = suggestion(text, OFFERED)
    assert said == "" or "accounts" in said or any(name in said for name in OFFERED)


@given(st.sampled_from(sorted(REGIONS)), st.sampled_from(sorted(REGIONS)))
def test_distances_are_symmetric_and_fit_the_earth(one: str, other: str) -> None:
    assert distance_km(one, other) == pytest.approx(distance_km(other, one))
    assert 0 <= distance_km(one, other) <= 20_100
    assert (distance_km(one, other) < 1) is (one == other)


def test_a_known_distance() -> None:
    assert distance_km("eu-west-2", "us-east-1") == pytest.approx(5_900, rel=0.02)


def test_every_region_of_the_catalog_is_in_the_table() -> None:
    assert {region for model in VOICE_MODELS for region in model.regions} <= set(REGIONS)


def test_a_model_outside_the_catalog_passes_anywhere() -> None:
    check_offered("sonic-voice.doctor-was-here", "eu-central-1")
    check_offered(voice_model("amazon.nova-2-5-sonic").id, "us-west-2")
