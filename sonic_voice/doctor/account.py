"""Who we are to AWS, as the SDK would find out: region, model, credentials. No network but that
of a credential provider."""

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
"""A stream lives for 8 minutes and is signed to its end by the credentials it began with."""

_KEY_ID_CHARACTERS = 4
"""How many letters of a key's id are shown. The rest says whose it is."""

_FALLBACK_REGION = "us-east-1"
"""For looking at credentials where no region is set."""

_SET_BY = {"OVERRIDE": "--region", "ENV": "the environment", "PROFILE": "the AWS files"}


async def check_account(options: Options) -> AsyncIterator[Finding]:
    """Region and model, then credentials."""
    try:
        found = await resolve(options)
    except CredentialsError as error:
        yield failure("credentials", error)
        return
    except ConfigError as error:
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
    """The account that a conversation would use; to be closed. Raises `ConfigError`."""
    from ..bedrock.account import CREDENTIALS_TIMEOUT_S, Account

    return await Account.resolve(
        region=region or options.region,
        profile=options.profile,
        endpoint=options.endpoint,
        keys=None,
        timeout_s=CREDENTIALS_TIMEOUT_S,
    )


def _region_finding(model_id: str, account: "Account") -> Finding:
    """Whether the model is offered in the region, as far as the catalog knows."""
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
    """Look the credentials up. Raises `ConfigError`."""
    identity = await account.identity()
    text = f"...{identity.access_key_id[-_KEY_ID_CHARACTERS:]} from {account.origin}"
    if identity.expiration is None:
        return Finding("credentials", "ok", f"{text}; they do not expire")
    text += f", until {identity.expiration.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if identity.expiration - datetime.now(UTC) < EXPIRES_SOON:
        return Finding("credentials", "warning", text, "Log in again: they are about to expire.")
    return Finding("credentials", "ok", text)
