"""Origins are compared as browsers compare them: scheme, name in ASCII, port in effect."""

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.bridge.access import Access
from sonic_voice.bridge.closing import BridgeRefusal
from sonic_voice.bridge.origins import Origin, own_origins, read_origin, read_pattern

SECRET = b"thirty-two bytes are the least, so: more"


def allowing(*patterns: str) -> Access:
    return Access(origins=frozenset(patterns), secret=SECRET)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://voice.example:443", "https://voice.example"),
        ("http://voice.example:80", "http://voice.example"),
        ("HTTPS://Voice.Example/", "https://voice.example"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080"),
        ("https://voice.example:08443", "https://voice.example:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://-", "app://-"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("https://*.shop.example", "https://berlin.shop.example"),
        ("https://*.shop.example:443", "https://berlin.shop.example"),
        ("https://*.münchen.example", "https://a.xn--mnchen-3ya.example"),
    ],
)
def test_an_origin_is_allowed_however_it_is_written(written: str, sent: str) -> None:
    allowing(written).check_origin(sent)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://voice.example", "http://voice.example"),
        ("https://voice.example", "https://voice.example:8443"),
        ("https://voice.example", "https://voice.example.evil.test"),
        ("https://voice.example", "https://voice.example."),
        ("https://voice.example", "null"),
        ("https://voice.example", ""),
        ("https://*.shop.example", "https://shop.example"),
        ("https://*.shop.example", "https://a.b.shop.example"),
        ("https://*.shop.example", "https://.shop.example"),
        ("https://*.shop.example", "https://ashop.example"),
        ("https://*.shop.example", "http://a.shop.example"),
        ("https://*.shop.example", "https://*.shop.example"),
        ("http://localhost", "capacitor://localhost"),
        ("capacitor://localhost", "http://localhost"),
        ("capacitor://localhost", "ionic://localhost"),
    ],
)
def test_another_origin_is_not(written: str, sent: str) -> None:
    with pytest.raises(BridgeRefusal):
        allowing(written).check_origin(sent)


@pytest.mark.parametrize(
    "text",
    [
        *("*", "https://*", "https://*.example", "https://*.0.0.1", "https://a.*.example"),
        *("https://*.*.example", "https://*a.shop.example", "https://*.[::1]"),
        *("https://user@shop.example", "https://shop.example/a", "https://shop.example?a"),
        *("https://shop.example:0", "https://shop.example:65536", "https://shop.example:"),
        *("https://127.1", "https://1.2.3.256", "https://[::1", "https://[1::2::3]", "https://"),
        *(
            "null",
            "file://",
            "shop.example",
            "javascript:alert(1)",
            "https://a b",
            "https://-\u00ad",
        ),
    ],
)
def test_what_is_no_origin_cannot_be_allowed(text: str) -> None:
    with pytest.raises(ValueError):
        read_pattern(text)


LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=10).filter(
    lambda label: not label[-1].isdigit()
)
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)


def origin_of(scheme: str, host: str, port: int) -> Origin:
    return read_origin(f"{scheme}://{host}:{port}")


ORIGINS = st.builds(
    origin_of,
    st.sampled_from(["http", "https", "capacitor", "tauri"]),
    HOSTS,
    st.one_of(st.sampled_from([80, 443, 8080]), st.integers(1, 65_535)),
)


@given(ORIGINS)
def test_the_normal_form_denotes_the_same_origin(origin: Origin) -> None:
    assert read_origin(str(origin)) == origin
    assert read_origin(str(origin).upper() + "/") == origin


@given(ORIGINS, ORIGINS)
def test_two_origins_match_only_if_they_are_equal(one: Origin, other: Origin) -> None:
    assert read_pattern(str(one)).matches(other) == (one == other)


DOMAINS = st.lists(LABELS, min_size=2, max_size=4).map(".".join)


@given(st.sampled_from(["http", "https", "capacitor"]), DOMAINS, LABELS, LABELS)
def test_a_wildcard_is_one_label(scheme: str, domain: str, label: str, another: str) -> None:
    origin = read_origin(f"{scheme}://{domain}")
    pattern = read_pattern(str(origin).replace("://", "://*."))
    assert read_pattern(str(pattern)) == pattern
    below = Origin(origin.scheme, f"{label}.{origin.host}", origin.port)
    assert pattern.matches(below)
    assert not pattern.matches(origin)
    assert not pattern.matches(Origin(below.scheme, f"{another}.{below.host}", below.port))


@given(st.text(max_size=60))
def test_any_text_is_an_origin_or_refused(text: str) -> None:
    for read in (read_origin, read_pattern):
        with suppress(ValueError):
            assert str(read(text)).isascii()


@given(st.text(max_size=60))
def test_any_origin_header_is_refused_or_allowed(text: str) -> None:
    access = Access(origins=frozenset({"http://localhost:8080"}))
    assert not access.allows(text) or read_origin(text) == read_origin("http://localhost:8080")


@given(
    st.one_of(
        st.sampled_from(
            ["localhost", "a.localhost", "::1", "127.0.0.1", "192.0.2.1", "2001:db8::1"]
        ),
        st.integers(1, (1 << 24) - 1).map(
            lambda low: f"127.{low >> 16}.{low >> 8 & 255}.{low & 255}"
        ),
    ),
    st.one_of(st.sampled_from([80, 443]), st.integers(1, 65_535)),
    st.booleans(),
)
def test_a_server_has_its_own_origin_on_every_port_and_address(
    host: str, port: int, tls: bool
) -> None:
    access = Access(secret=SECRET).with_own_origins(host, port, tls=tls)
    scheme, default = ("https", 443) if tls else ("http", 80)
    name = f"[{host}]" if ":" in host else host
    access.check_origin(f"{scheme}://{name}" if port == default else f"{scheme}://{name}:{port}")
    assert not access.allows(f"{scheme}://{name}:{port % 65_535 + 1}")


def test_a_page_on_port_80_may_open_its_own_socket() -> None:
    access = Access().with_own_origins("127.0.0.1", 80, tls=False)
    for origin in ("http://localhost", "http://127.0.0.1", "http://[::1]"):
        access.check_origin(origin)


def test_the_address_of_all_addresses_is_no_origin() -> None:
    assert own_origins("0.0.0.0", 80, tls=False) == own_origins("::", 80, tls=False) == frozenset()


@pytest.mark.parametrize(
    ("origin", "local"),
    [
        ("http://localhost:1", True),
        ("https://voice.localhost", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8080", True),
        ("capacitor://localhost", False),
        ("http://localhost.example", False),
        ("http://192.168.1.5:8080", False),
    ],
)
def test_which_origins_are_of_this_machine(origin: str, local: bool) -> None:
    assert read_origin(origin).is_local == local
