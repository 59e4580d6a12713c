"""Chat history: the order and the sizes the service takes (reference 2.9, 0.4)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.catalog import DEFAULT_MODEL, voice_model
from sonic_voice.config import SessionConfig
from sonic_voice.errors import ConfigError
from sonic_voice.history import (
    ASSISTANT_FIRST,
    CHUNK_BYTES,
    ELLIPSIS,
    Message,
    chunks,
    fits,
    normalise,
    total_bytes,
)

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
def test_a_history_keeps_every_word(history: list[Message]) -> None:
    spoken = [message.text for message in history if message.text.strip()]
    kept = [message.text for message in normalise(history, LIMITS)]
    if kept[:1] == [ASSISTANT_FIRST]:
        kept = kept[1:]
    assert "\n".join(kept) == "\n".join(spoken)
    assert all(text.strip() for text in kept)


def test_a_greeting_that_comes_first_is_kept_behind_a_message_that_says_so() -> None:
    said = (Message("ASSISTANT", "Hello! May I record this?"), Message("USER", "Yes."))
    assert normalise(said, LIMITS) == (Message("USER", ASSISTANT_FIRST), *said)
    assert normalise(said, LIMITS, "trim") == (Message("USER", ASSISTANT_FIRST), *said)


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
    assert bool(kept) == bool(whole)
    if kept != whole and kept[0].text != ASSISTANT_FIRST and not kept[-1].text.startswith(ELLIPSIS):
        assert whole[len(whole) - len(kept) :] == kept
        longer = whole[-len(kept) - 2 :]
        assert longer[0].role != "USER" or not fits(list(longer), SMALL)


sizes = st.integers(40, 200)


@given(histories, sizes, sizes, st.integers(2, 6))
def test_trimming_never_raises_whatever_the_sizes(
    history: list[Message], one_bytes: int, all_bytes: int, messages: int
) -> None:
    limits = replace(
        LIMITS,
        history_message_bytes=one_bytes,
        history_bytes=all_bytes,
        history_messages=messages,
    )
    kept = normalise(history, limits, "trim")
    assert normalise(kept, limits, "error") == kept
    said = "\n".join(message.text for message in history if message.text.strip())
    for message in kept:
        cut = message.text.startswith(ELLIPSIS)
        words = message.text.removeprefix(ELLIPSIS).strip()
        assert message.text == ASSISTANT_FIRST or (words if cut else message.text) in said


def test_a_message_over_its_limit_loses_its_beginning_up_to_a_sentence_or_a_word() -> None:
    limits = replace(LIMITS, history_message_bytes=32)
    for text, kept in (
        ("It was late. We went home. Nobody spoke.", "… We went home. Nobody spoke."),
        ("one two three four five six seven eight nine", "… five six seven eight nine"),
        ("donaudampfschifffahrtsgesellschaftskapitaen", ELLIPSIS),
    ):
        [message] = normalise([Message("USER", text)], limits, "trim")
        assert len(message.text.encode()) <= 32
        assert message.text.startswith(kept)
        assert text.endswith(message.text.removeprefix(ELLIPSIS))


def test_neighbours_merged_past_the_limit_are_trimmed_from_the_oldest() -> None:
    limits = replace(LIMITS, history_message_bytes=40)
    said = [Message("USER", f"This is sentence number {n}.") for n in range(3)]
    assert normalise(said, limits, "trim") == (Message("USER", "… This is sentence number 2."),)


def test_an_oldest_message_over_the_limit_is_trimmed_and_the_newer_ones_stay() -> None:
    limits = voice_model("amazon.nova-sonic-v1:0").limits
    said = [Message("USER", "word " * 20_000), Message("ASSISTANT", "Yes."), Message("USER", "Go.")]
    kept = normalise(said, limits, "trim")
    assert fits(list(kept), limits)
    assert kept[-1] == Message("USER", "Go.")
    with pytest.raises(ConfigError, match="100000 bytes"):
        normalise(said, limits, "error")


@given(histories)
def test_a_history_over_the_limits_is_an_error_and_not_cut_unasked(history: list[Message]) -> None:
    whole = normalise(history, LIMITS)
    if fits(list(whole), SMALL):
        assert normalise(history, SMALL) == whole
    else:
        with pytest.raises(ConfigError, match="trim"):
            normalise(history, SMALL, "error")


def test_a_message_over_its_own_limit_is_refused_under_the_policy_error() -> None:
    limits = replace(LIMITS, history_message_bytes=4)
    assert normalise([Message("USER", "éé")], limits)
    with pytest.raises(ConfigError, match="5 bytes"):
        normalise([Message("USER", "ééa")], limits)


@pytest.mark.parametrize("policy", ["error", "trim"])
@pytest.mark.parametrize(
    ("history", "says"),
    [
        ("hello", "is a str, not"),
        (b"hello", "is a bytes, not"),
        (None, "is a NoneType, not"),
        (7, "is a int, not"),
        (Message("USER", "hello"), "is a Message, not"),
        ({"role": "USER", "text": "hello"}, "Message 1 of the history is a str"),
        ([{"role": "USER", "text": "hello"}], "Message 1 of the history is a dict"),
        ([Message("USER", "hello"), ("ASSISTANT", "hi")], "Message 2 of the history is a tuple"),
        ([None], "Message 1 of the history is a NoneType"),
        ([Message("USER", None)], "text of message 1 of the history is a NoneType"),  # type: ignore[arg-type]
        ([Message("USER", ["hi"])], "text of message 1 of the history is a list"),  # type: ignore[arg-type]
        ([Message(["USER"], "hi")], "has the role"),  # type: ignore[arg-type]
        ([Message("USER", "\ud800")], "not valid Unicode"),
    ],
)
def test_what_is_no_message_gets_a_sentence(history: Any, says: str, policy: Any) -> None:
    with pytest.raises(ConfigError, match=says):
        SessionConfig(history=history, history_policy=policy)


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
