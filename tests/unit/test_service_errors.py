"""What is accepted although it looks odd, what else ends a stream, and refusals before one.

The mistakes of a client have a table of their own: `test_service_rules`.
"""

from datetime import date
from typing import Any

import pytest

from sonic_voice.emulator.service.admission import service_factory
from sonic_voice.emulator.service.effects import Fail, Finish, Note, StreamRefusal, StreamRequest
from sonic_voice.emulator.service.sonic import SonicService
from sonic_voice.wire import AudioStart, ContentEnd, PromptEnd, PromptStart, SessionStart

from ..support.service_host import GO, V1, V2, V25, Host, spoken


def prompt(**changes: Any) -> PromptStart:
    fields: dict[str, Any] = {"prompt": "P", "voice": "matthew", "rate_hz": 24_000}
    return PromptStart(**(fields | changes))


@pytest.mark.parametrize("choice", ["", "auto", "any", "tool:go"])
def test_tool_choices_are_accepted(choice: str) -> None:
    host = Host()
    host.send(SessionStart(1024), prompt(tools=(GO,), tool_choice=choice))
    assert host.failure is None


def live(host: Host) -> None:
    host.begin(tools=(GO,))
    host.audio(100)


def in_prompt(host: Host) -> None:
    host.send(SessionStart(1024), prompt())


def test_the_goodbye_of_another_client_works() -> None:
    """`connectionEnd` instead of `sessionEnd`, then the end of the input."""
    host = Host()
    host.raw("sessionStart", {})
    host.send(prompt(), AudioStart("P", "A", 16_000))
    host.audio(100)
    host.send(ContentEnd("P", "A"), PromptEnd("P"))
    host.raw("connectionEnd", {})
    host.do(host.service.end_of_input())
    assert isinstance(host.effects[-1], Finish)
    assert host.notes == ["no-inference", "unknown-event", "no-goodbye"]


@pytest.mark.parametrize("interactive", [False, True])
def test_system_and_history_may_be_marked_interactive(interactive: bool) -> None:
    host = Host(strict=True)
    in_prompt(host)
    host.text("S", "SYSTEM", "Be kind.", interactive=interactive)
    host.text("SS", "SYSTEM_SPEECH", "In Latin script.", interactive=interactive)
    host.text("H", "USER", "Hello.", interactive=interactive)
    host.send(AudioStart("P", "A", 16_000))
    host.audio(2000)
    assert (host.failure, host.notes, host.spoken) == (None, [], [])


def test_timers_end_the_stream_with_their_texts() -> None:
    idle, life = Host(), Host()
    live(idle)
    idle.do(idle.service.expire("idle"))
    assert idle.effects[-1] == Fail(
        "validationException",
        "RequestId=request-1 : Timed out waiting for audio bytes or interactive content. Please "
        "ensure gaps between audio bytes and interactive content are less than 55 seconds.",
    )
    life.do(life.service.expire("life"))
    assert life.effects[-1] == Fail(
        "modelTimeoutException",
        "RequestId=request-1 : Model has timed out in processing the request. "
        "Try your request again.",
    )


@pytest.mark.parametrize("expired", [False, True])
def test_nothing_follows_the_end(expired: bool) -> None:
    host = Host(speech=spoken((0, 960)))
    host.begin()
    host.audio(1400)
    host.do(host.service.expire("life") if expired else host.service.end_of_input())
    assert isinstance(host.effects[-1], Fail if expired else Finish)
    before = len(host.effects)
    host.do(host.service.stalled())
    host.do(host.service.end_of_input())
    host.do(host.service.expire("idle"))
    host.audio(2000)
    assert len(host.effects) == before


def new_service(
    model: str, region: str = "us-east-1", **options: Any
) -> SonicService | StreamRefusal:
    host = Host()
    factory = service_factory(
        host.brain, lambda rate_hz: host.detector, new_id=lambda: "id", **options
    )
    return factory(StreamRequest(model, region, "request-1"))


@pytest.mark.parametrize("model", [V1, V2, V25])
def test_the_factory_serves_every_voice_model(model: str) -> None:
    assert isinstance(new_service(model), SonicService)


@pytest.mark.parametrize(
    ("model", "region"),
    [("amazon.nova-lite-v1:0", "us-east-1"), ("nothing", "us-east-1"), (V2, "eu-west-1")],
)
def test_the_factory_finds_no_other_model_and_none_elsewhere(model: str, region: str) -> None:
    refusal = new_service(model, region)
    assert isinstance(refusal, StreamRefusal)
    assert (refusal.status, refusal.code) == (404, "ResourceNotFoundException")


@pytest.mark.parametrize(("idle_s", "said"), [(None, "55"), (55.0, "55"), (2.5, "2.5")])
def test_a_shortened_limit_stands_in_the_text(idle_s: float | None, said: str) -> None:
    service = new_service(V2, idle_s=idle_s)
    assert isinstance(service, SonicService)
    (failure,) = service.expire("idle")
    assert isinstance(failure, Fail)
    assert failure.message.endswith(f"are less than {said} seconds.")


def test_a_regional_id_is_noted_and_refused_only_when_strict() -> None:
    assert isinstance(new_service(f"us.{V2}", strict=True), StreamRefusal)
    service = new_service(f"us.{V2}")
    assert isinstance(service, SonicService)
    (note,) = service.receive(
        b'{"event":{"sessionStart":{"inferenceConfiguration":{"maxTokens":1}}}}'
    )
    assert isinstance(note, Note)
    assert note.rule == "regional-id"


def test_a_model_past_its_end_of_life_is_not_found_on_that_day() -> None:
    assert isinstance(new_service(V1, today=date(2026, 9, 13)), SonicService)
    assert isinstance(new_service(V1, today=date(2026, 9, 14)), StreamRefusal)
    assert isinstance(new_service(V1), SonicService)
