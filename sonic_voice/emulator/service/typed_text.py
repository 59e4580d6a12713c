"""The mood of a text that a client injects: Nova 2.5 answers instructions, not descriptions.

"Tell the caller that the order has shipped." opens a turn; "The order has shipped." does not
(reference 2.10, 8.5). How the model decides is not known. Here only a clear case is a description:
an English statement about a person or a thing, without a question or an instruction beside it.
Everything else opens a turn: what a user says of himself, a greeting, a name, another language.

An instruction to say something is carried out to the letter here: `dictated_words` returns the
words. The real model may phrase them differently.
"""

import re

_INSTRUCTIONS = frozenset(
    """
    acknowledge add advise answer apologise apologize ask assure be begin call close confirm
    congratulate continue count describe do don't end explain finish give go greet help inform
    introduce keep let list make mention move name offer pause play proceed read recite recommend
    remind repeat reply report respond return say share sing skip speak spell start stop suggest
    summarise summarize switch take tell thank translate try turn use wait warn welcome wish write
    """.split()
)
"""Verbs with which an instruction begins."""

_SUBJECTS = frozenset(
    """
    a an caller client context customer he her his info information it its note she somebody someone
    status system that the their there these they this those update user
    """.split()
)
"""Words with which a statement about a person or a thing begins."""

_POLITE = frozenset("also and but just kindly now please so then".split())
"""Words before the verb of an instruction."""

_DICTATION = re.compile(
    r"(?:please\s+|now\s+)*"
    r"(?:say|(?:tell|inform)\s+the\s+(?:caller|user|customer)"
    r"|let\s+the\s+(?:caller|user|customer)\s+know)\b"
    r"(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
"""An instruction to say something, with what follows the verb."""

_QUOTED = re.compile(
    r'"(?P<straight>[^"]+)"'
    r"|\N{LEFT DOUBLE QUOTATION MARK}(?P<curly>[^\N{RIGHT DOUBLE QUOTATION MARK}]+)"
)
"""Words in double quotation marks."""

_WORD = re.compile(r"[\w'\N{RIGHT SINGLE QUOTATION MARK}]+")


def is_description(text: str) -> bool:
    """Return whether a text is a description, which opens no turn of Nova 2.5.

    Args:
        text: The interactive text of the client.
    """
    if "?" in text:
        return False
    sentences = re.split(r"[.!:;,\n]+(?=\s|\]|$)", text)
    words = [first for sentence in sentences if (first := _first_word(sentence))]
    return bool(words) and words[0] in _SUBJECTS and not _INSTRUCTIONS.intersection(words)


def _first_word(sentence: str) -> str:
    """Return the first word of a sentence that is no polite addition, in lower case, or nothing."""
    found = (match[0].lower() for match in _WORD.finditer(sentence))
    return next(
        (
            word.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
            for word in found
            if word not in _POLITE
        ),
        "",
    )


def dictated_words(text: str, *, only_quoted: bool) -> str | None:
    """Return the words that an instruction asks the model to say; None if it is no such text.

        Tell the caller this now: "One moment."         One moment.
        Tell the caller that the order has shipped.     The order has shipped.

    Args:
        text: The interactive text of the client.
        only_quoted: Whether the words must stand in quotation marks. Words without them are less
            clear: a user may say "Tell the caller that ...", too.
    """
    found = _DICTATION.match(text.strip().strip("[]").strip())
    if found is None:
        return None
    quoted = _QUOTED.search(found["rest"])
    if quoted is not None:
        return (quoted["straight"] or quoted["curly"]).strip() or None
    words = re.sub(r"^[\s,:]*(?:that\s+)?", "", found["rest"], flags=re.IGNORECASE).strip()
    if only_quoted or not words:
        return None
    return words[0].upper() + words[1:]
