"""Split prompts into sentences, and recognise negations and conditions in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_LIST_MARK = re.compile(r"^\s*(?:[-*+\u2022]|\d{1,3}[.)])\s+")
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|without|avoid|don't|do not|cannot|can't|mustn't|instead of|free of"
    r"|rather than|refrain)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"^for\b|\b(?:if|when|whenever|unless|except|until|while|once|in case|asked|asks)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a prompt, without the mark of a list before it."""

    text: str
    line: int
    """Line of the prompt, counted from 1."""

    @property
    def negated(self) -> bool:
        """True if it contains a negation."""
        return _NEGATION.search(self.text) is not None

    @property
    def conditional(self) -> bool:
        """True if it holds only under a condition, as far as its words tell."""
        return _CONDITION.search(self.text) is not None


def sentences_of(line: str, number: int) -> Iterator[Sentence]:
    """Yield the sentences of one line.

    Args:
        line: The line, without its end.
        number: Its number, counted from 1.
    """
    for text in _SENTENCE_END.split(_LIST_MARK.sub("", line)):
        if text.strip():
            yield Sentence(text.strip(), number)
