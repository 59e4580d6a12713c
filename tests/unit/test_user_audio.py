"""The user's side of a tape: audio across streams, typed turns, results of tools."""

import itertools
import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.config import SessionConfig, ToolSpec
from sonic_voice.errors import ConfigError
from sonic_voice.history import Message
from sonic_voice.protocol import SonicProtocol
from sonic_voice.recording.recorded_config import recorded_config
from sonic_voice.recording.recorded_user import recorded_user
from sonic_voice.recording.records import (
    Received,
    Sent,
    SessionEvent,
    StreamOpened,
    Tape,
    TapeHeader,
    TapeRecord,
)
from sonic_voice.recording.user_audio import ReportedReplay, SentAudio, merged_audio
from sonic_voice.transcript import Transcript

RATE_HZ = 16_000
CHUNK = 1024
"""Size of a chunk of 32 ms, in bytes."""


def digest(audio: Iterable[SentAudio]) -> bytes:
    """Return a digest of audio, because a difference of megabytes is not worth printing."""
    return sha256(b"".join(sent.pcm for sent in audio)).digest()


def chunks(pcm: bytes, begin: int = 0, index: int = 0) -> Iterator[SentAudio]:
    """Yield audio as it is sent in real time, with the position of its beginning on the tape."""
    for number, at in enumerate(range(0, len(pcm), CHUNK)):
        piece = pcm[at : at + CHUNK]
        yield SentAudio(index + number, (begin + at + len(piece)) / 2 / RATE_HZ, piece)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1 << 32),
    switch=st.integers(1, 90).map(lambda chunk: chunk * CHUNK),
    repeated=st.integers(0, 700).map(lambda ms: 32 * ms),
    quiet=st.booleans(),
)
def test_what_a_next_stream_receives_again_is_left_out(
    seed: int, switch: int, repeated: int, quiet: bool
) -> None:
    said = bytes(100 * CHUNK) if quiet else random.Random(seed).randbytes(100 * CHUNK)
    repeated = min(repeated, switch)
    first = [*chunks(said[:switch]), *chunks(bytes(8 * CHUNK), switch, 500)]  # retired: silence
    burst = SentAudio(400, switch / 2 / RATE_HZ, said[switch - repeated : switch])
    second = [*([burst] if repeated else ()), *chunks(said[switch:], switch, 401)]
    report = ReportedReplay(402, second[0].at_s, repeated / 2 / RATE_HZ)
    merged = merged_audio([first, second], [report], RATE_HZ)
    assert digest(merged) == sha256(said).digest()


def test_audio_that_was_kept_during_a_fault_gets_its_own_times() -> None:
    said = random.Random(5).randbytes(60 * CHUNK)
    fault, renewed, repeated = 20 * CHUNK, 40 * CHUNK, 5 * CHUNK
    at_s = renewed / 2 / RATE_HZ
    burst = SentAudio(100, at_s, said[fault - repeated : renewed])
    second = [burst, *chunks(said[renewed:], renewed, 101)]
    report = ReportedReplay(102, at_s, len(burst.pcm) / 2 / RATE_HZ)
    merged = merged_audio([[*chunks(said[:fault])], second], [report], RATE_HZ)
    assert digest(merged) == sha256(said).digest()
    ends_s = itertools.accumulate(len(sent.pcm) / 2 / RATE_HZ for sent in merged)
    assert [sent.at_s for sent in merged] == pytest.approx(list(ends_s), abs=0.001)


def test_silence_takes_the_place_of_quiet_audio_that_no_stream_received() -> None:
    said = random.Random(6).randbytes(60 * CHUNK)
    fault, renewed = 20 * CHUNK, 40 * CHUNK
    second = [*chunks(said[renewed:], renewed, 101)]
    report = ReportedReplay(102, second[0].at_s, 0.0)
    merged = merged_audio([[*chunks(said[:fault])], second], [report], RATE_HZ)
    expected = said[:fault] + bytes(renewed - fault) + said[renewed:]
    assert digest(merged) == sha256(expected).digest()
    assert_spoken_in_real_time(merged)


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_stream_that_ended_early_was_not_sent_comes_with_the_next(quiet: bool) -> None:
    said = bytes(90 * CHUNK) if quiet else random.Random(7).randbytes(90 * CHUNK)
    first = 20 * CHUNK
    streams, reports = [[*chunks(said[:first])]], list[ReportedReplay]()
    for number, renewed, sent in ((1, 40, 14.5), (2, 55, 25.25), (3, 70, 25.25), (4, 80, 75.0)):
        begin, end = 5 * CHUNK, renewed * CHUNK  # all since then is sent again, up to the next cut
        told = said[begin:end]
        burst = SentAudio(100 * number, end / 2 / RATE_HZ, told[: round(sent * CHUNK)])
        reports.append(ReportedReplay(100 * number + 1, burst.at_s, len(told) / 2 / RATE_HZ))
        streams.append([burst])
    streams[-1] += chunks(said[80 * CHUNK :], 80 * CHUNK, 402)
    merged = merged_audio(streams, reports, RATE_HZ)
    assert digest(merged) == sha256(said).digest()
    assert_spoken_in_real_time(merged)
    broken_off = merged_audio(streams[:3], reports, RATE_HZ)
    told = said[: round(30.25 * CHUNK)]
    assert digest(broken_off) == sha256(told + bytes(55 * CHUNK - len(told))).digest()


def assert_spoken_in_real_time(audio: list[SentAudio]) -> None:
    """Check that each chunk has the time at which its 32 ms were over."""
    position = 0
    for sent in audio:
        position += len(sent.pcm)
        assert -(-position // CHUNK) * CHUNK / 2 / RATE_HZ == pytest.approx(sent.at_s, abs=0.001)


# -- a whole tape

TOOL = ToolSpec("look", "Look.", {"type": "object", "properties": {}})
CONFIG = SessionConfig(
    voice="matthew",
    system="Answer shortly.",
    tools=(TOOL,),
    temperature=0.25,
    endpointing="LOW",
    history=(Message("USER", "Hello."), Message("ASSISTANT", "Hello.")),
)
IDS = wire.Ids("s", "p", "c")


def tape_of(*records: TapeRecord, config: dict[str, object] | None = None) -> Tape:
    """Return a tape with these records."""
    header = TapeHeader(1, CONFIG.model, config or {}, datetime(2026, 11, 22, tzinfo=UTC), {})
    return Tape(header, records)


def conversation(*, events: bool) -> Tape:
    """Return a conversation with a tool, a typed turn and a text of the session."""
    protocol = SonicProtocol(CONFIG, Transcript())
    call = wire.encode_output(wire.ToolUse(IDS, "b", "call-1", "look", '{"where": "up"}'))
    records: list[TapeRecord] = [StreamOpened(0.0, 1, CONFIG.model)]

    def send(at_s: float, *payloads: bytes) -> None:
        records.extend(Sent(at_s, 1, payload) for payload in payloads)

    send(0.1, *protocol.begin(), *protocol.go_live(CONFIG.history))
    send(1.0, protocol.audio(bytes(CHUNK)))
    for payload in (wire.encode_output(wire.ToolBlock(IDS, "b")), call):
        records.append(Received(1.5, 1, payload))
        protocol.receive(payload, 1.5)
    send(2.0, *protocol.tool_result("call-1", '{"seen": "stars"}')[0])
    send(3.0, protocol.audio(bytes(CHUNK)))
    send(3.5, *protocol.text("And now?")[0], *protocol.text("[Go on.]")[0])
    if events:
        records.append(
            SessionEvent(3.5, "UserText", {"turn": 2, "text": "And now?", "typed": True})
        )
    send(4.0, protocol.audio(bytes(CHUNK)))
    return tape_of(*records)


@pytest.mark.parametrize("events", [True, False])
def test_typed_turns_and_results_are_found(events: bool) -> None:
    user = recorded_user(conversation(events=events))
    assert [(typed.text, typed.at_bytes, typed.at_s) for typed in user.typed] == [
        ("And now?", 2 * CHUNK, 3.5)
    ]
    (call,) = user.calls
    assert (call.name, call.result_json) == ("look", '{"seen": "stars"}')
    assert call.delay_s == pytest.approx(0.5)
    assert [chunk.at_s for chunk in user.chunks] == [1.0, 3.0, 4.0]


def test_the_configuration_is_read_from_the_first_stream() -> None:
    assert recorded_config(conversation(events=True)) == CONFIG


@pytest.mark.parametrize(
    "config",
    [
        {"model": "amazon.nova-2-sonic-v1:0", "temperature": 7},
        {"model": "amazon.nova-2-sonic-v1:0", "tools": [1]},
        {"model": "amazon.nova-2-sonic-v1:0", "tools": 5},
        {"model": 5},
        {"input": {"rate_hz": "x"}},
        {"renewal": {"prepare_share": "soon"}},
        {"history": [{"role": "USER"}]},
    ],
)
def test_a_configuration_that_cannot_be_used_is_a_sentence(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="The configuration on the tape cannot be"):
        recorded_config(tape_of(config=config))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.sampled_from(["model", "voice", "tools", "history", "input", "renewal", "greeting"]),
        json_values,
    )
)
def test_no_configuration_of_a_foreign_tape_raises_anything_else(config: dict[str, object]) -> None:
    with suppress(ConfigError):
        recorded_config(tape_of(config=config))


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=60), max_size=6), json_values)
def test_a_tape_with_nonsense_has_a_user(payloads: list[bytes], value: object) -> None:
    fields = {"text": value, "typed": True, "replayed_ms": value, "tool_use": value}
    records: list[TapeRecord] = [Sent(float(at), 1, sent) for at, sent in enumerate(payloads)]
    records += [Received(9.0, 2, payload) for payload in payloads]
    records += [SessionEvent(9.0, name, fields) for name in ("UserText", "Renewed", "ToolAnswered")]
    assert recorded_user(tape_of(*records)).typed == ()
