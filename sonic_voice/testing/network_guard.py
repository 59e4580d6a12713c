"""A guard that refuses sockets to other machines, for tests that must run offline.

It replaces `connect`, `connect_ex` and `sendto` of Python's sockets, and the look-up of names.
Native code that opens sockets itself, such as the AWS CRT, is not covered.
"""

import ipaddress
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", ""})
"""Names of this machine, which may be looked up."""

_CALLS = ("connect", "connect_ex", "sendto")
"""Methods of a socket that name the machine to reach."""


class NetworkRefused(RuntimeError):
    """A test has tried to reach another machine."""


@contextmanager
def loopback_only() -> Generator[None]:
    """Refuse sockets to other machines while the body runs.

    Raises:
        NetworkRefused: From the call that tries to reach another machine, in any thread.
    """
    kind: Any = socket.socket
    own = {name: kind.__dict__.get(name) for name in _CALLS}
    look_up = socket.getaddrinfo
    for name in _CALLS:
        setattr(kind, name, _guarded(getattr(kind, name)))

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        _check(host)
        return look_up(host, *arguments, **options)

    socket.getaddrinfo = guarded_look_up
    try:
        yield
    finally:
        socket.getaddrinfo = look_up
        for name, method in own.items():
            if method is None:  # it was inherited, and is again
                delattr(kind, name)
            else:
                setattr(kind, name, method)


def _guarded(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: socket.socket, *arguments: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and arguments:
            address = arguments[-1]
            if isinstance(address, tuple):
                _check(address[0])
        return original(self, *arguments)

    return call


def _check(host: Any) -> None:
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
    if name.lower() in LOCAL_NAMES or _is_loopback(name):
        return
    raise NetworkRefused(
        f"This test tried to reach {name}. Tests of conversations run offline; only "
        "--sonic-live lets them reach AWS."
    )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False
