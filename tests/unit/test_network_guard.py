"""The guard that keeps tests of conversations offline."""

import socket

import pytest

from sonic_voice.testing.network_guard import NetworkRefused, loopback_only

ELSEWHERE = "192.0.2.1"  # of a network for documentation, which is never routed


def test_other_machines_are_refused_and_this_one_is_not() -> None:
    with (
        loopback_only(),
        socket.socket() as server,
        socket.socket() as client,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        for reach in (
            lambda: client.connect((ELSEWHERE, 80)),
            lambda: client.connect_ex((ELSEWHERE, 80)),
            lambda: datagrams.sendto(b"", (ELSEWHERE, 80)),
            lambda: datagrams.sendto(b"", 0, (ELSEWHERE, 80)),
            lambda: socket.getaddrinfo("example.com", 443),
            lambda: socket.getaddrinfo(b"example.com", 443),
        ):
            with pytest.raises(NetworkRefused, match="--sonic-live"):
                reach()
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        assert socket.getaddrinfo("localhost", 80)
        assert socket.getaddrinfo("::1", 80)


def test_everything_is_as_before_afterwards() -> None:
    before = dict(socket.socket.__dict__), socket.getaddrinfo
    with pytest.raises(KeyError), loopback_only():
        raise KeyError
    assert (dict(socket.socket.__dict__), socket.getaddrinfo) == before
