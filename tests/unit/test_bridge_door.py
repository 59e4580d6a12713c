"""Who may come in: origins, limits; and what HTTP answers to everybody."""

import json
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sonic_voice.bridge.access import Access
from sonic_voice.bridge.bridge import Bridge
from sonic_voice.bridge.closing import BridgeRefusal, Close
from sonic_voice.bridge.exposition import Exposition
from sonic_voice.bridge.keys import KeySet
from sonic_voice.bridge.limits import BridgeLimits, ConcurrencyLimit, TokenBucket
from sonic_voice.bridge.messages import Hello
from sonic_voice.bridge.metrics import BridgeMetrics
from sonic_voice.bridge.offer import Offer
from sonic_voice.bridge.site import Response, Site, load_pages
from sonic_voice.bridge.tokens import TokenClaims, read_token
from sonic_voice.config import SessionConfig
from sonic_voice.errors import ConfigError
from sonic_voice.tools.toolbox import Toolbox
from sonic_voice.transport import MemoryTransport

SECRET = b"thirty-two bytes are the least, so: more"
OFFER = Offer(config=SessionConfig(voice="tiffany"), tools=Toolbox(), voices=("ambre", "matthew"))


SHOP = frozenset({"https://shop.example"})


def test_beyond_loopback_an_origin_and_a_secret_are_demanded() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        Access().check_host(host)
    local = Access(origins=frozenset({"http://localhost:8000"}))
    for access in (Access(), local, Access(secret=SECRET)):
        with pytest.raises(ConfigError) as wrong:
            access.check_host("0.0.0.0")
        assert "--" in wrong.value.hint
    with pytest.raises(ConfigError):
        Access().check_host("192.0.2.1")
    Access(origins=SHOP, secret=SECRET).check_host("0.0.0.0")
    Access(origins=SHOP, keys=KeySet(())).check_host("0.0.0.0")
    Access(secret=SECRET).check_host("192.0.2.1")


@pytest.mark.parametrize(
    "exposed",
    [
        {"origins": SHOP},
        {"origins": frozenset({"capacitor://localhost"})},
        {"origins": frozenset({"http://192.168.1.5:8080"})},
        {"trusted_proxies": ("10.0.0.0/8",)},
    ],
)
def test_as_soon_as_others_may_come_a_token_is_demanded(exposed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as wrong:
        Access(**exposed)
    assert "--token-secret-file" in wrong.value.hint
    assert not Access(**exposed, secret=SECRET).is_local
    assert not Access(**exposed, anonymous=True).is_open_to(remote=False)


async def test_through_a_proxy_nobody_talks_without_a_token() -> None:
    access = Access(origins=frozenset({"http://localhost:8080"}))
    assert (await access.authenticate("", now_s=0)).subject == ""
    for token in ("", "anything"):
        with pytest.raises(BridgeRefusal) as refused:
            await access.authenticate(token, now_s=0, remote=True)
        assert refused.value.close is Close.NO_TOKEN
    anyone = Access(origins=SHOP, anonymous=True)
    assert (await anyone.authenticate("", now_s=0, remote=True)).subject == ""


def test_networks_of_proxies_are_checked() -> None:
    for text in ("proxy.example", "10.0.0.0/33", ""):
        with pytest.raises(ConfigError) as wrong:
            Access(trusted_proxies=(text,), secret=SECRET)
        assert "--trusted-proxy" in wrong.value.hint


def test_only_whole_origins_can_be_allowed() -> None:
    for text in ("*", "shop.example", "https://*.example", "https://shop.example/path", "null"):
        with pytest.raises(ConfigError):
            Access(origins=frozenset({text}), secret=SECRET)
    written = frozenset({"HTTPS://Shop.example:443/"})
    assert Access(origins=written, secret=SECRET).origins == {"https://shop.example"}


def test_a_servers_own_pages_are_allowed_on_loopback_alone() -> None:
    here = Access().with_own_origins("127.0.0.1", 8080, tls=False)
    here.check_origin("http://localhost:8080")
    for origin in (
        None,
        "null",
        "http://localhost:8081",
        "https://localhost:8080",
        "http://x:8080",
    ):
        with pytest.raises(BridgeRefusal) as refused:
            here.check_origin(origin)
        assert refused.value.close is Close.BAD_ORIGIN
    access = Access(origins=SHOP, secret=SECRET)
    assert access.with_own_origins("0.0.0.0", 8080, tls=False) == access
    assert access.with_own_origins("192.0.2.1", 8080, tls=False).allows("http://192.0.2.1:8080")
    named = Access(keys=KeySet(()), issuer="i", audience="a")
    here = named.with_own_origins("127.0.0.1", 8080, tls=False)
    assert (here.keys, here.issuer, here.audience) == (named.keys, "i", "a")


def test_a_meter_lets_a_burst_through_and_then_the_average() -> None:
    bucket = TokenBucket(10, 2, now_s=0)
    for _ in range(20):
        bucket.consume(1, 0)
    bucket.consume(1, 0.1)
    with pytest.raises(BridgeRefusal):
        bucket.consume(1, 0.1)


def test_a_census_counts_each_of_three_and_forgets_who_left() -> None:
    concurrency = ConcurrencyLimit(BridgeLimits(sessions=3, of_subject=1, of_address=2))
    concurrency.admit("alice", "a")
    for subject, address, close in (
        ("alice", "b", Close.TOO_MANY_OF_SUBJECT),
        ("bob", "a", None),
        ("carol", "a", Close.TOO_MANY_OF_ADDRESS),
        ("", "b", None),
        ("", "b", Close.FULL),
    ):
        if close is None:
            concurrency.admit(subject, address)
            continue
        with pytest.raises(BridgeRefusal) as refused:
            concurrency.admit(subject, address)
        assert refused.value.close is close
    concurrency.release("alice", "a")
    concurrency.admit("alice", "a")
    assert concurrency.talking == 3


@pytest.mark.parametrize(
    ("voice", "language", "allowed", "chosen"),
    [
        ("", "", (), "tiffany"),
        ("ambre", "", (), "ambre"),
        ("", "fr", (), "ambre"),
        ("", "FR-fr", (), "ambre"),
        ("", "", ("matthew",), "matthew"),
        ("ambre", "", ("matthew",), None),
        ("ambre", "en", (), None),
        ("", "f", (), None),
        ("carlos", "", (), None),
        ("", "", ("carlos",), None),
    ],
)
def test_a_page_chooses_among_what_application_and_token_allow(
    voice: str, language: str, allowed: tuple[str, ...], chosen: str | None
) -> None:
    hello = Hello(1, voice=voice, language=language)
    claims = TokenClaims("alice", voices=allowed)
    if chosen is not None:
        assert OFFER.config_for(hello, claims) == replace(OFFER.config, voice=chosen)
        return
    with pytest.raises(BridgeRefusal) as refused:
        OFFER.config_for(hello, claims)
    assert refused.value.close is Close.BAD_CHOICE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    page = tmp_path / "page"
    for name in ("index.html", "js/app.js", ".git/secret.js", "node_modules/x.js", "test/t.js"):
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        (page / name).write_text(name)
    (page / "notes.md").write_text("not for visitors")
    (tmp_path / "outside.js").write_text("outside")
    (page / "link.js").symlink_to(tmp_path / "outside.js")
    return page


def site(folder: Path, *, secret: bytes = b"", tls: bool = False) -> Site:
    access = Access(origins=SHOP, secret=secret, anonymous=not secret)
    bridge = Bridge(OFFER, MemoryTransport(), access=access)
    return Site(bridge, load_pages(folder), access, tls=tls)


def get(site: Site, target: str, method: str = "GET", **headers: str) -> Response:
    return site.answer(method, target, headers, 100.0)


def test_without_a_secret_nobody_gets_tokens_nor_numbers_where_tokens_are_asked_for() -> None:
    access = Access(keys=KeySet(()))
    here = Site(Bridge(OFFER, MemoryTransport(), access=access), {}, access)
    for authorization in ("", "Bearer", "Bearer ", "Bearer x"):
        answer = get(here, "/metrics", authorization=authorization)
        assert answer.status == HTTPStatus.UNAUTHORIZED
        answer = get(here, "/token?subject=alice", authorization=authorization)
        assert answer.status == HTTPStatus.NOT_FOUND


def test_issued_tokens_name_the_issuer_and_audience_that_are_asked_for() -> None:
    access = Access(secret=SECRET, issuer="i", audience="a")
    here = Site(Bridge(OFFER, MemoryTransport(), access=access), {}, access)
    answer = get(here, "/token?subject=alice", authorization=f"Bearer {SECRET.decode()}")
    token = json.loads(answer.body)["token"]
    assert read_token(SECRET, token, now_s=100, issuer="i", audience="a").subject == "alice"


def test_the_pages_files_are_served_and_nothing_else(folder: Path) -> None:
    here = site(folder)
    assert get(here, "/").body == get(here, "/index.html?x=1").body == b"index.html"
    assert get(here, "/js/app.js").headers["Content-Type"].startswith("text/javascript")
    for target in (
        *("/../outside.js", "/js/../../outside.js", "/%2e%2e/outside.js", "//outside.js"),
        *("/link.js", "/.git/secret.js", "/node_modules/x.js", "/test/t.js", "/notes.md"),
        *(
            "/js",
            "/js/",
            str(folder / "index.html"),
            "/js\\app.js",
            "/token?subject=me",
            "*",
            "",
            "//[",
        ),
    ):
        assert get(here, target).status == HTTPStatus.NOT_FOUND, target


@given(st.text(max_size=40))
def test_any_target_is_answered(target: str) -> None:
    bridge = Bridge(OFFER, MemoryTransport())
    assert get(Site(bridge, {}, bridge.access), target).status >= 200


def test_every_answer_is_strict(folder: Path) -> None:
    for target in ("/", "/healthz", "/nothing", "/metrics"):
        headers = get(site(folder, tls=True), target).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" in headers
    assert "Strict-Transport-Security" not in get(site(folder), "/").headers


def test_allowed_origins_may_load_the_element_and_others_may_not(folder: Path) -> None:
    allowed = get(site(folder), "/js/app.js", origin="https://shop.example").headers
    assert allowed["Access-Control-Allow-Origin"] == "https://shop.example"
    other = get(site(folder), "/js/app.js", origin="https://evil.example").headers
    assert "Access-Control-Allow-Origin" not in other
    assert other["Vary"] == "Origin"


def test_methods_health_and_the_path_of_the_socket(folder: Path) -> None:
    here = site(folder)
    assert get(here, "/", method="POST").status == HTTPStatus.METHOD_NOT_ALLOWED
    assert get(here, "/", method="HEAD").body == b""
    assert get(here, "/healthz").body == b"ok\n"
    assert get(here, "/talk").status == HTTPStatus.UPGRADE_REQUIRED


def test_numbers_and_tokens_are_for_who_has_the_secret(folder: Path) -> None:
    here = site(folder, secret=SECRET)
    right = f"Bearer {SECRET.decode()}"
    for target in ("/metrics", "/token?subject=alice"):
        for wrong in ("", "Bearer", "Bearer x", f"Basic {SECRET.decode()}", "Bearer ünï"):
            assert get(here, target, authorization=wrong).status == HTTPStatus.UNAUTHORIZED
        assert get(here, target, authorization=right).status == HTTPStatus.OK
    target = "/token?subject=alice&lifetime_s=9&voice=ambre&voice=tiffany"
    body = get(here, target, authorization=right).body.decode()
    token = body.split('"')[3]
    assert read_token(SECRET, token, now_s=100) == TokenClaims("alice", 109, ("ambre", "tiffany"))
    for query in ("", "subject=a&lifetime_s=x", "subject=a&lifetime_s=1e9", "lifetime_s=9"):
        answer = get(here, f"/token?{query}", authorization=right)
        assert answer.status == HTTPStatus.BAD_REQUEST


def counted() -> Exposition:
    counts = BridgeMetrics(conversations=2, voice_s=1.5)
    counts.closed[Close.FLOOD] += 1
    counts.renewals["age"] += 7
    counts.reconnects["cut"] += 1
    counts.reconnect_attempts |= {"cut": 1, "throttled": 4}
    for latency_s in (0.2, 1.0, 9.0):
        counts.add_response_latency(latency_s)
    return Exposition(counts, talking=lambda: 1, connected=lambda: 3)


def test_the_numbers_are_as_prometheus_reads_them() -> None:
    lines = counted().page().decode().splitlines()
    for line in (
        "sonic_voice_conversations 1.0",
        "sonic_voice_conversations_started_total 2.0",
        "sonic_voice_voice_seconds_total 1.5",
        'sonic_voice_renewals_total{reason="age"} 7.0',
        'sonic_voice_reconnects_total{reason="cut"} 1.0',
        'sonic_voice_reconnect_attempts_total{reason="cut"} 1.0',
        'sonic_voice_reconnect_attempts_total{reason="throttled"} 4.0',
        'sonic_voice_closed_total{code="4023"} 1.0',
        'sonic_voice_response_latency_seconds_bucket{le="1.0"} 2.0',
        'sonic_voice_response_latency_seconds_bucket{le="+Inf"} 3.0',
        "sonic_voice_response_latency_seconds_count 3.0",
        "sonic_voice_response_latency_seconds_sum 10.2",
    ):
        assert line in lines
    assert not [line for line in lines if "_created" in line]


def test_names_of_metrics_follow_the_conventions_and_are_unique() -> None:
    families = list(counted().registry.collect())
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    assert names == [name for name in names if name.startswith("sonic_voice_")]
    parsed = text_string_to_metric_families(counted().page().decode())
    assert [(family.name, family.type) for family in parsed] == [
        (family.name, family.type) for family in families
    ]
    for family in families:
        assert family.documentation.endswith(".")
        assert ("seconds" in family.name) == family.name.endswith("_seconds")


def test_the_numbers_of_two_bridges_are_apart_and_can_join_an_applications_page() -> None:
    one, two = Bridge(OFFER, MemoryTransport()), Bridge(OFFER, MemoryTransport())
    one.metrics.resumed += 1
    assert "sonic_voice_resumed_total 1.0\n" in one.metrics_page()
    assert "sonic_voice_resumed_total 0.0\n" in two.metrics_page()
    page = CollectorRegistry()
    page.register(one.exposition.registry)
    assert b"sonic_voice_resumed_total 1.0\n" in generate_latest(page)
