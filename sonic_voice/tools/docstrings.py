"""Read the descriptions of a tool and of its parameters from docstrings.

Docstrings in Google, NumPy and reST style are supported.
"""

import re

_DOC_OF_PARAMETER = (
    re.compile(r":param (?:\S+ )?(?P<name>\w+):\s*(?P<text>.*)"),  # reST
    re.compile(r"(?P<name>\w+)(?: \([^)]*\))?:\s*(?P<text>.*)"),  # Google
    re.compile(r"(?P<name>\w+) : .*(?P<text>)"),  # NumPy: the text is below
)
"""Lines that begin the description of a parameter, in each style."""
_DOC_SECTION = re.compile(r"(:\w+.*:|(Args|Arguments|Parameters|Attributes)\b:?$)")
"""A line that begins a section, and so ends the first paragraph."""
_DOC_END = re.compile(r"(:returns?:|:raises?\b|(Returns|Raises|Yields|Examples?|Notes?):?$)")
"""A line that ends the descriptions of parameters."""


def first_paragraph(doc: str) -> str:
    """Return the first paragraph of a docstring as one line.

    Args:
        doc: A docstring; may be empty.
    """
    lines: list[str] = []
    for line in doc.strip().splitlines():
        if not line.strip() or _DOC_SECTION.match(line) or _DOC_END.match(line):
            break
        lines.append(line.strip())
    return " ".join(lines)


def parameter_descriptions(doc: str, names: set[str]) -> dict[str, str]:
    """Return the description of each of `names`, with the lines that are indented below it.

    Args:
        doc: A docstring as `inspect.getdoc` returns it.
        names: The names to look for: parameters of a function or fields of a class.

    Returns:
        The descriptions by name; names without one are missing.
    """
    found: dict[str, list[str]] = {}
    name, depth = "", 0
    for line in doc.splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if _DOC_END.match(text):
            break
        match = next((m for p in _DOC_OF_PARAMETER if (m := p.fullmatch(text))), None)
        if match and match["name"] in names:
            name, depth = match["name"], indent
            found[name] = [match["text"]]
        elif name and text and indent > depth:
            found[name].append(text)
        else:
            name = ""
    return {name: " ".join(filter(None, texts)) for name, texts in found.items()}
