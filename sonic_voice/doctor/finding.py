"""The findings of the checks, and their output as text and as JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from ..errors import SonicError
from ..printable import printable, printable_json

type Grade = Literal["ok", "warning", "failure"]
"""Severity of a finding; only a failure keeps talking from working."""

_GRADE_WIDTH = len("failure") + 2
"""Width of the column of grades, in characters."""
_NAME_WIDTH = len("emulator engines") + 2
"""Width of the column of names, in characters."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of a check."""

    name: str
    """Name of the part that was checked."""
    grade: Grade
    found: str
    """Result, in one line."""
    fix: str = ""
    """Next step, as a command where there is one; empty if nothing is to be done."""


def failure(name: str, error: SonicError) -> Finding:
    """Return an error as a finding of grade `failure`.

    Args:
        name: Name of the part that was checked.
        error: The error; its hint becomes the fix.
    """
    return Finding(name, "failure", error.message, error.hint)


def talking_works(findings: Iterable[Finding]) -> bool:
    """Return whether none of the findings is a failure.

    Args:
        findings: All findings of `examine`.
    """
    return all(finding.grade != "failure" for finding in findings)


def finding_lines(finding: Finding) -> list[str]:
    """Return a finding as lines for a terminal.

    Args:
        finding: The finding.

    Returns:
        One line with grade, name and result, and a second one with the next step if there is one.
    """
    found = printable(finding.found)
    shown = [f"{finding.grade:<{_GRADE_WIDTH}}{finding.name:<{_NAME_WIDTH}}{found}"]
    if finding.fix:
        shown.append(f"{'':<{_GRADE_WIDTH + _NAME_WIDTH}}-> {printable(finding.fix)}")
    return shown


def findings_as_json(findings: Iterable[Finding]) -> str:
    """Return findings as one JSON object.

    Args:
        findings: All findings of `examine`.

    Returns:
        JSON text with the keys `talking_works` (a boolean) and `findings` (a list).
    """
    listed = list(findings)
    report = {
        "talking_works": talking_works(listed),
        "findings": [asdict(finding) for finding in listed],
    }
    return printable_json(report, indent=2)
