"""The exceptions of this package, in one hierarchy.

    SonicError
    ├── ConfigError           the request is impossible; nothing was sent
    │   ├── CredentialsError  none found, expired, or of a kind that the service does not take
    │   └── FileError         a file that the user named and that is missing or wrong
    │       ├── ScenarioError a scenario of the emulator that cannot be read
    │       └── TapeError     a tape that cannot be read or written
    ├── AudioError            a sound file or samples that cannot be used
    ├── DeviceError           a microphone or loudspeaker that is missing or does not open
    ├── OrderError            the call is not allowed at this point of the session
    ├── WireError             a payload that is not one of the service's events
    ├── ServiceError          the service refused the stream or ended it; `kind` says why
    └── NetworkError          the service cannot be reached, or cannot be reached any longer
        ├── ConnectError      no answer at that address, or not the expected one
        ├── DeadlineError     no answer in time
        └── ConnectionLost    an open stream ended without a goodbye

Each error says in one sentence what happened and, as `hint`, what to do next; facts are attributes.
Errors of the SDK, of h2 and of the operating system are converted into these where they enter
(`bedrock`, `http2`), with the original as `__cause__`.

The service uses `ValidationException` for nearly everything. `service_error` therefore looks at the
message first (protocol reference, section 6), and only then at the name of the exception.
"""

import re
from enum import StrEnum


class SonicError(Exception):
    """Base of all errors of this package."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Build an error.

        Args:
            message: A sentence that says what happened.
            hint: A sentence that says what to do next; may be empty.
        """
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ConfigError(SonicError):
    """An impossible request, which was detected before anything was sent."""


class CredentialsError(ConfigError):
    """A lack of usable AWS credentials: none found, expired, or only a Bedrock API key."""


class FileError(ConfigError):
    """A file that the user named and that is missing, cannot be read, or has the wrong content."""


class ScenarioError(FileError):
    """A scenario that cannot be read."""

    def __init__(
        self, message: str, *, path: str = "", line: int = 0, column: int = 0, hint: str = ""
    ) -> None:
        """Build an error, with the place before the message.

        Args:
            message: A sentence that says what is wrong.
            path: File of the scenario; empty if unknown.
            line: Line in the file, from 1; 0 if unknown.
            column: Column in the line, from 1; 0 if unknown.
            hint: A sentence that says what to do next.
        """
        place = f"{path}:{line}:{column}: " if line else f"{path}: " if path else ""
        super().__init__(place + message, hint=hint)
        self.path = path
        self.line = line
        self.column = column


class TapeError(FileError):
    """A tape that cannot be read or written: no tape, too large, or refused by the system."""


class AudioError(SonicError):
    """A sound file that cannot be used, or samples that do not fit their format."""


class DeviceError(SonicError):
    """A microphone or loudspeaker that is missing or does not open, or a missing sound library."""


class OrderError(SonicError):
    """A call that is not allowed at this point of the session, such as audio after the goodbye."""


class WireError(SonicError):
    """A payload that is not one of the service's events."""


class ErrorKind(StrEnum):
    """The meaning of a refusal of the service, independent of its exception."""

    IDLE = "idle"
    """The client sent no audio and no interactive content for longer than the service waits."""
    LIFETIME = "lifetime"
    """The stream reached its eight minutes, or its upstream closed it."""
    CAPACITY = "capacity"
    """The service is temporarily unable to answer."""
    THROTTLED = "throttled"
    """The account has too many streams or requests."""
    ACCESS = "access"
    """The service refused the credentials, the signature or the permission."""
    NOT_FOUND = "not-found"
    """The model is not available: wrong id, wrong region, or past its end of life."""
    FILTERED = "filtered"
    """The content filter blocked the prompt or the input."""
    HISTORY = "history"
    """The chat history is too long, or came at the wrong time."""
    TOOL = "tool"
    """The service refused a tool definition or a tool result."""
    REQUEST = "request"
    """The request itself is wrong, and the same one will fail again."""
    ENDED = "ended"
    """The service had no events to transform, which is harmless after `sessionEnd`."""
    UNKNOWN = "unknown"
    """The meaning is not known; the message is all there is."""


RECOVERABLE = frozenset(
    {ErrorKind.IDLE, ErrorKind.LIFETIME, ErrorKind.CAPACITY, ErrorKind.THROTTLED}
)
"""Kinds after which a new stream may succeed with the same request."""


class ServiceError(SonicError):
    """A refusal of the stream by the service, or its end with an error."""

    def __init__(
        self, *, kind: ErrorKind, code: str, text: str, request_id: str = "", status: int = 0
    ) -> None:
        """Build an error; message and hint come from its kind.

        Args:
            kind: The meaning of the error.
            code: Name of the service's exception.
            text: Message of the service, without the request id.
            request_id: The id of the request, where known.
            status: HTTP status if the refusal came before the stream, 0 otherwise.
        """
        super().__init__(f"{_MEANING[kind]} ({code}: {text})", hint=_NEXT_STEP[kind])
        self.kind = kind
        self.code = code
        self.text = text
        self.request_id = request_id
        self.status = status

    @property
    def recoverable(self) -> bool:
        """True if a new stream, opened later, may succeed with the same request."""
        return self.kind in RECOVERABLE


class NetworkError(SonicError):
    """A service that cannot be reached, or cannot be reached any longer."""


class ConnectError(NetworkError):
    """A connection that cannot be made: unknown host, closed port, TLS or HTTP/2 refused."""


class DeadlineError(NetworkError):
    """An answer that did not come in time."""

    def __init__(self, message: str, *, waited_s: float, hint: str = "") -> None:
        """Build an error.

        Args:
            message: A sentence that says what happened.
            waited_s: The deadline that passed, in seconds.
            hint: A sentence that says what to do next.
        """
        super().__init__(message, hint=hint)
        self.waited_s = waited_s


class ConnectionLost(NetworkError):
    """An open stream that ended without a goodbye."""

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        """Build an error.

        Args:
            message: A sentence that says what happened.
            reason: `reset`, `goaway`, `cut` or `ended`.
            hint: A sentence that says what to do next.
        """
        super().__init__(message, hint=hint)
        self.reason = reason


# Patterns of messages, tried before the names of exceptions; the first match decides
# (reference, section 6).
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
    ErrorKind.CAPACITY: "The service is temporarily unable to answer.",
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
        "Check the credentials, the clock of this machine, and that the identity may call "
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


def fault_kind(error: Exception) -> str:
    """Return the kind of a fault in a word, for records and counters.

    Args:
        error: The fault.

    Returns:
        An `ErrorKind`; the reason of a `ConnectionLost`: `reset`, `goaway`, `cut` or `ended`;
        `deadline`, `connect` or `other`.
    """
    match error:
        case ServiceError(kind=kind):
            return kind.value
        case ConnectionLost(reason=reason):
            return reason
        case DeadlineError():
            return "deadline"
        case ConnectError():
            return "connect"
        case _:
            return "other"


def service_error(
    code: str, message: str, *, status: int = 0, request_id: str = ""
) -> ServiceError:
    """Return the error for one exception of the service.

    Source: protocol reference, section 6.

    Args:
        code: Name of the exception in any spelling (`ValidationException`,
            `validationException`).
        message: Its text, which may begin with a request id.
        status: HTTP status if the refusal came before the stream, 0 otherwise.
        request_id: The id of the request, where known; one in the text takes precedence.
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
    """Return the meaning of an exception's name, with or without `Exception` at its end."""
    name = "".join(filter(str.isalnum, code.lower())).removesuffix("exception")
    return _BY_CODE.get(name) or _BY_CODE.get(name.removesuffix("error"))


def _by_status(status: int) -> ErrorKind:
    """Return the meaning of an HTTP status when nothing else is known, as from a load balancer."""
    if status == _TOO_MANY_REQUESTS:
        return ErrorKind.THROTTLED
    return ErrorKind.CAPACITY if status >= _FIRST_SERVER_ERROR else ErrorKind.UNKNOWN
