"""Every fault of the way to the service: a conversation and the doctor say the same, and the cause.

Each row is a server with one fault, or one setting of this machine, and words that the sentence and
the hint must have.
"""

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from sonic_voice.bedrock import BedrockTransport, EngineName
from sonic_voice.config import SessionConfig
from sonic_voice.doctor import Options
from sonic_voice.doctor.service import check_service
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.errors import SonicError
from sonic_voice.http2 import tls
from sonic_voice.http2.connection import H2Connection
from sonic_voice.http2.dialing import dial
from sonic_voice.policies import NO_RECOVERY
from sonic_voice.session import Session

from ..support.faulty_servers import (
    HTTP1_ANSWER,
    CompanyCa,
    answering,
    hang_up,
    issued,
    listening,
    nothing,
    openssl_server,
    saying,
)
from .test_cli import DEMO, at, sonic_voice, talk

AT_ONCE_S = 5.0
"""How long a fault may take that shows at once, in seconds, on a busy machine."""


@dataclass(frozen=True)
class Machine:
    """What a row may use."""

    authority: trustme.CA
    """The CA that is trusted where a row does not say otherwise."""
    company: CompanyCa
    folder: Path

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")


type Server = AbstractAsyncContextManager[int]


@dataclass(frozen=True)
class Fault:
    """One row: a server, what it does to the environment, and what must be said."""

    serve: Callable[[Machine], Server]
    says: tuple[str, ...]
    hints: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    """`{folder}` stands for the test's folder. Without any, AWS_CA_BUNDLE names the CA."""
    scheme: str = "https"
    host: str = "localhost"


def secure(serve: Any, *names: str, alpn: str = "h2", **dates: timedelta) -> Callable[..., Server]:
    """A server with a certificate of the trusted CA."""

    def start(machine: Machine) -> Server:
        context = issued(machine.authority, *names, **dates)
        context.set_alpn_protocols([alpn] if alpn else [])
        return listening(serve, context)

    return start


def in_clear(serve: Any) -> Callable[[Machine], Server]:
    """A server without TLS."""
    return lambda _: listening(serve)


@asynccontextmanager
async def alerting(machine: Machine, *, ask: bool = False) -> AsyncGenerator[int]:
    """A server that answers a bad handshake with TLS's alert. `ask`: for a certificate of ours."""
    context = issued(machine.authority)
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(machine.ca_file)
    with openssl_server(context) as port:
        yield port


@asynccontextmanager
async def nobody(_: Machine) -> AsyncGenerator[int]:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield port


DAY = timedelta(days=1)

FAULTS: dict[str, Fault] = {
    "SSL_CERT_FILE is missing": Fault(
        secure(hang_up),
        ("not trusted", "issued by a CA that is not trusted here"),
        ("SSL_CERT_FILE is '/no/such.pem'", "No such file", "unset it"),
        {"SSL_CERT_FILE": "/no/such.pem"},
    ),
    "SSL_CERT_FILE is empty": Fault(
        secure(hang_up),
        ("issued by a CA that is not trusted here",),
        ("SSL_CERT_FILE is", "empty.pem", "holds no certificate"),
        {"SSL_CERT_FILE": "{folder}/empty.pem"},
    ),
    "SSL_CERT_FILE cannot be read": Fault(
        secure(hang_up),
        ("issued by a CA that is not trusted here",),
        ("SSL_CERT_FILE is", "cannot be used"),
        {"SSL_CERT_FILE": "{folder}"},
    ),
    "AWS_CA_BUNDLE is missing": Fault(
        secure(hang_up),
        ("'/no/such.pem' (AWS_CA_BUNDLE) cannot be used: No such file",),
        ("PEM",),
        {"AWS_CA_BUNDLE": "/no/such.pem"},
    ),
    "REQUESTS_CA_BUNDLE is not ours": Fault(
        secure(hang_up),
        ("issued by a CA that is not trusted here",),
        ("REQUESTS_CA_BUNDLE is set, but read by other programs", "AWS_CA_BUNDLE=FILE"),
        {"REQUESTS_CA_BUNDLE": "{folder}/ca.pem"},
    ),
    "another CA is trusted": Fault(
        secure(hang_up),
        ("issued by a CA that is not trusted here",),
        ("Trusted are those of", "company.pem (AWS_CA_BUNDLE)", "--ca FILE"),
        {"AWS_CA_BUNDLE": "{folder}/company.pem"},
    ),
    "self-signed": Fault(
        lambda m: listening(hang_up, m.company.self_signed_context()),
        ("signed by itself",),
        ("--ca FILE",),
    ),
    "a company's CA under Python 3.13": Fault(
        lambda m: listening(hang_up, m.company.server_context()),
        ("rejects a CA of its chain", "not marked critical"),
        ("since version 3.13", "--ca FILE", "AWS_CA_BUNDLE=FILE"),
        {"SSL_CERT_FILE": "{folder}/company.pem"},
    ),
    "expired": Fault(
        secure(hang_up, starts=-2 * DAY, ends=-DAY),
        ("not trusted: it has expired",),
        ("clock", "UTC"),
    ),
    "not valid yet": Fault(
        secure(hang_up, starts=DAY, ends=2 * DAY),
        ("not trusted: it is not valid yet",),
        ("clock", "UTC"),
    ),
    "for another host": Fault(
        secure(hang_up, "bedrock.example.org", "*.example.net"),
        ("not for this host but for bedrock.example.org, *.example.net",),
        ("endpoint", "sign-in page"),
    ),
    "for another address": Fault(
        secure(hang_up, "localhost"),
        ("not for this host but for localhost",),
        ("endpoint",),
        host="127.0.0.1",
    ),
    "HTTP/1.1 in clear": Fault(
        in_clear(answering(HTTP1_ANSWER)), ("does not speak TLS", "plain text"), ("http://",)
    ),
    "plain text at once": Fault(
        in_clear(saying(b"SSH-2.0-OpenSSH_9.2\r\n")), ("does not speak TLS",), ("port",)
    ),
    "HTTP/1.1 in TLS": Fault(
        secure(answering(HTTP1_ANSWER), alpn="http/1.1"), ("does not speak HTTP/2",), ("proxy",)
    ),
    "no ALPN": Fault(secure(nothing, alpn=""), ("does not speak HTTP/2",), ("proxy",)),
    "HTTP/1.1 though HTTP/2 was chosen": Fault(
        secure(answering(HTTP1_ANSWER)), ("answers in HTTP/1.1",), ("in between",)
    ),
    "HTTP/1.1 at http://": Fault(
        in_clear(answering(HTTP1_ANSWER)), ("answers in HTTP/1.1",), ("endpoint",), scheme="http"
    ),
    "plain text at http://": Fault(
        in_clear(saying(b"220 mail ESMTP\r\n")),
        ("does not speak HTTP/2", "220 mail ESMTP"),
        ("endpoint",),
        scheme="http",
    ),
    "TLS at http://": Fault(
        alerting, ("closed the connection before",), ("TLS: https://",), scheme="http"
    ),
    "TLS that says so at http://": Fault(
        in_clear(saying(b"\x15\x03\x01\x00\x02\x02\x46")),
        ("speaks TLS",),
        ("https://",),
        scheme="http",
    ),
    "a certificate of ours is wanted": Fault(
        lambda m: alerting(m, ask=True), ("wants a certificate of this side",), ("in between",)
    ),
    "closed at accept": Fault(
        in_clear(hang_up), ("closed the connection during the TLS handshake",), ("firewall",)
    ),
    "closed after the handshake": Fault(
        secure(hang_up), ("closed the connection before a word of HTTP/2",), ("firewall",)
    ),
    "closed at accept, http://": Fault(
        in_clear(hang_up), ("closed the connection before",), ("firewall",), scheme="http"
    ),
    "nobody listens": Fault(nobody, ("Nobody listens at localhost",), ("endpoint",)),
    "no such host": Fault(
        nobody, ("no host 'bedrock.invalid'",), ("region",), host="bedrock.invalid"
    ),
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """Nothing of this machine's settings counts, and Python checks CAs as 3.13 does."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "SSL_CERT")) or name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}
    here = {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    files = {"AWS_CONFIG_FILE": "/no/file", "AWS_SHARED_CREDENTIALS_FILE": "/no/file"}
    for name, value in (keys | here | files).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tls, "STRICT", True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "empty.pem").touch()
    return Machine(authority, CompanyCa(tmp_path), tmp_path)


@pytest.fixture(autouse=True)
async def nothing_is_said_behind_our_back() -> AsyncIterator[None]:
    """Fail on what asyncio would print to stderr, such as exceptions never retrieved."""
    said: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context))
    yield
    gc.collect()
    # In debug mode asyncio tells of every handshake that a server refuses: our own servers' do.
    assert not [c for c in said if "incoming connection" not in c["message"]]


async def talked(endpoint: str, engine: EngineName = "http2") -> tuple[str, str]:
    """What a conversation ends with: its sentence and its hint."""
    transport = BedrockTransport(endpoint=endpoint, engine=engine)
    try:
        with pytest.raises(SonicError) as failed:
            async with Session.open(SessionConfig(recovery=NO_RECOVERY), transport):
                raise AssertionError("it was opened")
    finally:
        await transport.aclose()
    return failed.value.message, failed.value.hint


async def examined(endpoint: str) -> tuple[str, str]:
    """What the doctor finds wrong: its sentence and what to do."""
    found = [finding async for finding in check_service(Options(endpoint=endpoint))]
    (failure,) = [finding for finding in found if finding.grade == "failure"]
    return failure.found, failure.fix


@pytest.mark.parametrize("name", FAULTS)
async def test_a_conversation_and_the_doctor_name_the_same_cause(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fault = FAULTS[name]
    settings = fault.environment or {"AWS_CA_BUNDLE": "{folder}/ca.pem"}
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value.format(folder=machine.folder))
    async with fault.serve(machine) as port:
        endpoint = f"{fault.scheme}://{fault.host}:{port}"
        async with asyncio.timeout(AT_ONCE_S):
            message, hint = await talked(endpoint)
        async with asyncio.timeout(AT_ONCE_S):
            assert await examined(endpoint) == (message, hint)
    for words in fault.says:
        assert words in message
    for words in fault.hints:
        assert words in hint


SEEN_AT_ONCE_BY_CRT = (
    *("AWS_CA_BUNDLE is missing", "HTTP/1.1 in clear", "closed at accept", "nobody listens"),
    "no such host",
)
"""The faults that the CRT sees at once. It delays those of certificates by 10 s and more."""


@pytest.mark.parametrize("name", SEEN_AT_ONCE_BY_CRT)
async def test_the_crt_engine_names_the_cause_of_a_failed_connection_too(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("awscrt")
    fault = FAULTS[name]
    settings = fault.environment or {"AWS_CA_BUNDLE": machine.ca_file}
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    async with fault.serve(machine) as port:
        message, hint = await talked(f"{fault.scheme}://{fault.host}:{port}", "crt")
    assert all(words in message for words in fault.says)
    assert all(words in hint for words in fault.hints)


@pytest.mark.parametrize("named_by", ["--ca", "AWS_CA_BUNDLE"])
async def test_a_company_ca_that_the_user_names_is_accepted_under_python_3_13(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, named_by: str
) -> None:
    company = str(machine.company.ca_file)
    if named_by == "AWS_CA_BUNDLE":
        monkeypatch.setenv(named_by, company)
    context = tls.tls_context(company if named_by == "--ca" else None)
    async with listening(nothing, machine.company.server_context()) as port:
        connection = await dial("localhost", port, H2Connection, tls=context)
        connection.cut()
        await connection.closed


async def test_a_connection_that_is_lost_at_once_is_not_said_to_lack_http_2(
    machine: Machine,
) -> None:
    class Lost(H2Connection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.cut()

    context = tls.tls_context(str(machine.company.ca_file))
    assert context.options & ssl.OP_NO_RENEGOTIATION
    async with listening(nothing, machine.company.server_context()) as port:
        connection = await dial("localhost", port, Lost, tls=context)
        await connection.closed


def test_a_ca_file_that_openssl_ignores_is_not_said_to_be_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    said = str(tls.tls_context().cas)
    assert said == "the system's, without /no/such.pem (SSL_CERT_FILE): No such file or directory"


def test_cas_that_nobody_named_are_checked_as_this_python_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    strict = tls.tls_context().verify_flags & ssl.VERIFY_X509_STRICT
    assert bool(strict) is bool(ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT)


async def test_the_commands_talk_and_doctor_print_the_same_cause_and_no_stack_trace(
    machine: Machine,
) -> None:
    """Through the programs themselves: an expired certificate."""
    fault = FAULTS["expired"]
    async with fault.serve(machine) as port:
        where = ("--region", "us-east-1", "--endpoint", f"https://localhost:{port}")
        trust = ("--ca", machine.ca_file)
        keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"}
        talked, examined = await asyncio.gather(
            sonic_voice(*talk(*where, *trust), cwd=machine.folder, **keys),
            sonic_voice("doctor", "--no-audio", *where, *trust, cwd=machine.folder, **keys),
        )
    sentence, hint = talked.err.splitlines()
    assert talked.code == 5
    assert sentence.startswith("sonic-voice: The certificate of localhost")
    assert sentence.removeprefix("sonic-voice: ") in examined.out
    # The hint holds the time of day to a minute.
    assert hint.strip().partition(" It says")[0] in examined.out


@pytest.mark.parametrize("fault", ["cut", "cut-mid-frame", "reset", "goaway"])
async def test_a_network_error_in_the_middle_is_a_sentence_and_no_stack_trace(
    tmp_path: Path, fault: str
) -> None:
    behaviour = Behaviour(faults=(fault,), latency="none")
    async with emulator(DEMO / "demo.yaml", behaviour=behaviour) as running:
        known = running.environment()
        done = await sonic_voice(
            *at(running, "--speed", "4", "--no-reconnect"), cwd=tmp_path, **known
        )
    assert done.code == 5
    sentence, hint = done.err.splitlines()
    assert sentence.startswith("sonic-voice: The ")
    assert "Open a new session to go on." in hint
