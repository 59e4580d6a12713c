"""Check the AWS account as the SDK resolves it: region, model and credentials.

The only network access is that of a credential provider.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..catalog import voice_model
from ..errors import ConfigError, CredentialsError
from .finding import Finding, failure
from .options import Options

if TYPE_CHECKING:
    from ..bedrock.account import Account

EXPIRES_SOON = timedelta(minutes=10)
"""Remaining lifetime of credentials below which a warning is given. A stream lives for 8 minutes
and is signed until its end with the credentials it began with."""

_KEY_ID_CHARACTERS = 4
"""Number of characters at the end of an access key id that are shown; the rest is private."""

_FALLBACK_REGION = "us-east-1"
"""Region with which credentials are checked if no region is set."""

_SET_BY = {"OVERRIDE": "--region", "ENV": "the environment", "PROFILE": "the AWS files"}
"""Words for the SDK's names of the sources that a setting can have."""


async def check_account(options: Options) -> AsyncIterator[Finding]:
    """Check region and model, then credentials.

    Args:
        options: The conversation to check for.

    Yields:
        Findings named `region and model` (`region` or `AWS settings` on failure) and
        `credentials`.
    """
    try:
        found = await resolve(options)
    except CredentialsError as error:
        yield failure("credentials", error)
        return
    except ConfigError as error:
        # Without a region the credentials can still be checked; with broken settings they cannot.
        about_region = "region" in error.message
        yield failure("region" if about_region else "AWS settings", error)
        if not about_region:
            return
        found = await resolve(options, _FALLBACK_REGION)
    else:
        yield _region_finding(options.model, found)
    try:
        yield await _credentials_finding(found)
    except ConfigError as error:
        yield failure("credentials", error)
    finally:
        await found.aclose()


async def resolve(options: Options, region: str | None = None) -> "Account":
    """Return the account that a conversation would use. The caller closes it.

    Args:
        options: The conversation to check for.
        region: The region to use instead of that of `options`.

    Raises:
        ConfigError: The settings or the credentials cannot be resolved.
    """
    from ..bedrock.account import CREDENTIALS_TIMEOUT_S, Account

    return await Account.resolve(
        region=region or options.region,
        profile=options.profile,
        endpoint=options.endpoint,
        keys=None,
        timeout_s=CREDENTIALS_TIMEOUT_S,
    )


def _region_finding(model_id: str, account: "Account") -> Finding:
    """Return whether the model is offered in the region, as far as the catalog knows."""
    region = account.config.region
    try:
        model = voice_model(model_id)
        model.check_region(region)
    except ConfigError as error:
        return failure("region and model", error)
    source = account.config.source_of("region")
    set_by = _SET_BY.get(source.name, "") if source is not None else ""
    today = datetime.now(UTC).date()
    if warning := model.warning(today):
        gone = model.end_of_life is not None and today >= model.end_of_life
        return Finding("region and model", "failure" if gone else "warning", warning)
    text = f"{model.name} ({model.id}) is offered in {region}"
    return Finding("region and model", "ok", f"{text}, set by {set_by}" if set_by else text)


async def _credentials_finding(account: "Account") -> Finding:
    """Look up the credentials and report their source and expiry.

    Raises:
        ConfigError: There are no usable credentials.
    """
    identity = await account.identity()
    text = f"...{identity.access_key_id[-_KEY_ID_CHARACTERS:]} from {account.origin}"
    if identity.expiration is None:
        return Finding("credentials", "ok", f"{text}; they do not expire")
    text += f", until {identity.expiration.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if identity.expiration - datetime.now(UTC) < EXPIRES_SOON:
        return Finding("credentials", "warning", text, "Log in again: they are about to expire.")
    return Finding("credentials", "ok", text)
