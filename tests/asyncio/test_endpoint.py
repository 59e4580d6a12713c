"""Which host a stream goes to: FIPS and dual-stack endpoints, and those that somebody named.

A proxy of the test's own is asked for a tunnel to that host, and refuses it: no name is looked up.
"""

from pathlib import Path

import pytest

from sonic_voice.bedrock import BedrockTransport
from sonic_voice.bedrock.endpoint import regional_url
from sonic_voice.errors import ConfigError
from sonic_voice.http2.tunnel import ProxyError

from .test_tunnel import ScriptedProxy

FIPS, DUAL = "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"
REFUSED = b"HTTP/1.1 403 Forbidden\r\n\r\n"
REGULAR = "bedrock-runtime.us-east-1.amazonaws.com:443"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder without AWS settings; the environment has none either."""
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL", FIPS, DUAL):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    return tmp_path


async def asked_for(
    *, profile: str | None = None, endpoint: str | None = None
) -> tuple[str, str, str]:
    """Return the host of the tunnel, the URL that `route` tells, and its note."""
    async with ScriptedProxy(REFUSED).listening() as proxy:
        transport = BedrockTransport(
            region="us-east-1",
            profile=profile,
            endpoint=endpoint,
            access_key="key",
            secret_key="secret",
            proxy=f"http://localhost:{proxy.port}",
        )
        try:
            route = await transport.route()
            stream = await transport.open("amazon.nova-2-sonic-v1:0")
            with pytest.raises(ProxyError):
                await stream.accepted()
            await stream.aclose()
        finally:
            await transport.aclose()
        return proxy.asked.decode().split()[1], route.endpoint.url, route.endpoint.note


@pytest.mark.parametrize(
    ("fips", "dual_stack", "url"),
    [
        (False, False, "https://bedrock-runtime.us-west-2.amazonaws.com"),
        (True, False, "https://bedrock-runtime-fips.us-west-2.amazonaws.com"),
        (False, True, "https://bedrock-runtime.us-west-2.api.aws"),
        (True, True, "https://bedrock-runtime-fips.us-west-2.api.aws"),
    ],
)
def test_the_rules_of_regional_endpoints(fips: bool, dual_stack: bool, url: str) -> None:
    assert regional_url("us-west-2", fips=fips, dual_stack=dual_stack) == url


@pytest.mark.parametrize(
    ("environment", "profile", "host"),
    [
        ({}, "", REGULAR),
        ({FIPS: "true"}, "", "bedrock-runtime-fips.us-east-1.amazonaws.com:443"),
        ({DUAL: "true"}, "", "bedrock-runtime.us-east-1.api.aws:443"),
        ({FIPS: " True ", DUAL: "TRUE"}, "", "bedrock-runtime-fips.us-east-1.api.aws:443"),
        ({FIPS: "false"}, "", REGULAR),
        ({FIPS: ""}, "", REGULAR),
        ({}, "use_fips_endpoint = true", "bedrock-runtime-fips.us-east-1.amazonaws.com:443"),
        ({}, "use_dualstack_endpoint = true", "bedrock-runtime.us-east-1.api.aws:443"),
        ({FIPS: "false"}, "use_fips_endpoint = true", REGULAR),
    ],
)
async def test_settings_of_the_environment_and_the_profile_choose_the_host(
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    environment: dict[str, str],
    profile: str,
    host: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (home / ".aws/config").write_text(f"[profile work]\nregion = us-east-1\n{profile}\n")
    asked, url, note = await asked_for(profile="work")
    assert (asked, f"{url}:443", note) == (host, f"https://{host}", "")


@pytest.mark.parametrize("how", ["argument", "environment"])
async def test_a_named_endpoint_wins_and_it_is_said_what_has_no_effect(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv(FIPS, "true")
    monkeypatch.setenv(DUAL, "true")
    named = "https://endpoint.invalid:8443"
    if how == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", named)
    asked, url, note = await asked_for(endpoint=named if how == "argument" else None)
    assert (asked, url) == ("endpoint.invalid:8443", named)
    assert note == f"The endpoint {named} is named, so {FIPS} and {DUAL} have no effect."


@pytest.mark.parametrize("value", ["yes", "1", "on"])
async def test_a_setting_that_is_neither_true_nor_false_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(FIPS, value)
    with pytest.raises(ConfigError, match=FIPS) as caught:
        await BedrockTransport(region="us-east-1", access_key="k", secret_key="s").route()
    assert caught.value.hint
