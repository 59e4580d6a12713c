"""Debian's proxies, as programs of their own, in a mount namespace where one more name is known.

`NAME` is in the `/etc/hosts` of the proxies alone. So a client reaches an emulator by this name
through one of them or not at all: the name does not exist for the client.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from ssl import SSLContext
from tempfile import TemporaryDirectory

import pytest

from sonic_voice.emulator.server.certificates import CertificateAuthority

NAME = "voice.emulator.invalid"
"""A name below `.invalid` exists in no DNS (RFC 2606)."""

USER, PASSWORD = "proxy-user", "proxy-w0rd"
IN_URL = "proxy-user:proxy%2Dw0rd"
"""User and password as they may stand in a URL. tinyproxy takes no characters that must be encoded,
so one is encoded that need not be."""

_START_S = 10.0
"""How long a proxy may take until it accepts connections."""

_LOOK_S = 0.02
_IN_NAMESPACE = 'mount --bind "$0" /etc/hosts && exec "$@"'


class NamedAuthority(CertificateAuthority):
    """A CA whose server certificates are valid for `NAME` as well."""

    def server_context(self, host: str, *more: str) -> SSLContext:
        """See `CertificateAuthority`."""
        return super().server_context(NAME, *more)


@cache
def missing() -> str:
    """Return why there can be no proxies here; empty if there can."""
    programs = ("tinyproxy", "microsocks", "stunnel4", "unshare", "mount")
    if absent := [program for program in programs if shutil.which(program) is None]:
        return f"without {', '.join(absent)}: apt-get install tinyproxy-bin microsocks stunnel4"
    hosts = str(Path("/etc/hosts").resolve())
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _IN_NAMESPACE, hosts, "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no mount namespace: {tried.stderr.strip()}" if tried.returncode else ""


def need_proxies() -> None:
    """Skip the test where proxies cannot be run."""
    if reason := missing():
        pytest.skip(reason)


@asynccontextmanager
async def running(
    *command: str, hosts: Path, port: int, log: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a proxy until it accepts connections at `port`, and end it afterwards."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", _IN_NAMESPACE, str(hosts)),
            *command,
            stdout=file,
            stderr=file,
        )
    try:
        async with asyncio.timeout(_START_S):
            while True:  # proxies do not tell when they listen
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    break
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(_LOOK_S)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def free_port() -> int:
    """Return a port that nobody listens at."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _hosts(folder: Path) -> Path:
    path = folder / "hosts"
    path.write_text(f"127.0.0.1 localhost {NAME}\n")
    return path


@asynccontextmanager
async def tinyproxy(*, password: bool = False, only_port: int | None = None) -> AsyncGenerator[str]:
    """An HTTP proxy; gives its address, `127.0.0.1:PORT`.

    `only_port`: tunnels to other ports are forbidden.
    """
    with TemporaryDirectory(prefix="sonic-proxy-") as name:
        folder, port = Path(name), free_port()
        lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 20"]
        if password:
            lines.append(f"BasicAuth {USER} {PASSWORD}")
        if only_port is not None:
            lines.append(f"ConnectPort {only_port}")
        (folder / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
        command = ("tinyproxy", "-d", "-c", str(folder / "tinyproxy.conf"))
        async with running(*command, hosts=_hosts(folder), port=port, log=folder / "log"):
            yield f"127.0.0.1:{port}"


@asynccontextmanager
async def microsocks(*, password: bool = False) -> AsyncGenerator[str]:
    """A SOCKS5 proxy; gives its address."""
    with TemporaryDirectory(prefix="sonic-proxy-") as name:
        folder, port = Path(name), free_port()
        login = ("-u", USER, "-P", PASSWORD) if password else ()
        command = ("microsocks", "-i", "127.0.0.1", "-p", str(port), *login)
        async with running(*command, hosts=_hosts(folder), port=port, log=folder / "log"):
            yield f"127.0.0.1:{port}"


@asynccontextmanager
async def tls_proxy(
    authority: CertificateAuthority, *, password: bool = False
) -> AsyncGenerator[str]:
    """An HTTP proxy that speaks TLS with its clients: stunnel before tinyproxy."""
    with TemporaryDirectory(prefix="sonic-proxy-") as name:
        folder, port = Path(name), free_port()
        certificate = folder / "localhost.pem"
        leaf = authority._ca.issue_cert("localhost")  # pyright: ignore[reportPrivateUsage]
        leaf.private_key_and_cert_chain_pem.write_to_path(certificate)
        async with tinyproxy(password=password) as behind:
            lines = ["foreground = yes", "pid =", "[proxy]", f"cert = {certificate}"]
            lines += [f"accept = 127.0.0.1:{port}", f"connect = {behind}"]
            (folder / "stunnel.conf").write_text("\n".join(lines) + "\n")
            command = ("stunnel4", str(folder / "stunnel.conf"))
            async with running(*command, hosts=_hosts(folder), port=port, log=folder / "log"):
                yield f"localhost:{port}"
