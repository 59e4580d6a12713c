"""Review the text of a system prompt.

Headers, and lists with one instruction an item, are good style in a prompt, and nothing objects to
them: what matters is what the model is asked to say, and marks that it copies.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from .contradictions import find_contradictions, find_repetitions
from .findings import Finding
from .line_rules import LINE_RULES
from .sentences import Sentence, sentences_of

_FENCE = re.compile(r"^\s*(```|~~~)")
_TABLE_ROW = re.compile(r"^\s*\|(?:[^|\n]{1,500}\|){2,}\s*$")
_HEADERS = {
    "markdown": re.compile(r"^#{1,6} +(?P<title>\S.*?)\s*#*$"),
    "bracketed": re.compile(r"^\[(?P<title>[A-Z][A-Z0-9 &/-]+)\]$"),
    "capitals": re.compile(r"^(?P<title>[A-Z][A-Z0-9 &/-]{2,}):$"),
}
_HEADER_FORMS = {"markdown": "## {}", "bracketed": "[{}]", "capitals": "{}:"}
_NAMED_TOOL = re.compile(
    r"\b(?:call|use|invoke|run) (?:the )?(?:tool |function )?[`\"']?([a-z][a-z0-9]{0,64}_\w{1,64})",
    re.IGNORECASE,
)
_SPEAKING = re.compile(
    r"\b(?:say|tell|announce|acknowledge|inform|speak|let the (?:user|caller|customer) know)\b",
    re.IGNORECASE,
)
_CALLING = re.compile(
    r"\b(?:call|calling|use|using|run|running|invoke|invoking)\b[^.]{0,40}\b(?:tools?|functions?)\b",
    re.IGNORECASE,
)
_TOGETHER = re.compile(
    r"\b(?:before|while|as you|and then|in the same turn|and call|then call)\b", re.IGNORECASE
)
_RESULT = re.compile(r"\b(?:results?|returned|returns|finished|after)\b", re.IGNORECASE)

MAX_PIECE = 1_000
"""Maximum length of the text that the rules for lines look at in one go, in characters. Some of the
patterns take time that grows with the square of it; a longer paragraph is looked at in pieces."""

SILENT_CALL = "Call the tool as the whole answer of that turn."
"""Proposed in the place of an instruction to speak and to call a tool."""


def review_prompt(
    text: str, *, silent_tools: bool = False, tools: Collection[str] = ()
) -> list[Finding]:
    """Return what the rules object to in a system prompt, in the order of its lines.

    Args:
        text: The prompt.
        silent_tools: Whether the model is silent in a turn in which it calls a tool, as
            `VoiceModel.silent_tools` says.
        tools: Names of the tools that the model is given; if there are none, names in the prompt
            are not checked.
    """
    findings: list[Finding] = []
    lines, sentences = _prose(text, findings)
    for number, line in lines:
        for piece in _pieces(line):
            for rule, find in LINE_RULES.items():
                findings += (Finding(rule, *match, number) for match in find(piece))
    findings += _mixed_headers(lines)
    findings += find_contradictions(sentences)
    findings += find_repetitions(sentences)
    if silent_tools:
        findings += _spoken_calls(sentences)
    if tools:
        findings += _unknown_tools(lines, tools)
    return sorted(findings, key=lambda finding: finding.line)


def _pieces(line: str) -> Iterator[str]:
    """Yield a line, or pieces of a long one that end where sentences do, where there are any."""
    while len(line) > MAX_PIECE:
        end = line.rfind(". ", 0, MAX_PIECE) + 1 or MAX_PIECE
        yield line[:end]
        line = line[end:].lstrip()
    yield line


def _prose(text: str, findings: list[Finding]) -> tuple[list[tuple[int, str]], list[Sentence]]:
    """Return the numbered lines and the sentences outside code and tables, which are reported."""
    lines: list[tuple[int, str]] = []
    fenced = in_table = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            if not fenced:
                findings.append(Finding("code-block", line.strip(), "", number))
            fenced = not fenced
            continue
        row = not fenced and _TABLE_ROW.match(line) is not None
        if row and not in_table:
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            rewrite = f"{cells[0]}: {', '.join(cells[1:])}."
            findings.append(Finding("table", line.strip(), rewrite, number))
        in_table = row
        if not fenced and not row:
            lines.append((number, line))
    return lines, [one for number, line in lines for one in sentences_of(line, number)]


def _mixed_headers(lines: Sequence[tuple[int, str]]) -> Iterator[Finding]:
    """Yield a finding for the first header whose style is not that of the first one."""
    first = ""
    for number, line in lines:
        for style, pattern in _HEADERS.items():
            if match := pattern.match(line.strip()):
                first = first or style
                if style != first:
                    title = match["title"]
                    title = title.capitalize() if first == "markdown" else title.upper()
                    rewrite = _HEADER_FORMS[first].format(title)
                    yield Finding("mixed-headers", line.strip(), rewrite, number)
                    return


def _spoken_calls(sentences: Sequence[Sentence]) -> Iterator[Finding]:
    for one in sentences:
        together = all(p.search(one.text) for p in (_SPEAKING, _CALLING, _TOGETHER))
        if together and not one.negated and not _RESULT.search(one.text):
            yield Finding("speak-and-call", one.text, SILENT_CALL, one.line)


def _unknown_tools(lines: Sequence[tuple[int, str]], tools: Collection[str]) -> Iterator[Finding]:
    known = {name.lower() for name in tools}
    for number, line in lines:
        for match in _NAMED_TOOL.finditer(line):
            name = match[1]
            if name.lower() in known:
                continue
            near = get_close_matches(name, tools, 1)
            yield Finding(
                "unknown-tool",
                name,
                line.replace(name, near[0]).strip() if near else "",
                number,
                detail=f"The tools are: {', '.join(tools)}.",
            )
