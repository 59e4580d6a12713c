"""The rules of AgentCore Runtime: what its headers say, and how its health check is answered."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.bridge import Access
from sonic_voice.bridge.agentcore import (
    BEARER_PROTOCOL,
    SESSION_HEADER,
    PingStatus,
    choose_subprotocol,
    session_id,
    verified_subject,
)
from sonic_voice.bridge.closing import BridgeRefusal
from sonic_voice.bridge.frames import FRAGMENT_BYTES, fragments
from sonic_voice.bridge.messages import SUBPROTOCOL
from sonic_voice.errors import ConfigError


def bearer(claims: Any) -> dict[str, str]:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return {"authorization": f"Bearer e30.{part}.signature"}


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        (bearer({"sub": "alice"}), "alice"),
        ({"authorization": bearer({"sub": "a"})["authorization"].replace("Bearer", "bearer")}, "a"),
        (bearer({"sub": "a" * 129}), ""),
        (bearer({"sub": 7}), ""),
        (bearer({}), ""),
        (bearer(["sub"]), ""),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=a.b.c"}, ""),
        ({"authorization": "Bearer e30.\xff.x"}, ""),
        ({"authorization": "Bearer e30.!.x"}, ""),
        ({}, ""),
    ],
)
def test_the_subject_is_that_of_a_token_which_the_platform_forwards(
    headers: dict[str, str], subject: str
) -> None:
    assert verified_subject(headers) == subject


@given(st.text())
def test_any_authorization_gives_a_subject_or_none(text: str) -> None:
    assert isinstance(verified_subject({"authorization": f"Bearer a.{text}.b"}), str)


@pytest.mark.parametrize(
    ("given", "id"),
    [("0b2f7a54-5b9f-4c4e-9a3b-1d2c3b4a5f60", "=="), ("", ""), ("a b", ""), ("x" * 257, "")],
)
def test_a_session_id_is_believed_if_it_has_the_form_of_one(given: str, id: str) -> None:
    assert session_id({SESSION_HEADER: given}) == (given if id == "==" else id)
    assert session_id({}) == ""


def test_only_known_subprotocols_are_agreed_on() -> None:
    assert choose_subprotocol([f"{BEARER_PROTOCOL}.dG9rZW4", BEARER_PROTOCOL]) == BEARER_PROTOCOL
    assert choose_subprotocol([BEARER_PROTOCOL, SUBPROTOCOL]) == SUBPROTOCOL
    assert choose_subprotocol([]) is None
    assert choose_subprotocol(["chat"]) is None


def test_a_ping_tells_when_the_state_has_changed() -> None:
    status = PingStatus()
    answers = [
        json.loads(status.body(busy=busy, now_s=now_s))
        for busy, now_s in ((False, 10.5), (False, 11), (True, 12), (True, 13), (False, 14))
    ]
    assert answers == [
        {"status": "Healthy", "time_of_last_update": 10},
        {"status": "Healthy", "time_of_last_update": 10},
        {"status": "HealthyBusy", "time_of_last_update": 12},
        {"status": "HealthyBusy", "time_of_last_update": 12},
        {"status": "Healthy", "time_of_last_update": 14},
    ]


def test_a_foreign_page_is_refused_and_no_other_tokens_can_be_asked_for() -> None:
    access = Access(agentcore=True)
    access.check_host("0.0.0.0")
    access.check_origin(None)
    with pytest.raises(BridgeRefusal):
        access.check_origin("https://evil.example")
    with pytest.raises(BridgeRefusal):
        Access(anonymous=True).check_origin(None)
    assert not access.is_open_to(remote=False)
    with pytest.raises(ConfigError, match="AgentCore"):
        Access(agentcore=True, secret=b"x" * 32)


@given(st.text(alphabet="a\u00e9\U0001f600", min_size=0, max_size=40), st.integers(1, 3000))
def test_a_text_is_cut_into_frames_below_the_limit(letters: str, times: int) -> None:
    text = letters * times
    cut = fragments(text)
    parts = [cut] if isinstance(cut, str) else cut
    assert "".join(parts) == text
    assert all(len(part.encode()) <= FRAGMENT_BYTES for part in parts if parts != [text])
    assert len(text.encode()) <= FRAGMENT_BYTES or len(parts) > 1
