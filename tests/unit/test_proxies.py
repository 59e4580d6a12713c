"""Which proxy is used for which host, and that a proxy's password is never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.errors import ConfigError
from sonic_voice.http2.proxies import Proxy, ProxyChoice, ProxySettings, is_excepted

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
SECRET = "t0p-s3cret"


@pytest.fixture(autouse=True)
def no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "shown", "user", "password"),
    [
        ("http://proxy:3128", "http://proxy:3128", "", ""),
        ("proxy:3128", "http://proxy:3128", "", ""),
        ("proxy", "http://proxy:80", "", ""),
        ("https://proxy", "https://proxy:443", "", ""),
        ("HTTP://Proxy.Example/", "http://proxy.example:80", "", ""),
        ("socks5://proxy", "socks5://proxy:1080", "", ""),
        ("socks5h://u:p@proxy:9", "socks5h://proxy:9", "u", "p"),
        ("socks://proxy:9", "socks5h://proxy:9", "", ""),
        ("user:p%40ss%3A@proxy:3128", "http://proxy:3128", "user", "p@ss:"),
        ("http://user@proxy:3128", "http://proxy:3128", "user", ""),
        ("http://[::1]:3128", "http://[::1]:3128", "", ""),
        (" http://proxy:3128\n", "http://proxy:3128", "", ""),
    ],
)
def test_the_url_of_a_proxy_is_normalised(url: str, shown: str, user: str, password: str) -> None:
    proxy = Proxy.parse(url, "HTTPS_PROXY")
    assert (str(proxy), proxy.user, proxy.password) == (shown, user, password)


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://u:{SECRET}@proxy",
        f"socks4://u:{SECRET}@proxy",
        f"http://u:{SECRET}@",
        f"http://u:{SECRET}@proxy:port",
        f"http://u:{SECRET}@proxy:99999",
        f"http://u:{SECRET}@[::1",
        f"http://u:{SECRET}@a b",
        f"http://a%3Ab:{SECRET}@proxy",
        f"socks5://u:{SECRET}%E2%82%AC@proxy",
        f"socks5://u:{SECRET * 30}@proxy",
    ],
)
def test_a_url_that_is_not_one_of_a_proxy_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Proxy.parse(url, "HTTPS_PROXY")
    assert "HTTPS_PROXY" in caught.value.message
    assert caught.value.hint
    assert SECRET not in f"{caught.value!r}{caught.value}{caught.value.__cause__!r}"


@given(st.text())
def test_a_password_is_shown_by_no_form_of_a_proxy(password: str) -> None:
    proxy = Proxy("http", "p", 1, "", f"<{password}>", "S")
    settings = ProxySettings(explicit=proxy, url=f"http://u:<{password}>@p")
    for shown in (str(proxy), repr(proxy), repr(settings), repr(ProxyChoice(proxy))):
        assert f"<{password}>" not in shown


@given(st.text(max_size=30))
def test_any_text_is_a_proxy_or_a_configuration_error(url: str) -> None:
    try:
        proxy = Proxy.parse(url, "--proxy")
    except ConfigError:
        return
    assert proxy.host
    assert 0 < proxy.port < 65_536


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://upper:1"}, "http://upper:1"),
        ({"https_proxy": "http://lower:1"}, "http://lower:1"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, "http://lower:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://upper:1"}, None),
        ({"ALL_PROXY": "socks5h://all:1"}, "socks5h://all:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://https:1"}, "http://https:1"),
        ({"HTTP_PROXY": "http://plain:1"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".amazonaws.com"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, "http://p:1"),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], chosen: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = ProxySettings.read().choose(HOST, 443).proxy
    assert (str(proxy) if proxy else None) == chosen


def test_an_explicit_proxy_wins_over_everything_and_an_empty_one_means_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    monkeypatch.setenv("NO_PROXY", "*")
    for host in (HOST, "localhost"):
        explicit = ProxySettings.read("explicit:1").choose(host, 443)
        assert str(explicit.proxy) == "http://explicit:1"
    monkeypatch.delenv("NO_PROXY")
    assert ProxySettings.read("").choose(HOST, 443) == ProxyChoice(None)
    assert str(ProxySettings.read().choose(HOST, 443).proxy) == "http://environment:1"


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine_is_reached_directly_and_a_broken_url_does_not_matter_there(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://nonsense")
    choice = ProxySettings.read().choose(host, 443)
    assert choice.proxy is None
    assert "HTTPS_PROXY" in choice.bypass
    with pytest.raises(ConfigError):
        ProxySettings.read().choose(HOST, 443)


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "excepted"),
    [
        (HOST, 443, "", False),
        (HOST, 443, "*", True),
        (HOST, 443, HOST, True),
        (HOST, 443, HOST.upper(), True),
        (HOST, 443, "amazonaws.com", True),
        (HOST, 443, ".amazonaws.com", True),
        (HOST, 443, "*.amazonaws.com", True),
        (HOST, 443, "aws.com", False),
        (HOST, 443, "a.com, amazonaws.com ,b.com", True),
        (HOST, 443, "a.com amazonaws.com", True),
        (HOST, 443, "amazonaws.com:443", True),
        (HOST, 8443, "amazonaws.com:443", False),
        (f"{HOST}.", 443, "amazonaws.com.", True),
        (HOST, 443, ",", False),
        (HOST, 443, ".", False),
        (HOST, 443, "*.", False),
        (HOST, 443, "10.0.0.0/8", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("10.1.2.3", 443, "10.1.2.3:443", True),
        ("10.1.2.3", 444, "10.1.2.3:443", False),
        ("10.1.2.3", 443, "2.3", False),
        ("10.1.2.3", 443, "10.0.0.0/99", False),
        ("fd00::1", 443, "fd00::/8", True),
        ("fd00::1", 443, "fd00:0::1", True),
        ("fd00::1", 443, "[fd00::1]:443", True),
        ("fd00::1", 444, "[fd00::1]:443", False),
        ("fd00::1", 443, "10.0.0.0/8", False),
    ],
)
def test_no_proxy_excepts_hosts(host: str, port: int, no_proxy: str, excepted: bool) -> None:
    assert is_excepted(host, port, no_proxy) is excepted
