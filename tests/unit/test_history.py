"""Chat history: the order and the sizes the service takes (reference 2.9, 0.4)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.catalog import DEFAULT_MODEL, voice_model
from sonic_voice.errors import ConfigError
from sonic_voice.history import CHUNK_BYTES, Message, chunks, fits, normalise, total_bytes

LIMITS = voice_model(DEFAULT_MODEL).limits
SMALL = replace(LIMITS, history_bytes=60, history_message_bytes=1_000, history_messages=4)

# Characters of every UTF-8 length, and spaces, where cuts are preferred.
texts = st.text(alphabet="a é€\N{GRINNING FACE}\n", max_size=40)
messages = st.builds(Message, st.sampled_from(["USER", "ASSISTANT"]), texts)
histories = st.lists(messages, max_size=12)


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.integers(4, 50))
def test_chunks_joined_are_the_text_and_none_is_over_the_limit(text: str, limit: int) -> None:
    pieces = list(chunks(text, limit))
    assert "".join(pieces) == text
    assert all(0 < len(piece.encode()) <= limit for piece in pieces)


@given(texts, st.integers(4, 20))
def test_chunks_are_never_cut_inside_a_character(text: str, limit: int) -> None:
    assert all(not set(piece) - set(text) for piece in chunks(text, limit))


@given(st.integers(0, 3), st.sampled_from("aé€\N{GRINNING FACE}"))
def test_chunks_of_the_services_size_are_nearly_full(shift: int, character: str) -> None:
    *full, rest = chunks("a" * shift + character * 1_000)
    assert all(CHUNK_BYTES - 3 <= len(piece.encode()) <= CHUNK_BYTES for piece in full)
    assert 0 < len(rest.encode()) <= CHUNK_BYTES


def test_a_chunk_ends_after_a_space_of_its_second_half() -> None:
    assert list(chunks("one two three", 10)) == ["one two ", "three"]
    assert list(chunks("o netwothree", 10)) == ["o netwothr", "ee"]


def test_no_text_is_no_chunk() -> None:
    assert list(chunks("")) == []


@given(histories)
def test_a_history_begins_with_the_user_and_alternates(history: list[Message]) -> None:
    roles = [message.role for message in normalise(history, LIMITS)]
    assert roles == ["USER", "ASSISTANT"] * (len(roles) // 2) + ["USER"] * (len(roles) % 2)


@given(histories)
def test_a_history_keeps_every_word_from_the_first_of_the_user(history: list[Message]) -> None:
    spoken = [message for message in history if message.text.strip()]
    first = next((i for i, message in enumerate(spoken) if message.role == "USER"), len(spoken))
    kept = normalise(history, LIMITS)
    assert "\n".join(m.text for m in kept) == "\n".join(m.text for m in spoken[first:])
    assert all(message.text.strip() for message in kept)


@given(histories)
def test_a_normalised_history_is_left_as_it_is(history: list[Message]) -> None:
    for limits in (LIMITS, SMALL):
        once = normalise(history, limits, "trim")
        assert normalise(once, limits, "error") == once


@given(histories)
def test_trimming_keeps_the_newest_and_no_fewer_than_fit(history: list[Message]) -> None:
    whole = normalise(history, LIMITS)
    kept = normalise(history, SMALL, "trim")
    assert fits(list(kept), SMALL)
    assert whole[len(whole) - len(kept) :] == kept
    longer = whole[-len(kept) - 2 :]
    assert longer == kept or longer[0].role != "USER" or not fits(list(longer), SMALL)


@given(histories)
def test_a_history_over_the_limits_is_an_error_and_not_cut_unasked(history: list[Message]) -> None:
    whole = normalise(history, LIMITS)
    if fits(list(whole), SMALL):
        assert normalise(history, SMALL) == whole
    else:
        with pytest.raises(ConfigError, match="trim"):
            normalise(history, SMALL, "error")


@pytest.mark.parametrize("policy", ["error", "trim"])
def test_a_message_over_its_own_limit_is_refused_whatever_the_policy(policy: str) -> None:
    limits = replace(LIMITS, history_message_bytes=4)
    assert normalise([Message("USER", "éé")], limits)
    with pytest.raises(ConfigError, match="5 bytes"):
        normalise([Message("USER", "ééa")], limits, "trim" if policy == "trim" else "error")


def test_the_number_of_messages_is_limited_too() -> None:
    turns = [Message(("USER", "ASSISTANT")[i % 2], "x") for i in range(41)]
    assert len(normalise(turns[:40], LIMITS)) == 40
    with pytest.raises(ConfigError, match="41 messages"):
        normalise(turns, LIMITS)
    assert normalise(turns, LIMITS, "trim") == tuple(turns[2:])


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ConfigError, match="'TOOL'"):
        normalise([Message("TOOL", "x")], LIMITS)  # pyright: ignore[reportArgumentType]


def test_bytes_are_counted_and_not_characters() -> None:
    assert total_bytes([Message("USER", "é€"), Message("ASSISTANT", "a")]) == 6
