"""Renewal: when the next stream is prepared, and when the conversation moves there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.errors import ConfigError
from sonic_voice.policies import NO_RENEWAL, RenewalPolicy
from sonic_voice.renewal import SHORT_CREDENTIALS_S, LiveState, Renewal, Step

QUIET = LiveState(user_speaks=False, user_quiet_s=10, owes=False)
SPEAKING = LiveState(user_speaks=True, user_quiet_s=0, owes=True)
LOUD = LiveState(user_speaks=False, user_quiet_s=0.1, owes=False)
OWING = LiveState(user_speaks=False, user_quiet_s=10, owes=True)
states = st.sampled_from([QUIET, SPEAKING, LOUD, OWING])
lives = st.floats(1, 10_000)


def renewal(life_s: float = 480, **more: float) -> Renewal:
    return Renewal(RenewalPolicy(), life_s=life_s, **more)


@pytest.mark.parametrize(
    ("age_s", "state", "prepared_since_s", "step"),
    [
        (359, QUIET, None, Step.WAIT),
        (360, QUIET, None, Step.PREPARE),
        (360, SPEAKING, None, Step.PREPARE),
        (361, QUIET, 360, Step.SWITCH),
        (361, SPEAKING, 360, Step.WAIT),
        (361, LOUD, 360, Step.WAIT),
        (361, OWING, 360, Step.WAIT),
        (390, OWING, 360, Step.PREPARE),
        (390, QUIET, 360, Step.SWITCH),
        (449, OWING, 440, Step.WAIT),
        (450, OWING, 440, Step.SWITCH),
        (450, SPEAKING, 440, Step.SWITCH),
        (450, QUIET, None, Step.PREPARE),
    ],
)
def test_the_steps_of_a_renewal(
    age_s: float, state: LiveState, prepared_since_s: float | None, step: Step
) -> None:
    assert renewal().decide(age_s, state, prepared_since_s) is step


@given(lives, st.floats(0, 1), states, st.booleans())
def test_nothing_is_switched_before_the_prepare_age_nor_kept_after_the_latest(
    life_s: float, share: float, state: LiveState, prepared: bool
) -> None:
    age_s = share * life_s
    step = renewal(life_s).decide(age_s, state, age_s if prepared else None)
    if share < 0.7499:
        assert step is Step.WAIT
    if share > 0.9376:
        assert step is (Step.SWITCH if prepared else Step.PREPARE)
    if step is Step.SWITCH and share < 0.9374:
        assert state is QUIET


@given(lives, st.floats(0, 1.2), states)
def test_the_next_check_is_not_later_than_the_next_age_at_which_something_changes(
    life_s: float, share: float, state: LiveState
) -> None:
    renewing, age_s = renewal(life_s), share * life_s
    next_s = renewing.next_check_s(age_s)
    assert next_s >= age_s
    if next_s > age_s:
        before_s = age_s + (next_s - age_s) * 0.99
        now, then = (renewing.decide(a, state, age_s) for a in (age_s, before_s))
        assert now is then or Step.PREPARE in (now, then)  # a prepared stream grows old, too


@given(st.floats(0, 10_000))
def test_credentials_that_expire_are_left_in_time(expires_s: float) -> None:
    renewing = Renewal(RenewalPolicy(), life_s=480, expires_s=expires_s)
    latest_s = expires_s - 180
    if SHORT_CREDENTIALS_S <= latest_s < 450:
        assert renewing.reason == "credentials"
        assert renewing.decide(latest_s, SPEAKING, latest_s) is Step.SWITCH
        assert renewing.is_due(max(0, latest_s - 90 + 1e-6))
    else:
        assert renewing.reason == "age"
        assert not renewing.is_due(359)


def test_without_a_policy_a_renewal_is_due_only_when_it_is_asked_for() -> None:
    renewing = Renewal(NO_RENEWAL, life_s=480, expires_s=300)
    assert not renewing.is_due(1e9)
    assert renewing.next_check_s(0) == float("inf")
    renewing.request("update", 100, within_s=15)
    assert renewing.reason == "update"
    assert renewing.decide(100, OWING, None) is Step.PREPARE
    assert renewing.decide(101, OWING, 100) is Step.WAIT
    assert renewing.decide(115, OWING, 100) is Step.SWITCH


@given(st.floats(0, 480), st.floats(0, 480))
def test_a_request_never_makes_a_renewal_later(age_s: float, within_s: float) -> None:
    renewing = renewal()
    due_before = renewing.is_due(age_s)
    renewing.request("update", age_s, within_s=within_s)
    assert renewing.is_due(age_s)
    assert renewing.decide(450, SPEAKING, 450) is Step.SWITCH
    assert due_before <= renewing.is_due(age_s)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prepare_share": 0.0},
        {"prepare_share": 0.95},
        {"latest_share": 1.0},
        {"before_expiry_s": 0.0},
        {"prepared_life_s": -1.0},
        {"quiet_s": -0.1},
    ],
)
def test_impossible_policies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RenewalPolicy(**wrong)  # pyright: ignore[reportArgumentType]
