"""Translation of `botocore`'s errors into sentences with the source, the profile and a remedy.

Except for two, botocore's own texts name neither the source nor the profile. Text from a service or
a process is quoted as far as it is meant for people; it contains no values of keys and tokens.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore import exceptions as aws

from ..errors import ConfigError, CredentialsError
from .aws_files import AwsFiles

_MAX_QUOTED_CHARACTERS = 200
"""Maximum number of characters quoted from a process or a service."""

_WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"
"""Variable with the path of a web identity token."""


@dataclass(slots=True)
class LookupContext:
    """The requested profile, and the profiles that it refers to."""

    files: AwsFiles
    """Paths of the shared AWS files."""
    profile: str
    """Name of the requested profile."""
    only_profile: bool
    """True if the caller named the profile, so that the environment is ignored."""
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """All profiles of the AWS files, by name."""

    @property
    def provider_arguments(self) -> tuple[str, bool]:
        """The profile and `only_profile`, the arguments of botocore's provider builder."""
        return self.profile, self.only_profile

    def sources(self) -> Iterator[str]:
        """Yield the profile and then, by `source_profile`, the sources of its credentials."""
        seen: set[str] = set()
        name: str | None = self.profile
        while name and name not in seen:
            yield name
            seen.add(name)
            name = self.profiles.get(name, {}).get("source_profile")

    def with_key(self, *keys: str) -> str:
        """Return the first of `sources` that has one of `keys`, else the profile itself.

        Args:
            keys: Names of settings in a profile.
        """
        names = (n for n in self.sources() if any(key in self.profiles.get(n, {}) for key in keys))
        return next(names, self.profile)

    @property
    def needs_mfa(self) -> bool:
        """True if a role among the `sources` requires an MFA code."""
        return any("mfa_serial" in self.profiles.get(name, {}) for name in self.sources())


def source_name(method: str, setup: LookupContext) -> str:
    """Return the description of a source for messages.

    Args:
        method: botocore's name of the source.
        setup: The profile of the look-up.
    """
    profile = repr(setup.profile)
    web = f"the web identity of profile {profile}"
    if not setup.only_profile and os.environ.get(_WEB_IDENTITY):
        web = f"the web identity of the environment ({_WEB_IDENTITY})"
    return {
        "env": "the environment",
        "assume-role": f"the role of profile {profile}",
        "assume-role-with-web-identity": web,
        "sso": f"the SSO of profile {profile}",
        "shared-credentials-file": f"profile {profile} of the AWS files",
        "config-file": f"profile {profile} of the AWS files",
        "login": f"`aws login` of profile {profile}",
        "custom-process": f"the credential_process of profile {profile}",
        "container-role": "the container's credentials endpoint",
        "iam-role": "the instance metadata service",
    }.get(method, f"the source {method!r}")


def expired_error(when: datetime | None, source: str) -> CredentialsError:
    """Return the error for credentials that are expired even after a refresh.

    Args:
        when: Time when they expired, with time zone; None if it is not known.
        source: Description of their source.
    """
    time = f" at {when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when is not None else ""
    return CredentialsError(
        f"The AWS credentials from {source} expired{time}.",
        hint="Log in again, or fetch new ones.",
    )


def explain(error: Exception, source: str, setup: LookupContext) -> ConfigError:
    """Return the `SonicError` that explains an exception from a source.

    Args:
        error: The exception of botocore or of the operating system.
        source: Description of the source that raised it.
        setup: The profile of the look-up.
    """
    for translate in (_session_error, _file_error, _profile_error, _service_error, _reach_error):
        if (translated := translate(error, source, setup)) is not None:
            return translated
    text = _quoted(str(error) or type(error).__name__)
    return CredentialsError(
        f"No AWS credentials came from {source}: {text}", hint=_hint(source, setup)
    )


def _session_error(error: Exception, source: str, setup: LookupContext) -> ConfigError | None:
    """Translate errors of sign-in sessions, which a person renews with a command."""
    if isinstance(error, aws.SSOError | aws.TokenRetrievalError):
        profile = setup.with_key("sso_session", "sso_start_url", "sso_account_id")
        state = "is missing" if isinstance(error, aws.SSOTokenLoadError) else "has expired"
        return CredentialsError(
            f"The SSO session of profile {profile!r} {state}.",
            hint=f"Run: aws sso login --profile {profile}",
        )
    profile = setup.with_key("login_session")
    if isinstance(error, aws.LoginInsufficientPermissions):
        return CredentialsError(
            f"The `aws login` session of profile {profile!r} may not be refreshed.",
            hint="It needs the permission signin:CreateOAuth2Token.",
        )
    if isinstance(error, aws.LoginError):
        state = "is missing" if isinstance(error, aws.LoginTokenLoadError) else "has expired"
        return CredentialsError(
            f"The `aws login` session of profile {profile!r} {state}.",
            hint=f"Run: aws login --profile {profile}",
        )
    if isinstance(error, aws.MissingDependencyException):
        return CredentialsError(
            f"Profile {profile!r} uses `aws login`, which needs the package awscrt.",
            hint="Run: pip install 'awscrt~=0.32'",
        )
    return None


def _file_error(error: Exception, source: str, setup: LookupContext) -> ConfigError | None:
    """Translate errors of missing or malformed files, and of processes that cannot start."""
    if isinstance(error, aws.ConfigParseError):
        # The parser's own text quotes lines, which may contain secrets.
        line = re.search(r"line:?\s*(\d+)", str(error.kwargs.get("error")), re.IGNORECASE)
        place = f" (line {line[1]})" if line else ""
        return ConfigError(
            f"The AWS file {error.kwargs.get('path')} cannot be parsed{place}.",
            hint="Correct that line of the file.",
        )
    if not isinstance(error, OSError) or not error.filename:
        return None
    command = str(setup.profiles.get(_process_profile(setup), {}).get("credential_process", ""))
    if str(error.filename) in command:
        return CredentialsError(
            f"The credential_process of profile {_process_profile(setup)!r} cannot be started: "
            f"{error.filename}: {error.strerror}.",
            hint=f"Correct it in {setup.files.config}.",
        )
    return CredentialsError(
        f"No AWS credentials came from {source}: the file {error.filename} cannot be read: "
        f"{error.strerror}.",
        hint=_hint(source, setup),
    )


def _profile_error(error: Exception, source: str, setup: LookupContext) -> ConfigError | None:
    """Translate errors of profiles that are contradictory or incomplete."""
    if isinstance(error, aws.PartialCredentialsError):
        missing = error.kwargs.get("cred_var")
        return CredentialsError(
            f"The AWS credentials in {source} are incomplete: {missing} is missing.",
            hint=f"Set {missing}.",
        )
    if isinstance(error, aws.InvalidConfigError | aws.UnknownCredentialError):
        return CredentialsError(
            f"The AWS profile {setup.profile!r} cannot be used: {_quoted(str(error))}",
            hint=f"Correct it in {setup.files.config}.",
        )
    if isinstance(error, aws.ParamValidationError):
        report = " ".join(str(error.kwargs.get("report", "")).split())
        return CredentialsError(
            f"The AWS profile {setup.profile!r} cannot be used: {_quoted(report)}.",
            hint=f"Correct it in {setup.files.config}.",
        )
    if isinstance(error, aws.CredentialRetrievalError):
        text = _quoted(str(error.kwargs.get("error_msg", "")))
        return CredentialsError(
            f"No AWS credentials came from {source}" + (f": {text}" if text else "."),
            hint=_hint(source, setup),
        )
    return None


def _service_error(error: Exception, source: str, setup: LookupContext) -> ConfigError | None:
    """Translate refusals of STS, SSO or sign-in."""
    if not isinstance(error, aws.ClientError):
        return None
    answer: Mapping[str, Any] = error.response.get("Error", {})
    code, text = str(answer.get("Code", "")), _quoted(str(answer.get("Message", "")))
    reason = f"({code}: {text})" if text else f"({code})"
    if error.operation_name == "GetRoleCredentials":
        profile = setup.with_key("sso_account_id", "sso_role_name")
        return CredentialsError(
            f"The SSO portal refused the role of profile {profile!r} {reason}.",
            hint="Check sso_account_id and sso_role_name; log in again: "
            f"aws sso login --profile {profile}",
        )
    if "MultiFactorAuthentication" in text:
        return CredentialsError(
            f"The MFA code for {source} was refused {reason}.", hint="Start again with a new code."
        )
    below = list(setup.sources())[1:]
    hint = f"Check that its trust policy lets this identity assume it. {_hint(source, setup)}"
    if code in {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"} and below:
        hint = f"Its source is profile {below[-1]!r}: log in there again, or fetch new keys."
    return CredentialsError(f"AWS refused {source} {reason}.", hint=hint)


def _reach_error(error: Exception, source: str, setup: LookupContext) -> ConfigError | None:
    """Translate errors of connections to STS, SSO, sign-in or a metadata service."""
    if not isinstance(error, aws.HTTPClientError | aws.ConnectionError):
        return None
    url = error.kwargs.get("endpoint_url") or error.kwargs.get("proxy_url") or "its service"
    if isinstance(error, aws.SSLError):
        return CredentialsError(
            f"The certificate of {url}, which {source} needs, is not trusted.",
            hint="Name the CA's file in AWS_CA_BUNDLE.",
        )
    return CredentialsError(
        f"{url}, which {source} needs, cannot be reached.",
        hint="Check the network, the region, and the proxy (HTTPS_PROXY, NO_PROXY).",
    )


def _hint(source: str, setup: LookupContext) -> str:
    """Return the command or setting with which a user can examine `source`."""
    if "container" in source:
        return "Check AWS_CONTAINER_CREDENTIALS_FULL_URI and the authorization token beside it."
    if _WEB_IDENTITY in source:
        return f"Check {_WEB_IDENTITY} and AWS_ROLE_ARN."
    if "credential_process" in source:
        return "Run its command by hand to see what is wrong."
    if "metadata" in source:
        return "Check that a role is attached to this instance."
    if "environment" in source:
        return "Check the AWS_ variables."
    return f"Run: aws sts get-caller-identity --profile {setup.profile}"


def _process_profile(setup: LookupContext) -> str:
    return setup.with_key("credential_process")


def _quoted(text: str) -> str:
    """Return `text` as one line of at most `_MAX_QUOTED_CHARACTERS` characters."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_QUOTED_CHARACTERS else f"{line[:_MAX_QUOTED_CHARACTERS]}..."
