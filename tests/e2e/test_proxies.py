"""Conversations through real proxies that alone can reach the emulator.

The endpoint's name exists for the proxies only (`real_proxies`), so every conversation here went
through one.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from sonic_voice import NullSink, Session, SessionConfig, TurnEnded, WavSource, converse
from sonic_voice.bedrock import BedrockTransport, EngineName
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.server import LOCAL_KEYS, Emulator
from sonic_voice.emulator.server.certificates import CertificateAuthority
from sonic_voice.errors import ConfigError, ConnectError, DeadlineError

from ..support.page import Page, socket
from ..support.real_proxies import (
    IN_URL,
    NAME,
    NamedAuthority,
    free_port,
    microsocks,
    need_proxies,
    tinyproxy,
    tls_proxy,
)
from .test_cli import DEMO, sonic_voice, start
from .test_doctor import examined

HELLO = Path(__file__).parents[1] / "speech/hello.wav"
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
async def authority() -> AsyncIterator[CertificateAuthority]:
    made = NamedAuthority.of_this_run()
    yield made
    made.remove_files()


@pytest.fixture
async def service(authority: CertificateAuthority) -> AsyncIterator[Emulator]:
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
    """Say hello; returns how many answers came."""
    config = SessionConfig(system="You steer a small robot.")
    ended = 0

    def observe(event: object, _: float) -> None:
        nonlocal ended
        if isinstance(event, TurnEnded):
            ended += 1
            session.finish()

    async with WavSource(HELLO, config.input, speed=10) as source:
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


def proxies(
    authority: CertificateAuthority,
) -> dict[str, tuple[AbstractAsyncContextManager[str], str]]:
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
    service: Emulator, authority: CertificateAuthority, kind: str
) -> None:
    proxy, url = proxies(authority)[kind]
    async with proxy as address:
        transport = transport_to(service, url.replace("ADDRESS", address))
        assert await talk_over(transport) >= 1
        await transport.aclose()


@pytest.mark.parametrize("kind", HTTP_PROXIES)
async def test_the_engine_crt_goes_through_proxies_that_speak_http(
    service: Emulator, authority: CertificateAuthority, kind: str
) -> None:
    pytest.importorskip("awscrt")
    proxy, url = proxies(authority)[kind]
    async with proxy as address:
        transport = transport_to(service, url.replace("ADDRESS", address), engine="crt")
        assert await talk_over(transport) >= 1
        await transport.aclose()


async def test_the_engine_crt_refuses_a_socks_proxy_before_it_connects(service: Emulator) -> None:
    pytest.importorskip("awscrt")
    transport = transport_to(service, "socks5h://user:secret@localhost:1", engine="crt")
    with pytest.raises(ConfigError, match="takes no SOCKS proxy") as refused:
        await transport.open(MODEL)
    await transport.aclose()
    assert "http2" in refused.value.hint
    assert "secret" not in str(refused.value)


async def test_the_engine_crt_tells_that_the_proxy_is_at_fault(service: Emulator) -> None:
    pytest.importorskip("awscrt")
    async with tinyproxy(password=True) as address:
        url, nowhere = f"http://{address}", f"http://localhost:{free_port()}"
        refused = await open_error(transport_to(service, url, engine="crt"))
        gone = await open_error(transport_to(service, nowhere, engine="crt"))
    assert f"proxy {url} (--proxy) wants a user name and a password" in str(refused)
    assert f"Nobody listens at the proxy {nowhere}" in str(gone)


# --- the commands


def environment_of(service: Emulator, **more: str) -> dict[str, str]:
    """The variables of a machine that can talk with the emulator by its name."""
    return service.environment() | {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": endpoint_of(service)} | more


def talk(*more: str) -> tuple[str, ...]:
    return ("talk", "--input", str(HELLO), "--speed", "10", *more)


@pytest.mark.parametrize("how", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "--proxy"])
async def test_talk_goes_through_the_proxy_and_says_so(
    service: Emulator, tmp_path: Path, how: str
) -> None:
    async with tinyproxy(password=True) as address:
        url = f"http://{IN_URL}@{address}"
        variables = {} if how == "--proxy" else {how: url}
        options = ("--proxy", url) if how == "--proxy" else ()
        environment = environment_of(service, **variables)
        done = await sonic_voice(*talk(*options), cwd=tmp_path, **environment)
    assert (done.code, done.err) == (0, "")
    source = how if options else how.upper()
    assert f"Through the proxy http://{address} ({source})." in done.out
    assert "nova  " in done.out
    assert "w0rd" not in done.out


async def test_json_lines_stay_alone_on_stdout(service: Emulator, tmp_path: Path) -> None:
    async with tinyproxy() as address:
        environment = environment_of(service, HTTPS_PROXY=f"http://{address}")
        done = await sonic_voice(*talk("--json"), cwd=tmp_path, **environment)
    assert (done.code, done.err) == (0, "")
    assert all(line.startswith("{") for line in done.out.splitlines())


async def test_talk_says_that_a_named_endpoint_overrides_a_setting(
    service: Emulator, tmp_path: Path
) -> None:
    environment = service.environment() | {"AWS_USE_FIPS_ENDPOINT": "true"}
    done = await sonic_voice(*talk(), cwd=tmp_path, **environment)
    assert done.code == 0
    said = f"The endpoint {service.endpoint} is named, so AWS_USE_FIPS_ENDPOINT has no effect."
    assert done.err == f"Note: {said}\n"


@pytest.mark.parametrize("no_proxy", [NAME, "*", ".emulator.invalid"])
async def test_a_host_in_no_proxy_is_tried_directly(
    service: Emulator, tmp_path: Path, no_proxy: str
) -> None:
    async with tinyproxy() as address:
        environment = environment_of(service, HTTPS_PROXY=f"http://{address}", NO_PROXY=no_proxy)
        done = await sonic_voice(*talk(), cwd=tmp_path, **environment)
    assert done.code == 5
    assert f"There is no host '{NAME}'" in done.err


async def test_serve_goes_through_the_proxy_and_says_so(service: Emulator, tmp_path: Path) -> None:
    async with microsocks(password=True) as address:
        environment = environment_of(service, ALL_PROXY=f"socks5h://{IN_URL}@{address}")
        process = await start("serve", "--port", "0", cwd=tmp_path, **environment)
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode()
        url = (await process.stdout.readline()).decode().split()[1]
        async with socket(url) as connection, Page(connection) as page:
            await page.until("listening")
            await page.say("bye")
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert said == f"Through the proxy socks5h://{address} (ALL_PROXY).\n"
    assert process.returncode == 143
    lines = [line.split(b" ", 2)[1:] for line in err.splitlines()]
    assert [(level, what[:18]) for level, what in lines] == [
        (b"INFO", b"conversation start"),
        (b"INFO", b"conversation ended"),
    ]


def clean(environment: dict[str, str], home: Path) -> dict[str, str]:
    """`environment` for the doctor, without anything else of AWS and proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SSL_CERT_")) and not name.lower().endswith("_proxy")
    }
    return kept | {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"} | environment


async def test_the_doctor_connects_through_the_proxy_and_says_so(
    service: Emulator, authority: CertificateAuthority, tmp_path: Path
) -> None:
    async with tls_proxy(authority, password=True) as address:
        url = f"https://{IN_URL}@{address}"
        environment = clean(environment_of(service), tmp_path)
        report = await examined(environment | {"HTTPS_PROXY": url}, audio=False)
        explicit = await examined(environment, audio=False, proxy=url)
    for found, source in ((report, "HTTPS_PROXY"), (explicit, "--proxy")):
        assert (found.code, found.failures) == (0, set()), found.findings
        assert found.findings["proxy"]["grade"] == "ok"
        assert f"https://{address} ({source})" in found.words("proxy")
        assert f"{NAME}:{service.port}" in found.words("connection")
        assert "w0rd" not in found.out


@asynccontextmanager
async def nobody() -> AsyncGenerator[str]:
    yield f"localhost:{free_port()}"


WRONG = IN_URL.replace("w0rd", "wrong")
FAULTS = {
    "no password": ("http://ADDRESS", "wants a user name"),
    "wrong password": (f"http://{WRONG}@ADDRESS", "refuses the user name"),
    "forbidden": (f"http://{IN_URL}@ADDRESS", "forbids connections"),
    "SOCKS5, no password": ("socks5h://ADDRESS", "wants a user name"),
    "SOCKS5, wrong password": (f"socks5h://{WRONG}@ADDRESS", "refuses the user name"),
    "SOCKS5, name looked up here": ("socks5://ADDRESS", "There is no host"),
    "nobody there": (f"http://{IN_URL}@ADDRESS", "Nobody listens at the proxy"),
    "another kind": (f"http://{IN_URL}@ADDRESS", "The proxy http://"),
    "no TLS": (f"https://{IN_URL}@ADDRESS", "could not be reached within 8 s"),
    "SOCKS5, no TLS": (f"https://{IN_URL}@ADDRESS", "proxy https://"),
    "no URL": (f"ftp://{IN_URL}@ADDRESS", "kind that is not supported"),
}
"""What can be wrong with a proxy: its URL, and words that name the fault."""


def faulty(fault: str) -> AbstractAsyncContextManager[str]:
    """The proxy of a row of `FAULTS`."""
    if fault in {"nobody there", "no URL"}:
        return nobody()
    if fault.startswith("SOCKS5") or fault == "another kind":
        return microsocks(password="password" in fault)
    return tinyproxy(password="password" in fault, only_port=443 if fault == "forbidden" else None)


@pytest.mark.parametrize("fault", FAULTS)
async def test_talk_and_doctor_say_the_same_of_a_proxy(
    service: Emulator, tmp_path: Path, fault: str
) -> None:
    url, words = FAULTS[fault]
    async with faulty(fault) as address:
        environment = environment_of(service, HTTPS_PROXY=url.replace("ADDRESS", address))
        report, done = await asyncio.gather(
            examined(clean(environment, tmp_path), audio=False),
            sonic_voice(*talk(), cwd=tmp_path, **environment),
        )
    assert (report.code, report.failures) == (1, {"proxy"}), report.findings
    finding = report.findings["proxy"]
    assert words in finding["found"]
    said = done.err.removeprefix("sonic-voice: ")
    assert said == f"{finding['found']}\n  {finding['fix']}\n"
    assert done.code == (3 if fault == "no URL" else 5)
    for secret in ("w0rd", "wrong"):
        assert secret not in report.out + done.err + done.out


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_service_that_the_proxy_cannot_reach_is_told(
    service: Emulator, tmp_path: Path, scheme: str
) -> None:
    async with tinyproxy() if scheme == "http" else microsocks() as address:
        environment = environment_of(service, HTTPS_PROXY=f"{scheme}://{address}")
        environment["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = f"https://{NAME}:{free_port()}"
        report = await examined(clean(environment, tmp_path), audio=False)
        done = await sonic_voice(*talk(), cwd=tmp_path, **environment)
    assert report.failures == {"proxy"}, report.findings
    assert "could not connect to" in report.words("proxy")
    assert report.findings["proxy"]["found"] in done.err
