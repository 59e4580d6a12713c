"""Text as a language model writes it, made fit to be spoken, sentence by sentence as it streams in.

A unit ends at the end of a line, or after `.`, `!`, `?` and similar marks followed by a space;
`Dr.`, `e.g.` and the `1.` of a list do not end one. A unit without an end is cut after `LONGEST`
characters. Markdown and emoji are removed from each unit; code blocks, and a model's thoughts
(`thoughts`), are not spoken at all.
"""

import re

from ..printable import encodable
from .thoughts import ThoughtFilter

LONGEST = 400
"""Maximum length of a unit, in characters; a longer one is cut at a comma or a blank."""

_END = re.compile(r"\n|[.!?…]+[\"'”’)\]*_]*(?=\s)|[。！？।]+")
"""End of a unit."""
_NO_END = re.compile(r"(^\s*\d+|\b([A-Z]|Dr|Mrs?|Ms|Prof|St|vs|e\.g|i\.e))\.$")
"""Text that does not end a unit although it ends with a full stop."""
_FENCE = "```"

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_LEADING = re.compile(r"^\s*((#{1,6}|[-*+•>]|\d+[.)])\s+)+")
_EMPHASIS = re.compile(r"[*`~|]+(?=\S)|(?<=\S)[*`~|]+|(?<!\w)_+|_+(?!\w)")
_EMOJI = re.compile(
    "\u200d?[\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u20e3\U0001f000-\U0001faff]"
)


class Speakable:
    """A splitter of text that arrives in pieces into sentences.

    Args:
        thinks_first: Whether the text begins with thoughts, without an opening tag.
    """

    def __init__(self, *, thinks_first: bool = False) -> None:
        self._thoughts = ThoughtFilter(thinks_first=thinks_first)
        self._text = ""
        self._code = False

    @property
    def spoke_thoughts(self) -> bool:
        """True if what was said before were thoughts: their end came without their beginning."""
        return self._thoughts.stray_closing_tag

    def add(self, text: str) -> list[str]:
        """Add text.

        Args:
            text: The next piece.

        Returns:
            The sentences that it completes.
        """
        return self._complete(self._thoughts.add(encodable(text)))

    def rest(self) -> list[str]:
        """Return what is left when no more text comes."""
        said = self._complete(self._thoughts.rest())
        unit, self._text = self._text, ""
        return said + self._spoken(unit)

    def _complete(self, text: str) -> list[str]:
        self._text += text
        said: list[str] = []
        while (end := self._end()) is not None:
            unit, self._text = self._text[:end], self._text[end:]
            said += self._spoken(unit)
        return said

    def _end(self) -> int | None:
        for found in _END.finditer(self._text):
            if not _NO_END.search(self._text[: found.end()]):
                return found.end()
        if len(self._text) <= LONGEST:
            return None
        return max(self._text.rfind(mark, 1, LONGEST) + 1 for mark in ", ") or LONGEST

    def _spoken(self, unit: str) -> list[str]:
        if unit.lstrip().startswith(_FENCE):
            self._code = not self._code
            return []
        clean = "" if self._code else cleaned(unit)
        return [clean] if any(letter.isalnum() for letter in clean) else []


def cleaned(text: str) -> str:
    """Return a line of text without anything that cannot be spoken.

    Args:
        text: One line, which may hold Markdown and emoji.
    """
    text = _LINK.sub(r"\1", _EMOJI.sub("", text))
    return " ".join(_EMPHASIS.sub("", _LEADING.sub("", text)).split())
