"""What one check found, and how it is shown."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from ..errors import SonicError

type Grade = Literal["ok", "warning", "failure"]

_GRADE_WIDTH = len("failure") + 2
_NAME_WIDTH = len("emulator engines") + 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    """What was looked at."""
    grade: Grade
    found: str
    """What was found, in a line."""
    fix: str = ""
    """What to do about it, a command where there is one. Empty if nothing is to be done."""


def failure(name: str, error: SonicError) -> Finding:
    """`error` as a finding."""
    return Finding(name, "failure", error.message, error.hint)


def talking_works(findings: Iterable[Finding]) -> bool:
    """Whether nothing that was found is a failure."""
    return all(finding.grade != "failure" for finding in findings)


def finding_lines(finding: Finding) -> list[str]:
    """`finding` for a terminal: what was found, and below it what to do."""
    shown = [f"{finding.grade:<{_GRADE_WIDTH}}{finding.name:<{_NAME_WIDTH}}{finding.found}"]
    if finding.fix:
        shown.append(f"{'':<{_GRADE_WIDTH + _NAME_WIDTH}}-> {finding.fix}")
    return shown


def findings_as_json(findings: Iterable[Finding]) -> str:
    """All `findings` as one JSON object, with `talking_works` as the verdict."""
    listed = list(findings)
    report = {
        "talking_works": talking_works(listed),
        "findings": [asdict(finding) for finding in listed],
    }
    return json.dumps(report, ensure_ascii=False, indent=2)
