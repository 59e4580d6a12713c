"""Debian's nginx as a program of its own, with the configuration of the README."""

import asyncio
import re
import shutil
import socket as sockets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
DEPLOYED = Path(__file__).parents[2] / "scripts" / "deploy" / "nginx.conf"
NAME = "voice.example"

_START_S = 10.0
_LOOK_S = 0.02


def need_nginx() -> None:
    """Skip the test where nginx is not installed."""
    if shutil.which("nginx") is None:
        pytest.skip("without nginx: apt-get install nginx-light")


def free_port() -> int:
    """Return a port that nobody listens at."""
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def configuration(folder: Path, *, port: int, upstream: int, more: str = "") -> str:
    """Return a configuration around the block of the README, with the ports of a test.

    Args:
        folder: Where certificate, key and all that nginx writes are.
        port: The port to listen at.
        upstream: The port of the bridge.
        more: Further directives of the server.
    """
    [block] = re.findall(r"```nginx\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for written, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl; {more}"),
        ("/etc/ssl/voice.example.pem", str(folder / "cert.pem")),
        ("/etc/ssl/voice.example.key", str(folder / "key.pem")),
        ("http://127.0.0.1:8080/", f"http://127.0.0.1:{upstream}/"),
    ):
        assert block.count(written) == 1, written
        block = block.replace(written, here)
    return _around(block, folder)


def deployed(folder: Path, *bridges: int, port: int) -> str:
    """Return a configuration around the file of `scripts/deploy`, without TLS.

    Args:
        folder: Where all that nginx writes is.
        bridges: The ports of the two bridges.
        port: The port to listen at.
    """
    block = re.sub(r"\n *ssl_\w+ .*;", "", DEPLOYED.read_text(encoding="utf-8"))
    places = ("127.0.0.1:8081", "127.0.0.1:8082")
    for written, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        *((place, f"127.0.0.1:{bridge}") for place, bridge in zip(places, bridges, strict=True)),
    ):
        assert block.count(written) == 1, written
        block = block.replace(written, here)
    return _around(block, folder)


def _around(block: str, folder: Path) -> str:
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
access_log off;
{temporary}
{block}
}}
"""


@asynccontextmanager
async def nginx(folder: Path, *, upstream: int, more: str = "") -> AsyncGenerator[int]:
    """Run nginx in front of the port `upstream`, and yield the port that it listens at."""
    port = free_port()
    async with running(
        folder, configuration(folder, port=port, upstream=upstream, more=more), port
    ):
        yield port


@asynccontextmanager
async def running(folder: Path, configured: str, port: int) -> AsyncGenerator[None]:
    """Run nginx with a configuration in which it listens at `port`."""
    file = folder / "nginx.conf"
    file.write_text(configured)
    log = folder / "nginx.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("nginx", "-p", str(folder), "-c", str(file), "-e", "stderr"),
            stdout=output,
            stderr=output,
        )
    try:
        async with asyncio.timeout(_START_S):
            while True:  # it does not tell when it listens
                assert process.returncode is None, log.read_text()
                with sockets.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                await asyncio.sleep(_LOOK_S)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 10)
