"""Clients behind reverse proxies: their real addresses, and whether a request was forwarded. Pure.

A proxy appends the address of its client to `X-Forwarded-For`, or an element with `for=` to
`Forwarded` (RFC 7239). Everything to the left of what a trusted proxy has written may be invented:

    X-Forwarded-For: 9.9.9.9, 198.51.100.7, 10.0.0.2        peer 10.0.0.1
                     invented ◄── the client ◄── trusted ◄──── trusted

The list is therefore read from the right, and the first address that is not a trusted proxy is the
client. A proxy passes the header that it does not write through unchanged. If a request has both
headers and they disagree, the address of the peer counts, which a client cannot choose.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..http2.loopback import is_loopback

type _Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type _Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FORWARDING_HEADERS = (
    *("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"),
    "via",
)
"""Headers, in lower case, that only a proxy adds."""

MOST_HOPS = 16
"""Maximum number of addresses of a list that are read, from the right."""

CLIENT_PREFIX_V6 = 64
"""Length of the IPv6 prefix that counts as one client, in bits: a provider assigns at least this
many addresses to one customer."""

_FORWARDED_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)
_PORT = re.compile(r":[0-9]{1,5}$")


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks whose hosts are believed to say whose requests they forward."""

    networks: tuple[_Network, ...] = ()

    def trust(self, peer: str) -> bool:
        """Return whether the peer of a connection is one of these proxies.

        Args:
            peer: The address of the peer.
        """
        address = _read_address(peer)
        return address is not None and self._contain(address)

    def client_address(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return the address of the client of a request.

        Args:
            peer: The address of the peer of the connection.
            headers: The headers of the request by lower-case name, repeated ones joined by commas.

        Returns:
            The address in its normal form; `peer` if it is not a trusted proxy or does not say
            whose request it forwards.
        """
        nearest = _read_address(peer)
        if nearest is None or not self._contain(nearest):
            return peer if nearest is None else str(nearest)
        listed = [
            self._client_of(read(headers[name]))
            for name, read in _READERS.items()
            if headers.get(name)
        ]
        agreed = listed[0] if listed and len(set(listed)) == 1 else None
        return str(agreed or nearest)

    def _client_of(self, hops: Sequence[str]) -> _Address | None:
        """Return the first address from the right that is no trusted proxy.

        None if a proxy has written something else, such as `unknown`. If all are trusted, the
        request comes from the leftmost.
        """
        address = None
        for hop in hops[: -MOST_HOPS - 1 : -1]:
            address = _read_address(_without_port(hop))
            if address is None or not self._contain(address):
                return address
        return address

    def _contain(self, address: _Address) -> bool:
        return any(address in network for network in self.networks)


def read_proxies(texts: Iterable[str]) -> TrustedProxies:
    """Return the proxies that an operator trusts.

    Args:
        texts: Addresses and networks such as `10.0.0.0/8`.

    Raises:
        ValueError: One of them is neither.
    """
    return TrustedProxies(tuple(ipaddress.ip_network(text, strict=False) for text in texts))


def join_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name; repeated ones are joined by commas, in order.

    Args:
        pairs: Names and values.
    """
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def is_remote(peer: str, headers: Mapping[str, str]) -> bool:
    """Return whether the client of a request may be on another machine.

    Args:
        peer: The address of the peer of the connection; empty if there is none, as on a Unix
            socket, behind which a proxy listens.
        headers: The headers of the request, by lower-case name.

    Returns:
        False only if the peer is on this machine, has named it in `Host`, and is no proxy. A proxy
        that adds no header and names this machine cannot be told from a browser.
    """
    address = _read_address(peer)
    if address is None or not address.is_loopback:
        return True
    named = _without_port(headers.get("host", "localhost")).lower()
    return any(name in headers for name in FORWARDING_HEADERS) or not is_loopback(named)


def client_key(address: str) -> str:
    """Return the key by which the connections of one client are counted.

    Args:
        address: The address of the client.

    Returns:
        An IPv4 address, the network of an IPv6 address, or `address` if it is neither.
    """
    read = _read_address(address)
    if isinstance(read, ipaddress.IPv6Address) and not read.is_loopback:
        return str(ipaddress.ip_network((read, CLIENT_PREFIX_V6), strict=False))
    return address if read is None else str(read)


def _without_port(text: str) -> str:
    """Return a name or an address without its port and its brackets."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text if text.count(":") > 1 else _PORT.sub("", text)


def _read_address(text: str) -> _Address | None:
    """Return an address; one of IPv4 that is written as IPv6 becomes one of IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _split_plain(header: str) -> list[str]:
    return header.split(",")


def _split_forwarded(header: str) -> list[str]:
    """Return the `for` of each element of `Forwarded`; an element without one is empty text.

    A comma inside quotes, which no address has, splits the element into two that are no addresses.
    """
    found = (_FORWARDED_FOR.search(element) for element in header.split(","))
    return [match[1].strip('"') if match else "" for match in found]


_READERS = {"x-forwarded-for": _split_plain, "forwarded": _split_forwarded}
