"""The service's endpoint, named explicitly or by the region, and the route to it.

The SDK resolves the regional endpoint, but ignores the settings for FIPS and IPv6 endpoints
(`AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`, and the profile keys). This module follows
the service's published endpoint rule set for the partition `aws`:

                    IPv4                                        with IPv6 ("dual stack")
    regular         bedrock-runtime.REGION.amazonaws.com        bedrock-runtime.REGION.api.aws
    FIPS 140        bedrock-runtime-fips.REGION.amazonaws.com   bedrock-runtime-fips.REGION.api.aws

Not every region has all of them. The name of one that does not exist cannot be resolved.
"""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig

from ..errors import ConfigError
from ..http2.proxies import Proxy, ProxyChoice, ProxySettings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The service's address, and the settings that determined it."""

    url: str
    """URL of the service, with its scheme."""
    variants: tuple[str, ...] = ()
    """Settings that changed the regional endpoint, such as `AWS_USE_FIPS_ENDPOINT`."""
    ignored: tuple[str, ...] = ()
    """Settings that have no effect, because an endpoint is named explicitly."""

    @property
    def note(self) -> str:
        """A sentence about settings that have no effect; empty if there are none."""
        if not self.ignored:
            return ""
        has = "has" if len(self.ignored) == 1 else "have"
        return f"The endpoint {self.url} is named, so {' and '.join(self.ignored)} {has} no effect."


def regional_url(region: str, *, fips: bool = False, dual_stack: bool = False) -> str:
    """Return the URL of the service in a region; see the module for the rules.

    Args:
        region: Name of the region.
        fips: Whether to use the FIPS 140 endpoint.
        dual_stack: Whether to use the endpoint with IPv6.
    """
    service = "bedrock-runtime-fips" if fips else "bedrock-runtime"
    return f"https://{service}.{region}.{'api.aws' if dual_stack else 'amazonaws.com'}"


async def resolve_endpoint(config: AsyncBedrockRuntimeConfig) -> Endpoint:
    """Return the endpoint for a configuration, with the settings that the SDK ignores.

    Args:
        config: The resolved configuration of the SDK.

    Raises:
        ConfigError: A setting is neither true nor false.
    """
    fips = await _setting(config, "use_fips_endpoint")
    dual_stack = await _setting(config, "use_dualstack_endpoint")
    wanted = tuple(name for name in (fips, dual_stack) if name)
    if config.endpoint_uri is not None:
        return Endpoint(str(config.endpoint_uri), ignored=wanted)
    url = regional_url(config.region or "", fips=bool(fips), dual_stack=bool(dual_stack))
    return Endpoint(url, variants=wanted)


async def _setting(config: AsyncBedrockRuntimeConfig, key: str) -> str:
    """Return the name of the variable or profile key that sets `key` to true; empty if none does.

    The environment takes precedence over the profile, as for every setting of the AWS tools.
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
    """The endpoint and the proxy of a transport's streams."""

    endpoint: Endpoint
    """The service's endpoint."""
    proxies: ProxyChoice
    """The proxy for that endpoint, or the reason that there is none."""

    @property
    def proxy(self) -> Proxy | None:
        """The proxy of every stream; None for a direct connection."""
        return self.proxies.proxy


def route_to(endpoint: Endpoint, settings: ProxySettings) -> Route:
    """Return the route to an endpoint.

    Args:
        endpoint: The service's endpoint.
        settings: The proxy settings to choose from.

    Raises:
        ConfigError: The proxy's URL cannot be used.
    """
    parts = urlsplit(endpoint.url)
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    return Route(endpoint, settings.choose(parts.hostname or "", port))
