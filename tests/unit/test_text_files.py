"""Users' text files: UTF-8 and what a BOM announces are read, others are refused with the place."""

import codecs
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.cli.service import read_text_argument
from sonic_voice.cli.tools_file import load_tools
from sonic_voice.emulator.scenario import load_scenario, mistakes
from sonic_voice.errors import ConfigError
from sonic_voice.snapshot import SessionSnapshot
from sonic_voice.text_files import decode_text, read_text_file

ENCODINGS = {
    "UTF-8": (b"", "utf-8"),
    "UTF-8 with BOM": (codecs.BOM_UTF8, "utf-8"),
    "UTF-16 LE, as Notepad writes it": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "UTF-16 BE": (codecs.BOM_UTF16_BE, "utf-16-be"),
    "UTF-32 LE": (codecs.BOM_UTF32_LE, "utf-32-le"),
    "UTF-32 BE": (codecs.BOM_UTF32_BE, "utf-32-be"),
}
"""Each BOM, and the encoding that it announces."""

every_encoding = pytest.mark.parametrize(("bom", "encoding"), ENCODINGS.values(), ids=ENCODINGS)


@every_encoding
@given(text=st.text(st.characters(exclude_characters="\r\0\ufeff", exclude_categories=["Cs"])))
def test_a_text_is_read_without_its_bom(bom: bytes, encoding: str, text: str) -> None:
    assert decode_text(bom + text.encode(encoding), "a.txt") == text


def test_line_ends_of_windows_are_line_ends() -> None:
    assert decode_text(b"one\r\ntwo\rthree\n", "a.txt") == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"one\ntwo \xe9t\xe9\n", "a.txt is not text in UTF-8: byte 0xe9 at offset 8, in line 2"),
        (codecs.BOM_UTF8 + b"ab\xff", "byte 0xff at offset 5, in line 1"),
        (codecs.BOM_UTF16_LE + "a\n".encode("utf-16-le") + b"\x00\xdc", "at offset 6, in line 2"),
        (codecs.BOM_UTF16_BE + b"\x00a\x00", "UTF-16-BE that its first bytes announce"),
        (b"cut \xe2\x82", "byte 0xe2 at offset 4"),
    ],
)
def test_another_encoding_is_refused_with_the_place(content: bytes, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode_text(content, "a.txt")
    assert place in caught.value.message
    assert "Save it as UTF-8" in caught.value.hint


@given(st.binary())
def test_any_content_is_text_or_refused(content: bytes) -> None:
    with suppress(ConfigError):
        assert "\r" not in decode_text(content, "a.txt")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read .*missing"):
        read_text_file(tmp_path / "missing")


@every_encoding
def test_a_system_prompt_is_read(bom: bytes, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_bytes(bom + "Grüße.\r\n".encode(encoding))
    assert read_text_argument(f"@{tmp_path / 'prompt'}") == "Grüße.\n"


@every_encoding
@pytest.mark.parametrize("name", ["a.yaml", "a.toml"])
def test_a_scenario_is_read(bom: bytes, encoding: str, name: str, tmp_path: Path) -> None:
    text = "steps:\n- {user: hello, say: Grüße}\n"
    if name == "a.toml":
        text = '[[steps]]\nuser = "hello"\nsay = "Grüße"\n'
    (tmp_path / name).write_bytes(bom + text.encode(encoding))
    assert load_scenario(tmp_path / name).steps


def test_a_scenario_in_another_encoding_is_refused_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"steps:\n- {user: caf\xe9}\n")
    [mistake] = mistakes(tmp_path / "a.yaml")
    assert "byte 0xe9 at offset 19, in line 2" in mistake.message


@every_encoding
def test_tools_are_read(bom: bytes, encoding: str, tmp_path: Path) -> None:
    text = (
        'from sonic_voice import tool\n@tool\ndef ask() -> str:\n    """Ask."""\n    return "ü"\n'
    )
    (tmp_path / "asking_tools.py").write_bytes(bom + text.encode(encoding))
    assert [spec.name for spec in load_tools(tmp_path / "asking_tools.py").specs] == ["ask"]


def test_tools_in_the_encoding_that_they_declare_are_read(tmp_path: Path) -> None:
    text = (
        "# -*- coding: latin-1 -*-\nfrom sonic_voice import tool\n\n"
        '@tool\ndef ask() -> str:\n    """Fragen, wie spät es ist: ü."""\n    return "ü"\n'
    )
    (tmp_path / "latin_tools.py").write_bytes(text.encode("latin-1"))
    [spec] = load_tools(tmp_path / "latin_tools.py").specs
    assert "spät" in spec.description


def test_tools_in_another_encoding_are_refused_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "wrong_tools.py").write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="byte 0xe9 at offset 5, in line 1"):
        load_tools(tmp_path / "wrong_tools.py")


@every_encoding
def test_a_saved_conversation_is_read(bom: bytes, encoding: str) -> None:
    with pytest.raises(ConfigError, match="'version' is missing"):
        SessionSnapshot.from_json(decode_text(bom + b"{}".decode().encode(encoding), "a.json"))
