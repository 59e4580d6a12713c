"""Checks of the environment variables and shared files that contain AWS settings.

The SDK and `botocore` ignore files that they cannot read, or name only a path. These checks run
before the SDK and `botocore`, so that the reason is reported once and completely.
"""

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError

CHECKED_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "AWS_ENDPOINT_URL_SIGNIN",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
    "AWS_ENDPOINT_URL_STS",
)
"""Variables whose value is used in a header, a URL, or the name of a profile or file."""

_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""First bytes of files that AWS tools cannot read."""


def check_environment() -> None:
    """Check the values of `CHECKED_VARIABLES`.

    A value with white space around it usually was copied with a line break from a file or a secret
    store. In a header it would break the HTTP/2 connection; the error names the variable instead.

    Raises:
        ConfigError: A value has white space around it, or contains control characters.
    """
    for name in CHECKED_VARIABLES:
        value = os.environ.get(name, "")
        if value != value.strip():
            raise ConfigError(
                f"The environment variable {name} has white space or a line break around its "
                "value.",
                hint=f"Set {name} again without it.",
            )
        if not value.isprintable():
            raise ConfigError(
                f"The environment variable {name} contains a character that cannot be printed.",
                hint=f"Set {name} again; type the value instead of pasting it.",
            )


def profile_name(given: str | None) -> str | None:
    """Return the name of the requested profile; None for the default profile.

    Args:
        given: The profile that the caller named, which takes precedence over the environment.
    """
    return given or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or None


@dataclass(frozen=True, slots=True)
class AwsFiles:
    """The paths of the shared AWS files, and the folder of their caches."""

    config: str
    """Path of the configuration file."""
    credentials: str
    """Path of the credentials file."""
    folder: Path | None
    """Path of `~/.aws`; None when this user has no home directory."""

    @classmethod
    def for_current_user(cls) -> "AwsFiles":
        """Return the paths that the environment and the home directory give.

        A user without a home directory (`HOME` not set, and no entry in the user database) has no
        files; their paths are then the null device, which reads as an empty file.
        """
        try:
            folder = Path.home() / ".aws"
        except RuntimeError:
            folder = None

        def path(variable: str, name: str) -> str:
            if named := os.environ.get(variable):
                return os.path.expanduser(named)  # noqa: PTH111  # pathlib raises without a home
            return str(folder / name) if folder is not None else os.devnull

        config = path("AWS_CONFIG_FILE", "config")
        return cls(config, path("AWS_SHARED_CREDENTIALS_FILE", "credentials"), folder)

    def check(self) -> None:
        """Check that the existing files are readable text. Blocks.

        Raises:
            ConfigError: A file exists and cannot be read, or is not UTF-8 without a BOM.
        """
        for path in (self.config, self.credentials):
            if not Path(path).is_file():
                continue
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"The AWS file {path} cannot be read: {error.strerror}.",
                    hint="Make it readable for this user.",
                ) from error
            if content.startswith(_BYTE_ORDER_MARKS):
                raise ConfigError(
                    f"The AWS file {path} begins with a byte order mark (BOM), so AWS tools cannot "
                    "read it.",
                    hint="Save it as UTF-8 without a BOM.",
                )
            try:
                content.decode()
            except UnicodeDecodeError as error:
                line = content.count(b"\n", 0, error.start) + 1
                raise ConfigError(
                    f"The AWS file {path} is not UTF-8 text (line {line}).",
                    hint="Save it as UTF-8.",
                ) from error

    def missing_profile_error(self, profile: str) -> ConfigError:
        """Return the error for a profile that is in none of the files.

        Args:
            profile: Name of the profile.
        """
        if self.folder is None and os.devnull in {self.config, self.credentials}:
            return ConfigError(
                f"There is no AWS profile {profile!r}: this user has no home directory, and so no "
                "AWS files.",
                hint="Set HOME, or AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE.",
            )
        return ConfigError(
            f"There is no AWS profile {profile!r} in {self.config} or {self.credentials}.",
            hint="See `aws configure list-profiles`, or create it with `aws configure`.",
        )
