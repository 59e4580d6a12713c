"""Errors of a delegate in words for the model of the conversation, which explains them to the user.

The user did not choose a model, a region or a permission, and the voice cannot spell an exception.
The result says what is the matter, whether asking again helps, and what to tell the user.
"""

from ..errors import (
    ConfigError,
    CredentialsError,
    DeadlineError,
    ErrorKind,
    NetworkError,
    ServiceError,
    SonicError,
)

_BUSY = "The service is busy. Say so, and offer to try again in a minute."
_SETUP = "It is not set up for this. Say that whoever runs this program must {}. Do not try again."

EXPLANATIONS: dict[ErrorKind, str] = {
    ErrorKind.IDLE: _BUSY,
    ErrorKind.LIFETIME: _BUSY,
    ErrorKind.CAPACITY: _BUSY,
    ErrorKind.THROTTLED: _BUSY,
    ErrorKind.ACCESS: _SETUP.format("allow the use of the model in the AWS account"),
    ErrorKind.NOT_FOUND: _SETUP.format("choose a model that the region offers"),
    ErrorKind.FILTERED: (
        "The content filter refused the request. Say that it cannot be done, and offer to try "
        "other words."
    ),
    ErrorKind.HISTORY: "The request was too long. Ask for a shorter one.",
    ErrorKind.TOOL: "The request was refused as wrong. Say so, and ask for other words.",
    ErrorKind.REQUEST: "The request was refused as wrong. Say so, and ask for other words.",
    ErrorKind.ENDED: _BUSY,
    ErrorKind.UNKNOWN: "It failed for a reason that is not known. Say so.",
}
"""Explanations for the model, by the kind of the service's error."""


def explain(error: SonicError) -> dict[str, str]:
    """Return the result of a call that failed.

    Args:
        error: The error. Its message is given as a detail where it says more than its kind.
    """
    match error:
        case ServiceError():
            text = EXPLANATIONS[error.kind]
        case CredentialsError():
            text = _SETUP.format("set up AWS credentials")
        case ConfigError():
            text = _SETUP.format("correct its settings")
        case DeadlineError():
            text = "It took too long. Say so, and offer to try again."
        case NetworkError():
            text = "The service cannot be reached. Say so, and offer to try again later."
        case _:
            text = "It failed. Say so."
    return {"error": text, "detail": error.message}
