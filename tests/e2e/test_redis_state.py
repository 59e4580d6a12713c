"""The state that processes share, in a real Redis server: limits, leases, owners, faults."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from sonic_voice.bridge import redis_state
from sonic_voice.bridge.admission import Admission
from sonic_voice.bridge.closing import BridgeRefusal, Close
from sonic_voice.bridge.limits import BridgeLimits
from sonic_voice.bridge.redis_state import RedisState
from sonic_voice.bridge.saving import Record, load_record, store_key
from sonic_voice.bridge.shared_state import Claim, Renewal, StateUnavailable
from sonic_voice.config import SessionConfig
from sonic_voice.errors import ConfigError
from sonic_voice.snapshot import SessionSnapshot

from ..support.real_redis import RealRedis, real_redis

LIMITS = BridgeLimits(sessions=3, of_subject=2, of_address=2)


@pytest_asyncio.fixture
async def redis(tmp_path: Path) -> AsyncGenerator[RealRedis]:
    async with real_redis(tmp_path) as server:
        yield server


@pytest_asyncio.fixture
async def states(
    redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[RedisState, RedisState]]:
    """The states of two processes, with deadlines for a busy machine."""
    monkeypatch.setattr(redis_state, "CALL_S", 30.0)
    one, two = RedisState(redis.url), RedisState(redis.url)
    yield one, two
    await one.aclose()
    await two.aclose()


async def refused(state: RedisState | Admission, claim: Claim) -> Close | None:
    """The code with which a conversation is refused; None if it is admitted."""
    try:
        if isinstance(state, Admission):
            await state.admit(claim)
        else:
            await state.admit(claim, LIMITS)
    except BridgeRefusal as refusal:
        return refusal.close
    return None


async def test_the_limits_hold_over_two_processes(states: tuple[RedisState, RedisState]) -> None:
    one, two = states
    assert await refused(one, Claim("1", "alice", "a")) is None
    assert await refused(two, Claim("2", "alice", "b")) is None
    assert await refused(one, Claim("3", "alice", "c")) is Close.TOO_MANY_OF_SUBJECT
    assert await refused(one, Claim("4", "", "a")) is None
    assert await refused(two, Claim("5", "", "a")) is Close.FULL, "whatever else applies"
    await two.release(Claim("2", "alice", "b"))
    assert await refused(two, Claim("5", "", "a")) is Close.TOO_MANY_OF_ADDRESS
    assert await refused(one, Claim("6", "alice", "b")) is None


async def test_a_flood_at_two_processes_admits_as_many_as_the_limit(
    states: tuple[RedisState, RedisState],
) -> None:
    claims = [Claim(str(number), "", f"10.0.0.{number}") for number in range(60)]
    async with asyncio.TaskGroup() as tasks:
        flood = [
            tasks.create_task(refused(states[index % 2], claim))
            for index, claim in enumerate(claims)
        ]
    closes = [task.result() for task in flood]
    assert closes.count(None) == LIMITS.sessions
    assert set(closes) == {None, Close.FULL}


async def test_a_conversation_that_moves_is_counted_once(
    states: tuple[RedisState, RedisState],
) -> None:
    one, two = states
    for key in "123":
        await one.admit(Claim(key), BridgeLimits(sessions=3))
    assert await refused(two, Claim("3")) is None, "it is counted already"
    await one.release(Claim("3"))
    assert await refused(one, Claim("4", "", "x")) is Close.FULL, "the other process holds it"


async def test_counts_of_a_process_that_was_killed_expire(
    states: tuple[RedisState, RedisState], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_state, "LEASE_S", 0.5)
    killed, other = states
    for number in range(3):
        await killed.admit(Claim(str(number), "", str(number)), LIMITS)
    assert await refused(other, Claim("new")) is Close.FULL
    async with asyncio.timeout(20):
        while await refused(other, Claim("new")) is not None:  # noqa: ASYNC110 (Redis' clock)
            await asyncio.sleep(0.05)


async def test_renewed_counts_stay(
    states: tuple[RedisState, RedisState], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_state, "LEASE_S", 0.2)
    one, two = states
    claims = [Claim(str(number), "", str(number)) for number in range(3)]
    for claim in claims:
        await one.admit(claim, LIMITS)
    monkeypatch.setattr(redis_state, "LEASE_S", 60.0)
    await one.renew(claims)
    await asyncio.sleep(0.3)
    assert await refused(two, Claim("new")) is Close.FULL


async def test_a_token_opens_one_conversation_at_any_process(
    states: tuple[RedisState, RedisState],
) -> None:
    one, two = states
    claim = Claim("1", "alice", "a", token="t", token_s=60)
    assert await refused(one, claim) is None
    assert await refused(two, Claim("2", "alice", "a", token="t", token_s=60)) is Close.EXPIRED
    assert await refused(one, claim) is None, "the same call again, after its answer was lost"
    await one.release(claim)
    assert await refused(one, Claim("3", "alice", "a", token="t", token_s=60)) is Close.EXPIRED


async def test_a_token_is_not_used_up_by_a_refusal(states: tuple[RedisState, RedisState]) -> None:
    one, two = states
    for key in "12":
        await one.admit(Claim(key, "alice", key), LIMITS)
    claim = Claim("3", "alice", "c", token="t", token_s=60)
    assert await refused(two, claim) is Close.TOO_MANY_OF_SUBJECT
    await one.release(Claim("1", "alice", "1"))
    assert await refused(two, claim) is None


async def test_only_the_process_that_holds_a_conversation_stores_it(
    states: tuple[RedisState, RedisState],
) -> None:
    old, new = states
    claim = Claim("k")
    await old.admit(claim, LIMITS)
    await old.save("k", b"1")
    assert await new.load("k") == b"1"
    await old.save("k", b"2")
    assert await new.load("k") == b"1", "what the old process knows is of no use any more"
    await new.save("k", b"3")
    assert await old.renew([claim]) == Renewal(taken=frozenset("k"))
    await old.release(claim)
    await new.save("k", b"4")
    assert await new.load("k") == b"4"


async def test_a_process_that_slept_does_not_store_a_conversation_that_has_ended_elsewhere(
    states: tuple[RedisState, RedisState],
) -> None:
    slept, new = states
    claim = Claim("k")
    await slept.admit(claim, LIMITS)
    await slept.save("k", b"1")
    await new.load("k")
    await new.admit(claim, LIMITS)
    await new.save("k", b"ended")
    await new.release(claim)
    await slept.save("k", b"1")
    assert await slept.renew([claim]) == Renewal(taken=frozenset("k"))
    assert await new.load("k") == b"ended"


async def test_records_expire(redis: RealRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_state, "SETTLE_S", 0.0)
    state = RedisState(redis.url, max_age_s=0.05)
    await state.renew([])
    await state.save("k", b"1")
    await asyncio.sleep(0.1)
    assert await state.load("k") is None
    await state.aclose()


# -- faults ------------------------------------------------------------------------------------


async def test_a_server_that_stops_fails_at_once_is_logged_once_and_used_again(
    redis: RealRedis, states: tuple[RedisState, RedisState], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sonic_voice")
    state, claim = states[0], Claim("k", "alice", "a")
    await state.admit(claim, LIMITS)
    await redis.stop()
    for _ in range(3):
        with pytest.raises(StateUnavailable):
            await state.save("k", b"1")
        with pytest.raises(StateUnavailable):
            await state.renew([claim])
    await redis.start()
    assert (await state.renew([claim])).lost == {"k"}, "it is to be stored again"
    await state.save("k", b"2")
    assert await states[1].load("k") == b"2"
    assert await refused(states[1], Claim("l", "alice", "a")) is None
    assert await refused(states[1], Claim("m", "alice", "b")) is Close.TOO_MANY_OF_SUBJECT
    assert [entry.getMessage().split(" (")[0] for entry in caplog.records] == [
        "Redis does not answer",
        "Redis is back",
    ]


async def test_a_server_that_refuses_a_password_is_not_said_to_be_down(
    redis: RealRedis, caplog: pytest.LogCaptureFixture
) -> None:
    state = RedisState(redis.url.replace("unix://", "unix://user:wrong-password@"))
    with pytest.raises(StateUnavailable):
        await state.save("k", b"1")
    [said] = [entry.getMessage() for entry in caplog.records]
    assert said.startswith("Redis refuses its service (AuthenticationError: ")
    assert "wrong-password" not in said
    await state.aclose()


async def test_a_server_that_hangs_costs_one_deadline(
    redis: RealRedis, states: tuple[RedisState, RedisState], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_state, "CALL_S", 0.2)
    state = states[0]
    await state.admit(Claim("k"), LIMITS)
    redis.hold()
    with pytest.raises(StateUnavailable):
        await state.save("k", b"1")
    began_s = time.monotonic()
    for _ in range(1000):
        with pytest.raises(StateUnavailable):
            await state.save("k", b"1")
    assert time.monotonic() - began_s < 1000 * 0.2, "no further call has waited"
    redis.go_on()
    monkeypatch.setattr(redis_state, "CALL_S", 30.0)
    await state.renew([Claim("k")])
    await state.save("k", b"2")
    assert await states[1].load("k") == b"2"


async def test_after_a_loss_a_conversation_may_still_be_stored_for_a_while(
    redis: RealRedis, states: tuple[RedisState, RedisState], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = states
    monkeypatch.setattr(redis_state, "SETTLE_S", 0.0)
    await one.renew([])
    assert await two.load("k") is None, "nobody has it"
    await redis.stop()
    await redis.start()
    with pytest.raises(StateUnavailable):
        await two.load("k")
    monkeypatch.setattr(redis_state, "SETTLE_S", 60.0)
    await one.renew([])
    with pytest.raises(StateUnavailable):
        await two.load("k")
    with pytest.raises(BridgeRefusal) as refusal:
        await load_record(two, "token")
    assert refusal.value.close is Close.RESTART, "the page tries again"


async def test_a_stored_conversation_is_found_by_its_token_alone(
    states: tuple[RedisState, RedisState],
) -> None:
    record = Record(SessionSnapshot(config=SessionConfig(), turn=3), "ann", 7)
    await states[0].save(store_key("token"), record.to_bytes())
    assert await load_record(states[1], "token") == record


async def test_without_the_server_each_process_has_its_own_limits(redis: RealRedis) -> None:
    async with AsyncExitStack() as stack:
        processes: list[Admission] = []
        for _ in range(2):
            state = RedisState(redis.url)
            stack.push_async_callback(state.aclose)
            processes.append(Admission(LIMITS, state, local_sessions=2))
        one, two = processes
        assert await refused(one, Claim("1", "alice", "a", token="t", token_s=60)) is None
        await redis.stop()
        assert await refused(one, Claim("2", "bob", "b", token="t", token_s=60)) is Close.EXPIRED
        assert await refused(one, Claim("2", "bob", "b")) is None
        assert await refused(one, Claim("3", "carol", "c")) is Close.FULL
        assert await refused(two, Claim("4", "carol", "d")) is None
        assert await one.renew() == Renewal()
        await redis.start()
        assert (await one.renew()).lost == {"1", "2"}
        assert (await two.renew()).lost == {"4"}
        assert await refused(two, Claim("5", "dave", "e")) is Close.FULL, "three talk in all"
        two.release(Claim("4", "carol", "d"))
        await two.aclose()
        assert await refused(one, Claim("5", "dave", "e")) is None


async def test_a_page_that_resumes_twice_at_once_is_counted_until_both_are_over(
    redis: RealRedis,
) -> None:
    state = RedisState(redis.url)
    admission, claim = Admission(LIMITS, state), Claim("k", "alice", "a")
    await admission.admit(claim)
    await admission.admit(claim)
    admission.release(claim)
    await admission.aclose()
    assert (await admission.renew()) == Renewal(), "it is held"
    admission.release(claim)
    await admission.aclose()
    assert admission.talking == 0
    await state.aclose()


def test_a_url_that_cannot_be_read_is_an_error_that_does_not_repeat_it() -> None:
    with pytest.raises(ConfigError) as refusal:
        RedisState("http://user:word@host")
    assert "word" not in refusal.value.message + refusal.value.hint
