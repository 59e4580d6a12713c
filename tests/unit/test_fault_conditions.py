"""The conditions after the `@` of a fault: what they mean, and what is said of wrong ones."""

import pytest

from sonic_voice.emulator.faults import FAULTS, Fault, FaultOccurrence, parse_fault, with_faults
from sonic_voice.emulator.faults.chaos import ChaosProfile, chaos_plan
from sonic_voice.emulator.faults.phases import PHASE_EVENTS
from sonic_voice.emulator.faults.triggers import Trigger
from sonic_voice.emulator.service.effects import StreamRefusal, StreamRequest
from sonic_voice.errors import ConfigError

from ..support.service_host import Host

REQUEST = StreamRequest("amazon.nova-2-sonic-v1:0", "us-east-1", "0" * 31 + "7")
ENDS = [name for name, kind in FAULTS.items() if kind.end is not None]
REFUSALS = [name for name, kind in FAULTS.items() if kind.refuse is not None]
OTHERS = [name for name in FAULTS if name not in ENDS and name not in REFUSALS]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cut@t=12.5", Fault("cut", "1", trigger=Trigger(time_s=12.5))),
        ("eof@event=answer", Fault("eof", "1", trigger=Trigger(event="answer"))),
        (
            "stall@event=tool-call,n=3,after=0.5",
            Fault("stall", "1", trigger=Trigger(event="tool-call", occurrence=3, after_s=0.5)),
        ),
        (
            "cut@p=0.02,seed=7",
            Fault("cut", "1", trigger=Trigger(probability=0.02), seed=7),
        ),
        (
            "idle:532@event=thinking,p=0.5,streams=2-4",
            Fault("idle", "532", 4, 2, trigger=Trigger(event="thinking", probability=0.5)),
        ),
        ("http:429@for=20", Fault("http", "429", for_s=20.0)),
        ("http:429@streams=2-,for=20", Fault("http", "429", None, 2, 20.0)),
        ("http@event=opening,2", Fault("http", "429", 2)),
        ("no-final@p=0.5", Fault("no-final", "", probability=0.5)),
        (
            "exception:throttlingException:slow down, please@t=1",
            Fault("exception", "throttlingException:slow down, please", trigger=Trigger(1.0)),
        ),
        (
            "exception:throttlingException:write to me@home, please",
            Fault("exception", "throttlingException:write to me@home, please"),
        ),
    ],
)
def test_conditions_are_read_as_they_are_described(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize(
    "conditions",
    [
        *(f"event={event}" for event in PHASE_EVENTS),
        *("t=3", "p=0.5", "t=0.25,p=1,seed=3", "event=answer,n=2,after=1.5,streams=2-9"),
    ],
)
def test_every_fault_that_ends_a_stream_may_come_at_every_moment(
    name: str, conditions: str
) -> None:
    fault = parse_fault(f"{name}@{conditions}")
    assert fault.trigger is not None
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("conditions", ["", "@2", "@streams=3-", "@for=1.5,streams=0"])
def test_a_fault_is_written_as_it_is_read(name: str, conditions: str) -> None:
    fault = parse_fault(name + conditions)
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cut@answer", "no condition 'answer'"),
        ("cut@answer", "t=SECONDS, event=EVENT"),
        ("cut@when=answer", "no condition 'when=answer'"),
        ("cut@event=lunch", "event=opening|user-speech"),
        ("cut@t=soon", "t=12.5, in seconds"),
        ("cut@p=1.5", "p=0.02, at most 1"),
        ("cut@t=1,t=2", "the condition t twice"),
        ("cut@t=1,event=answer", "both a time and an event"),
        ("cut@n=2", "without an event"),
        ("cut@after=2", "without an event"),
        ("cut@t=2,seed=2", "a seed without a probability"),
        ("cut:2@event=answer", "cut@event=answer,n=2"),
        ("cut@streams=5-3", "end before they begin"),
        ("cut@event=answer,n=0", "n=3"),
        ("http@t=3", "at the opening only"),
        ("expired-token@event=answer", "at the opening only"),
        ("http@event=opening,n=2", "no n and no after"),
        ("no-final@t=3", "These do: idle, life"),
    ],
)
def test_a_wrong_condition_is_named_with_what_there_is(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_fault(text)
    assert words in str(wrong.value)


def refused(*faults: str, times_s: list[float]) -> list[int]:
    """Return the status of each stream that is opened at one of these times; 0 if it is not
    refused."""
    asked = [parse_fault(text) for text in faults]
    clock = [0.0]
    factory = with_faults(lambda _: Host().service, asked, clock=lambda: clock[-1])
    made: list[object] = []
    for now_s in times_s:
        clock.append(now_s)
        made.append(factory(REQUEST))
    return [one.status if isinstance(one, StreamRefusal) else 0 for one in made]


def test_openings_are_refused_for_a_time_that_begins_with_the_first_of_them() -> None:
    times_s = [100.0, 110.0, 119.9, 120.0, 300.0]
    assert refused("http:429@for=20", times_s=times_s) == [429, 429, 429, 0, 0]


def test_an_outage_may_begin_with_a_later_stream() -> None:
    times_s = [0.0, 50.0, 59.0, 60.5]
    assert refused("http:503@streams=2-,for=10", times_s=times_s) == [0, 503, 503, 0]


def test_a_fault_may_be_limited_to_streams_in_the_middle() -> None:
    assert refused("http:500@streams=2-3", times_s=[0.0] * 5) == [0, 500, 500, 0, 0]


def test_chance_refuses_its_share_of_the_streams_and_the_same_ones_for_the_same_seed() -> None:
    several = [refused(f"http@p=0.3,seed={seed}", times_s=[0.0] * 300) for seed in (1, 1, 2)]
    assert several[0] == several[1] != several[2]
    for statuses in several:
        assert 60 < sum(status > 0 for status in statuses) < 120


def test_two_faults_with_one_seed_do_not_come_together() -> None:
    both = refused("http:500@p=0.5", "http:503@p=0.5", times_s=[0.0] * 400)
    assert 60 < both.count(503) < 140  # half of those that the first one spares


def test_a_token_expires_with_the_text_of_the_service() -> None:
    made = with_faults(lambda _: Host().service, [parse_fault("expired-token")])(REQUEST)
    text = "The security token included in the request is expired"
    assert made == StreamRefusal(403, "ExpiredTokenException", text)


# --- chaos


def test_chaos_is_the_same_for_the_same_seed_and_other_for_another() -> None:
    plans = [chaos_plan(ChaosProfile(seed), 100) for seed in (5, 5, 6)]
    assert plans[0] == plans[1] != plans[2]


def test_chaos_mixes_every_fault_at_every_moment() -> None:
    plan = [fault for fault in chaos_plan(ChaosProfile(1), 3000) if fault is not None]
    assert 0.57 < len(plan) / 3000 < 0.63
    events = {fault.trigger.event for fault in plan if fault.trigger is not None}
    assert events == {*PHASE_EVENTS, None}
    names = {fault.name for fault in plan}
    never = {"content-filter", "error-frame", "mute"}  # cannot be tried again, or never ends
    assert names == {*ENDS, *REFUSALS} - never
    refusals = [fault for fault in plan if fault.name in REFUSALS]
    assert 0.07 < len(refusals) / 3000 < 0.13


def test_chaos_leaves_out_what_it_is_told_to() -> None:
    plan = chaos_plan(ChaosProfile(1, without=frozenset({"stall", "http:429"})), 2000)
    texts = {str(fault) for fault in plan if fault is not None}
    assert not any(text.startswith(("stall", "http:429")) for text in texts)


def test_the_plan_of_chaos_is_what_an_emulator_does() -> None:
    profile = ChaosProfile(3)
    happened: list[FaultOccurrence] = []
    factory = with_faults(lambda _: Host().service, [], chaos=profile, on_fault=happened.append)
    made = [factory(REQUEST) for _ in range(200)]
    plan = chaos_plan(profile, 200)
    for fault, service in zip(plan, made, strict=True):
        refuses = fault is not None and fault.name in REFUSALS
        assert isinstance(service, StreamRefusal) == refuses
    assert [(one.stream, one.fault) for one in happened] == [
        (number, fault)
        for number, fault in enumerate(plan, start=1)
        if fault is not None and fault.name in REFUSALS
    ]
