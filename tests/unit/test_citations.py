"""Every fact of the service names its source: a section of `sonic_voice/wire/PROTOCOL.md`."""

import re
from pathlib import Path

import sonic_voice

PACKAGE = Path(sonic_voice.__file__).parent
REFERENCE = PACKAGE / "wire" / "PROTOCOL.md"
TESTS = Path(__file__).resolve().parents[1]

HEADING = re.compile(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", re.MULTILINE)
CITATION = re.compile(
    r"\breference,?\s(?:section\s)?(\d+(?:\.\d+)?(?:(?:,| and| to)\s\d+(?:\.\d+)?)*)"
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
UNKNOWN_DOCUMENTS = re.compile(r"\b(DESIGN|FIELD|ENGINES|LIBRARIES|SURROUNDINGS|ECHO)\.md\b")

SOURCES = [
    path
    for folder, endings in ((PACKAGE, ("py", "html", "md")), (TESTS, ("py",)))
    for ending in endings
    for path in sorted(folder.rglob(f"*.{ending}"))
    if "node_modules" not in path.parts and path not in (REFERENCE, Path(__file__).resolve())
]


def sections() -> set[str]:
    """Return the numbers of the headings of the reference, such as "3" and "3.11"."""
    return set(HEADING.findall(REFERENCE.read_text(encoding="utf-8")))


def citations(text: str) -> list[str]:
    """Return the numbers of the sections that `text` cites."""
    return [number for cited in CITATION.findall(text) for number in NUMBER.findall(cited)]


def test_the_reference_has_sections() -> None:
    assert {"0.4", "1", "1.7", "3.11", "6", "13"} <= sections()


def test_every_form_of_a_citation_is_read() -> None:
    text = "(reference 1.7), protocol reference 1.2 to 1.9 and 11.2, the reference, section 6."
    assert citations(text) == ["1.7", "1.2", "1.9", "11.2", "6"]


def test_every_citation_is_a_heading_of_the_reference() -> None:
    known, wrong, cited = sections(), dict[str, list[str]](), 0
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        numbers = citations(text)
        cited += len(numbers)
        if found := [n for n in numbers if n not in known] + UNKNOWN_DOCUMENTS.findall(text):
            wrong[str(path)] = found
    assert wrong == {}
    assert cited > 100
