"""The address of the process of a running conversation, and the requests of commands to it.

A process writes its address into a file that only its user can read. It listens at a Unix socket in
the same private folder. Where there are none (Windows), or the path would be too long for one, it
listens at a port of loopback, and the file has a token that every request must repeat.

A request is one JSON object in a line, and so is its response. Then the connection is closed.
"""

import json
import os
import re
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigError, NetworkError
from ..private_files import write_private

SESSION_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
"""Name of a session, which is a part of names of files."""

CONNECT_TIMEOUT_S = 5.0
"""Timeout for a connection to the process, in seconds."""

MAX_LINE_BYTES = 16_000_000
"""Maximum size of a request or a response, in bytes: ten thousand events have 3 MB."""

MAX_SOCKET_PATH_BYTES = 100
"""Maximum length of the path of a Unix socket, in bytes; systems allow 104 to 108."""


@dataclass(frozen=True, slots=True)
class SessionAddress:
    """The address of a running conversation."""

    pid: int
    """Id of its process."""
    token: str
    """Secret that each request repeats."""
    path: str = ""
    """Path of its Unix socket; empty if it listens at a port."""
    port: int = 0
    """Its port on loopback."""


class SessionFiles:
    """The files of one session.

    Args:
        folder: The folder of all sessions, which is created if it is missing.
        name: Name of the session.

    Raises:
        ConfigError: The name cannot be a part of a file name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if not SESSION_NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for a session.",
                hint="Letters, digits, _ and -, at most 32 of them.",
            )
        self.name = name
        self.address = folder / f"{name}.json"
        self.socket = folder / f"{name}.sock"
        self.log = folder / f"{name}.log"

    @property
    def socket_path(self) -> str:
        """Path of the Unix socket to listen at; empty where a port of loopback is needed."""
        path = str(self.socket)
        fits = hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
        return path if fits else ""

    def prepare_socket(self) -> None:
        """Create the private folder of the socket, and remove one that a dead process has left.

        Raises:
            OSError: The folder cannot be created.
        """
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(OSError):
            self.socket.unlink(missing_ok=True)

    def protect_socket(self) -> None:
        """Let only this user connect to the socket.

        Raises:
            OSError: Its permissions cannot be set.
        """
        self.socket.chmod(0o600)

    def publish(self, address: SessionAddress) -> None:
        """Write the address, for its user only.

        Args:
            address: The address.

        Raises:
            OSError: The file cannot be written.
        """
        write_private(self.address, json.dumps(asdict(address)).encode())

    def remove(self) -> None:
        """Remove the address and the socket. May be repeated."""
        for path in (self.address, self.socket):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def read(self) -> SessionAddress | None:
        """Return the address; None if there is none."""
        try:
            written: Any = json.loads(self.address.read_bytes())
            return SessionAddress(**written)
        except (OSError, ValueError, TypeError):
            return None


def ask(files: SessionFiles, request: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
    """Send a request to the process of a session, and return its response. Blocks until then.

    Args:
        files: The files of the session.
        request: The request.
        timeout_s: Maximum time for the response, in seconds.

    Returns:
        The response; None if no process listens, whose files are then removed.

    Raises:
        NetworkError: The process did not respond in time, or broke off.
    """
    address = files.read()
    connection = None if address is None else _connect(address)
    if address is None or connection is None:
        files.remove()
        return None
    with connection:
        connection.settimeout(timeout_s)
        try:
            connection.sendall(json.dumps(request | {"token": address.token}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(MAX_LINE_BYTES)
            return cast("dict[str, Any]", json.loads(line))
        except (OSError, ValueError) as error:
            raise NetworkError(
                f"The session {files.name} did not respond.",
                hint=f"Its log is {files.log}. Stop it: sonic-voice say --stop "
                f"--session {files.name}",
            ) from error


def _connect(address: SessionAddress) -> socket.socket | None:
    """Return a connection to a process; None if nothing listens."""
    try:
        if not address.path:
            return socket.create_connection(("127.0.0.1", address.port), CONNECT_TIMEOUT_S)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_TIMEOUT_S)
        try:
            connection.connect(address.path)
        except OSError:
            connection.close()
            raise
        return connection
    except OSError:
        return None
