"""Translation of the AWS SDK's exceptions into `SonicError`s; no other module knows their names.

The SDK wraps an error of its transport once or twice in errors of its own. The chain of causes is
therefore searched for a `SonicError` first, which describes the cause best. Only without one are
the SDK's own errors translated.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from smithy_aws_core.config.exceptions import ConfigError as SdkConfigError
from smithy_aws_event_stream.exceptions import EventError, UnmodeledEventError
from smithy_core.exceptions import ModeledError, SmithyIdentityError
from smithy_http.interfaces import Fields

from ..errors import (
    ConfigError,
    ConnectionLost,
    CredentialsError,
    NetworkError,
    ServiceError,
    SonicError,
    service_error,
)

_ERROR_TYPE = "x-amzn-errortype"
"""Header with the name of an error, which may be followed by ":" and a URL."""

_REQUEST_ID = "x-amzn-requestid"
"""Header with the service's identifier of a request."""


def sonic_error(error: BaseException) -> SonicError:
    """Return the `SonicError` for an exception of the SDK.

    Args:
        error: The exception, of which the causes are searched as well.

    Returns:
        A `SonicError` from the chain of causes, or a new one with `error` as its cause.
    """
    chain = list(_causes(error))
    for link in chain:
        if isinstance(link, SonicError):
            return link
    for link in chain:
        if (translated := _translate(link)) is not None:
            translated.__cause__ = error
            return translated
    unknown = NetworkError(
        f"The AWS SDK failed: {type(error).__name__}: {error}",
        hint="If this goes on, please report it with the output of --debug.",
    )
    unknown.__cause__ = error
    return unknown


def refusal(status: int, fields: Fields, body: bytes) -> ServiceError:
    """Return the error for an HTTP error in place of a stream (reference 1.7).

    The SDK knows only the exceptions of its model, and reports all others, such as expired tokens
    and wrong keys, as an unknown error without a text.

    Args:
        status: HTTP status, 400 or more.
        fields: Headers of the response.
        body: Body of the response; may be empty.
    """
    document = _document(body)
    code = header(fields, _ERROR_TYPE) or _text(document, "__type", "code") or f"HTTP {status}"
    code = code.split(":")[0].rpartition("#")[2]
    message = _text(document, "message", "Message") or body[:200].decode("utf-8", "replace")
    return service_error(code, message, status=status, request_id=request_id(fields))


def request_id(fields: Fields) -> str:
    """Return the service's identifier of a request, from the response; empty if there is none.

    Args:
        fields: Headers of the response.
    """
    return header(fields, _REQUEST_ID)


def header(fields: Fields, name: str) -> str:
    """Return the first value of a header; empty if there is none.

    Args:
        fields: Headers of the response.
        name: Name of the header, in lower case.
    """
    field = fields.entries.get(name)
    return field.values[0] if field is not None and field.values else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _translate(error: BaseException) -> SonicError | None:
    match error:
        case ModeledError():
            metadata = error.response_metadata
            return service_error(
                type(error).__name__,
                error.message,
                status=metadata.http_status_code or 0,
                request_id=metadata.request_id or "",
            )
        case UnmodeledEventError():
            return service_error(error.code, error.message)
        case EventError():
            return ConnectionLost(
                f"The service's answer broke off inside an event ({error}).", reason="cut"
            )
        case SmithyIdentityError():
            return CredentialsError(f"The AWS credentials cannot be used: {error}")
        case SdkConfigError():
            return ConfigError(f"The AWS configuration cannot be used: {error}")
        case _:
            return None


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return cast(dict[str, Any], document) if isinstance(document, dict) else {}


def _text(document: dict[str, Any], *names: str) -> str:
    return next((v for name in names if isinstance(v := document.get(name), str)), "")
