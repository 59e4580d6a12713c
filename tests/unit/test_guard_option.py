"""The options about guards: which guard they name, and what cannot be one."""

from pathlib import Path

import pytest
import typer

from sonic_voice.cli.guard_option import AwsSettings, GuardOption, guard_option, opened_guard
from sonic_voice.errors import AudioError, ConfigError

HELLO = Path(__file__).parents[1] / "speech" / "hello.wav"


def named(guard: str, **settings: object) -> GuardOption:
    option = guard_option(guard, aws=AwsSettings(), **settings)  # type: ignore[arg-type]
    assert option is not None
    return option


@pytest.mark.parametrize(
    ("guard", "kind", "target"),
    [
        ("checks", "checks", ""),
        ("guardrail:gr1:7", "guardrail", "gr1:7"),
        ("converse:openai.gpt-oss-safeguard-20b-1:0", "converse",
         "openai.gpt-oss-safeguard-20b-1:0"),
        ("openai:https://host/v1#m", "openai", "https://host/v1#m"),
    ],
)  # fmt: skip
def test_the_forms_of_a_guard(guard: str, kind: str, target: str) -> None:
    option = named(guard)
    assert (option.kind, option.target) == (kind, target)


@pytest.mark.parametrize(
    "guard", ["", "judge", "checks:x", "guardrail", "converse:", "openai:http://localhost:1/v1"]
)
def test_what_is_no_guard_is_a_usage_error(guard: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no guard"):
        named(guard)


def test_the_sound_of_the_replacement_has_the_rate_of_the_answers() -> None:
    sound = named("checks", sound=HELLO).settings.sound
    assert len(sound) / 2 / 24_000 == pytest.approx(0.76, abs=0.3)
    with pytest.raises(AudioError):
        named("checks", sound=Path(__file__))


async def test_an_endpoint_that_would_be_sent_speech_in_clear_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be the endpoint"):
        async with opened_guard(named("openai:http://example.com/v1#m")):
            pass
    async with opened_guard(None) as settings:
        assert settings is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, 31.0, float("nan")])
def test_an_impossible_deadline_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="for a verdict"):
        named("checks", deadline_s=seconds)
