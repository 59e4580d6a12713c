"""Every fault of `--fault`, as the bare AWS SDK meets it: a recorded person asks once."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aws_sdk_bedrock_runtime import models
from smithy_aws_event_stream.exceptions import UnmodeledEventError
from smithy_core.exceptions import CallError

from sonic_voice import wire
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.faults import FAULTS
from sonic_voice.errors import ConnectionLost

from ..support.sdk_talk import Heard, once

SCENARIO = """
steps:
  - user: go forward ten meters
    say: [I will go forward now., Please wait until I am there.]
"""
CALLING = """
steps:
  - user: go forward ten meters
    call: {tool: go, arguments: {direction: forward}, then: "I went {result.meters} meters."}
"""

type Converse = Callable[..., Awaitable[Heard]]


@pytest.fixture
def converse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Converse:
    """Hold a conversation with an emulator that has these faults."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    async def talk(
        *faults: str, calling: bool = False, pause: bool = False, timeouts: StreamTimeouts
    ) -> Heard:
        (tmp_path / "s.yaml").write_text(CALLING if calling else SCENARIO)
        behaviour = Behaviour(faults=faults, latency="none", timeouts=timeouts)
        async with emulator(tmp_path / "s.yaml", behaviour=behaviour) as running:
            for name, value in running.environment().items():
                monkeypatch.setenv(name, value)
            return await once(pause=pause)

    return talk


type Check = Callable[[Heard], None]

IDLE = "gaps between audio bytes and interactive content are less than {} seconds"
MARKER = {"interrupted": True}


def says(kind: type[Exception], text: str) -> Check:
    """The stream ended with an exception of the service that says `text`."""

    def check(heard: Heard) -> None:
        assert isinstance(heard.end, kind), repr(heard.end)
        assert text in str(heard.end)

    return check


def silent_before(kind: type[Exception], text: str) -> Check:
    def check(heard: Heard) -> None:
        says(kind, text)(heard)
        assert not heard.texts("ASSISTANT", "SPECULATIVE")

    return check


def lost(reason: str) -> Check:
    """The network ended the stream in the middle of the answer's sound.

    A connection that is cut takes with it what is on its way: the sound, where this side writes
    into it before it has read.
    """

    def check(heard: Heard) -> None:
        assert heard.spoke or reason == "cut"
        assert not [b for b in heard.of(wire.BlockEnd) if b.kind == "AUDIO"]
        chain: list[BaseException] = []
        link: BaseException | None = heard.end
        while link is not None and link not in chain:
            chain.append(link)
            link = link.__cause__ or link.__context__
        found = [link for link in chain if isinstance(link, ConnectionLost)]
        assert [link.reason for link in found[:1]] == [reason], chain

    return check


def ended_well(check: Check) -> Check:
    def both(heard: Heard) -> None:
        assert heard.end is None, repr(heard.end)
        assert isinstance(heard.outputs[-1], wire.CompletionEnd)
        check(heard)

    return both


def late(heard: Heard) -> None:
    """Both sentences are confirmed, and only in the last seconds of what was sent."""
    assert [text.strip() for text in heard.texts("ASSISTANT", "FINAL")] == SENTENCES
    last = heard.outputs.index(heard.of(wire.UserSpeechEnd)[-1])
    assert [type(o) for o in heard.outputs[last:]].count(wire.CompletionEnd) == 1
    assert isinstance(heard.outputs[-2], wire.BlockEnd)  # the last FINAL waited for the end


def no_final(heard: Heard) -> None:
    assert heard.texts("ASSISTANT", "FINAL") == []
    assert [text.strip() for text in heard.texts("ASSISTANT", "SPECULATIVE")] == SENTENCES


def interrupted_by_nobody(heard: Heard) -> None:
    (marker,) = heard.texts("ASSISTANT", "FINAL")
    assert json.loads(marker) == MARKER
    assert heard.texts("USER", "FINAL") == ["go forward ten meters", ""]
    assert [b.stop for b in heard.of(wire.BlockEnd) if b.kind == "AUDIO"] == ["INTERRUPTED"]
    assert len(heard.of(wire.UserSpeechStart)) == len(heard.of(wire.UserSpeechEnd)) == 2


def without_a_barge_in(heard: Heard) -> None:
    """Nobody barges in here: the sound is all there, chunk after chunk, and so are the texts."""
    assert [text.strip() for text in heard.texts("ASSISTANT", "FINAL")] == SENTENCES
    stops = [b.stop for b in heard.of(wire.BlockEnd) if b.kind == "AUDIO"]
    assert stops == ["PARTIAL_TURN", "END_TURN"]


def in_two_texts(heard: Heard) -> None:
    assert heard.texts("USER", "FINAL") == ["go forward", "ten meters"]
    assert [text.strip() for text in heard.texts("ASSISTANT", "SPECULATIVE")] == SENTENCES


def marked_and_goes_on(heard: Heard) -> None:
    early, marker, *finals = heard.texts("ASSISTANT", "FINAL")
    assert SENTENCES[0].startswith(early)
    assert json.loads(marker) == MARKER
    assert [text.strip() for text in finals] == SENTENCES
    assert len(heard.of(wire.UserSpeechStart)) == len(heard.of(wire.UserSpeechEnd)) + 1
    stops = [b.stop for b in heard.of(wire.BlockEnd) if b.kind == "AUDIO"]
    assert stops == ["PARTIAL_TURN", "END_TURN"]


def encoded_twice(heard: Heard) -> None:
    (call,) = heard.of(wire.ToolUse)
    assert json.loads(json.loads(call.arguments_json)) == {"direction": "forward"}
    assert heard.texts("ASSISTANT", "SPECULATIVE") == ["I went 10 meters."]


def two_calls(heard: Heard) -> None:
    first, second = heard.of(wire.ToolUse)
    assert (first.name, first.arguments_json) == (second.name, second.arguments_json)
    assert first.tool_use != second.tool_use
    assert first.content_id != second.content_id
    between = heard.outputs[heard.outputs.index(first) : heard.outputs.index(second)]
    assert not any(isinstance(record, wire.TextBlock) for record in between)
    assert heard.texts("ASSISTANT", "SPECULATIVE") == ["I went 10 meters."]


def unknown(heard: Heard) -> None:
    names = [record.name for record in heard.of(wire.UnknownOutput)]
    assert names == ["moodEvent"] * len(heard.of(wire.TextBlock))


def only_audio_ends_turns(heard: Heard) -> None:
    assert len(heard.texts("ASSISTANT", "FINAL")) == 2
    ends = [b.kind for b in heard.of(wire.BlockEnd) if b.stop == "END_TURN"]
    assert ends == ["AUDIO"]


def ended_early(heard: Heard) -> None:
    """The stream ended as if all were well, in the middle of the sound."""
    assert heard.end is None
    assert heard.spoke
    assert not [b for b in heard.of(wire.BlockEnd) if b.kind == "AUDIO"]
    assert heard.of(wire.CompletionEnd) == []


def broken_off(heard: Heard) -> None:
    assert heard.spoke
    assert "Checksum mismatch" in str(heard.end)


def nothing(heard: Heard) -> None:
    assert heard.outputs == []
    says(models.ValidationException, IDLE.format(0.3))(heard)


def heard_in_vain(heard: Heard) -> None:
    assert heard.texts("USER", "FINAL") == ["go forward ten meters"]
    assert heard.texts("ASSISTANT", "SPECULATIVE") == heard.texts("ASSISTANT", "FINAL") == []
    assert not heard.spoke


def lost_at_the_end(reason: str) -> Check:
    """The network ended the stream after a whole answer."""

    def check(heard: Heard) -> None:
        assert [b.stop for b in heard.of(wire.BlockEnd) if b.kind == "AUDIO"][-1:] == ["END_TURN"]
        chain: list[BaseException] = []
        link: BaseException | None = heard.end
        while link is not None and link not in chain:
            chain.append(link)
            link = link.__cause__ or link.__context__
        found = [link for link in chain if isinstance(link, ConnectionLost)]
        assert [link.reason for link in found[:1]] == [reason], chain

    return check


SENTENCES = ["I will go forward now.", "Please wait until I am there."]
QUICK_IDLE = StreamTimeouts(idle_s=0.3)
QUICK_LIFE = StreamTimeouts(life_s=1.0)
NO_ROOM = "Too many requests, please wait"
RESET_531 = "InternalErrorCode=531::RST_STREAM closed stream"


@dataclass(frozen=True)
class Case:
    fault: str
    check: Check
    timeouts: StreamTimeouts = field(default_factory=StreamTimeouts)
    calling: bool = False
    pause: bool = False


CASES = [
    Case("http", says(models.ThrottlingException, NO_ROOM)),
    Case("http:403", says(models.AccessDeniedException, "access to the model")),
    Case("http:404", says(models.ResourceNotFoundException, "could not be found")),
    Case("http:503", says(models.ServiceUnavailableException, "temporarily unavailable")),
    Case("expired-token", says(CallError, "ExpiredTokenException")),
    Case("http:424", says(models.ModelErrorException, "failed to process")),
    Case("idle:55", says(models.ValidationException, IDLE.format(55)), QUICK_IDLE, pause=True),
    Case("idle:59", says(models.ValidationException, IDLE.format(59)), QUICK_IDLE, pause=True),
    Case("idle:295", says(models.ValidationException, IDLE.format(295)), QUICK_IDLE, pause=True),
    Case(
        "idle:532",
        says(models.ValidationException, "InternalErrorCode=532::Timed out waiting for audio"),
        QUICK_IDLE,
        pause=True,
    ),
    Case(
        "idle:none",
        says(models.ValidationException, "Timed out waiting for input events"),
        QUICK_IDLE,
        pause=True,
    ),
    Case("", says(models.ModelTimeoutException, "Model has timed out"), QUICK_LIFE, pause=True),
    Case("life:531", says(models.ValidationException, RESET_531), QUICK_LIFE, pause=True),
    Case("instability:2", silent_before(models.ValidationException, "System instability detected")),
    Case("content-filter", silent_before(models.ValidationException, "blocked by our content")),
    Case(
        "exception:modelStreamErrorException:upstream went away",
        silent_before(models.ModelStreamErrorException, "upstream went away"),
    ),
    Case("error-frame", silent_before(UnmodeledEventError, "An internal error occurred")),
    Case("cut", lost("cut")),
    Case("cut-mid-frame", lost("cut")),
    Case("eof", ended_early),
    Case("invalid-bytes", broken_off),
    Case("reset", lost("reset")),
    Case("goaway", lost("goaway")),
    Case("no-events", nothing, QUICK_IDLE, pause=True),
    Case("no-answer", heard_in_vain, QUICK_IDLE, pause=True),
    Case("goodbye:reset", lost_at_the_end("reset")),
    Case("late-final:30", ended_well(late)),
    Case("no-final", ended_well(no_final)),
    Case("no-marker", ended_well(lambda heard: None)),
    Case("spurious-interruption", ended_well(interrupted_by_nobody)),
    Case("silent-barge-in", ended_well(without_a_barge_in)),
    Case("split-transcript", ended_well(in_two_texts)),
    Case("spurious-marker", ended_well(marked_and_goes_on)),
    Case("double-encoded", ended_well(encoded_twice), calling=True),
    Case("two-calls", ended_well(two_calls), calling=True),
    Case("unknown-event:moodEvent", ended_well(unknown)),
    Case("end-turn-on-audio-only", ended_well(only_audio_ends_turns)),
]


@pytest.mark.parametrize("case", CASES, ids=[case.fault or "life" for case in CASES])
async def test_a_fault_is_seen_by_the_bare_sdk(converse: Converse, case: Case) -> None:
    faults = [case.fault] if case.fault else []
    heard = await converse(*faults, calling=case.calling, pause=case.pause, timeouts=case.timeouts)
    case.check(heard)


def test_every_fault_there_is_has_a_case() -> None:
    cases = {case.fault.partition(":")[0] for case in CASES}
    cases |= {"mute", "stall"}  # tests of their own, that of `stall` in test_fault_moments
    assert set(FAULTS) <= cases


async def test_a_mute_server_sends_not_even_headers(converse: Converse) -> None:
    """Until its life is over: a client without a deadline of its own would wait as long."""
    heard = await converse("mute", pause=True, timeouts=QUICK_LIFE)
    assert heard.outputs == []
    assert isinstance(heard.end, Exception)


async def test_a_fault_of_the_first_streams_alone_lets_a_second_try_succeed(
    converse: Converse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    async with emulator(
        tmp_path / "s.yaml", behaviour=Behaviour(faults=("http:503@1",), latency="none")
    ) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        first, second = await once(), await once()
    assert isinstance(first.end, models.ServiceUnavailableException)
    assert second.end is None
    assert second.spoke
