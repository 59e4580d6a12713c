"""Every link of the documentation leads somewhere, and every picture is described."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for folder in ("sonic_voice", "web_client", "scripts", "tests")
    for path in (ROOT / folder).rglob("*.md")
    if "node_modules" not in path.parts
)
DOCUMENTS.insert(0, Path("README.md"))

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
"""A link, or a picture: mark, text, target."""

SIZED_PICTURE = re.compile(r'<img src="([^"]+)" width="\d+" alt="([^"]+)">')
"""A picture that is shown smaller than it is: target, description."""

MOST_PICTURE_BYTES = 150_000
"""A picture is fetched by every reader of the README."""


def links(document: Path) -> list[tuple[bool, str, str]]:
    """Return whether each is a picture, its text, and its target within the project."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "`", (ROOT / document).read_text("utf-8"), flags=re.S)
    text = SIZED_PICTURE.sub(r"![\2](\1)", text)
    return [
        (mark == "!", words, target)
        for mark, words, target in LINK.findall(text)
        if not re.match(r"[a-z]+:", target)
    ]


def anchors(document: Path) -> set[str]:
    """Return what can stand after a # in a link to the document, as GitHub makes it."""
    text = re.sub(r"```.*?```", "", document.read_text("utf-8"), flags=re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for _, _, target in links(document):
        path, _, anchor = target.partition("#")
        file = (ROOT / document.parent / path).resolve() if path else ROOT / document
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_readme_has_three_small_pictures_with_a_description() -> None:
    pictures = [(text, target) for picture, text, target in links(Path("README.md")) if picture]
    names = [Path(target).name for _, target in pictures]
    assert names == ["terminal.svg", "page.png", "growth.png"]
    assert (ROOT / "README.md").read_text("utf-8").count("<img") == 1  # each was found
    for description, target in pictures:
        assert len(description) > 40, target
        assert (ROOT / target).stat().st_size < MOST_PICTURE_BYTES


def test_the_picture_of_the_terminal_loads_nothing() -> None:
    picture = (ROOT / "scripts" / "images" / "terminal.svg").read_text("utf-8")
    assert set(re.findall(r"https?://[^\"'\s]+", picture)) <= {
        "http://www.w3.org/2000/svg",  # a name, not an address
        "https://www.textualize.io",  # in a comment
    }


@pytest.mark.parametrize("target", ["nowhere.md", "README.md#no-such-heading"])
def test_a_link_to_nothing_would_be_found(target: str) -> None:
    path, _, anchor = target.partition("#")
    assert not (ROOT / path).exists() or anchor not in anchors(ROOT / path)
