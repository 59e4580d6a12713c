"""The moment at which a triggered fault ends a stream, without a network."""

from typing import Any, cast

import pytest

from sonic_voice.emulator.faults import FAULTS, FaultOccurrence, parse_fault, with_faults
from sonic_voice.emulator.faults.audio_life import with_audio_life
from sonic_voice.emulator.faults.phases import PHASE_EVENTS, SOUNDS_BEFORE_ANSWER
from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service.checks import LIFE
from sonic_voice.emulator.service.effects import Break, Fail, Finish, Service, StreamRequest
from sonic_voice.wire import (
    AudioOutput,
    BlockEnd,
    CompletionEnd,
    Output,
    TextBlock,
    UserSpeechEnd,
    UserSpeechStart,
)

from ..support.service_host import GO, Host, spoken

REQUEST = StreamRequest("amazon.nova-2-sonic-v1:0", "us-east-1", "0" * 31 + "7")
ENDS = [name for name, kind in FAULTS.items() if kind.end is not None]
STEPS = (
    ScenarioStep("go", calls=(ScenarioCall("go", {}, then=("It is done now, as you said.",)),)),
    ScenarioStep("thank you", ("You are very welcome, until the next time.",)),
)
TWO_UTTERANCES = ((0, 960), (9_600, 10_560))


class Faulty(Host):
    """A host whose service has faults, and the list of those that came."""

    def __init__(self, *faults: str, stream: int = 1, life_s: float | None = None) -> None:
        super().__init__(*STEPS, speech=spoken(*TWO_UTTERANCES))
        self.happened: list[FaultOccurrence] = []
        healthy = self.service
        asked = [parse_fault(text) for text in faults]
        factory = with_faults(lambda _: healthy, asked, on_fault=self.happened.append)
        if life_s is not None:
            factory = with_audio_life(factory, life_s)
        for _ in range(stream - 1):
            factory(REQUEST)
        cast(Any, self).service = cast(Service, factory(REQUEST))

    def converse(self) -> "Faulty":
        """Hold the whole conversation, as far as the fault lets it come."""
        self.begin(tools=(GO,))
        answered: set[str] = set()
        for _ in range(20_000 // 320):
            self.audio(320)
            if self.over:
                return self
            for call in (call.tool_use for call in self.calls):
                if call not in answered:
                    answered.add(call)
                    self.result(call, '{"n":1}', f"T{len(answered)}")
        self.end()
        return self

    @property
    def last(self) -> object:
        return self.effects[-1]


def count(host: Host, kind: type[Output]) -> int:
    """Return the number of events of a kind that were sent."""
    return sum(isinstance(record, kind) for record in host.outputs)


def ended_turns(host: Host) -> int:
    ends = [record for record in host.outputs if isinstance(record, BlockEnd)]
    return sum(end.kind == "AUDIO" and end.stop == "END_TURN" for end in ends)


def words_of_the_user(host: Host) -> int:
    blocks = [record for record in host.outputs if isinstance(record, TextBlock)]
    return sum(block.role == "USER" for block in blocks)


@pytest.mark.parametrize("event", PHASE_EVENTS)
@pytest.mark.parametrize("name", ENDS)
def test_a_fault_comes_at_its_event_and_ends_the_stream_there(name: str, event: str) -> None:
    host = Faulty(f"{name}@event={event}").converse()
    assert isinstance(host.last, (Fail, Break))
    (happened,) = host.happened
    assert (happened.phase, happened.stream, happened.fault.name) == (event, 1, name)
    came = {
        "opening": not host.outputs,
        "user-speech": count(host, UserSpeechStart) == 1 and not count(host, UserSpeechEnd),
        "thinking": words_of_the_user(host) == 1 and not host.calls,
        "tool-call": len(host.calls) == 1 and not count(host, AudioOutput),
        "answer": count(host, AudioOutput) == SOUNDS_BEFORE_ANSWER and not ended_turns(host),
        "goodbye": isinstance(host.outputs[-1], CompletionEnd) if host.outputs else False,
    }
    assert came[event], host.shape()


def test_without_a_fault_the_same_conversation_ends_well() -> None:
    host = Faulty().converse()
    assert isinstance(host.last, Finish)
    assert count(host, UserSpeechStart) == 2


def test_an_event_may_be_counted() -> None:
    host = Faulty("cut@event=answer,n=2").converse()
    assert host.last == Break("cut")
    assert ended_turns(host) == 1
    assert host.happened[0].audio_ms > 9_600


def test_a_fault_may_come_some_time_after_its_event() -> None:
    at_once = Faulty("cut@event=user-speech,n=2").converse().happened[0]
    later = Faulty("cut@event=user-speech,n=2,after=0.32").converse().happened[0]
    assert later.phase == "user-speech"
    assert later.audio_ms - at_once.audio_ms == pytest.approx(320, abs=33)


@pytest.mark.parametrize("time_s", [0.5, 7.0, 12.34])
def test_a_fault_comes_at_a_time_of_the_input_audio(time_s: float) -> None:
    host = Faulty(f"reset@t={time_s}").converse()
    assert host.last == Break("reset")
    assert host.happened[0].audio_ms == pytest.approx(time_s * 1000, abs=33)


def chance_moments(seed: int, streams: int) -> list[float]:
    """Return when the first streams were cut by chance, in milliseconds of their audio."""
    found: list[float] = []
    for stream in range(1, streams + 1):
        host = Faulty(f"cut@p=0.1,seed={seed}", stream=stream).converse()
        found += [one.audio_ms for one in host.happened]
    return found


def test_chance_comes_at_the_same_moments_for_the_same_seed() -> None:
    moments, again = chance_moments(1, 20), chance_moments(1, 6)
    assert moments[: len(again)] == again != chance_moments(2, 6)
    assert len(again) > 2
    assert len(set(moments)) > 5
    assert 10 <= len(moments) < 20  # 20 s at a tenth: 88 % of the streams


def test_a_chance_at_an_event_is_drawn_each_time_it_comes() -> None:
    ends: list[float] = []
    for stream in range(1, 41):
        host = Faulty("eof@event=user-speech,p=0.5,seed=4", stream=stream).converse()
        ends += [one.audio_ms for one in host.happened]
    first, second = [e for e in ends if e < 9_600], [e for e in ends if e > 9_600]
    assert 12 <= len(first) <= 28
    assert 3 <= len(second) <= 18


def test_an_event_that_never_comes_leaves_the_stream_healthy() -> None:
    host = Faulty("cut@event=answer,n=9").converse()
    assert isinstance(host.last, Finish)
    assert host.happened == []


def test_a_client_that_leaves_without_its_goodbye_meets_a_fault_of_the_goodbye() -> None:
    host = Faulty("reset@event=goodbye")
    host.begin(tools=(GO,))
    host.do(host.service.end_of_input())
    assert host.last == Break("reset")


def test_the_life_of_a_stream_may_be_measured_by_its_audio() -> None:
    host = Faulty(life_s=6.0)
    host.begin(tools=(GO,))
    frames = 0
    while not host.over and frames < 1000:
        host.audio(32)
        frames += 1
    assert frames * 32 == pytest.approx(6_000, abs=33)
    (end,) = [effect for effect in host.effects if isinstance(effect, Fail)]
    assert (end.code, end.message) == ("modelTimeoutException", f"RequestId=request-1 : {LIFE}")


def test_a_life_by_audio_ends_with_the_fault_that_takes_its_place() -> None:
    host = Faulty("life:531", life_s=1.0).converse()
    assert isinstance(host.last, Fail)
    assert "InternalErrorCode=531" in host.last.message
