"""The thoughts of a language model, which stand between tags in its text, removed as it streams in.

Servers that do not move a model's reasoning into a field of its own leave it in the text, and each
family of models marks it differently: `<think>`, `[THINK]`, `<reasoning>` (gpt-oss on Bedrock), or
the channels of gpt-oss. A pair of tags encloses thoughts where the opening tag begins a line. Tags
that control a chat template and have leaked into the text are removed, too.

    visible ──opening tag at the beginning of a line──► thinking ──its closing tag──► visible

A template may end the prompt with the opening tag, so that the text begins with thoughts but does
not say so. No filter of a stream can know that before the closing tag comes: it must be told
(`ThoughtFilter(thinks_first=True)`).
"""

import re
from collections.abc import Iterable
from string import ascii_lowercase, ascii_uppercase

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
PAIRS = {
    **{f"<{name}>": f"</{name}>" for name in _NAMES},
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|channel|>analysis<|message|>": "<|end|>",
    "<|channel|>commentary<|message|>": "<|end|>",
}
"""The closing tag of each opening tag, in lower case. Models write them in either case."""
MARKERS = (
    "<|start|>assistant",
    "<|channel|>final<|message|>",
    "<|return|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|endoftext|>",
)
"""Tags of chat templates that enclose nothing, in lower case."""

_CLOSING = frozenset(PAIRS.values())
_TAGS = (*PAIRS, *_CLOSING, *MARKERS)
_LONGEST_TAG = max(map(len, _TAGS))


_LOWER_CASE = str.maketrans(ascii_uppercase, ascii_lowercase)


def _pattern(tags: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(tags))), re.IGNORECASE | re.ASCII)


_ANY = _pattern(_TAGS)
_ANY_CLOSING = _pattern(_CLOSING)


class ThoughtFilter:
    """A filter that passes on the text of a model without its thoughts.

    What it passes on does not depend on how the text is cut into pieces.

    Args:
        thinks_first: Whether the text begins with thoughts, without an opening tag.
    """

    def __init__(self, *, thinks_first: bool = False) -> None:
        self.stray_closing_tag = False
        """True if a closing tag came without its opening tag: the text before it were thoughts."""
        self._held = ""
        self._ends = _ANY_CLOSING if thinks_first else None
        self._line_begins = True

    def add(self, text: str) -> str:
        """Add text.

        Args:
            text: The next piece.

        Returns:
            The text that is no thought. The beginning of a possible tag is held back.
        """
        self._held += text
        visible = ""
        while (found := (self._ends or _ANY).search(self._held)) is not None:
            before, self._held = self._held[: found.start()], self._held[found.end() :]
            if self._ends is not None:
                self._ends, self._line_begins = None, True
                continue
            visible += self._pass_on(before)
            visible += self._read_tag(found.group())
        at = len(self._held) - _length_of_tag_at_end(self._held)
        before, self._held = self._held[:at], self._held[at:]
        return visible if self._ends is not None else visible + self._pass_on(before)

    def rest(self) -> str:
        """Return the text that was held back, when no more text comes."""
        held, self._held = self._held, ""
        return "" if self._ends is not None else self._pass_on(held)

    def _read_tag(self, tag: str) -> str:
        """Follow a tag outside thoughts, and return it if it is part of the text."""
        closing = PAIRS.get(tag.lower())
        if closing is not None and not self._line_begins:
            return self._pass_on(tag)
        if closing is not None:
            self._ends = _pattern((closing,))
        elif tag.lower() in _CLOSING:
            self.stray_closing_tag = self.stray_closing_tag or tag.lower() != "<|end|>"
            self._line_begins = True
        return ""

    def _pass_on(self, text: str) -> str:
        _, line, last = text.rpartition("\n")
        self._line_begins = (bool(line) or self._line_begins) and not last.strip()
        return text


def without_unopened_thoughts(text: str) -> str:
    """Return a complete text from the last closing tag on, if no opening tag stands before it.

    Args:
        text: The whole text of an answer.
    """
    first = _ANY.search(text)
    if first is None or first.group().lower() not in _CLOSING - {"<|end|>"}:
        return text
    return text[first.end() :]


def _length_of_tag_at_end(text: str) -> int:
    """Return the length of the longest end of a text with which a tag may begin."""
    tail = text[-_LONGEST_TAG:].translate(_LOWER_CASE)  # of the same length
    for at in range(len(tail)):
        if any(tag.startswith(tail[at:]) for tag in _TAGS):
            return len(tail) - at
    return 0
