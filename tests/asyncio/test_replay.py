"""Replay as a transport: answers come at their places in the input, and streams in their order."""

import asyncio
from datetime import UTC, datetime

import pytest

from sonic_voice import wire
from sonic_voice.config import SessionConfig
from sonic_voice.errors import (
    ConfigError,
    ConnectionLost,
    ErrorKind,
    ServiceError,
    SonicError,
    fault_kind,
    service_error,
)
from sonic_voice.protocol import SonicProtocol
from sonic_voice.recording.records import (
    Received,
    Sent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeHeader,
    TapeRecord,
)
from sonic_voice.recording.replay import Replay, ReplayDifference, ReplayEnded, ReplayStream
from sonic_voice.recording.stream_scripts import recorded_error
from sonic_voice.transcript import Transcript
from sonic_voice.virtual_time import run_in_virtual_time

CONFIG = SessionConfig()
IDS = wire.Ids("s", "p", "c")
CHUNK = bytes(1024)


def answer(text: str) -> bytes:
    return wire.encode_output(wire.TextOutput(IDS, "b", text))


def tape_of(*records: TapeRecord) -> Tape:
    return Tape(TapeHeader(1, CONFIG.model, {}, datetime(2026, 11, 22, tzinfo=UTC), {}), records)


class Client:
    """A client whose payloads have other names at each call."""

    def __init__(self) -> None:
        self.protocol = SonicProtocol(CONFIG, Transcript())

    def begin(self) -> list[bytes]:
        return [*self.protocol.begin(), *self.protocol.go_live()]

    def audio(self) -> bytes:
        return self.protocol.audio(CHUNK)

    def text(self) -> list[bytes]:
        return self.protocol.text("Stop.")[0]

    def goodbye(self) -> list[bytes]:
        return self.protocol.finish()


def one_stream(*, end: str = "", number: int = 1) -> list[TapeRecord]:
    """Return the records of a stream: two chunks, an answer, a text, an answer, a goodbye."""
    client = Client()
    made: list[TapeRecord] = [StreamOpened(0.0, number, CONFIG.model)]

    def send(at_s: float, *payloads: bytes) -> None:
        made.extend(Sent(at_s, number, payload) for payload in payloads)

    send(0.0, *client.begin(), client.audio(), client.audio())
    made.append(Received(2.0, number, answer("to the audio")))
    send(3.0, *client.text())
    made.append(Received(3.5, number, answer("to the text")))
    if end:
        made.append(StreamEnded(4.0, number, end))
        return made
    send(4.0, *client.goodbye())
    made += [Received(4.0, number, answer("goodbye")), StreamEnded(4.0, number, "")]
    return made


async def sends(stream: ReplayStream, *payloads: bytes) -> None:
    for payload in payloads:
        await stream.send(payload)


async def nothing_comes(stream: ReplayStream) -> "asyncio.Task[bytes | None]":
    """Begin to receive, and check that nothing comes."""
    receiving = asyncio.create_task(stream.receive())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not receiving.done()
    return receiving


async def test_an_answer_comes_once_the_client_has_sent_what_it_answers() -> None:
    client = Client()
    async with Replay(tape_of(*one_stream()), strict=True) as replay:
        stream = await replay.open(CONFIG.model)
        await stream.accepted()
        await sends(stream, *client.begin(), client.audio())
        receiving = await nothing_comes(stream)
        await sends(stream, client.audio())
        assert await receiving == answer("to the audio")
        receiving = await nothing_comes(stream)
        await sends(stream, *client.text())
        assert await receiving == answer("to the text")
        await sends(stream, *client.goodbye())
        await stream.end_input()
        assert await stream.receive() == answer("goodbye")
        assert await stream.receive() is None
        assert await stream.receive() is None
        await stream.aclose()


async def test_the_rest_comes_once_the_client_has_ended_its_input() -> None:
    client = Client()
    async with Replay(tape_of(*one_stream())) as replay:
        stream = await replay.open(CONFIG.model)
        await sends(stream, *client.begin(), client.audio(), *client.goodbye())
        await stream.end_input()
        received = [await stream.receive() for _ in range(4)]
        assert received == [*map(answer, ("to the audio", "to the text", "goodbye")), None]


async def test_an_answer_comes_without_a_missing_step_after_much_audio() -> None:
    client = Client()
    async with Replay(tape_of(*one_stream())) as replay:
        stream = await replay.open(CONFIG.model)
        await sends(stream, *client.begin(), client.audio(), client.audio())
        assert await stream.receive() == answer("to the audio")
        receiving = await nothing_comes(stream)
        for _ in range(21):
            await stream.send(client.protocol.audio(bytes(32_000)))
        assert await receiving == answer("to the text")


@pytest.mark.parametrize(("speed", "waited_s"), [(1.0, 2.0), (4.0, 0.5)])
def test_with_a_speed_the_service_takes_the_time_of_the_tape(speed: float, waited_s: float) -> None:
    async def run() -> float:
        client = Client()
        async with Replay(tape_of(*one_stream()), speed=speed) as replay:
            stream = await replay.open(CONFIG.model)
            await sends(stream, *client.begin(), client.audio(), client.audio())
            await stream.receive()
            return asyncio.get_running_loop().time()

    assert run_in_virtual_time(run()) == pytest.approx(waited_s, abs=0.01)


ERRORS = (
    service_error("ThrottlingException", "Too many requests."),
    service_error("ModelStreamErrorException", "System instability detected."),
    service_error("ValidationException", "A (very) odd: text"),
    ConnectionLost("The network ended the stream.", reason="cut"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: fault_kind(error))
async def test_the_stream_ends_with_the_error_of_the_tape(error: SonicError) -> None:
    client = Client()
    tape = tape_of(*one_stream(end=f"{fault_kind(error)}: {error.message}"))
    async with Replay(tape) as replay:
        stream = await replay.open(CONFIG.model)
        await sends(stream, *client.begin(), client.audio(), client.audio(), *client.text())
        assert [await stream.receive(), await stream.receive()]
        with pytest.raises(type(error)) as raised:
            await stream.receive()
        assert raised.value.message == error.message
        assert raised.value.hint == error.hint or not isinstance(error, ServiceError)
        with pytest.raises(type(error)):
            await stream.send(client.audio())


@pytest.mark.parametrize("kind", ErrorKind)
def test_each_kind_of_service_error_is_restored(kind: ErrorKind) -> None:
    error = ServiceError(kind=kind, code="SomeException", text="It failed.")
    restored = recorded_error(f"{fault_kind(error)}: {error.message}")
    assert isinstance(restored, ServiceError)
    assert (restored.kind, restored.code, restored.text) == (kind, "SomeException", "It failed.")


async def test_a_refused_stream_is_refused() -> None:
    records = [StreamOpened(0.0, 1, CONFIG.model), Sent(0.0, 1, Client().begin()[0])]
    tape = tape_of(*records, StreamEnded(0.1, 1, "throttled: Busy. (ThrottlingException: Slow.)"))
    async with Replay(tape) as replay:
        stream = await replay.open(CONFIG.model)
        await stream.send(Client().begin()[0])
        with pytest.raises(ServiceError, match="takes no more streams"):
            await stream.accepted()


async def test_an_end_that_the_client_has_made_does_not_come_from_the_service() -> None:
    client = Client()
    tape = tape_of(*one_stream(end="ended: The session was closed."))
    async with Replay(tape) as replay:
        stream = await replay.open(CONFIG.model)
        await sends(stream, *client.begin(), client.audio(), client.audio(), *client.text())
        assert [await stream.receive(), await stream.receive()]
        receiving = await nothing_comes(stream)
        stream.abort(ConnectionLost("The session was closed.", reason="ended"))
        with pytest.raises(ConnectionLost):
            await receiving


async def test_streams_come_in_their_order_and_no_further_one() -> None:
    tape = tape_of(*one_stream(), *one_stream(number=2))
    async with Replay(tape) as replay:
        assert replay.streams_left == 2
        first, second = await replay.open(CONFIG.model), await replay.open(CONFIG.model)
        assert first is not second
        with pytest.raises(ReplayEnded, match="The tape has 2 streams"):
            await replay.open(CONFIG.model)


async def test_strict_mode_ends_every_stream_with_the_first_difference() -> None:
    tape = tape_of(*one_stream(), *one_stream(number=2))
    replay = Replay(tape, strict=True)
    first, second = await replay.open(CONFIG.model), await replay.open(CONFIG.model)
    receiving = await nothing_comes(second)
    with pytest.raises(ReplayDifference, match="sent promptStart before sessionStart"):
        await first.send(Client().begin()[1])
    for waiting in (receiving, second.send(CHUNK), replay.open(CONFIG.model)):
        with pytest.raises(ReplayDifference):
            await waiting
    with pytest.raises(ReplayDifference):
        replay.check()
    await replay.aclose()


async def test_strict_mode_names_what_is_missing_at_the_end() -> None:
    client = Client()
    with pytest.raises(ReplayDifference, match="did not send the end of the audio"):
        async with Replay(tape_of(*one_stream()), strict=True) as replay:
            stream = await replay.open(CONFIG.model)
            await sends(stream, *client.begin(), client.audio(), client.audio(), *client.text())
            await stream.aclose()
    with pytest.raises(ReplayDifference, match="did not open stream 1"):
        async with Replay(tape_of(*one_stream()), strict=True):
            pass


async def test_strict_mode_names_another_model() -> None:
    with pytest.raises(ReplayDifference, match="to another model") as raised:
        await Replay(tape_of(*one_stream()), strict=True).open("amazon.nova-sonic-v1:0")
    assert "+amazon.nova-sonic-v1:0" in raised.value.difference.diff


async def test_outside_of_strict_mode_nothing_is_compared() -> None:
    async with Replay(tape_of(*one_stream())) as replay:
        stream = await replay.open("amazon.nova-sonic-v1:0")
        await stream.send(b"nonsense")


def test_a_tape_without_streams_and_an_impossible_speed_are_refused() -> None:
    with pytest.raises(ConfigError, match="no stream"):
        Replay(tape_of())
    with pytest.raises(ConfigError, match="above 0"):
        Replay(tape_of(*one_stream()), speed=0)
