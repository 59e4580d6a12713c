"""What `--fault` is asked for, and what a fault does to a service, without a network."""

import itertools
from typing import Any, cast

import pytest

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.faults import FAULTS, Fault, parse_fault, with_faults
from sonic_voice.emulator.faults.pass_through import PassThrough
from sonic_voice.emulator.faults.wrappers import NoMarker, TwoCalls
from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service.effects import Break, Fail, Service, StreamRefusal, StreamRequest
from sonic_voice.emulator.service.latency import PROFILES, latency
from sonic_voice.emulator.service.sonic import SonicService
from sonic_voice.errors import ConfigError
from sonic_voice.wire import ToolResultStart

from ..support.service_host import GO, V2, Host, spoken

REQUEST = StreamRequest("amazon.nova-2-sonic-v1:0", "us-east-1", "0" * 31 + "7")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("mute", Fault("mute", "")),
        ("http", Fault("http", "429")),
        ("http:503@2", Fault("http", "503", 2)),
        ("cut@1", Fault("cut", "1", 1)),
        ("late-final:2.5", Fault("late-final", "2.5")),
        (
            "exception:validationException:no: really@3",
            Fault("exception", "validationException:no: really", 3),
        ),
    ],
)
def test_a_fault_is_a_name_an_argument_and_a_number_of_streams(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_may_be_asked_for_by_its_name_alone(name: str) -> None:
    assert parse_fault(name).argument == FAULTS[name].default


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("htp", "Did you mean http?"),
        ("everything", "There are http, idle"),
        ("http:418", "http:429"),
        ("cut:0", "cut:1"),
        ("mute:loud", "It takes no argument."),
        ("instability:soon", "instability:30"),
        ("exception:ownException", "exception:modelStreamErrorException"),
        ("", "There are http"),
    ],
)
def test_a_wrong_fault_is_named_with_what_there_is(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_fault(text)
    assert words in str(wrong.value)


def with_service(host: Host, service: Service) -> Host:
    cast(Any, host).service = service
    return host


def test_only_the_first_streams_have_a_fault_that_says_so() -> None:
    def factory(request: StreamRequest) -> Service:
        return Host().service

    faulty = with_faults(factory, [parse_fault("http:503@2")])
    made = [faulty(REQUEST) for _ in range(4)]
    assert [isinstance(one, StreamRefusal) for one in made] == [True, True, False, False]


def test_a_refused_stream_uses_up_no_fault_that_comes_later() -> None:
    faults = [parse_fault("http:503@1"), parse_fault("mute@1")]
    faulty = with_faults(lambda _: Host().service, faults)
    first, second, third = [faulty(REQUEST) for _ in range(3)]
    assert isinstance(first, StreamRefusal)
    assert not isinstance(second, StreamRefusal)
    assert not isinstance(third, StreamRefusal)
    assert second.receive(b"") == [Break("mute")]
    assert isinstance(third.receive(b"")[0], Fail)


def test_instability_comes_within_its_time_and_not_always_at_the_same() -> None:
    moments: set[int] = set()
    for number in range(20):
        request = StreamRequest("m", "r", f"{number * 0x9E3779B97F4A7C15:032x}"[:32])
        service = with_faults(lambda _: Host().service, [parse_fault("instability:3")])(request)
        assert not isinstance(service, StreamRefusal)
        host = with_service(Host(), service)
        host.begin()
        frames = 0
        while not host.over and frames < 100:
            host.audio(32)
            frames += 1
        (end,) = [effect for effect in host.effects if isinstance(effect, Fail)]
        assert end.message.endswith("System instability detected. Please retry your request.")
        assert frames * 32 <= 3_032
        moments.add(frames)
    assert len(moments) > 5


def test_without_a_marker_a_barge_in_is_heard_from_its_onset_alone() -> None:
    steps = (ScenarioStep("tell me", ("A very long story with a good many words in it.",)),)
    shapes: list[list[str]] = []
    for wrap in (PassThrough, NoMarker):
        host = Host(*steps, speech=spoken((0, 960), (3200, 4160)))
        with_service(host, wrap(host.service)).begin()
        host.audio(6_000)
        shapes.append(host.shape())
    healthy, faulty = shapes
    assert any("interrupted" in line for line in healthy)
    assert not any("interrupted" in line for line in faulty)
    assert faulty.count("userSpeechStart") == 2


def calling_twice() -> Host:
    host = Host(
        ScenarioStep("go", calls=(ScenarioCall("go", {}, then=("Done.",)),)),
        speech=spoken((0, 960)),
    )
    with_service(host, TwoCalls(host.service)).begin(tools=(GO,))
    host.audio(3_000)
    return host


def test_both_calls_of_a_pair_take_one_result_each_in_any_order() -> None:
    host = calling_twice()
    first, second = host.calls
    host.result(second.tool_use, '{"n":2}', "T2")
    assert host.said("SPECULATIVE") == []  # the service knows nothing of the second
    host.result(first.tool_use, '{"n":1}', "T1")
    host.audio(3_000)
    assert host.said("SPECULATIVE") == ["Done."]


def test_a_second_result_for_the_second_call_is_refused() -> None:
    host = calling_twice()
    _, second = host.calls
    host.result(second.tool_use, "{}", "T1")
    host.send(ToolResultStart("P", "T2", second.tool_use))
    assert host.over


def timed(name: str) -> Host:
    host = Host(ScenarioStep("hello", ("Hi.", "How are you?")), speech=spoken((0, 960)))
    ids = (f"id-{n}" for n in itertools.count())
    service = SonicService(
        voice_model(V2),
        host.brain,
        lambda _: host.detector,
        new_id=lambda: next(ids),
        request_id="request-1",
        timing=latency(name),
    )
    with_service(host, service).begin()
    return host


def test_a_latency_changes_when_things_come_and_never_what_comes() -> None:
    shapes: list[list[str]] = []
    for name in PROFILES:
        host = timed(name)
        host.audio(20_000)
        shapes.append(host.shape())
    assert shapes == [shapes[0]] * len(PROFILES)
    assert "contentEnd AUDIO END_TURN" in shapes[0]


def test_latencies_are_in_the_order_of_their_names() -> None:
    def first_sound(name: str) -> int:
        host = timed(name)
        windows = 0
        while not host.pcm:
            host.audio(32)
            windows += 1
        return windows

    moments = [first_sound(name) for name in ("none", "fast", "typical", "slow")]
    assert moments == sorted(set(moments))


def test_an_unknown_latency_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean typical"):
        latency("typicall")
