"""Rules that look at one line of a prompt or of a description.

Each rule takes a line and yields what it objects to, with the whole line rewritten. `LINE_RULES`
names them.
"""

import re
from collections.abc import Callable, Iterator

from .sentences import sentences_of

type Match = tuple[str, str]
"""An objection of a rule: words of the line, and the line rewritten (empty if nothing is left)."""

_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\([^)\s]{1,500}\)")
_BOLD = re.compile(r"(\*\*|__|~~)(?=\S)(.{1,200}?)(?<=\S)\1")
_ITALIC = re.compile(r"(?<![\w*])\*(?![\s*])([^*\n]{1,80}?)(?<!\s)\*(?![\w*])")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s)>\]\"']+", re.IGNORECASE)
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55]"
    "[\ufe0f\u200d\U0001f3fb-\U0001f3ff\U0001f300-\U0001faff\u2640\u2642]*"
)
_MARKUP_TAG = re.compile(
    r"</?(?:speak|break|prosody|emphasis|say-as|phoneme|audio|voice|sub|b|i|u|br|p|strong|em|h[1-6]"
    r"|ul|ol|li|div|span|a|table|tr|td)(?:\s[^<>]{0,200})?/?>",
    re.IGNORECASE,
)
_THINKING_TAG = re.compile(r"</?(?:thinking|thoughts?)>", re.IGNORECASE)
_EMPTY_BRACKETS = re.compile(r"\[\s{0,9}\]|\{\s{0,9}\}|\(\s{0,9}\)|<\s{0,9}>")
_PLACEHOLDER = re.compile(
    r"\{\{\s{0,9}[A-Za-z_][\w .-]{0,60}\}\}|\$?\{[A-Za-z_][\w.-]{0,60}\}"
    r"|<[A-Z][A-Z0-9_ ]{0,60}>"
)
_STAGE_WORDS = (
    r"laugh(?:s|ing|ter)?|chuckl(?:es?|ing)|giggl(?:es?|ing)|sigh(?:s|ing)?|paus(?:es?|ing)"
    r"|whisper(?:s|ing)?|smil(?:es?|ing)|gasp(?:s|ing)?|cough(?:s|ing)?|clears throat|sing(?:s|ing)"
    r"|humming|hums|applause|silence|music plays|cheerful(?:ly)?|warmly|softly|quietly"
    r"|excited(?:ly)?|sadly|angrily|sarcastically|enthusiastically|gently|slowly"
)
_STAGE_DIRECTION = re.compile(
    r"(?P<open>\[|\(|(?<![\w*])\*)(?:\w{1,20}ly |long |short |brief |dramatic |soft )?"
    rf"(?:{_STAGE_WORDS})(?: \w{1, 20}){{0,3}}(?:\]|\)|\*)",
    re.IGNORECASE,
)
_FORMATTING = (
    r"(?:(?:in|as|with|using|use) (?:an? )?(?:\w{1,20} )?(?:tables?|json|html|bold|italics"
    r"|headings)\b|markdown|bullet points?|bullet(?:ed)? lists?|bullets|numbered lists?"
    r"|emojis?|code blocks?|hyperlinks?)"
)
_FORMAT_REQUEST = re.compile(
    rf"\b(?:use|respond|answer|reply|format|present|give|return|write|output|show|include|add|put"
    rf"|provide|structure|list|summari[sz]e|emphasi[sz]e|highlight)\b[^.]{{0,80}}?\b{_FORMATTING}"
    rf"|\busing (?:markdown|bullet|emojis)",
    re.IGNORECASE,
)
_OVERRIDE = re.compile(
    r"\b(?:ignore|forget|disregard) (?:all |any )?(?:the |your )?(?:previous|prior|earlier|above)"
    r"(?: \w+)? (?:instructions?|prompts?|rules?)|\bnever deflect\b"
    r"|\balways answer (?:directly )?regardless\b",
    re.IGNORECASE,
)
_IMITATION = re.compile(
    r"\b(?i:mimic|imitate|clone|impersonate)\b|\b(?i:copy|replicate)\b[^.]{0,30}\bvoice\b"
    r"|\b(?i:sound|speak|talk) like (?:[A-Z][a-z]{1,20} ){0,3}[A-Z][a-z]{1,20}",
)
_FORBIDDEN_WORDING = re.compile(
    r"\b(?:never|do not|don't|avoid)\b[^.\"\u201c]{0,40}\b(?:say|saying|use|using|mention|utter"
    r"|reply|answer|phrases?|words?)\b[^.\"\u201c]{0,40}(?:\"[^\"]{3,200}\"|\u201c[^\u201d]{3,200}\u201d)",
    re.IGNORECASE,
)

SPOKEN_SENTENCES = "Answer in a few short spoken sentences: first, then, and finally."
"""Proposed in the place of a request for formatting."""


def _without(pattern: re.Pattern[str], line: str) -> str:
    """Return a line without the matches, and without the spaces that they leave."""
    return _tidy(pattern.sub("", line))


def _tidy(line: str) -> str:
    return re.sub(r" ([.,;:!?])", r"\1", re.sub(r" {2,}", " ", line.strip()))


def _removing(pattern: re.Pattern[str]) -> Callable[[str], Iterator[Match]]:
    """Return a rule that objects to the first match in a line, and removes all of them."""

    def rule(line: str) -> Iterator[Match]:
        if match := pattern.search(line):
            yield match[0], _without(pattern, line)

    return rule


def _markdown(line: str) -> Iterator[Match]:
    rest = _STAGE_DIRECTION.sub("", line)
    match = _LINK.search(rest) or _BOLD.search(rest) or _ITALIC.search(rest)
    if match:
        yield match[0], _ITALIC.sub(r"\1", _BOLD.sub(r"\2", _LINK.sub(r"\1", line))).strip()


def _url(line: str) -> Iterator[Match]:
    rest = _LINK.sub("", line)
    if match := _URL.search(rest):
        found = match[0].rstrip(".,;:!?")
        yield found, _tidy(line.replace(found, spoken_address(found)))


def spoken_address(url: str) -> str:
    """Return the host of a web address as it is spoken, such as `example dot com`.

    Args:
        url: A web address, with or without its scheme.
    """
    host = re.sub(r"^https?://", "", url, flags=re.IGNORECASE).partition("/")[0]
    return host.rpartition("@")[2].partition(":")[0].removeprefix("www.").replace(".", " dot ")


def _rewriting_sentence(
    pattern: re.Pattern[str], rewrite: str, *, unless_negated: bool = True
) -> Callable[[str], Iterator[Match]]:
    """Return a rule that objects to a sentence in which a pattern matches.

    Args:
        pattern: What is looked for.
        rewrite: Sentence that takes its place; empty to remove it.
        unless_negated: Whether a sentence with a negation is accepted.
    """

    def rule(line: str) -> Iterator[Match]:
        for sentence in sentences_of(line, 1):
            if pattern.search(sentence.text) and not (unless_negated and sentence.negated):
                yield sentence.text, _tidy(line.replace(sentence.text, rewrite, 1))

    return rule


LINE_RULES: dict[str, Callable[[str], Iterator[Match]]] = {
    "markdown": _markdown,
    "url": _url,
    "emoji": _removing(_EMOJI),
    "requested-formatting": _rewriting_sentence(_FORMAT_REQUEST, SPOKEN_SENTENCES),
    "stage-direction": _removing(_STAGE_DIRECTION),
    "markup-tag": _removing(_MARKUP_TAG),
    "thinking-tag": _removing(_THINKING_TAG),
    "empty-brackets": _removing(_EMPTY_BRACKETS),
    "placeholder": _removing(_PLACEHOLDER),
    "override-phrase": _rewriting_sentence(_OVERRIDE, "", unless_negated=False),
    "imitated-voice": _rewriting_sentence(
        _IMITATION, "Speak in a warm, calm and professional tone."
    ),
    "forbidden-wording": _rewriting_sentence(
        _FORBIDDEN_WORDING, "Speak in plain, friendly words.", unless_negated=False
    ),
}
"""Rules for one line, by their names in `RULES`."""

DESCRIPTION_RULES = ("emoji", "markup-tag", "thinking-tag", "empty-brackets")
"""Rules that hold for the description of a tool as well, which is not written to be spoken.
Braces are left out: descriptions name paths such as `/users/{id}`."""
