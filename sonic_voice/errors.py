"""Everything that can go wrong, in one hierarchy.

    SonicError
    ├── ConfigError           what was asked for cannot be; nothing was sent
    │   ├── CredentialsError  none found, expired, or of a kind the service does not take
    │   └── ScenarioError     a scenario of the emulator that cannot be read
    ├── AudioError            a file or samples that are not what they should be
    ├── DeviceError           a microphone or loudspeaker that is not there or does not open
    ├── OrderError            the call does not belong here in the session's life
    ├── WireError             a payload that is not one of the service's events
    ├── ServiceError          the service refused the stream or ended it; `kind` says why
    └── NetworkError          the service could not be reached, or not any longer
        ├── ConnectError      nobody answered there, or not as expected
        ├── DeadlineError     somebody did, but not in time
        └── ConnectionLost    an open stream ended without a goodbye

Each says in one sentence what happened and, as `hint`, what to do next; facts stand beside as
attributes. Errors of the SDK, of h2 and of the operating system are turned into these where they
enter (`bedrock`, `http2`), with the original as `__cause__`.

The service uses `ValidationException` for nearly everything, so `service_error` goes by the
message (protocol reference, section 6) and only then by the name of the exception.
"""

import re
from enum import StrEnum


class SonicError(Exception):
    """Base of all errors of this package. `message` says what, `hint` the next step."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ConfigError(SonicError):
    """What was asked for cannot be. Found before anything was sent."""


class CredentialsError(ConfigError):
    """No usable AWS credentials: none found, expired, or a Bedrock API key alone."""


class ScenarioError(ConfigError):
    """A scenario that cannot be read. `line` and `column` count from 1; 0 when unknown."""

    def __init__(
        self, message: str, *, path: str = "", line: int = 0, column: int = 0, hint: str = ""
    ) -> None:
        place = f"{path}:{line}:{column}: " if line else f"{path}: " if path else ""
        super().__init__(place + message, hint=hint)
        self.path = path
        self.line = line
        self.column = column


class AudioError(SonicError):
    """A sound file that cannot be used, or samples that do not fit their format."""


class DeviceError(SonicError):
    """A microphone or loudspeaker that is not there or does not open, or no sound library."""


class OrderError(SonicError):
    """The call does not belong here in the session's life, such as audio after the close."""


class WireError(SonicError):
    """A payload that is not one of the service's events."""


class ErrorKind(StrEnum):
    """What a refusal of the service means, whatever exception it came as."""

    IDLE = "idle"
    """No audio and no interactive content for longer than the service waits."""
    LIFETIME = "lifetime"
    """The stream reached its eight minutes, or its upstream closed it."""
    CAPACITY = "capacity"
    """The service is unwell for the moment."""
    THROTTLED = "throttled"
    """Too many streams or requests of this account."""
    ACCESS = "access"
    """Credentials, signature or permission refused."""
    NOT_FOUND = "not-found"
    """No such model here: id, region, or past its end of life."""
    FILTERED = "filtered"
    """The content filter blocked the prompt or the input."""
    HISTORY = "history"
    """The chat history is too long, or came at the wrong time."""
    TOOL = "tool"
    """A tool definition or a tool result was refused."""
    REQUEST = "request"
    """The request itself is wrong; the same one will fail again."""
    ENDED = "ended"
    """`No events to transform were found.`: harmless after `sessionEnd`."""
    UNKNOWN = "unknown"


RECOVERABLE = frozenset(
    {ErrorKind.IDLE, ErrorKind.LIFETIME, ErrorKind.CAPACITY, ErrorKind.THROTTLED}
)


class ServiceError(SonicError):
    """The service refused the stream or ended it.

    `kind` is the meaning, `code` the name of the service's exception, `text` its message without
    the request id, `request_id` that id where known, `status` the HTTP status when the refusal
    came before the stream (0 otherwise).
    """

    def __init__(
        self, *, kind: ErrorKind, code: str, text: str, request_id: str = "", status: int = 0
    ) -> None:
        super().__init__(f"{_MEANING[kind]} ({code}: {text})", hint=_NEXT_STEP[kind])
        self.kind = kind
        self.code = code
        self.text = text
        self.request_id = request_id
        self.status = status

    @property
    def recoverable(self) -> bool:
        """Whether a new stream, opened later, may well succeed with the same request."""
        return self.kind in RECOVERABLE


class NetworkError(SonicError):
    """The service could not be reached, or not any longer."""


class ConnectError(NetworkError):
    """No usable connection: no such host, nobody listening, TLS or HTTP/2 refused."""


class DeadlineError(NetworkError):
    """An answer that did not come in time. `waited_s` is how long was waited."""

    def __init__(self, message: str, *, waited_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.waited_s = waited_s


class ConnectionLost(NetworkError):
    """An open stream ended without a goodbye. `reason`: `reset`, `goaway`, `cut` or `ended`."""

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


# Message patterns before exception names: the first that matches wins (reference, section 6).
_BY_TEXT: tuple[tuple[str, ErrorKind], ...] = (
    (r"no events to transform", ErrorKind.ENDED),
    (r"timed out waiting for|internalerrorcode=532", ErrorKind.IDLE),
    (r"internalerrorcode=531|rst_stream closed stream", ErrorKind.LIFETIME),
    (r"model has timed out", ErrorKind.LIFETIME),
    (r"system instability|encountered an unexpected error", ErrorKind.CAPACITY),
    (r"blocked by our content filters", ErrorKind.FILTERED),
    (r"chat history", ErrorKind.HISTORY),
    (r"tool response|tool result|tooluseid|tool name|toolspec", ErrorKind.TOOL),
)

_BY_CODE: dict[str, ErrorKind] = {
    "accessdenied": ErrorKind.ACCESS,
    "notauthorized": ErrorKind.ACCESS,
    "invalidclienttokenid": ErrorKind.ACCESS,
    "signaturedoesnotmatch": ErrorKind.ACCESS,
    "requestexpired": ErrorKind.ACCESS,
    "unrecognizedclient": ErrorKind.ACCESS,
    "invalidsignature": ErrorKind.ACCESS,
    "incompletesignature": ErrorKind.ACCESS,
    "missingauthenticationtoken": ErrorKind.ACCESS,
    "expiredtoken": ErrorKind.ACCESS,
    "resourcenotfound": ErrorKind.NOT_FOUND,
    "throttling": ErrorKind.THROTTLED,
    "throttled": ErrorKind.THROTTLED,
    "toomanyrequests": ErrorKind.THROTTLED,
    "servicequotaexceeded": ErrorKind.THROTTLED,
    "modelnotready": ErrorKind.CAPACITY,
    "modelerror": ErrorKind.CAPACITY,
    "modelstreamerror": ErrorKind.CAPACITY,
    "internalserver": ErrorKind.CAPACITY,
    "internalfailure": ErrorKind.CAPACITY,
    "serviceunavailable": ErrorKind.CAPACITY,
    "modeltimeout": ErrorKind.LIFETIME,
    "validation": ErrorKind.REQUEST,
}

_MEANING: dict[ErrorKind, str] = {
    ErrorKind.IDLE: "The service ended the stream because it heard nothing for too long.",
    ErrorKind.LIFETIME: "The service ended the stream at the end of its life of 8 minutes.",
    ErrorKind.CAPACITY: "The service is unwell for the moment.",
    ErrorKind.THROTTLED: "The service takes no more streams from this account for now.",
    ErrorKind.ACCESS: "The service refused the credentials.",
    ErrorKind.NOT_FOUND: "The service does not know this model here.",
    ErrorKind.FILTERED: "The service's content filter blocked this conversation.",
    ErrorKind.HISTORY: "The service refused the chat history.",
    ErrorKind.TOOL: "The service refused a tool definition or a tool result.",
    ErrorKind.REQUEST: "The service refused the request.",
    ErrorKind.ENDED: "The service had nothing more to answer.",
    ErrorKind.UNKNOWN: "The service ended the stream with an error.",
}

_NEXT_STEP: dict[ErrorKind, str] = {
    ErrorKind.IDLE: "Keep audio flowing, silence included; open a new session to go on.",
    ErrorKind.LIFETIME: "Open a new session to go on.",
    ErrorKind.CAPACITY: "Open a new session in a few seconds.",
    ErrorKind.THROTTLED: "Wait, close other streams, or ask for a higher quota.",
    ErrorKind.ACCESS: (
        "Check the credentials, the clock of this machine, and that the identity may "
        "bedrock:InvokeModel and bedrock:InvokeModelWithBidirectionalStream."
    ),
    ErrorKind.NOT_FOUND: "See `sonic-voice models` for ids, regions and ends of life.",
    ErrorKind.FILTERED: "Change the system prompt or what was said.",
    ErrorKind.HISTORY: "Send less of it, before any audio, beginning with the user.",
    ErrorKind.TOOL: "Answer each call once, with a JSON object; keep schemas plain.",
    ErrorKind.REQUEST: "The same request will be refused again; see the message.",
    ErrorKind.ENDED: "",
    ErrorKind.UNKNOWN: "See the message.",
}

_TOO_MANY_REQUESTS = 429
_FIRST_SERVER_ERROR = 500
_REQUEST_ID = re.compile(r"^RequestId=(?P<id>[0-9a-fA-F-]+)\s*:\s*")


def service_error(
    code: str, message: str, *, status: int = 0, request_id: str = ""
) -> ServiceError:
    """The error for one exception of the service.

    `code` is the exception's name in any spelling (`ValidationException`,
    `validationException`), `message` its text. Source: protocol reference, section 6.
    """
    found = _REQUEST_ID.match(message)
    text = message[found.end() :] if found else message
    if found:
        request_id = found["id"]
    kind = next((k for p, k in _BY_TEXT if re.search(p, text, re.IGNORECASE)), None)
    # `x-amzn-errortype` may carry a namespace before the name and an address after it.
    code = code.partition(":")[0].rpartition("#")[2]
    kind = kind or _by_code(code) or _by_status(status)
    return ServiceError(kind=kind, code=code, text=text, request_id=request_id, status=status)


def _by_code(code: str) -> ErrorKind | None:
    """Return what the name of an exception means, whether it ends in `Exception` or not."""
    name = "".join(filter(str.isalnum, code.lower())).removesuffix("exception")
    return _BY_CODE.get(name) or _BY_CODE.get(name.removesuffix("error"))


def _by_status(status: int) -> ErrorKind:
    """Return what an HTTP status means where nothing else is known, as from a load balancer."""
    if status == _TOO_MANY_REQUESTS:
        return ErrorKind.THROTTLED
    return ErrorKind.CAPACITY if status >= _FIRST_SERVER_ERROR else ErrorKind.UNKNOWN
