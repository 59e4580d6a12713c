"""Who we are to AWS: region, endpoint and credentials, found before anything is sent.

Region and endpoint come from the arguments, the environment and the profile, by the SDK's own
rules. Credentials come from `credential_lookup`. Both are looked up here, ahead of the request
and with a deadline, because a request whose credentials fail leaves the SDK waiting for ever.

Credentials are looked up again at each stream, so that refreshed ones are used from the next
stream on; within a stream they stay, for its signatures form a chain.

An account with explicit keys, region and endpoint leaves nothing to look up: it reads neither
files nor environment. The local emulator is reached this way.
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
from smithy_http.aio.aiohttp import AIOHTTPClient

from ..daemon_thread import in_thread
from ..errors import ConfigError
from ..http2.loopback import is_loopback
from .aws_files import AwsFiles, check_environment, profile_name
from .credential_lookup import CREDENTIALS_TIMEOUT_S, CredentialLookup
from .events import EventProtocol

__all__ = ["CREDENTIALS_TIMEOUT_S", "Account", "check_endpoint"]


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
        http: AIOHTTPClient,
        credentials: AWSCredentialsIdentity | CredentialLookup,
    ) -> None:
        self.config = config
        self._http = http
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
    ) -> Self:
        """Read region and endpoint from arguments, environment and files, without any network.

        Args:
            keys: Credentials that are used as they are; None: they are looked up by `identity`.
            timeout_s: How long reading the files, and later looking up credentials, may take.

        Raises:
            ConfigError: A variable, file, profile, region or endpoint cannot be used.
        """
        http = AIOHTTPClient()  # never used: the SDK's configuration asks for one
        try:
            if keys is not None and region is not None and endpoint is not None and not profile:
                return cls(await _resolve_isolated(region, endpoint, http), http, keys)
            check_environment()
            files = AwsFiles.for_current_user()
            await _check_files(files, timeout_s)
            named = profile_name(profile)
            config = await _configure(region, named, endpoint, files, http)
            lookup = CredentialLookup(
                files,
                named or "default",
                only_profile=profile is not None,
                region=str(config.region),
                timeout_s=timeout_s,
            )
            return cls(config, http, keys or lookup)
        except BaseException:
            await http.close()
            raise

    async def aclose(self) -> None:
        """End a look-up that still runs. Idempotent."""
        if isinstance(self._credentials, CredentialLookup):
            self._credentials.close()
        await self._http.close()

    async def identity(self) -> AWSCredentialsIdentity:
        """Return credentials that are valid now.

        Raises:
            CredentialsError: There are none, or they have expired and cannot be refreshed.
            ConfigError: A file or profile that they depend on cannot be used.
        """
        if isinstance(self._credentials, AWSCredentialsIdentity):
            return self._credentials
        return await self._credentials.identity()

    @property
    def origin(self) -> str:
        """Where the credentials that `identity` returned last come from, in words."""
        if isinstance(self._credentials, AWSCredentialsIdentity):
            return "the program itself"
        return self._credentials.origin


async def _check_files(files: AwsFiles, timeout_s: float) -> None:
    """Check the shared files in a thread: a home directory on a dead file server blocks."""
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
    region: str, endpoint: str, http: AIOHTTPClient
) -> AsyncBedrockRuntimeConfig:
    """Return a configuration for which neither environment nor files are read."""
    return await _resolve(
        "default",
        http,
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
        """Return the text of the one file there is."""
        return "[default]\n"


async def _configure(
    region: str | None,
    profile: str | None,
    endpoint: str | None,
    files: AwsFiles,
    http: AIOHTTPClient,
) -> AsyncBedrockRuntimeConfig:
    given: dict[str, Any] = {}
    if region is not None:
        given["region"] = region
    if endpoint is not None:
        given["endpoint_uri"] = endpoint
    try:
        return await _resolve(
            profile,
            http,
            config_file_path=files.config,
            credentials_file_path=files.credentials,
            **given,
        )
    except ProfileNotFoundError as error:
        raise files.missing_profile_error(str(profile)) from error


async def _resolve(
    profile: str | None, http: AIOHTTPClient, **given: Any
) -> AsyncBedrockRuntimeConfig:
    """Let the SDK resolve its configuration, and check the endpoint it found."""
    try:
        config = await AsyncBedrockRuntimeConfig.resolve(
            profile=profile, transport=http, protocol=EventProtocol, **given
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
    """Remove a port that the scheme implies: the SDK's signer fails on it (aws-sdk-signers 0.4)."""
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
