"""Recovery: which faults a session survives, and when it tries again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.errors import (
    AudioError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    CredentialsError,
    DeadlineError,
    OrderError,
    SonicError,
    service_error,
)
from sonic_voice.policies import NO_RECOVERY, RecoveryPolicy
from sonic_voice.recovery import Recovery, has_expired_credentials, is_transient

CUT = ConnectionLost("The connection was cut.", reason="cut")
DENIED = service_error("AccessDeniedException", "Not authorised.", status=403)
EXPIRED = service_error("ExpiredTokenException", "The security token is expired", status=403)


def recovery(draw: float = 0.5, **policy: float) -> Recovery:
    return Recovery(RecoveryPolicy(**policy), lambda: draw)  # pyright: ignore[reportArgumentType]


TRANSIENT: list[SonicError] = [
    CUT,
    ConnectionLost("Ended.", reason="ended"),
    service_error("ThrottlingException", "Too many requests.", status=429),
    service_error("ServiceUnavailableException", "Try later.", status=503),
    service_error("InternalServerException", "Something failed.", status=500),
    service_error("ModelTimeoutException", "The model timed out.", status=408),
    service_error("ModelStreamErrorException", "System instability detected. Please retry."),
    service_error("ValidationException", "Timed out waiting for audio bytes"),
]

FINAL: list[SonicError] = [
    service_error("ValidationException", "Invalid input request.", status=400),
    service_error("ValidationException", "The content was blocked by our content filters."),
    service_error("ThrottlingException", "Your quota of 0 tokens is used up.", status=429),
    service_error("ResourceNotFoundException", "This model version has reached its end of life."),
    DENIED,
    OrderError("No."),
    AudioError("No."),
    ConfigError("No."),
    CredentialsError("No credentials."),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=str)
@pytest.mark.parametrize("before", [False, True])
def test_faults_that_a_new_stream_may_mend_are_transient(error: SonicError, before: bool) -> None:
    assert is_transient(error, connected_before=before)


@pytest.mark.parametrize("error", FINAL, ids=str)
@pytest.mark.parametrize("before", [False, True])
def test_faults_that_would_come_again_are_final(error: SonicError, before: bool) -> None:
    assert not is_transient(error, connected_before=before)


@pytest.mark.parametrize(
    "error", [ConnectError("No."), DeadlineError("Late.", waited_s=1)], ids=str
)
def test_a_service_that_is_not_reached_is_final_until_it_was_reached(error: SonicError) -> None:
    assert not is_transient(error, connected_before=False)
    assert is_transient(error, connected_before=True)


def test_expired_credentials_are_tried_once_in_an_outage() -> None:
    assert has_expired_credentials(EXPIRED)
    assert not has_expired_credentials(DENIED)
    assert not has_expired_credentials(CUT)
    trying = recovery()
    assert trying.fault(EXPIRED, 0) is not None
    assert trying.fault(EXPIRED, 1) is None
    trying.worked()
    assert trying.fault(EXPIRED, 100) is not None


def test_the_first_attempt_after_a_stream_that_worked_is_made_at_once() -> None:
    trying = recovery()
    trying.opened()
    assert [trying.fault(CUT, 0) for _ in range(4)] == [0, 0.5, 1, 2]
    assert trying.attempt == 4
    trying.worked()
    assert trying.attempt == 0
    assert trying.fault(CUT, 50) == 0


def test_the_first_attempt_of_an_opening_waits() -> None:
    trying = recovery()
    assert [trying.fault(CUT, 0) for _ in range(7)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_recorded_waits_come_first_and_without_jitter() -> None:
    outage = Recovery(RecoveryPolicy(recorded_waits_s=(0.25, 3.0)), lambda: 0.9)
    assert [outage.fault(CUT, 0.0), outage.fault(CUT, 0.25)] == [0.25, 3.0]
    assert outage.fault(CUT, 3.25) not in (0.25, 3.0, None)


@given(st.floats(0, 1), st.floats(0, 0.99), st.floats(1, 10))
def test_a_wait_is_within_its_jitter_and_never_longer_than_the_longest(
    draw: float, jitter: float, factor: float
) -> None:
    trying = recovery(draw, jitter=jitter, factor=factor, patience_s=1e6)
    waits = [trying.fault(CUT, 0) for _ in range(10)]
    for number, wait_s in enumerate(waits):
        plain_s = min(0.5 * factor**number, 8.0)
        assert wait_s is not None
        assert plain_s * (1 - jitter) - 1e-9 <= wait_s <= plain_s * (1 + jitter) + 1e-9
    assert all(a <= b for a, b in pairwise(w or 0 for w in waits))
    assert trying.fault(CUT, 0) is None


@given(st.lists(st.floats(0, 30), min_size=1, max_size=40))
def test_no_attempt_begins_after_the_patience_is_over(pauses: list[float]) -> None:
    trying, now = recovery(attempts=1000), 0.0
    began = now
    for pause in pauses:
        wait_s = trying.fault(CUT, now)
        if wait_s is None:
            assert now - began + 8 * 1.25 >= 60
            break
        assert now + wait_s < began + 60
        now += wait_s + pause
        assert trying.remaining_s(now) == pytest.approx(max(0, began + 60 - now))


def test_outages_are_counted_within_their_period() -> None:
    trying = recovery(outages=3, period_s=100)
    for now in (0, 10, 20):
        assert trying.fault(CUT, now) is not None
        trying.worked()
    assert trying.fault(CUT, 30) is None
    trying.worked()
    assert trying.fault(CUT, 135) is not None


def test_without_a_policy_every_fault_is_final() -> None:
    assert Recovery(NO_RECOVERY, lambda: 0.5).fault(CUT, 0) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": -1},
        {"outages": 0},
        {"first_wait_s": 0},
        {"longest_wait_s": 0},
        {"patience_s": 0},
        {"period_s": 0},
        {"factor": 0.9},
        {"jitter": 1},
        {"jitter": -0.1},
    ],
)
def test_impossible_policies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RecoveryPolicy(**wrong)  # pyright: ignore[reportArgumentType]
