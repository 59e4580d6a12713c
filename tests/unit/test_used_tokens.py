"""Tokens that open one conversation only: how they are recognised, and for how long."""

import pytest

from sonic_voice.bridge.closing import BridgeRefusal, Close
from sonic_voice.bridge.tokens import UsedTokens, issue_token, token_key

SECRET = b"0123456789abcdef0123456789abcdef"


def is_used(tokens: UsedTokens, key: str, now_s: float) -> bool:
    try:
        tokens.check(key, now_s)
    except BridgeRefusal as refusal:
        return refusal.close is Close.EXPIRED
    return False


def test_a_token_is_used_until_it_expires() -> None:
    tokens = UsedTokens()
    assert not is_used(tokens, "a", 0)
    tokens.add("a", 60, 0)
    assert is_used(tokens, "a", 59.9)
    assert not is_used(tokens, "b", 1)
    assert not is_used(tokens, "a", 60), "it is refused as expired"


def test_expired_tokens_make_room_before_one_that_is_valid_is_forgotten() -> None:
    tokens = UsedTokens(most=2)
    tokens.add("short", 10, 0)
    tokens.add("long", 60, 0)
    tokens.add("next", 60, 11)
    assert is_used(tokens, "long", 12)
    assert is_used(tokens, "next", 12)
    tokens.add("last", 60, 12)
    assert [is_used(tokens, key, 13) for key in ("long", "next", "last")] == [False, True, True]


@pytest.mark.parametrize("end", ["", "=", "A"])
def test_another_spelling_of_the_signature_is_the_same_token(end: str) -> None:
    token = issue_token(SECRET, "alice", now_s=0)
    assert token_key(token[: len(token) - len(end)] + end) == token_key(token)
    other = issue_token(SECRET, "alice", now_s=1)
    assert token_key(other) != token_key(token)
    assert token not in token_key(token)
