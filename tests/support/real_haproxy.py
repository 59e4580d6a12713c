"""Debian's HAProxy as a program of its own, in front of one or several servers."""

import asyncio
import shutil
import socket as sockets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from .real_nginx import free_port

_START_S = 20.0
_LOOK_S = 0.02


def need_haproxy() -> None:
    """Skip the test where HAProxy is not installed."""
    if shutil.which("haproxy") is None:
        pytest.skip("without HAProxy: apt-get install haproxy")


def configuration(port: int, upstream: Sequence[int]) -> str:
    """Return a configuration that asks each server for its health twice a second.

    Args:
        port: The port to listen at.
        upstream: The ports of the servers.
    """
    servers = "".join(
        f"    server s{number} 127.0.0.1:{number} check inter 500ms fall 1 rise 1\n"
        for number in upstream
    )
    return f"""
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    retries 3
    option redispatch
frontend pages
    bind 127.0.0.1:{port}
    default_backend bridges
backend bridges
    balance leastconn
    option httpchk GET /healthz
{servers}"""


@asynccontextmanager
async def haproxy(folder: Path, *upstream: int, port: int) -> AsyncGenerator[str]:
    """Run HAProxy in front of servers at the ports `upstream`, and yield its URL."""
    need_haproxy()
    file, log = folder / "haproxy.cfg", folder / "haproxy.log"
    file.write_text(configuration(port, upstream))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "haproxy", "-db", "-f", str(file), stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(_START_S):
            while True:  # it does not tell when it listens
                assert process.returncode is None, log.read_text()
                with sockets.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                await asyncio.sleep(_LOOK_S)
        yield f"http://localhost:{port}/"
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 10)


__all__ = ["free_port", "haproxy", "need_haproxy"]
