"""What each refusal of the service means: the table of the protocol reference, section 6."""

import pytest

from sonic_voice.errors import (
    ConfigError,
    CredentialsError,
    DeadlineError,
    ErrorKind,
    NetworkError,
    ScenarioError,
    ServiceError,
    SonicError,
    service_error,
)

ID = "6f0c1f3a-6a5e-4b53-9a3e-0d3c3f1b2a11"
IDLE_TEXT = (
    "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio "
    "bytes and interactive content are less than {} seconds."
)
VALIDATION = "validationException"

K = ErrorKind
IN_STREAM = [
    (VALIDATION, IDLE_TEXT.format(55), K.IDLE),
    (VALIDATION, IDLE_TEXT.format(59), K.IDLE),
    (VALIDATION, IDLE_TEXT.format(295), K.IDLE),
    (VALIDATION, "Timed out waiting for input events", K.IDLE),
    (VALIDATION, f"InternalErrorCode=532::{IDLE_TEXT.format(55)}", K.IDLE),
    (
        VALIDATION,
        "InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR",
        K.LIFETIME,
    ),
    (
        "modelTimeoutException",
        "Model has timed out in processing the request. Try your request again.",
        K.LIFETIME,
    ),
    (VALIDATION, "System instability detected. Please retry your request.", K.CAPACITY),
    (
        VALIDATION,
        "The system encountered an unexpected error during processing. Try your request again.",
        K.CAPACITY,
    ),
    (VALIDATION, "Invalid input request, please fix your input and try again.", K.REQUEST),
    (
        VALIDATION,
        "Unable to parse input chunk. Please check input format contains correct format.",
        K.REQUEST,
    ),
    (VALIDATION, "No events to transform were found.", K.ENDED),
    (VALIDATION, "No prompts were received in the sequence", K.REQUEST),
    (
        VALIDATION,
        "Error(s):\nError 1 : All contents must be closed before ending prompt",
        K.REQUEST,
    ),
    (VALIDATION, "Prompt [p] must have at least one audio content", K.REQUEST),
    (VALIDATION, "Cannot end content [c] as no content data was received", K.REQUEST),
    (
        VALIDATION,
        "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt",
        K.REQUEST,
    ),
    (VALIDATION, "Received invalid voiceId: value must not be empty", K.REQUEST),
    (VALIDATION, "Received invalid id: 'Carlos'", K.REQUEST),
    (VALIDATION, "Chat history is over max limit. Trim chat history and try again.", K.HISTORY),
    (
        VALIDATION,
        "Chat history should be sent completely before streaming audio.",
        K.HISTORY,
    ),
    (VALIDATION, "Tool Response parsing error", K.TOOL),
    (VALIDATION, "Tool result media type must be one of: [text/plain]", K.TOOL),
    (
        VALIDATION,
        "Error(s):\nError 1 : This request has been blocked by our content filters.",
        K.FILTERED,
    ),
    ("throttlingException", "Too many requests, please wait before trying again.", K.THROTTLED),
    ("modelStreamErrorException", "The model stream failed.", K.CAPACITY),
    ("internalServerException", "Internal server error", K.CAPACITY),
    ("serviceUnavailableException", "Service unavailable", K.CAPACITY),
]

# Before the stream opens, by the name of the exception (reference 1.7).
BEFORE = [
    ("AccessDeniedException", 403, K.ACCESS),
    ("UnrecognizedClientException", 403, K.ACCESS),
    ("InvalidSignatureException", 403, K.ACCESS),
    ("ExpiredTokenException", 403, K.ACCESS),
    ("ValidationException", 400, K.REQUEST),
    ("ServiceQuotaExceededException", 400, K.THROTTLED),
    ("ResourceNotFoundException", 404, K.NOT_FOUND),
    ("ModelTimeoutException", 408, K.LIFETIME),
    ("ModelErrorException", 424, K.CAPACITY),
    ("ModelStreamErrorException", 424, K.CAPACITY),
    ("ThrottlingException", 429, K.THROTTLED),
    ("ModelNotReadyException", 429, K.CAPACITY),
    ("InternalServerException", 500, K.CAPACITY),
    ("ServiceUnavailableException", 503, K.CAPACITY),
    ("SomethingNewException", 418, K.UNKNOWN),
    ("ExpiredToken", 403, K.ACCESS),
    ("InternalServerError", 500, K.CAPACITY),
    ("HTTP 502", 502, K.CAPACITY),
    ("HTTP 429", 429, K.THROTTLED),
    ("HTTP 403", 403, K.UNKNOWN),
]

NAMED = {code.removesuffix("Exception"): kind for code, _, kind in BEFORE if "HTTP" not in code}
SPELLINGS = ["{}", "{}Exception", "com.amazon.coral.service#{}Exception", "{}:http://a.b/c#d/"]


@pytest.mark.parametrize("prefix", ["", f"RequestId={ID} : "])
@pytest.mark.parametrize(("code", "text", "kind"), IN_STREAM)
def test_a_message_means_what_the_reference_says(
    code: str, text: str, kind: ErrorKind, prefix: str
) -> None:
    error = service_error(code, prefix + text)
    assert error.kind is kind
    assert error.text == text
    assert error.request_id == (ID if prefix else "")


@pytest.mark.parametrize(("code", "status", "kind"), BEFORE)
def test_a_refusal_before_the_stream_goes_by_its_name(
    code: str, status: int, kind: ErrorKind
) -> None:
    error = service_error(code, "No.", status=status, request_id=ID)
    assert (error.kind, error.status, error.request_id) == (kind, status, ID)
    again = service_error(code[0].lower() + code[1:], "No.", status=status)
    assert again.kind is kind


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", NAMED)
def test_a_code_means_the_same_in_every_spelling(name: str, spelling: str) -> None:
    for first in (name[0], name[0].lower()):
        error = service_error(spelling.format(first + name[1:]), "The text.")
        assert (error.kind, error.text) == (NAMED[name], "The text.")
        assert "#" not in error.code
        assert "http" not in error.code


def test_the_message_counts_more_than_the_name() -> None:
    assert service_error("internalServerException", IDLE_TEXT.format(55)).kind is K.IDLE


def test_the_request_id_of_the_message_is_the_one_that_counts() -> None:
    assert service_error("x", f"RequestId={ID} : No.", request_id="other").request_id == ID


def test_a_new_stream_may_mend_only_what_was_no_fault_of_the_request() -> None:
    recoverable = {kind for kind in K if ServiceError(kind=kind, code="", text="").recoverable}
    assert recoverable == {K.IDLE, K.LIFETIME, K.CAPACITY, K.THROTTLED}


@pytest.mark.parametrize("kind", [kind for kind in K if kind is not K.ENDED])
def test_every_kind_says_what_happened_and_what_to_do(kind: ErrorKind) -> None:
    error = ServiceError(kind=kind, code="someException", text="the text")
    assert "someException: the text" in error.message
    assert error.hint
    assert str(error) == f"{error.message} {error.hint}"


def test_a_throttle_is_not_shown_as_a_normal_end() -> None:
    error = service_error("throttlingException", "Too many requests")
    assert "no more streams" in str(error)
    assert "higher quota" in error.hint


def test_an_error_without_a_hint_is_its_message_alone() -> None:
    assert str(SonicError("It broke.")) == "It broke."
    assert str(SonicError("It broke.", hint="Mend it.")) == "It broke. Mend it."


@pytest.mark.parametrize(
    ("path", "line", "shown"),
    [("a.yaml", 3, "a.yaml:3:7: No."), ("a.yaml", 0, "a.yaml: No."), ("", 0, "No.")],
)
def test_a_scenario_error_names_the_place(path: str, line: int, shown: str) -> None:
    assert str(ScenarioError("No.", path=path, line=line, column=7)) == shown


def test_errors_can_be_caught_by_what_they_are_about() -> None:
    assert issubclass(CredentialsError, ConfigError)
    assert issubclass(DeadlineError, NetworkError)
    assert DeadlineError("Late.", waited_s=1.5).waited_s == 1.5
