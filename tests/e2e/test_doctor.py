"""The doctor on a healthy machine, and on the same machine with one thing wrong.

Healthy is: the emulator's endpoint, CA and credentials in the environment, and a microphone in a
room with the loudspeaker. The doctor runs as a program of its own, and every fault is planted
where it would be in life: in its environment, on its path, at the other end of its connection.
"""

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.emulator.server import LOCAL_KEYS, Emulator
from sonic_voice.emulator.server.certificates import CertificateAuthority
from sonic_voice.emulator.server.sigv4 import AuthError, HttpRequest, verify_request
from sonic_voice.extras import install_command
from sonic_voice.http2.connection import H2Connection
from sonic_voice.http2.stream import H2Stream

from ..support.virtual import SoundServer, missing

PROGRAM = """
import asyncio, json, sys
from sonic_voice.doctor import Options, findings_as_json, examine, talking_works
async def main():
    found = [finding async for finding in examine(Options(**json.loads(sys.argv[1])))]
    print(findings_as_json(found))
    return not talking_works(found)
sys.exit(asyncio.run(main()))
"""

AWS = ["region and model", "credentials", "CA", "connection", "clock", "signature"]
SOUND = ["sound library", "loudspeaker", "microphone", "echo"]


@dataclass(frozen=True)
class Report:
    """What the doctor said, by the names of its findings."""

    code: int
    out: str
    findings: dict[str, dict[str, str]]

    @property
    def failures(self) -> set[str]:
        return {name for name, found in self.findings.items() if found["grade"] == "failure"}

    @property
    def warnings(self) -> set[str]:
        return {name for name, found in self.findings.items() if found["grade"] == "warning"}

    def words(self, name: str) -> str:
        found = self.findings[name]
        return f"{found['found']} {found['fix']}"


async def examined(environment: dict[str, str], **options: object) -> Report:
    """The doctor's report from a machine that has `environment`."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, json.dumps(options)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), 60)
    assert err.decode() == ""
    report = json.loads(out)
    findings = {found["name"]: found for found in report["findings"]}
    assert len(findings) == len(report["findings"])
    assert running.returncode is not None
    assert report["talking_works"] is (running.returncode == 0)
    return Report(running.returncode, out.decode(), findings)


@pytest.fixture
async def service() -> AsyncIterator[Emulator]:
    async with emulator(behaviour=Behaviour(ears="none")) as running:
        yield running


@pytest.fixture
def healthy(service: Emulator, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which talking works."""
    skipped = ("AWS_", "SSL_CERT_", "PULSE_SOURCE", "PULSE_SINK")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(skipped)}
    clean = {name: value for name, value in clean.items() if not name.lower().endswith("_proxy")}
    clean |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    return clean | service.environment()


def on_path(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """`environment` with `folder` before all that Python looks through."""
    path = [str(folder), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


# --- AWS


async def test_a_healthy_machine_without_sound(healthy: dict[str, str]) -> None:
    report = await examined(healthy, audio=False)
    assert (report.code, report.failures) == (0, set()), report.findings
    assert list(report.findings) == ["Python", "packages", *AWS, "emulator engines"]
    assert report.warnings <= {"emulator engines"}  # not all have wheels everywhere
    assert "Nova 2 Sonic" in report.words("region and model")
    assert "the environment" in report.words("credentials")
    assert "HTTP/2" in report.words("connection")
    assert healthy["AWS_CA_BUNDLE"] in report.words("CA")


async def test_the_report_holds_no_secret(healthy: dict[str, str]) -> None:
    healthy["AWS_SESSION_TOKEN"] = "a-token-of-the-session"
    healthy["HTTPS_PROXY"] = "http://somebody:with-a-password@proxy.invalid:3128"
    report = await examined(healthy, audio=False)
    assert (report.code, report.warnings - {"emulator engines"}) == (0, set())
    assert "HTTPS_PROXY is set, but not used for this machine" in report.words("proxy")
    assert f"...{LOCAL_KEYS.access_key[-4:]} " in report.words("credentials")
    for secret in (LOCAL_KEYS.access_key, LOCAL_KEYS.secret_key, "a-token", "with-a-password"):
        assert secret not in report.out


NO_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
NO_CA = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.mark.parametrize(
    ("taken", "given", "failing", "words"),
    [
        (NO_KEYS, {}, "credentials", "No AWS credentials were found"),
        (NO_KEYS, {"AWS_BEARER_TOKEN_BEDROCK": "key"}, "credentials", "no Bedrock API keys"),
        ((), {"AWS_REGION": "eu-west-1"}, "region and model", "'eu-west-1'"),
        (("AWS_REGION",), {}, "region", "--region"),
        (NO_CA, {}, "CA", "--ca FILE"),
        ((), {"AWS_CA_BUNDLE": "/no/such.pem"}, "CA", "/no/such.pem"),
        ((), {"AWS_SECRET_ACCESS_KEY": "wrong"}, "signature", "refused the credentials"),
        ((), {"AWS_PROFILE": "nobody"}, "AWS settings", "nobody"),
        ((), {"AWS_USE_FIPS_ENDPOINT": "yes"}, "AWS settings", "AWS_USE_FIPS_ENDPOINT is 'yes'"),
    ],
    ids=[
        *("no credentials", "bearer token only", "region without the model", "no region"),
        *("CA not trusted", "CA file missing", "wrong secret", "no such profile"),
        "a setting that is neither true nor false",
    ],
)
async def test_a_fault_of_the_aws_settings_is_the_one_failure(
    healthy: dict[str, str],
    taken: tuple[str, ...],
    given: dict[str, str],
    failing: str,
    words: str,
) -> None:
    ill = {name: value for name, value in healthy.items() if name not in taken} | given
    report = await examined(ill, audio=False)
    assert (report.code, report.failures) == (1, {failing}), report.findings
    assert words in report.words(failing)
    assert report.findings[failing]["fix"]


async def test_nobody_there_and_a_proxy_that_is_not_used_for_this_machine(
    healthy: dict[str, str],
) -> None:
    ill = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://localhost:1", "https_proxy": "http://p:1"}
    report = await examined(healthy | ill, audio=False)
    assert (report.code, report.failures) == (1, {"connection"}), report.findings
    assert "Nobody listens at localhost:1." in report.words("connection")
    assert "HTTPS_PROXY is set, but not used for this machine" in report.words("connection")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            "bedrock-runtime-fips.us-east-1.amazonaws.com, by AWS_USE_FIPS_ENDPOINT",
        ),
        (
            {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "bedrock-runtime.us-east-1.api.aws, by AWS_USE_DUALSTACK_ENDPOINT",
        ),
    ],
)
async def test_the_host_is_the_one_that_a_conversation_would_use(
    healthy: dict[str, str], given: dict[str, str], found: str
) -> None:
    """A proxy that nobody listens at keeps the doctor from looking for AWS."""
    del healthy["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
    nowhere = {"HTTPS_PROXY": "http://localhost:1"}
    report = await examined(healthy | given | nowhere, audio=False)
    assert report.failures == {"proxy"}, report.findings
    assert report.findings["endpoint"]["found"] == found


async def test_a_setting_that_a_named_endpoint_overrides_is_a_warning(
    healthy: dict[str, str],
) -> None:
    report = await examined(healthy | {"AWS_USE_FIPS_ENDPOINT": "true"}, audio=False)
    assert (report.code, report.failures) == (0, set()), report.findings
    assert "endpoint" in report.warnings
    assert "AWS_USE_FIPS_ENDPOINT has no effect" in report.words("endpoint")


async def test_a_server_that_speaks_no_http2(healthy: dict[str, str]) -> None:
    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    authority = CertificateAuthority.of_this_run()
    tls = authority.server_context("127.0.0.1")
    tls.set_alpn_protocols(["http/1.1"])
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=tls)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    async with server:
        ca = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url, "AWS_CA_BUNDLE": str(authority.ca_file)}
        report = await examined(healthy | ca, audio=False)
    authority.remove_files()
    assert (report.code, report.failures) == (1, {"connection"}), report.findings
    assert "does not speak HTTP/2" in report.words("connection")


async def test_an_old_sdk(healthy: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "aws_sdk_bedrock_runtime-0.9.0.dist-info"
    folder.mkdir()
    metadata = "Metadata-Version: 2.1\nName: aws-sdk-bedrock-runtime\nVersion: 0.9.0\n"
    (folder / "METADATA").write_text(metadata)
    report = await examined(on_path(tmp_path, healthy), audio=False)
    assert (report.code, report.failures) == (1, {"packages"}), report.findings
    assert "aws-sdk-bedrock-runtime is 0.9.0" in report.words("packages")
    assert "pip install --upgrade 'aws-sdk-bedrock-runtime" in report.words("packages")


class ClockOff:
    """A service whose clock is ahead; it refuses what is signed by another, in the usual words."""

    def __init__(self, ahead: timedelta, *, dated: bool) -> None:
        self._ahead = ahead
        self._dated = dated
        self._answering: set[asyncio.Task[None]] = set()
        self._connections: list[H2Connection] = []

    @asynccontextmanager
    async def listening(self, authority: CertificateAuthority) -> AsyncGenerator[str]:
        """Its URL."""
        loop = asyncio.get_running_loop()
        context = authority.server_context("127.0.0.1")
        server = await loop.create_server(self._connected, "127.0.0.1", 0, ssl=context)
        try:
            yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for connection in self._connections:
                connection.cut()
            await asyncio.gather(*self._answering, *(c.closed for c in self._connections))

    def _connected(self) -> H2Connection:
        def ask(stream: H2Stream) -> None:
            self._answering.add(asyncio.create_task(self._answer(connection, stream)))

        connection = H2Connection(on_stream=ask)
        self._connections.append(connection)
        return connection

    async def _answer(self, connection: H2Connection, stream: H2Stream) -> None:
        now = datetime.now(UTC) + self._ahead
        fields = dict(stream.headers or [])
        fields["host"] = fields[":authority"]
        request = HttpRequest(fields[":method"], fields[":path"], "", fields)
        code, message = "ResourceNotFoundException", "Nothing here."
        try:
            verify_request(request, LOCAL_KEYS, now)
        except AuthError as error:
            code, message = error.code, error.message
        headers = [(":status", "403"), ("x-amzn-errortype", code)]
        headers += [("date", format_datetime(now, usegmt=True))] if self._dated else []
        connection.send_headers(stream, headers)
        stream.discard_input()
        await stream.write(json.dumps({"message": message}).encode())
        stream.end()


@pytest.mark.parametrize(
    ("ahead", "dated", "failures", "words"),
    [
        (timedelta(hours=1), True, {"clock"}, "60 min behind the service's"),
        (timedelta(hours=1), False, {"clock"}, "60 min behind the service's"),
        (timedelta(hours=-1), False, {"clock"}, "60 min ahead of the service's"),
        (timedelta(0), True, set[str](), "the service's"),
    ],
    ids=["behind, by date", "behind, by words", "ahead, by words", "right, by date"],
)
async def test_a_clock_that_is_off(
    healthy: dict[str, str], ahead: timedelta, dated: bool, failures: set[str], words: str
) -> None:
    authority = CertificateAuthority.of_this_run()
    async with ClockOff(ahead, dated=dated).listening(authority) as url:
        ca = dict.fromkeys(NO_CA, str(authority.ca_file))
        where = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url} | ca
        report = await examined(healthy | where, audio=False)
    authority.remove_files()
    assert report.failures == failures
    assert words in report.words("clock")
    assert bool(report.findings["clock"]["fix"]) is bool(failures)


async def test_a_clock_that_is_off_shows_without_credentials(healthy: dict[str, str]) -> None:
    authority = CertificateAuthority.of_this_run()
    bare = {name: value for name, value in healthy.items() if name not in NO_KEYS}
    async with ClockOff(timedelta(hours=1), dated=True).listening(authority) as url:
        where = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url, "AWS_CA_BUNDLE": str(authority.ca_file)}
        report = await examined(bare | where, audio=False)
    authority.remove_files()
    assert report.failures == {"credentials", "clock"}


# --- the emulator


async def test_talk_with_the_emulator_needs_no_aws() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    report = await examined(bare, local=True, audio=False)
    assert (report.code, report.failures) == (0, set()), report.findings
    assert list(report.findings) == ["Python", "packages", "emulator engines", "emulated talk"]
    assert "s of speech" in report.words("emulated talk")


async def test_an_emulator_without_its_packages(tmp_path: Path) -> None:
    blocked = "import sys\nsys.modules['trustme'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    report = await examined(on_path(tmp_path, dict(os.environ)), local=True, audio=False)
    assert (report.code, report.failures) == (1, {"emulator"}), report.findings
    assert install_command("emulator") in report.words("emulator")


# --- sound


@pytest.fixture(scope="module")
def room() -> Iterator[SoundServer]:
    """A microphone that hears the loudspeaker; and two that do not: a mute one and a whistle."""
    if importlib.util.find_spec("sounddevice") is None:
        pytest.skip("sounddevice is not installed")
    if reason := missing():
        pytest.skip(reason)
    server = SoundServer()
    server.control("load-module module-loopback source=spk.monitor sink=micfeed latency_msec=40")
    # An echo as loud as the loudspeaker's own signal would be taken for its monitor.
    server.control("set-sink-volume micfeed 60%")
    server.control("load-module module-null-sink sink_name=mute rate=48000 norewinds=1")
    server.control("load-module module-sine-source source_name=whistle frequency=200")
    yield server
    server.close()


@pytest.fixture
def furnished(room: SoundServer, healthy: dict[str, str]) -> dict[str, str]:
    """The environment of a healthy machine, sound included."""
    return healthy


@pytest.mark.alone
async def test_a_healthy_machine(furnished: dict[str, str]) -> None:
    report = await examined(furnished)
    assert (report.code, report.failures) == (0, set()), report.findings
    assert list(report.findings) == ["Python", "packages", *AWS, *SOUND, "emulator engines"]
    assert "hears the loudspeaker" in report.words("echo")
    cancelled = importlib.util.find_spec("pywebrtc_audio") is not None
    assert ("echo" in report.warnings) is not cancelled
    assert cancelled or "[echo]" in report.words("echo")


@pytest.mark.alone
async def test_no_portaudio(furnished: dict[str, str], tmp_path: Path) -> None:
    # Python looks for C libraries by `ctypes.util`, and there is no other way to hide one.
    blocked = (
        "import ctypes.util\n"
        "find = ctypes.util.find_library\n"
        "ctypes.util.find_library = lambda name: None if 'portaudio' in name else find(name)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(blocked)
    report = await examined(on_path(tmp_path, furnished))
    assert (report.code, report.failures) == (1, {"sound library"}), report.findings
    assert "PortAudio" in report.words("sound library")
    assert "install" in report.findings["sound library"]["fix"].lower()


@pytest.mark.alone
async def test_no_device(furnished: dict[str, str], tmp_path: Path) -> None:
    nowhere = {"PULSE_SERVER": f"unix:{tmp_path}/nobody", "XDG_RUNTIME_DIR": str(tmp_path)}
    report = await examined(furnished | nowhere)
    assert (report.code, report.failures) == (1, {"microphone", "loudspeaker"}), report.findings
    assert "There is no microphone here." in report.words("microphone")
    assert "--input" in report.words("microphone")


@pytest.mark.alone
async def test_a_device_of_another_name(furnished: dict[str, str]) -> None:
    report = await examined(furnished, microphone="no such thing")
    assert (report.code, report.failures) == (1, {"microphone"}), report.findings
    assert report.findings["loudspeaker"]["grade"] == "ok"


@pytest.mark.alone
async def test_a_mute_microphone(furnished: dict[str, str]) -> None:
    report = await examined(furnished | {"PULSE_SOURCE": "mute.monitor"})
    assert (report.code, report.failures) == (1, {"microphone"}), report.findings
    # The sound server says what the mute microphone is: the monitor of a loudspeaker.
    assert "There is no microphone" in report.words("microphone")
    assert "echo" not in report.findings


@pytest.mark.alone
async def test_a_microphone_that_does_not_hear_the_loudspeaker(furnished: dict[str, str]) -> None:
    report = await examined(furnished | {"PULSE_SOURCE": "whistle"})
    assert (report.code, report.failures) == (0, set()), report.findings
    assert "headphones" in report.words("echo")
    assert "echo" not in report.warnings
