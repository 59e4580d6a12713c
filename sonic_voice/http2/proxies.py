"""Choice of the proxy for a connection to the service, by option, environment and `NO_PROXY`.

    ProxySettings.read(explicit)     settings of the caller, the environment or the system
        .choose(host, port)  ->  ProxyChoice(proxy, reason)

An explicit URL takes precedence and is used for every host; an explicit empty URL means no proxy.
Otherwise `HTTPS_PROXY` comes before `ALL_PROXY`, and a lower-case name before an upper-case one.
If the environment names no proxy, the settings of macOS and Windows are used. Hosts in `NO_PROXY`
and this machine itself are connected to directly.

User names and passwords occur in no message, `str` or `repr` of these classes.
"""

import ipaddress
import urllib.request
from dataclasses import dataclass, field
from typing import Literal, Self, cast, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigError
from .loopback import is_loopback

ProxyScheme = Literal["http", "https", "socks5", "socks5h"]

_DEFAULT_PORTS: dict[ProxyScheme, int] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""Default port of a proxy, by the scheme of its URL."""

_ALIASES = {"socks": "socks5h"}
"""Other names of schemes: GNOME sets `ALL_PROXY=socks://...`."""

_FORMS = (
    "Write http://HOST:PORT, https://HOST:PORT, socks5h://HOST:PORT or socks5://HOST:PORT, with "
    "USER:PASSWORD@ before the host if needed; special characters there are percent-encoded."
)

_SOCKS_FIELD_BYTES = 255
"""Maximum length of a SOCKS5 user name or password (RFC 1929)."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy server and its credentials. `str` gives its URL without the user."""

    scheme: ProxyScheme
    """The proxy's protocol. With `socks5` the service's name is resolved on this machine, with
    `socks5h` by the proxy."""
    host: str
    """Host name or address, without brackets."""
    port: int
    """TCP port."""
    user: str = field(default="", repr=False)
    """User name; empty for no authentication."""
    password: str = field(default="", repr=False)
    """Password of the user."""
    source: str = ""
    """Name of the option, variable or system that set this proxy, such as `HTTPS_PROXY`."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """True for a SOCKS5 proxy, False for an HTTP proxy."""
        return self.scheme.startswith("socks")

    @classmethod
    def parse(cls, url: str, source: str) -> Self:
        """Parse a proxy's URL. The default scheme is `http`; the default port is the scheme's.

        Args:
            url: For example `http://user:password@proxy.example:3128`.
            source: Name of the option or variable with the URL, for messages.

        Raises:
            ConfigError: The URL is not one of a proxy. The message does not repeat the URL, which
                may contain a password.
        """
        url = url.strip()
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port, host = parts.port, parts.hostname
        except ValueError:  # the port is not a number, or the brackets do not match
            port, host, parts = None, None, SplitResult("http", "", "", "", "")
        name = _ALIASES.get(parts.scheme, parts.scheme)
        if name not in get_args(ProxyScheme):
            raise ConfigError(
                f"{source} names a proxy of a kind that is not supported: {parts.scheme}.",
                hint=_FORMS,
            )
        if not host or any(character.isspace() for character in url):
            raise ConfigError(f"The URL in {source} is not one of a proxy.", hint=_FORMS)
        scheme = cast(ProxyScheme, name)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        proxy = cls(scheme, host, port or _DEFAULT_PORTS[scheme], user, password, source)
        proxy._check_user()
        return proxy

    def _check_user(self) -> None:
        """Raise `ConfigError` for a user or password that the proxy's protocol cannot transmit."""
        if self.is_socks:
            for text in (self.user, self.password):
                if not text.isascii() or len(text) > _SOCKS_FIELD_BYTES:
                    raise ConfigError(
                        f"The user name or the password in {self.source} is not one for SOCKS5.",
                        hint=f"Each is at most {_SOCKS_FIELD_BYTES} ASCII characters.",
                    )
        elif ":" in self.user:
            raise ConfigError(
                f"The user name in {self.source} contains a colon, which basic authentication "
                "cannot carry.",
                hint="Use another user name.",
            )


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """The proxy for one host, or a direct connection."""

    proxy: Proxy | None
    """The proxy to use; None for a direct connection."""
    bypass: str = ""
    """Reason, as a sentence, that a configured proxy is not used for this host; otherwise empty."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The proxy settings of the caller, the environment and the system.

    The URL of the environment is parsed only when a host needs it.
    """

    explicit: Proxy | None = None
    """Proxy that the caller named, used for every host."""
    direct: bool = False
    """True if the caller asked for no proxy."""
    url: str = field(default="", repr=False)
    """URL from the environment or the system; empty if there is none."""
    source: str = ""
    """Name of the variable with `url`, or of the system's settings."""
    no_proxy: str = ""
    """Value of `NO_PROXY`; see `is_excepted`."""

    @classmethod
    def read(cls, explicit: str | None = None) -> Self:
        """Read the environment and, on macOS and Windows, the system's settings.

        Args:
            explicit: URL of the proxy to use whatever the environment says; empty: use no proxy;
                None: follow the environment.

        Raises:
            ConfigError: `explicit` is not the URL of a proxy.
        """
        if explicit is not None:
            if not explicit.strip():
                return cls(direct=True)
            return cls(explicit=Proxy.parse(explicit, "--proxy"))
        found = urllib.request.getproxies_environment()
        sources = {"https": "HTTPS_PROXY", "all": "ALL_PROXY"}
        if not found:
            found = urllib.request.getproxies()
            sources = dict.fromkeys(sources, "the system's settings")
        key = next((key for key in ("https", "all") if found.get(key)), None)
        if key is None:
            return cls()
        return cls(url=found[key], source=sources[key], no_proxy=found.get("no", ""))

    def choose(self, host: str, port: int) -> ProxyChoice:
        """Return the proxy to use for a host.

        Args:
            host: Host name or address.
            port: TCP port, which an entry of `NO_PROXY` may name.

        Raises:
            ConfigError: The URL from the environment is not the URL of a proxy.
        """
        if self.explicit is not None:
            return ProxyChoice(self.explicit)
        if self.direct or not self.url:
            return ProxyChoice(None)
        if is_loopback(host):
            return ProxyChoice(None, f"{self.source} is set, but not used for this machine.")
        if is_excepted(host, port, self.no_proxy):
            return ProxyChoice(None, f"{self.source} is set, but NO_PROXY excepts {host}.")
        from_system = self.source not in {"HTTPS_PROXY", "ALL_PROXY"}
        if from_system and urllib.request.proxy_bypass(host):
            return ProxyChoice(None, f"{self.source} except {host} from the proxy.")
        return ProxyChoice(Proxy.parse(self.url, self.source))


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Return whether `NO_PROXY` excepts a host from the proxy.

    Entries are separated by commas or spaces. An entry is `*`, a host name (which includes all
    names below it, with or without a leading dot or `*.`), an address, or a network such as
    `10.0.0.0/8`. A name or an address with `:PORT` matches that port only. Case is ignored.

    Args:
        host: Host name or address, with or without brackets.
        port: TCP port.
        no_proxy: Value of the variable.
    """
    host = host.strip("[]").rstrip(".").lower()
    return any(_matches(host, port, entry) for entry in no_proxy.replace(",", " ").split())


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted_port = _split_port(entry)
    if wanted_port not in {None, port}:
        return False
    if address is not None:
        return address == _address(name)
    name = name.removeprefix("*").lstrip(".").rstrip(".").lower()
    return bool(name) and f".{host}".endswith(f".{name}")


def _split_port(entry: str) -> tuple[str, int | None]:
    """Split `name:port` and `[address]:port`; an IPv6 address without brackets has no port."""
    if _address(entry) is None:
        name, colon, digits = entry.rpartition(":")
        if colon and digits.isdecimal():
            return name.strip("[]"), int(digits)
    return entry.strip("[]"), None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
