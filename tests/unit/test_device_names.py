"""Names of devices become the same text, whichever way a sound library delivers them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sonic_voice.devices.device_names import decoded_name

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
"""Texts without control characters and lone surrogates."""

WINDOWS_NAME_BYTES = 31
"""Length after which Windows' oldest interface cuts names, in bytes."""


@given(NAMES)
def test_text_and_its_bytes_in_utf8_are_the_same_name(name: str) -> None:
    assert decoded_name(name.encode(), "utf-8") == name
    assert decoded_name(name, "utf-8") == name


@given(NAMES, st.sampled_from(["cp1252", "cp1251", "latin-1"]))
def test_utf8_that_was_decoded_with_the_encoding_of_the_system_is_decoded_again(
    name: str, encoding: str
) -> None:
    try:
        wrong = name.encode().decode(encoding)
    except UnicodeDecodeError:
        return  # PyAudio then returns the bytes
    assert decoded_name(wrong, encoding) == name


@given(NAMES)
def test_a_name_that_is_cut_in_the_middle_of_a_letter_loses_that_letter(name: str) -> None:
    raw = name.encode()
    cut = raw[:WINDOWS_NAME_BYTES]
    whole = cut.decode(errors="ignore")
    assume(not whole.isascii())
    assert decoded_name(cut, "cp1252") == whole


@pytest.mark.parametrize(
    ("name", "encoding", "expected"),
    [
        (b"Kopfh\xf6rer", "utf-8", "Kopfhörer"),
        (b"Kopfh\xf6rer", "cp1252", "Kopfhörer"),
        (b"\x83w\x83b\x83h", "cp932", "ヘッド"),
        (b"\xcd\xe0\xf3\xf8\xed\xe8\xea\xe8", "cp1251", "Наушники"),
        ("KopfhÃ¶rer", "cp1252", "Kopfhörer"),
        ("Kopfhörer", "cp1252", "Kopfhörer"),
        ("Café", "cp1252", "Café"),
        ("ヘッド", "cp1252", "ヘッド"),
        (b"\x81", "utf-8", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_names_of_real_systems(name: bytes | str, encoding: str, expected: str) -> None:
    assert decoded_name(name, encoding) == expected


@given(st.binary(min_size=1))
def test_any_bytes_have_a_name(raw: bytes) -> None:
    assert decoded_name(raw).encode()
