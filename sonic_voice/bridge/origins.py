"""Origins of pages, compared as browsers compare them: by scheme, host and port. Pure.

    HTTPS://Shop.Example:443/      =  https://shop.example
    https://münchen.example        =  https://xn--mnchen-3ya.example
    http://[0:0:0:0:0:0:0:1]:80    =  http://[::1]

The schemes of the web have a default port (RFC 6454 section 4), and names of hosts are written in
ASCII as the URL standard does it (UTS #46, so that `ß` stays `ß`). The schemes of applications,
such as `capacitor://localhost`, have no default port; they are allowed only if they are named.

A pattern may begin with one wildcard label, `https://*.shop.example`, which stands for exactly one
label of a name. At least two labels must follow, so that nobody allows a whole top-level domain.
"""

import ipaddress
import re
from dataclasses import dataclass

import idna

from ..http2.loopback import is_loopback

DEFAULT_PORTS = {"http": 80, "https": 443}
"""Ports of the schemes whose origins leave out their default port."""

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>\[[0-9a-f:.]+\]|[^/?#@:\[\]\\\s%]+)"
    r"(?P<port>:[0-9]{1,5})?/?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_HOST_CHARACTERS = re.compile(r"[a-z0-9._-]{1,253}")
_WILDCARD = "*."


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin in its normal form, which equal origins share."""

    scheme: str
    """Scheme in lower case."""
    host: str
    """Name in ASCII, or address, in lower case; an IPv6 address without its brackets."""
    port: int | None
    """Port; None for the scheme of an application without a port."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        shown = "" if self.port in (None, DEFAULT_PORTS.get(self.scheme)) else f":{self.port}"
        return f"{self.scheme}://{host}{shown}"

    @property
    def is_local(self) -> bool:
        """True if only pages that this machine serves have this origin.

        The scheme of an application says nothing about the machine: `capacitor://localhost` is on
        a telephone.
        """
        return self.scheme in DEFAULT_PORTS and is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """An origin that is allowed, or all that differ from it in their first label only."""

    origin: Origin
    """The origin; of a wildcard the part after `*.`."""
    wildcard: bool = False
    """True if one label must come before `origin.host`."""

    def __str__(self) -> str:
        text = str(self.origin)
        return text.replace("://", "://*.", 1) if self.wildcard else text

    def matches(self, origin: Origin) -> bool:
        """Return whether pages of `origin` are allowed.

        Args:
            origin: The origin of a page.
        """
        if not self.wildcard:
            return origin == self.origin
        label, _, rest = origin.host.partition(".")
        return (
            _LABEL.fullmatch(label) is not None
            and Origin(origin.scheme, rest, origin.port) == self.origin
        )


def read_origin(text: str) -> Origin:
    """Return the origin that `text` denotes.

    Args:
        text: An origin as a browser sends it or as a person writes it.

    Raises:
        ValueError: It is no origin: `null`, a wildcard, a path, or a host that does not exist.
    """
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("no origin")
    scheme = found["scheme"].lower()
    port = DEFAULT_PORTS.get(scheme)
    if found["port"]:
        port = int(found["port"][1:])
        if not 0 < port <= 65_535:
            raise ValueError("no port")
    return Origin(scheme, _normal_host(found["host"]), port)


def read_pattern(text: str) -> OriginPattern:
    """Return the pattern that an operator has written.

    Args:
        text: An origin, whose first label may be `*`.

    Raises:
        ValueError: It is neither, or the wildcard stands before fewer than two labels.
    """
    scheme, separator, rest = text.partition("://")
    wildcard = rest.startswith(_WILDCARD)
    origin = read_origin(f"{scheme}{separator}{rest.removeprefix(_WILDCARD)}")
    if wildcard and ("." not in origin.host.strip(".") or _address(origin.host) is not None):
        raise ValueError("a wildcard before less than a domain")
    return OriginPattern(origin, wildcard)


def own_origins(host: str, port: int, *, tls: bool) -> frozenset[Origin]:
    """Return the origins of the pages that a server serves itself.

    Args:
        host: The name or address that it listens at, without brackets.
        port: The port.
        tls: Whether it serves https.

    Returns:
        The origin of `host`, and on loopback those of `localhost` and of both addresses. None if
        `host` stands for all addresses of the machine, as 0.0.0.0 does, or is no host.
    """
    scheme = "https" if tls else "http"
    bare = host.partition("%")[0]  # a scope, as in fe80::1%eth0, is not part of an origin
    address = _address(bare)
    if address is not None and address.is_unspecified:
        return frozenset()
    hosts = {bare}
    if is_loopback(bare):
        hosts |= {"localhost", "127.0.0.1", "::1"}
    try:
        return frozenset(
            read_origin(f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}")
            for name in hosts
        )
    except ValueError:
        return frozenset()


def _normal_host(text: str) -> str:
    if text.startswith("["):
        return str(ipaddress.IPv6Address(text[1:-1]))
    host = text.lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ValueError("no name of a host") from error
    if not _HOST_CHARACTERS.fullmatch(host):
        raise ValueError("no name of a host")
    if host.rstrip(".").rpartition(".")[2].isdigit() and _address(host) is None:
        raise ValueError("no IPv4 address")
    return host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
