"""Documents of a folder, divided into passages that can be found and read out.

A passage is one paragraph or several, up to `PASSAGE_CHARACTERS`, with the heading above it. Text
and Markdown files are read; others are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileError
from ..text_files import read_text_file

SUFFIXES = frozenset({".md", ".txt", ".rst"})
"""Suffixes of the files that are read."""

PASSAGE_CHARACTERS = 900
"""Maximum length of a passage, in characters: a minute when it is read out."""

MAX_FILE_BYTES = 5_000_000
"""Maximum size of a file, in bytes; larger ones are no texts for people."""

MAX_PASSAGES = 20_000
"""Maximum number of passages of a folder. With vectors of 1024 numbers they take 80 MB."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of a document."""

    source: str
    """Path of the file within the folder, with the heading: `hours.md, Opening hours`."""
    text: str


def read_passages(folder: Path) -> list[Passage]:
    """Return the passages of all documents of a folder, in the order of their files.

    Args:
        folder: The folder; folders in it are read as well, but for hidden ones.

    Raises:
        FileError: It is no folder, has no documents or too many, or one cannot be read.
    """
    if not folder.is_dir():
        raise FileError(f"{folder} is no folder.", hint="Name a folder with text files.")
    passages: list[Passage] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileError(f"{path} has more than {MAX_FILE_BYTES / 1e6:.0f} MB.")
        passages += divide(name.as_posix(), read_text_file(path))
        if len(passages) > MAX_PASSAGES:
            raise FileError(
                f"{folder} has more than {MAX_PASSAGES} passages.", hint="Name a smaller folder."
            )
    if not passages:
        kinds = ", ".join(sorted(SUFFIXES))
        raise FileError(f"{folder} has no documents.", hint=f"Put text files there: {kinds}.")
    return passages


def divide(name: str, text: str) -> Iterator[Passage]:
    """Yield the passages of one document.

    Args:
        name: Name of the document.
        text: Its text.
    """
    heading, collected, length = "", list[str](), 0
    for paragraph in (part.strip() for part in text.split("\n\n")):
        first, _, rest = paragraph.partition("\n")
        if first.startswith("#"):
            if collected:
                yield _passage(name, heading, collected)
            heading, collected, length = first.strip("# ").strip(), [], 0
            paragraph = rest.strip()
        for piece in _pieces(paragraph):
            if collected and length + len(piece) > PASSAGE_CHARACTERS:
                yield _passage(name, heading, collected)
                collected, length = [], 0
            collected.append(piece)
            length += len(piece)
    if collected:
        yield _passage(name, heading, collected)


def _pieces(paragraph: str) -> Iterator[str]:
    """Yield a paragraph in pieces that fit into a passage, divided after words."""
    while len(paragraph) > PASSAGE_CHARACTERS:
        end = paragraph.rfind(" ", 0, PASSAGE_CHARACTERS)
        end = end if end > 0 else PASSAGE_CHARACTERS
        yield paragraph[:end].strip()
        paragraph = paragraph[end:].strip()
    if paragraph:
        yield paragraph


def _passage(name: str, heading: str, collected: list[str]) -> Passage:
    return Passage(f"{name}, {heading}" if heading else name, "\n".join(collected))
