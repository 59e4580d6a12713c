"""`BedrockTransport` against the emulator: TLS, HTTP/2, signatures and frames as in production.

Every test that is about the stream runs over both engines.
"""

import asyncio
import gc
import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from sonic_voice.bedrock import BedrockStream, BedrockTransport, EngineName
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.server import LOCAL_KEYS, SPEECH_THREADS, Emulator
from sonic_voice.emulator.server.connection_limits import ConnectionLimits
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.emulator.service.effects import (
    Break,
    Effect,
    Emit,
    Expiry,
    Fail,
    Finish,
    Note,
    Service,
    Speak,
    StreamRefusal,
    StreamRequest,
)
from sonic_voice.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    CredentialsError,
    DeadlineError,
    ErrorKind,
    ServiceError,
    SonicError,
)

type How = Literal["reset", "cut", "cut-mid-frame", "goaway"]

MODEL = "amazon.nova-2-sonic-v1:0"
PATIENCE_S = 5.0
"""Maximum time for something that must happen at once, before a test calls it a hang."""
SMALL_WINDOW_BYTES = 65_535


class Obedient:
    """A service that does what the payloads say: `emit:x`, `break:cut`, `hold:cut`, ..."""

    def receive(self, payload: bytes) -> list[Effect]:
        word, _, rest = payload.decode().partition(":")
        orders: dict[str, Callable[[], list[Effect]]] = {
            "emit": lambda: [Emit(rest.encode())],
            "mute": list,
            "fail": lambda: [Fail("validationException", rest)],
            "raise": lambda: [Fail(rest, f"The text of {rest}.")],
            "break": lambda: [Emit(b"last words"), Break(cast(How, rest))],
            "finish": lambda: [Finish()],
            "note": lambda: [Note(rest, "a-rule")],
            # The words are "spoken" once the test opens the gate; until then nothing is read.
            "hold": lambda: [Speak(1, rest, "", 8000)],
        }
        return orders[word]()

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        return [Break(cast(How, pcm.decode()))] if pcm else []

    def words(self, key: int, text: str | None) -> list[Effect]:
        return []

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        return []

    def end_of_input(self) -> list[Effect]:
        return [Emit(b"end of input")]

    def stalled(self) -> list[Effect]:
        return [Emit(b"stalled")]

    def expire(self, which: Expiry) -> list[Effect]:
        return [Fail("modelTimeoutException", which)]


def admit(request: StreamRequest) -> Service | StreamRefusal:
    """What stands in the model id decides."""
    if request.model_id == "busy":
        return StreamRefusal(429, "ThrottlingException", "Too many streams, please wait.")
    if request.model_id.startswith("refuse."):
        code = request.model_id.removeprefix("refuse.")
        return StreamRefusal(400, code, f"The text of {code}.")
    return Obedient()


@pytest.fixture(params=["http2", "crt"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    if request.param == "crt":
        pytest.importorskip("awscrt")
    return request.param


@pytest.fixture(autouse=True)
def no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [n for n in os.environ if n.startswith(("AWS_", "SSL_CERT"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
async def emulator(gate: threading.Event) -> AsyncIterator[Emulator]:
    def speak(text: str, voice: str, rate_hz: int) -> bytes:
        gate.wait(PATIENCE_S)
        return text.encode()

    behaviour = Behaviour(timeouts=StreamTimeouts(stall_s=60))
    limits = ConnectionLimits(window_bytes=SMALL_WINDOW_BYTES)
    async with Emulator(
        admit, engines=Engines(speak), behaviour=behaviour, limits=limits
    ) as emulator:
        yield emulator


def transport_to(
    emulator: Emulator, engine: EngineName = "http2", **options: Any
) -> BedrockTransport:
    defaults: dict[str, Any] = {
        "region": "us-east-1",
        "endpoint": emulator.endpoint,
        "ca_file": emulator.ca_file if emulator.ca_pem else None,
        "access_key": LOCAL_KEYS.access_key,
        "secret_key": LOCAL_KEYS.secret_key,
    }
    return BedrockTransport(engine=engine, **{**defaults, **options})


@pytest.fixture
async def transport(emulator: Emulator, engine: EngineName) -> AsyncIterator[BedrockTransport]:
    transport = transport_to(emulator, engine)
    yield transport
    await transport.aclose()


@pytest.fixture
async def stream(transport: BedrockTransport) -> AsyncIterator[BedrockStream]:
    stream = await transport.open(MODEL)
    yield stream
    await stream.aclose()


@pytest.fixture(autouse=True)
async def nothing_is_said_behind_our_back() -> AsyncIterator[None]:
    """Fail on what asyncio would print to stderr, such as exceptions never retrieved."""
    said: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context))
    yield
    gc.collect()
    # In debug mode asyncio tells of every handshake that a server refuses.
    assert not [c for c in said if "incoming connection" not in c["message"]]


async def at_once[T](awaitable: "asyncio.Future[T]") -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


async def keep_sending(stream: BedrockStream) -> None:
    while True:
        await stream.send(b"mute:" + bytes(8000))


async def stuck_both_ways(
    stream: BedrockStream, fault: str = ""
) -> tuple["asyncio.Task[bytes | None]", "asyncio.Task[None]"]:
    """A reader that gets nothing and a writer that nobody reads."""
    await stream.send(f"hold:{fault}".encode())
    reading = asyncio.create_task(stream.receive())
    writing = asyncio.create_task(keep_sending(stream))
    done, _ = await asyncio.wait({reading, writing}, timeout=0.3)
    assert not done
    return reading, writing


# --- what works


async def test_streams_are_answered_while_the_engines_are_being_prepared() -> None:
    # Networks for forty streams take seconds; no client may give up meanwhile.
    ready = threading.Event()
    engines = Engines(prepare=lambda streams: cast(None, ready.wait(PATIENCE_S)))
    behaviour = Behaviour(timeouts=StreamTimeouts(stall_s=60))
    async with Emulator(admit, engines=engines, behaviour=behaviour) as emulator:
        transport = transport_to(emulator)
        streams = await at_once(
            asyncio.gather(*(transport.open(MODEL) for _ in range(SPEECH_THREADS + 4)))
        )
        try:
            for stream in streams:
                await stream.send(b"emit:first")
            assert {await at_once(asyncio.ensure_future(s.receive())) for s in streams} == {
                b"first"
            }
            ready.set()
            for stream in streams:
                await stream.send(b"emit:second")
            assert {await at_once(asyncio.ensure_future(s.receive())) for s in streams} == {
                b"second"
            }
        finally:
            ready.set()
            await asyncio.gather(*(stream.aclose() for stream in streams))
            await transport.aclose()


async def test_a_backlog_of_one_stream_does_not_hold_up_everybody_else() -> None:
    # On a busy machine 40 streams had so much to catch up that no PING was answered for 8 s.
    ready, loop_turns, backlog = threading.Event(), 0, 30
    taken_at: list[int] = []

    class Recording(Obedient):
        def receive(self, payload: bytes) -> list[Effect]:
            taken_at.append(loop_turns)
            return super().receive(payload)

    async def count_loop_turns() -> None:
        nonlocal loop_turns
        while True:
            loop_turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_loop_turns())
    engines = Engines(prepare=lambda streams: cast(None, ready.wait(PATIENCE_S)))
    async with Emulator(lambda request: Recording(), engines=engines) as emulator:
        transport = transport_to(emulator)
        stream = await transport.open(MODEL)
        await stream.send(b"emit:first")
        assert await at_once(asyncio.ensure_future(stream.receive())) == b"first"
        for _ in range(backlog):
            await stream.send(b"mute:")
        await stream.send(b"emit:last")
        ready.set()
        assert await at_once(asyncio.ensure_future(stream.receive())) == b"last"
        await stream.aclose()
        await transport.aclose()
    counting.cancel()
    assert len(set(taken_at)) == len(taken_at) == backlog + 2


async def test_engines_are_released_some_time_after_the_last_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sonic_voice.emulator.server.RELEASE_AFTER_S", 0.05)
    released: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    engines = Engines(
        release=lambda streams: cast(None, loop.call_soon_threadsafe(released.put_nowait, streams))
    )
    async with Emulator(admit, engines=engines) as emulator:
        transport = transport_to(emulator)
        stream = await transport.open(MODEL)
        await stream.send(b"finish:")
        assert await at_once(asyncio.ensure_future(stream.receive())) is None
        await stream.aclose()
        assert await at_once(asyncio.ensure_future(released.get())) == 0
        await transport.aclose()


async def test_payloads_go_both_ways_in_their_order(stream: BedrockStream) -> None:
    words = [f"word {n}".encode() for n in range(50)]
    for word in words:
        await stream.send(b"emit:" + word)
    assert [await stream.receive() for _ in words] == words


async def test_a_large_payload_passes_every_window(stream: BedrockStream) -> None:
    large = b"x" * 900_000
    receiving = asyncio.create_task(stream.receive())
    await at_once(asyncio.ensure_future(stream.send(b"emit:" + large)))
    assert await at_once(receiving) == large


async def test_a_clean_end_is_read_to_none(stream: BedrockStream, emulator: Emulator) -> None:
    await stream.send(b"emit:a")
    await stream.end_input()
    assert [await stream.receive() for _ in range(3)] == [b"a", b"end of input", b"stalled"]
    assert await stream.receive() is None
    assert await stream.receive() is None
    (statistics,) = emulator.streams
    assert (statistics.end, statistics.notes) == ("finished", 0)  # so the empty frame was signed


async def test_after_end_input_nothing_is_sent(stream: BedrockStream) -> None:
    await stream.end_input()
    await stream.end_input()
    with pytest.raises(ConnectionLost) as ended:
        await stream.send(b"emit:a")
    assert ended.value.reason == "ended"


async def test_the_services_end_is_clean_and_ends_sending(stream: BedrockStream) -> None:
    await stream.send(b"finish")
    assert await stream.receive() is None
    with pytest.raises(ConnectionLost) as ended:
        await stream.send(b"emit:a")
    assert ended.value.reason == "ended"
    await stream.end_input()


async def test_streams_of_one_transport_do_not_touch_each_other(
    transport: BedrockTransport,
) -> None:
    first, second = [await transport.open(MODEL) for _ in range(2)]
    await first.send(b"emit:1")
    await second.send(b"emit:2")
    assert await second.receive() == b"2"
    first.abort(DeadlineError("enough", waited_s=1))
    await first.aclose()
    await second.send(b"emit:3")
    assert await second.receive() == b"3"
    await second.aclose()


async def test_the_model_and_region_arrive_as_asked(
    stream: BedrockStream, emulator: Emulator
) -> None:
    await stream.send(b"emit:a")
    await stream.receive()
    request = emulator.streams[0].request
    assert (request.model_id, request.region) == (MODEL, "us-east-1")


# --- refusals


async def test_a_throttle_at_the_opening_reaches_reader_and_writer(
    transport: BedrockTransport,
) -> None:
    stream = await transport.open("busy")
    writing = asyncio.create_task(keep_sending(stream))
    with pytest.raises(ServiceError) as read:
        await at_once(asyncio.ensure_future(stream.receive()))
    with pytest.raises(ServiceError) as written:
        await at_once(writing)
    for error in (read.value, written.value):
        assert (error.kind, error.status) == (ErrorKind.THROTTLED, 429)
        assert error.text == "Too many streams, please wait."
        assert error.recoverable
        assert error.request_id
    await stream.aclose()


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"access_key": "AKIAOFSOMEBODYELSE00"}, "UnrecognizedClientException"),
        ({"secret_key": "not the secret"}, "InvalidSignatureException"),
        ({"session_token": "EXPIRED"}, "ExpiredTokenException"),
    ],
)
async def test_refused_credentials_are_told_apart(
    emulator: Emulator, engine: EngineName, keys: dict[str, str], code: str
) -> None:
    transport = transport_to(emulator, engine, **keys)
    stream = await transport.open(MODEL)
    with pytest.raises(ServiceError) as refused:
        await at_once(asyncio.ensure_future(stream.receive()))
    error = refused.value
    assert (error.kind, error.code, error.status) == (ErrorKind.ACCESS, code, 403)
    await stream.aclose()
    await transport.aclose()


async def test_a_session_token_is_signed_and_accepted(emulator: Emulator) -> None:
    transport = transport_to(emulator, session_token="some token")
    stream = await transport.open(MODEL)
    await stream.send(b"emit:a")
    assert await stream.receive() == b"a"
    await stream.aclose()
    await transport.aclose()


async def test_an_exception_in_the_stream_is_the_services_own(stream: BedrockStream) -> None:
    await stream.send(b"emit:a")
    await stream.send(b"fail:RequestId=0ab1 : Timed out waiting for audio bytes or more.")
    assert await stream.receive() == b"a"
    with pytest.raises(ServiceError) as failed:
        await stream.receive()
    assert failed.value.kind is ErrorKind.IDLE
    assert failed.value.request_id == "0ab1"
    with pytest.raises(ServiceError):
        await at_once(asyncio.ensure_future(stream.send(b"emit:b")))


UNMODELLED = {
    "expiredToken": ErrorKind.ACCESS,
    "accessDenied": ErrorKind.ACCESS,
    "serviceQuotaExceeded": ErrorKind.THROTTLED,
    "modelError": ErrorKind.CAPACITY,
    "resourceNotFound": ErrorKind.NOT_FOUND,
}
"""Exceptions that the SDK's model does not know, of a stream or at all."""


@pytest.mark.parametrize("suffix", ["", "Exception"])
@pytest.mark.parametrize("name", UNMODELLED)
async def test_exceptions_that_the_sdk_does_not_know_keep_their_text_and_get_their_kind(
    transport: BedrockTransport, name: str, suffix: str
) -> None:
    code = name + suffix
    refused_code = code[0].upper() + code[1:]
    ways = [(MODEL, f"raise:{code}", code), (f"refuse.{code}", "", code)]
    ways += [(f"refuse.{refused_code}", "", refused_code)]
    for model, order, sent in ways:
        stream = await transport.open(model)
        if order:
            await stream.send(order.encode())
        with pytest.raises(ServiceError) as failed:
            await at_once(asyncio.ensure_future(stream.receive()))
        assert failed.value.kind is UNMODELLED[name]
        assert failed.value.text == f"The text of {sent}."
        await stream.aclose()


# --- faults


@pytest.mark.parametrize("fault", ["reset", "goaway", "cut", "cut-mid-frame"])
async def test_a_break_ends_a_waiting_reader_and_a_blocked_writer(
    stream: BedrockStream, gate: threading.Event, fault: str, engine: EngineName
) -> None:
    reading, writing = await stuck_both_ways(stream, fault)
    gate.set()
    with pytest.raises(ConnectionLost) as read:
        await at_once(reading)
    with pytest.raises(ConnectionLost):
        await at_once(writing)
    with pytest.raises(ConnectionLost):
        await at_once(asyncio.ensure_future(stream.send(b"emit:later")))
    # The CRT does not pass a GOAWAY on; it shows as the cut that follows.
    expected = "cut" if fault.startswith("cut") or (fault, engine) == ("goaway", "crt") else fault
    assert read.value.reason == expected


@pytest.mark.parametrize("fault", ["reset", "goaway", "cut"])
async def test_the_last_words_before_a_break_are_heard(stream: BedrockStream, fault: str) -> None:
    await stream.send(f"break:{fault}".encode())
    assert await stream.receive() == b"last words"
    with pytest.raises(ConnectionLost):
        await at_once(asyncio.ensure_future(stream.receive()))


async def test_a_break_is_noticed_by_a_writer_alone(
    stream: BedrockStream, gate: threading.Event
) -> None:
    reading, writing = await stuck_both_ways(stream, "cut")
    reading.cancel()
    await asyncio.wait({reading})
    gate.set()
    with pytest.raises(SonicError):
        await at_once(writing)


async def test_abort_frees_both_sides_with_the_callers_error(stream: BedrockStream) -> None:
    reading, writing = await stuck_both_ways(stream)
    stream.abort(DeadlineError("Sending took too long.", waited_s=0.3))
    for task in (reading, writing):
        with pytest.raises(DeadlineError, match="Sending took too long"):
            await at_once(task)
    with pytest.raises(DeadlineError):
        await stream.send(b"emit:later")


async def test_a_service_that_never_answers_can_be_left(stream: BedrockStream) -> None:
    reading = asyncio.create_task(stream.receive())
    done, _ = await asyncio.wait({reading}, timeout=0.2)
    assert not done
    await at_once(asyncio.ensure_future(stream.aclose()))
    with pytest.raises(ConnectionLost):
        await at_once(reading)


async def test_a_cancelled_wait_for_the_first_answer_costs_nothing(stream: BedrockStream) -> None:
    waiting = asyncio.create_task(stream.accepted())
    await asyncio.wait({waiting}, timeout=0.1)
    waiting.cancel()
    await asyncio.wait({waiting})
    await stream.send(b"emit:a")
    await at_once(asyncio.ensure_future(stream.accepted()))
    assert await stream.receive() == b"a"


async def test_a_refusal_is_told_to_who_waits_for_the_acceptance(
    transport: BedrockTransport,
) -> None:
    stream = await transport.open("busy")
    with pytest.raises(ServiceError) as refused:
        await at_once(asyncio.ensure_future(stream.accepted()))
    assert refused.value.kind is ErrorKind.THROTTLED
    await stream.aclose()


async def test_closing_twice_or_unused_is_fine(transport: BedrockTransport) -> None:
    stream = await transport.open(MODEL)
    await stream.aclose()
    await stream.aclose()


# --- connecting


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def fails_to_open(transport: BedrockTransport) -> SonicError:
    stream = await transport.open(MODEL)
    writing = asyncio.create_task(keep_sending(stream))
    with pytest.raises(SonicError) as failed:
        await at_once(asyncio.ensure_future(stream.receive()))
    with pytest.raises(type(failed.value)):
        await at_once(writing)
    await stream.aclose()
    await transport.aclose()
    return failed.value


async def test_nobody_listening_is_a_connect_error(
    emulator: Emulator, engine: EngineName, unused_port: int
) -> None:
    endpoint = f"https://localhost:{unused_port}"
    error = await fails_to_open(transport_to(emulator, engine, endpoint=endpoint))
    assert isinstance(error, ConnectError)
    assert f"Nobody listens at localhost:{unused_port}" in error.message


async def test_an_unknown_host_is_a_connect_error(emulator: Emulator, engine: EngineName) -> None:
    endpoint = "https://bedrock.invalid:443"
    error = await fails_to_open(transport_to(emulator, engine, endpoint=endpoint))
    assert isinstance(error, ConnectError)
    assert "bedrock.invalid" in error.message


async def test_an_untrusted_certificate_is_a_connect_error(emulator: Emulator) -> None:
    """Over http2 only: the CRT's TLS delays this error by more than anyone waits."""
    error = await fails_to_open(transport_to(emulator, ca_file=None))
    assert isinstance(error, ConnectError)
    assert "SSL_CERT_FILE" in error.hint


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
async def test_the_ca_may_come_from_the_environment(
    emulator: Emulator, engine: EngineName, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(emulator.ca_file))
    transport = transport_to(emulator, engine, ca_file=None)
    stream = await transport.open(MODEL)
    await stream.send(b"emit:a")
    assert await stream.receive() == b"a"
    await stream.aclose()
    await transport.aclose()


async def test_a_handshake_that_never_ends_runs_into_the_deadline(emulator: Emulator) -> None:
    """Over http2 only: the CRT cannot call off its attempt, which would outlive the test."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    endpoint = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    transport = transport_to(emulator, endpoint=endpoint, connect_timeout_s=0.3)
    error = await fails_to_open(transport)
    assert isinstance(error, DeadlineError)
    server.close()
    await server.wait_closed()


async def test_prior_knowledge_works_on_loopback() -> None:
    async with Emulator(admit, tls=False) as emulator:
        transport = transport_to(emulator)
        stream = await transport.open(MODEL)
        await stream.send(b"emit:a")
        assert await stream.receive() == b"a"
        await stream.aclose()
        await transport.aclose()


# --- found before anything is sent


@pytest.fixture
async def watched_port() -> AsyncIterator[tuple[int, list[object]]]:
    """A port that nobody may touch; who does is in the list."""
    visitors: list[object] = []

    class Watch(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            visitors.append(transport)
            transport.close()

    server = await asyncio.get_running_loop().create_server(Watch, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], visitors
    server.close()
    await server.wait_closed()


async def refuses_to_open(transport: BedrockTransport) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        await at_once(asyncio.ensure_future(transport.open(MODEL)))
    await transport.aclose()
    return refused.value


async def test_a_bearer_token_alone_is_refused_before_any_connection(
    watched_port: tuple[int, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, visitors = watched_port
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "secret-bearer-token")
    error = await refuses_to_open(
        BedrockTransport(region="us-east-1", endpoint=f"https://localhost:{port}")
    )
    assert isinstance(error, CredentialsError)
    assert "AWS_BEARER_TOKEN_BEDROCK" in error.message
    assert "secret-bearer-token" not in repr(error)
    assert not visitors


async def test_a_bearer_token_beside_credentials_does_no_harm(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token")
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    transport = BedrockTransport()
    stream = await transport.open(MODEL)
    await stream.send(b"emit:a")
    assert await stream.receive() == b"a"
    await stream.aclose()
    await transport.aclose()


async def test_no_credentials_says_where_was_looked() -> None:
    error = await refuses_to_open(BedrockTransport(region="us-east-1"))
    assert isinstance(error, CredentialsError)
    assert "the environment or in profile 'default'" in error.message
    assert "AWS_ACCESS_KEY_ID" in error.hint


def credential_process(tmp_path: Path, script: str) -> None:
    (tmp_path / "process.py").write_text(script, encoding="utf-8")
    command = f"{sys.executable} {tmp_path / 'process.py'}"
    (tmp_path / "config").write_text(
        f"[default]\nregion = us-east-1\ncredential_process = {command}\n", encoding="utf-8"
    )


def credentials_until(when: datetime) -> str:
    document = {
        "Version": 1,
        "AccessKeyId": LOCAL_KEYS.access_key,
        "SecretAccessKey": LOCAL_KEYS.secret_key,
        "SessionToken": "token",
        "Expiration": when.isoformat(),
    }
    return f"print({json.dumps(json.dumps(document))})"


async def test_credentials_of_a_process_are_used(emulator: Emulator, tmp_path: Path) -> None:
    credential_process(tmp_path, credentials_until(datetime.now(UTC) + timedelta(hours=1)))
    transport = BedrockTransport(endpoint=emulator.endpoint, ca_file=emulator.ca_file)
    stream = await transport.open(MODEL)
    await stream.send(b"emit:a")
    assert await stream.receive() == b"a"
    await stream.aclose()
    await transport.aclose()


async def test_expired_credentials_are_refused_with_the_time(tmp_path: Path) -> None:
    credential_process(tmp_path, credentials_until(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)))
    error = await refuses_to_open(BedrockTransport())
    assert isinstance(error, CredentialsError)
    assert "expired at 2026-01-02 03:04 UTC" in error.message


async def test_credentials_that_never_come_run_into_the_deadline(tmp_path: Path) -> None:
    credential_process(tmp_path, "import time; time.sleep(600)")
    error = await refuses_to_open(BedrockTransport(credentials_timeout_s=0.5))
    assert isinstance(error, CredentialsError)
    assert "within 0.5 s" in error.message


async def test_a_missing_region_is_said() -> None:
    error = await refuses_to_open(BedrockTransport(access_key="a", secret_key="b"))
    assert "No AWS region" in error.message
    assert "AWS_REGION" in error.hint


async def test_an_unknown_profile_is_said(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nregion = us-east-1\n", encoding="utf-8")
    error = await refuses_to_open(BedrockTransport(profile="nobody"))
    assert "nobody" in error.message


@pytest.mark.parametrize("endpoint", ["http://example.com:80", "ftp://localhost", "localhost:80"])
def test_an_endpoint_that_may_not_be_is_refused_when_built(endpoint: str) -> None:
    with pytest.raises(ConfigError):
        BedrockTransport(endpoint=endpoint)


async def test_an_endpoint_of_the_environment_is_checked_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://10.0.0.1:8000")
    transport = BedrockTransport(region="us-east-1", access_key="a", secret_key="b")
    assert "in clear" in (await refuses_to_open(transport)).message


def test_half_a_pair_of_keys_is_refused() -> None:
    with pytest.raises(CredentialsError):
        BedrockTransport(access_key="a")


def test_secrets_are_in_no_repr() -> None:
    transport = BedrockTransport(access_key="AKIA", secret_key="hush-hush", session_token="psst")
    assert "hush" not in repr(transport)
    assert "psst" not in repr(transport)


async def test_a_closed_transport_opens_nothing(emulator: Emulator) -> None:
    transport = transport_to(emulator)
    await transport.aclose()
    await refuses_to_open(transport)


async def test_a_request_that_fails_before_it_is_sent_fails_the_opening(
    emulator: Emulator,
) -> None:
    """The SDK itself would wait for ever here."""
    transport = transport_to(emulator)
    with pytest.raises(SonicError, match="empty segments"):
        await at_once(asyncio.ensure_future(transport.open("")))
    await transport.aclose()


# --- nothing is left


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("steps", [*range(9), *range(9, 40, 3), 60, 90, 150])
async def test_an_opening_cancelled_at_any_step_leaves_nothing(
    emulator: Emulator, engine: EngineName, steps: int, times: int
) -> None:
    transport = transport_to(emulator, engine)
    warm = await transport.open(MODEL)
    await warm.aclose()
    before = asyncio.all_tasks()
    opening = asyncio.create_task(transport.open(MODEL))
    for _ in range(steps):
        await asyncio.sleep(0)
    if opening.done():
        await opening.result().aclose()
    for _ in range(times):
        opening.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({opening})
    await transport.aclose()  # waits for what the second cancellation did not wait for
    assert {t for t in asyncio.all_tasks() - before if "emulator" not in t.get_name()} <= {opening}


async def test_streams_one_after_another_leave_nothing(emulator: Emulator) -> None:
    transport = transport_to(emulator)

    async def converse() -> None:
        stream = await transport.open(MODEL)
        await stream.send(b"emit:a")
        await stream.end_input()
        while await stream.receive() is not None:
            pass
        await stream.aclose()

    def held() -> tuple[int, int, int]:
        files = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
        return len(asyncio.all_tasks()), threading.active_count(), files

    for _ in range(5):
        await converse()
    before = held()
    for _ in range(20):
        await converse()
    # The resolver's thread pool may still grow to its bound; nothing else may.
    after = held()
    assert after[0] <= before[0]
    assert after[2] <= before[2] + 1
    assert not [t for t in threading.enumerate() if "http2" in t.name]
    await transport.aclose()


# --- the emulator's own manners


async def test_a_tolerated_mistake_is_noted(emulator: Emulator, stream: BedrockStream) -> None:
    await stream.send(b"note:that was odd")
    await stream.send(b"emit:a")
    await stream.receive()
    assert emulator.streams[0].notes == 1


@pytest.mark.parametrize(
    "timeouts",
    [StreamTimeouts(stall_s=0.05), StreamTimeouts(idle_s=0.05), StreamTimeouts(life_s=0.05)],
)
async def test_a_pause_is_told_to_the_service(timeouts: StreamTimeouts) -> None:
    async with Emulator(admit, behaviour=Behaviour(timeouts=timeouts)) as emulator:
        transport = transport_to(emulator)
        stream = await transport.open(MODEL)
        await stream.send(b"mute:")
        if timeouts.stall_s < 0.1:
            assert await at_once(asyncio.ensure_future(stream.receive())) == b"stalled"
        else:
            with pytest.raises(ServiceError) as expired:
                await at_once(asyncio.ensure_future(stream.receive()))
            assert expired.value.text == ("idle" if timeouts.idle_s < 1 else "life")
        await stream.aclose()
        await transport.aclose()


async def test_rubbish_and_http1_on_the_port_do_no_harm(emulator: Emulator) -> None:
    context = ssl.create_default_context(cafile=emulator.ca_file)
    for hello in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), b"\xff" * 5000):
        reader, writer = await asyncio.open_connection(
            "localhost", emulator.port, ssl=context, server_hostname="localhost"
        )
        writer.write(hello)
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()
    reader, writer = await asyncio.open_connection("localhost", emulator.port)
    writer.write(b"not even TLS, but long enough to be looked at")
    async with asyncio.timeout(PATIENCE_S):
        await reader.read()
    writer.close()
    transport = transport_to(emulator)
    stream = await transport.open(MODEL)
    await stream.send(b"emit:still here")
    assert await stream.receive() == b"still here"
    await stream.aclose()
    await transport.aclose()


@pytest.mark.alone
async def test_closing_the_emulator_ends_its_streams_within_a_second(engine: EngineName) -> None:
    async with Emulator(admit) as emulator:
        transport = transport_to(emulator, engine)
        stream = await transport.open(MODEL)
        await stream.send(b"emit:a")
        await stream.receive()
        reading = asyncio.create_task(stream.receive())
        async with asyncio.timeout(1.5):
            await emulator.aclose()
    with pytest.raises(ConnectionLost):
        await at_once(reading)
    await stream.aclose()
    await transport.aclose()
