"""Where the service is, and the way there: an endpoint that somebody named, or the region's.

The SDK resolves the regional endpoint by itself, but ignores that a FIPS endpoint or one for IPv6
was asked for (`AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`, and the profile keys). These
are the rules of the service's published endpoint rule set for the partition `aws`:

                    IPv4                                        with IPv6 ("dual stack")
    regular         bedrock-runtime.REGION.amazonaws.com        bedrock-runtime.REGION.api.aws
    FIPS 140        bedrock-runtime-fips.REGION.amazonaws.com   bedrock-runtime-fips.REGION.api.aws

Not every region has each of them: where there is none, its name does not resolve.
"""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig

from ..errors import ConfigError
from ..http2.proxies import Proxy, ProxyChoice, ProxySettings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The service's address, and what chose it."""

    url: str
    variants: tuple[str, ...] = ()
    """Settings that changed the regional endpoint, such as `AWS_USE_FIPS_ENDPOINT`."""
    ignored: tuple[str, ...] = ()
    """Settings that have no effect, because an endpoint is named."""

    @property
    def note(self) -> str:
        """A sentence about settings that have no effect; empty if there are none."""
        if not self.ignored:
            return ""
        has = "has" if len(self.ignored) == 1 else "have"
        return f"The endpoint {self.url} is named, so {' and '.join(self.ignored)} {has} no effect."


def regional_url(region: str, *, fips: bool = False, dual_stack: bool = False) -> str:
    """Return the URL of the service in `region`; see the module for the rules."""
    service = "bedrock-runtime-fips" if fips else "bedrock-runtime"
    return f"https://{service}.{region}.{'api.aws' if dual_stack else 'amazonaws.com'}"


async def resolve_endpoint(config: AsyncBedrockRuntimeConfig) -> Endpoint:
    """Return the endpoint that `config` leads to, with the settings that the SDK ignores.

    Raises:
        ConfigError: a setting is neither true nor false.
    """
    fips = await _setting(config, "use_fips_endpoint")
    dual_stack = await _setting(config, "use_dualstack_endpoint")
    wanted = tuple(name for name in (fips, dual_stack) if name)
    if config.endpoint_uri is not None:
        return Endpoint(str(config.endpoint_uri), ignored=wanted)
    url = regional_url(config.region or "", fips=bool(fips), dual_stack=bool(dual_stack))
    return Endpoint(url, variants=wanted)


async def _setting(config: AsyncBedrockRuntimeConfig, key: str) -> str:
    """Return what sets `key` to true, in words; empty if it is not true.

    The environment comes before the profile, as for every setting of the AWS tools.
    """
    variable = f"AWS_{key.upper()}"
    source, value = variable, os.environ.get(variable, "").strip()
    context = config.resolution_context()
    if not value and context is not None:
        profiles = await context.parsed_profiles()
        source = f"{key} of profile {context.profile_name!r}"
        value = (profiles.get(context.profile_name, key) or "").strip()
    if value.lower() not in {"", "true", "false"}:
        raise ConfigError(f"{source} is {value!r}.", hint="It is true or false.")
    return source if value.lower() == "true" else ""


@dataclass(frozen=True, slots=True)
class Route:
    """The way that the streams of a transport go."""

    endpoint: Endpoint
    proxies: ProxyChoice

    @property
    def proxy(self) -> Proxy | None:
        """The proxy on the way, if there is one."""
        return self.proxies.proxy


def route_to(endpoint: Endpoint, settings: ProxySettings) -> Route:
    """Return the way to `endpoint`. Raises `ConfigError` if the proxy's URL cannot be used."""
    parts = urlsplit(endpoint.url)
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    return Route(endpoint, settings.choose(parts.hostname or "", port))
