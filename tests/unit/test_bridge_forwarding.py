"""Clients behind proxies: what a trusted proxy wrote is believed, what a client wrote is not."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.bridge.forwarding import (
    TrustedProxies,
    client_key,
    is_remote,
    join_headers,
    read_proxies,
)

PROXIES = read_proxies(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("127.0.0.1", {"x-forwarded-for": "198.51.100.7"}, "198.51.100.7"),
        ("127.0.0.1", {"x-forwarded-for": "9.9.9.9, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"),
        ("127.0.0.1", {"x-forwarded-for": "198.51.100.7:4711"}, "198.51.100.7"),
        ("127.0.0.1", {"x-forwarded-for": "2001:db8::7"}, "2001:db8::7"),
        ("127.0.0.1", {"x-forwarded-for": "[2001:db8::7]:4711"}, "2001:db8::7"),
        ("::ffff:127.0.0.1", {"x-forwarded-for": "::ffff:198.51.100.7"}, "198.51.100.7"),
        ("10.0.0.1", {"forwarded": "for=198.51.100.7;proto=https"}, "198.51.100.7"),
        ("10.0.0.1", {"forwarded": 'proto=https; For="[2001:db8::7]:4711"'}, "2001:db8::7"),
        ("10.0.0.1", {"forwarded": "for=9.9.9.9, for=198.51.100.7, for=10.1.1.1"}, "198.51.100.7"),
        ("10.0.0.1", {"forwarded": "for=198.51.100.7, for=_hidden"}, "10.0.0.1"),
        ("10.0.0.1", {"forwarded": "for=198.51.100.7, for=unknown"}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": ""}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.3, 10.0.0.2"}, "10.0.0.3"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("192.0.2.1", {"x-forwarded-for": "198.51.100.7"}, "192.0.2.1"),
        (
            "10.0.0.1",
            {"x-forwarded-for": "198.51.100.7", "forwarded": "for=9.9.9.9"},
            "10.0.0.1",
        ),
        (
            "10.0.0.1",
            {"x-forwarded-for": "198.51.100.7", "forwarded": "for=198.51.100.7"},
            "198.51.100.7",
        ),
        ("", {"x-forwarded-for": "198.51.100.7"}, ""),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy(
    peer: str, headers: dict[str, str], client: str
) -> None:
    assert PROXIES.client_address(peer, headers) == client


ADDRESSES = st.ip_addresses().map(str)


@given(ADDRESSES, st.text(max_size=40), st.text(max_size=40))
def test_without_trusted_proxies_headers_change_nothing(peer: str, one: str, other: str) -> None:
    headers = {"x-forwarded-for": one, "forwarded": other}
    assert TrustedProxies().client_address(peer, headers) == TrustedProxies().client_address(
        peer, {}
    )


@given(
    st.ip_addresses(network="198.51.100.0/24").map(str),
    st.lists(st.text(st.characters(codec="ascii"), max_size=20), max_size=5),
    st.sampled_from(["x-forwarded-for", "forwarded"]),
)
def test_what_a_client_invents_does_not_change_its_address(
    client: str, invented: list[str], header: str
) -> None:
    written = client if header == "x-forwarded-for" else f"for={client}"
    sent = {header: ", ".join([*invented, written])}
    assert PROXIES.client_address("127.0.0.1", sent) == client
    other = "forwarded" if header == "x-forwarded-for" else "x-forwarded-for"
    both = {**sent, other: ", ".join(invented)}
    assert PROXIES.client_address("127.0.0.1", both) in (client, "127.0.0.1")


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_header_has_an_answer(one: str, other: str) -> None:
    headers = {"x-forwarded-for": one, "forwarded": other}
    ipaddress.ip_address(PROXIES.client_address("127.0.0.1", headers))


def test_repeated_headers_are_one_list() -> None:
    """Some proxies add a header of their own beside that of the client."""
    pairs = [("X-Forwarded-For", "9.9.9.9"), ("Host", "a"), ("x-forwarded-for", "198.51.100.7")]
    headers = join_headers(pairs)
    assert headers == {"x-forwarded-for": "9.9.9.9, 198.51.100.7", "host": "a"}
    assert PROXIES.client_address("127.0.0.1", headers) == "198.51.100.7"


@pytest.mark.parametrize(
    ("peer", "headers", "remote"),
    [
        ("127.0.0.1", {"host": "localhost:8080"}, False),
        ("127.0.0.1", {"host": "127.0.0.2:8080"}, False),
        ("::1", {"host": "[::1]:8080"}, False),
        ("::ffff:127.0.0.1", {"host": "voice.localhost"}, False),
        ("127.0.0.1", {}, False),
        ("192.0.2.1", {"host": "localhost:8080"}, True),
        ("", {"host": "localhost"}, True),
        ("127.0.0.1", {"host": "voice.example"}, True),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "127.0.0.1"}, True),
        ("127.0.0.1", {"host": "localhost", "forwarded": ""}, True),
        ("127.0.0.1", {"host": "localhost", "via": "1.1 proxy"}, True),
    ],
)
def test_a_forwarded_request_is_remote(peer: str, headers: dict[str, str], remote: bool) -> None:
    assert is_remote(peer, headers) == remote


def test_the_addresses_of_one_customer_are_one_client() -> None:
    assert client_key("2001:db8:1:2::7") == client_key("2001:db8:1:2:ffff::1")
    assert client_key("2001:db8:1:2::7") != client_key("2001:db8:1:3::7")
    assert client_key("198.51.100.7") != client_key("198.51.100.8")
    assert client_key("::ffff:198.51.100.7") == client_key("198.51.100.7")
    assert client_key("") == ""
