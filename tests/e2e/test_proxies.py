"""Conversations through real proxies that alone can reach the emulator.

The endpoint's name exists for the proxies only (`real_proxies`), so every conversation here went
through one.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from sonic_voice import NullSink, Session, SessionConfig, TurnEnded, WavSource, converse
from sonic_voice.bedrock import BedrockTransport, EngineName
from sonic_voice.emulator.authority import Authority
from sonic_voice.emulator.local import emulator
from sonic_voice.emulator.server import LOCAL_KEYS, Emulator
from sonic_voice.errors import ConfigError, ConnectError, DeadlineError
from sonic_voice.http2.tunnel import ProxyError

from .real_proxies import (
    IN_URL,
    NAME,
    PASSWORD,
    NamedAuthority,
    free_port,
    microsocks,
    need_proxies,
    tinyproxy,
    tls_proxy,
)
from .test_cli import DEMO, QUESTION, SCENARIO, sonic_voice
from .test_doctor import examined

MODEL = "amazon.nova-2-sonic-v1:0"


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need_proxies()
    for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_USE_FIPS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    made = NamedAuthority.of_this_run()
    yield made
    made.forget()


@pytest.fixture
async def service(authority: Authority) -> AsyncIterator[Emulator]:
    async with emulator(DEMO / "demo.yaml", authority=authority) as running:
        yield running


def endpoint_of(service: Emulator) -> str:
    return f"https://{NAME}:{service.port}"


def transport_to(
    service: Emulator,
    proxy: str | None = None,
    *,
    engine: EngineName = "http2",
    connect_timeout_s: float = 10.0,
) -> BedrockTransport:
    return BedrockTransport(
        region="us-east-1",
        endpoint=endpoint_of(service),
        ca_file=service.ca_file,
        access_key=LOCAL_KEYS.access_key,
        secret_key=LOCAL_KEYS.secret_key,
        proxy=proxy,
        engine=engine,
        connect_timeout_s=connect_timeout_s,
    )


async def talk_over(transport: BedrockTransport) -> int:
    """Hold the conversation of the demonstration; returns how many answers came."""
    config = SessionConfig(system="You steer a small robot.")
    ended = 0

    def observe(event: object, _: float) -> None:
        nonlocal ended
        ended += isinstance(event, TurnEnded)

    async with WavSource(Path(QUESTION), config.input, speed=10) as source:
        session = Session.open(config, transport, clock=source.now)
        async with session, NullSink(config.output, now=source.now) as sink:
            await converse(session, source, sink, observers=[observe])
    return ended


async def open_error(transport: BedrockTransport) -> Exception:
    """Return what an opening stream fails with."""
    try:
        stream = await transport.open(MODEL)
        try:
            with pytest.raises((ConnectError, DeadlineError)) as caught:
                await stream.accepted()
        finally:
            await stream.aclose()
    finally:
        await transport.aclose()
    return caught.value


def proxies(authority: Authority) -> dict[str, tuple[AbstractAsyncContextManager[str], str]]:
    """Every kind of proxy, and the URL of it with `ADDRESS` for where it listens."""
    return {
        "CONNECT": (tinyproxy(), "http://ADDRESS"),
        "CONNECT with a password": (tinyproxy(password=True), f"http://{IN_URL}@ADDRESS"),
        "no scheme": (tinyproxy(), "ADDRESS"),
        "TLS": (tls_proxy(authority), "https://ADDRESS"),
        "TLS with a password": (tls_proxy(authority, password=True), f"https://{IN_URL}@ADDRESS"),
        "SOCKS5": (microsocks(), "socks5h://ADDRESS"),
        "SOCKS5 with a password": (microsocks(password=True), f"socks5h://{IN_URL}@ADDRESS"),
    }


HTTP_PROXIES = ("CONNECT", "CONNECT with a password", "TLS", "TLS with a password")
ALL_PROXIES = (*HTTP_PROXIES, "no scheme", "SOCKS5", "SOCKS5 with a password")


async def test_the_emulator_cannot_be_reached_without_a_proxy(service: Emulator) -> None:
    failed = await open_error(transport_to(service))
    assert f"There is no host '{NAME}'" in str(failed)


@pytest.mark.parametrize("kind", ALL_PROXIES)
async def test_a_conversation_succeeds_through_the_proxy_that_alone_reaches_the_service(
    service: Emulator, authority: Authority, kind: str
) -> None:
    proxy, url = proxies(authority)[kind]
    async with proxy as address:
        transport = transport_to(service, url.replace("ADDRESS", address))
        assert await talk_over(transport) >= 2
        await transport.aclose()


@pytest.mark.parametrize("kind", HTTP_PROXIES)
async def test_the_engine_crt_goes_through_proxies_that_speak_http(
    service: Emulator, authority: Authority, kind: str
) -> None:
    pytest.importorskip("awscrt")
    proxy, url = proxies(authority)[kind]
    async with proxy as address:
        transport = transport_to(service, url.replace("ADDRESS", address), engine="crt")
        assert await talk_over(transport) >= 2
        await transport.aclose()
