"""The AWS account of a transport: region, endpoint and credentials, resolved before a request.

Region and endpoint come from the arguments, the environment and the profile, by the SDK's own
rules. Credentials come from `credential_lookup`. Both are resolved before the request and with a
deadline, because the SDK waits forever when the credentials of a request fail.

Credentials are looked up again for each stream, so that refreshed ones are used from the next
stream on. Within a stream they do not change, because its signatures form a chain.

An account with explicit keys, region and endpoint needs no look-up: it reads neither files nor the
environment. The local emulator is used this way.
"""

import asyncio
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from smithy_aws_core.config import ProfileNotFoundError
from smithy_aws_core.config.exceptions import ConfigError as SdkConfigError
from smithy_aws_core.config.exceptions import ConfigParseError
from smithy_aws_core.identity import AWSCredentialsIdentity
from smithy_core.retries import RetryStrategyOptions

from ..daemon_thread import in_thread
from ..errors import ConfigError
from ..http2.loopback import is_loopback
from .aws_files import AwsFiles, check_environment, profile_name
from .credential_lookup import CREDENTIALS_TIMEOUT_S, CredentialLookup
from .events import EventPath, EventProtocol, SdkEventProtocol

__all__ = ["CREDENTIALS_TIMEOUT_S", "Account", "check_endpoint"]


_PROTOCOLS: dict[EventPath, type[EventProtocol]] = {
    "fast": EventProtocol,
    "sdk": SdkEventProtocol,
}


_NO_HTTP_CLIENT: Any = object()
"""Value of the HTTP client in the SDK's configuration. Each stream sets one of its own; the default
would be a client of aiohttp, which takes 0.1 s to import."""


def check_endpoint(endpoint: str) -> None:
    """Raise an error unless speech and credentials may be sent to an endpoint.

    Args:
        endpoint: URL of the endpoint.

    Raises:
        ConfigError: It is not a URL of an endpoint, or it is an `http` URL of another machine.
    """
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
    """The SDK's configuration and the credentials of one transport.

    Args:
        config: The resolved configuration.
        credentials: Credentials to use as they are, or a look-up.
    """

    def __init__(
        self,
        config: AsyncBedrockRuntimeConfig,
        credentials: AWSCredentialsIdentity | CredentialLookup,
    ) -> None:
        self.config = config
        self._credentials = credentials

    @classmethod
    async def resolve(
        cls,
        *,
        region: str | None,
        profile: str | None,
        endpoint: str | None,
        keys: AWSCredentialsIdentity | None,
        timeout_s: float,
        event_path: EventPath = "fast",
    ) -> Self:
        """Resolve region and endpoint from arguments, environment and files, without the network.

        Args:
            region: The region; None: from the environment or the profile.
            profile: The profile; None: from the environment, or the default profile.
            endpoint: URL of the endpoint; None: from the environment, the profile or the region.
            keys: Credentials to use as they are; None: `identity` looks them up.
            timeout_s: Maximum time to read the files, and later to look up credentials, in
                seconds.
            event_path: The way of events.

        Raises:
            ConfigError: A variable, file, profile, region or endpoint cannot be used.
        """
        protocol = _PROTOCOLS[event_path]
        if keys is not None and region is not None and endpoint is not None and not profile:
            config = await _resolve_isolated(region, endpoint, protocol)
            return cls(config, keys)
        check_environment()
        files = AwsFiles.for_current_user()
        await _check_files(files, timeout_s)
        named = profile_name(profile)
        config = await _configure(region, named, endpoint, files, protocol)
        lookup = CredentialLookup(
            files,
            named or "default",
            only_profile=profile is not None,
            region=str(config.region),
            timeout_s=timeout_s,
        )
        return cls(config, keys or lookup)

    async def aclose(self) -> None:
        """Stop a pending look-up of credentials. Idempotent."""
        if isinstance(self._credentials, CredentialLookup):
            self._credentials.close()

    async def identity(self) -> AWSCredentialsIdentity:
        """Return credentials that are valid now.

        Raises:
            CredentialsError: There are none, or they have expired and cannot be refreshed.
            ConfigError: A required file or profile cannot be used.
        """
        if isinstance(self._credentials, AWSCredentialsIdentity):
            return self._credentials
        return await self._credentials.identity()

    def forget_credentials(self) -> None:
        """Look up credentials anew at the next call of `identity`."""
        if isinstance(self._credentials, CredentialLookup):
            self._credentials.forget()

    @property
    def origin(self) -> str:
        """The source of the credentials that `identity` returned last, in words."""
        if isinstance(self._credentials, AWSCredentialsIdentity):
            return "the program itself"
        return self._credentials.origin


async def _check_files(files: AwsFiles, timeout_s: float) -> None:
    """Check the shared files in a thread, because an unreachable file server blocks."""
    try:
        async with asyncio.timeout(timeout_s):
            await in_thread(files.check, "AWS files")
    except TimeoutError as error:
        raise ConfigError(
            f"The AWS files {files.config} and {files.credentials} could not be read within "
            f"{timeout_s:g} s.",
            hint="Check the file system they are on.",
        ) from error


async def _resolve_isolated(
    region: str, endpoint: str, protocol: type[EventProtocol]
) -> AsyncBedrockRuntimeConfig:
    """Return a configuration without reading the environment or files."""
    return await _resolve(
        "default",
        protocol,
        fs=_NoFiles(),
        config_file_path="config",
        credentials_file_path="credentials",
        region=region,
        endpoint_uri=endpoint,
        retry_mode=RetryStrategyOptions.retry_mode,
        max_attempts=RetryStrategyOptions.max_attempts,
        sdk_ua_app_id=None,
    )


class _NoFiles:
    """A file system for the SDK in which every AWS file has an empty default profile."""

    async def read_file(self, path: str) -> str | None:
        """Return the text of every AWS file: an empty default profile.

        Args:
            path: Ignored.
        """
        return "[default]\n"


async def _configure(
    region: str | None,
    profile: str | None,
    endpoint: str | None,
    files: AwsFiles,
    protocol: type[EventProtocol],
) -> AsyncBedrockRuntimeConfig:
    given: dict[str, Any] = {}
    if region is not None:
        given["region"] = region
    if endpoint is not None:
        given["endpoint_uri"] = endpoint
    try:
        return await _resolve(
            profile,
            protocol,
            config_file_path=files.config,
            credentials_file_path=files.credentials,
            **given,
        )
    except ProfileNotFoundError as error:
        raise files.missing_profile_error(str(profile)) from error


async def _resolve(
    profile: str | None, protocol: type[EventProtocol], **given: Any
) -> AsyncBedrockRuntimeConfig:
    """Resolve the SDK's configuration, and check its endpoint."""
    try:
        config = await AsyncBedrockRuntimeConfig.resolve(
            profile=profile, transport=_NO_HTTP_CLIENT, protocol=protocol, **given
        )
    except ProfileNotFoundError:
        raise
    except ConfigParseError as error:
        raise ConfigError(
            f"The AWS files cannot be read: {error}.", hint="Correct that line of the file."
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
    """Remove the scheme's default port, with which the SDK's signer fails (aws-sdk-signers 0.4)."""
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
