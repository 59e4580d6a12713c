"""What one client may send, and how many may wait: counted before anything is parsed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.bridge.closing import BridgeRefusal, Close
from sonic_voice.bridge.limits import BridgeLimits, ConcurrencyLimit
from sonic_voice.bridge.rationing import FrameRation, PendingLimit

LIMITS = BridgeLimits(messages_per_s=100, controls_per_s=5, burst_s=10)


def test_pings_are_rationed_more_strictly_than_messages() -> None:
    pings, messages = FrameRation(LIMITS, now_s=0), FrameRation(LIMITS, now_s=0)
    for _ in range(50):
        pings.consume_control(0)
    with pytest.raises(BridgeRefusal):
        pings.consume_control(0)
    for _ in range(1000):
        messages.consume(1, 0)


def test_the_limit_of_messages_ends_a_conversation_before_that_of_frames() -> None:
    """It has a reason that a page can show, also when a stalled network delivers all at once."""
    defaults = BridgeLimits()
    ration = FrameRation(defaults, now_s=0)
    for _ in range(round(defaults.messages_per_s * defaults.burst_s)):
        ration.consume(1, 0)


@given(st.lists(st.tuples(st.floats(0, 0.2), st.booleans()), max_size=300))
def test_no_client_sends_more_than_its_burst_and_the_average(
    frames: list[tuple[float, bool]],
) -> None:
    ration, now_s, controls = FrameRation(LIMITS, now_s=0), 0.0, 0
    for pause_s, control in frames:
        now_s += pause_s
        try:
            if control:
                ration.consume_control(now_s)
            else:
                ration.consume(1, now_s)
        except BridgeRefusal:
            return
        controls += control
        assert controls <= 50 + 5 * now_s + 1e-6


def test_one_address_cannot_lock_out_the_others() -> None:
    pending = PendingLimit(4, 2)
    for address, close in (
        ("a", None),
        ("a", None),
        ("a", Close.TOO_MANY_OF_ADDRESS),
        ("b", None),
        ("2001:db8::1", None),
        ("c", Close.FULL),
    ):
        if close is None:
            pending.admit(address)
            continue
        with pytest.raises(BridgeRefusal) as refused:
            pending.admit(address)
        assert refused.value.close is close
    pending.release("2001:db8::2")  # of the same network, which is the same client
    pending.admit("c")


def test_a_full_server_says_so_whoever_asks() -> None:
    limit = ConcurrencyLimit(BridgeLimits(sessions=1, of_subject=1, of_address=1))
    limit.admit("alice", "a")
    with pytest.raises(BridgeRefusal) as refused:
        limit.admit("alice", "a")
    assert refused.value.close is Close.FULL


def test_an_ipv6_customer_is_one_client() -> None:
    limit = ConcurrencyLimit(BridgeLimits(of_address=1))
    limit.admit("", "2001:db8::1")
    with pytest.raises(BridgeRefusal):
        limit.admit("", "2001:db8::2")
    limit.release("", "2001:db8::3")
    limit.admit("", "2001:db8::4")
