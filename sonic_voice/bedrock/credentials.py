"""Who we are to AWS: region, endpoint and credentials, found before anything is sent.

The SDK's own rules hold: environment, profiles of the shared files, credential processes, and
what provider packages are installed for (SSO, roles, containers, instances). They are applied
here, ahead of the request and with a deadline, because a request whose credentials fail leaves
the SDK waiting for ever, and because only here can be said where was looked.

Credentials are looked up again at each stream, so that refreshed ones are used from the next
stream on; within a stream they stay, for its signatures form a chain.
"""

import asyncio
import os
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from smithy_aws_core.config import ConfigSource, ProfileNotFoundError
from smithy_aws_core.config.exceptions import ConfigError as SdkConfigError
from smithy_aws_core.identity import AWSCredentialsIdentity, StaticCredentialsResolver
from smithy_aws_core.identity.chain import IdentityChain, IdentityChainError
from smithy_core.aio.interfaces.identity import IdentityResolver
from smithy_core.exceptions import SmithyError
from smithy_http.aio.aiohttp import AIOHTTPClient

from ..errors import ConfigError, CredentialsError
from ..http2.client import is_loopback
from .events import EventProtocol

CREDENTIALS_TIMEOUT_S = 10.0
"""A credential process or an instance's metadata may take seconds; longer means it is stuck."""

_BEARER = "AWS_BEARER_TOKEN_BEDROCK"
_GET_SOME = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile that has credentials "
    "(--profile, AWS_PROFILE)."
)

type _Identities = IdentityResolver[AWSCredentialsIdentity, Any]


def check_endpoint(endpoint: str) -> None:
    """Raise `ConfigError` unless speech and credentials may be sent there."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host:
        raise ConfigError(
            f"{endpoint!r} is no endpoint.", hint="It is a URL such as https://localhost:8443."
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"The endpoint {endpoint} is not this machine, and http:// would send speech and "
            "credentials there in clear.",
            hint="Use https://.",
        )


class Account:
    """The SDK's configuration and the credentials behind it, of one transport."""

    def __init__(
        self,
        config: AsyncBedrockRuntimeConfig,
        identities: _Identities,
        http: AIOHTTPClient,
        timeout_s: float,
    ) -> None:
        self.config = config
        self._identities = identities
        self._http = http
        self._timeout_s = timeout_s

    @classmethod
    async def resolve(
        cls,
        *,
        region: str | None,
        profile: str | None,
        endpoint: str | None,
        keys: AWSCredentialsIdentity | None,
        timeout_s: float,
    ) -> Self:
        """Read environment and files. Raises `ConfigError`; touches no network."""
        # The credential chain may need plain HTTP/1.1, for containers and instances.
        http = AIOHTTPClient()
        try:
            config = await _configure(region, profile, endpoint, http)
            identities: _Identities
            if keys is not None:
                identities = StaticCredentialsResolver(keys)
            else:
                identities = await _chain(config, http)
            config.aws_credentials_identity_resolver = identities
        except BaseException:
            await http.close()
            raise
        return cls(config, identities, http, timeout_s)

    async def aclose(self) -> None:
        """Release what the credential chain used. Idempotent."""
        await self._http.close()

    async def identity(self) -> AWSCredentialsIdentity:
        """Credentials that are valid now. Raises `CredentialsError`."""
        identity = await self._find()
        if identity.is_expired:
            await self._identities.invalidate()
            identity = await self._find()
        if identity.is_expired:
            raise CredentialsError(
                f"The AWS credentials expired at {identity.expiration:%Y-%m-%d %H:%M} UTC.",
                hint="Log in again, or fetch new ones.",
            )
        return identity

    async def _find(self) -> AWSCredentialsIdentity:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._identities.get_identity(properties={})
        except TimeoutError as error:
            raise CredentialsError(
                f"No AWS credentials came within {self._timeout_s:g} s.",
                hint="Check the credential process or metadata service that should give them.",
            ) from error
        except (SmithyError, OSError, ValueError) as error:
            if os.environ.get(_BEARER):
                raise _bearer_only() from error
            raise self._none_found(error) from error

    def _none_found(self, error: Exception) -> CredentialsError:
        context = self.config.resolution_context()
        profile = context.profile_name if context is not None else "default"
        places = f"the environment, and profile {profile!r} of the shared AWS files"
        tried = ""
        more: tuple[object, ...] = ()
        if isinstance(error, IdentityChainError):
            tried = "; ".join(f"{f.provider_name}: {f.error}" for f in error.failures)
            more = error.unclaimed_sources
        else:
            tried = str(error)
        return CredentialsError(
            f"No AWS credentials were found in {places}" + (f" ({tried})." if tried else "."),
            hint=" ".join((_GET_SOME, *(str(source) for source in more))),
        )


def _bearer_only() -> CredentialsError:
    return CredentialsError(
        f"{_BEARER} is set, but this operation takes no Bedrock API keys: the service refuses "
        "them, and there are no other AWS credentials.",
        hint=_GET_SOME,
    )


async def _configure(
    region: str | None,
    profile: str | None,
    endpoint: str | None,
    http: AIOHTTPClient,
) -> AsyncBedrockRuntimeConfig:
    given: dict[str, Any] = {"transport": http, "protocol": EventProtocol}
    if region is not None:
        given["region"] = region
    if endpoint is not None:
        given["endpoint_uri"] = endpoint
    try:
        config = await AsyncBedrockRuntimeConfig.resolve(profile=profile, **given)
    except ProfileNotFoundError as error:
        raise ConfigError(
            f"There is no AWS profile of that name: {error}", hint="`aws configure list-profiles`."
        ) from error
    except SdkConfigError as error:
        if "region" in str(error):
            raise _no_region(error) from error
        raise ConfigError(f"The AWS configuration cannot be used: {error}") from error
    if isinstance(config.endpoint_uri, str):
        check_endpoint(config.endpoint_uri)
        config.endpoint_uri = _without_default_port(config.endpoint_uri)
    return config


def _without_default_port(endpoint: str) -> str:
    """The SDK's signer fails on a port that its scheme implies (aws-sdk-signers 0.4)."""
    parts = urlsplit(endpoint)
    if parts.port != {"https": 443, "http": 80}[parts.scheme]:
        return endpoint
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))


def _no_region(error: Exception) -> ConfigError:
    if "None" in str(error):
        return ConfigError(
            "No AWS region is set.", hint="Name one: --region us-east-1, AWS_REGION or a profile."
        )
    return ConfigError(f"That is no AWS region: {error}", hint="For example us-east-1.")


async def _chain(
    config: AsyncBedrockRuntimeConfig, http: AIOHTTPClient
) -> IdentityChain[AWSCredentialsIdentity]:
    """The SDK's chain, made as its client makes it."""
    context = config.resolution_context()
    files = await context.parsed_profiles() if context is not None else None
    explicit = context is not None and context.profile_source is ConfigSource.OVERRIDE
    try:
        return await IdentityChain.create(
            AWSCredentialsIdentity,
            config_file=files,
            profile_name=context.profile_name if explicit and context is not None else None,
            region_override=config.region,
            http_client=http,
        )
    except SmithyError as error:
        if os.environ.get(_BEARER):
            raise _bearer_only() from error
        raise CredentialsError(
            f"The AWS credentials cannot be set up: {error}", hint=_GET_SOME
        ) from error
