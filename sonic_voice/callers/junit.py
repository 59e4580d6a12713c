"""JUnit XML, which continuous integration shows: a suite for each file, a case for each turn.

Times are those of the conversation. They do not depend on the speed of the run, so that the file is
the same on every run.
"""

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from ..printable import printable, printable_lines
from .report import transcript_lines
from .results import CallerResult

WHOLE = "whole conversation"
"""Name of the case for what is expected of the whole conversation."""


def junit_xml(results: Sequence[CallerResult]) -> bytes:
    """Return the results of several callers as a JUnit XML file.

    Args:
        results: The results.
    """
    suites = [_suite(result) for result in results]
    root = ElementTree.Element("testsuites", name="sonic-voice")
    for name in ("tests", "failures"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", f"{sum(result.duration_s for result in results):.3f}")
    root.extend(suites)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _suite(result: CallerResult) -> ElementTree.Element:
    cases = list(_cases(result))
    suite = ElementTree.Element(
        "testsuite",
        name=printable(f"{result.script.path}: {result.script.name}"),
        tests=str(len(cases)),
        failures=str(sum(bool(texts) for _, _, texts in cases)),
        errors="0",
        skipped="0",
        time=f"{result.duration_s:.3f}",
    )
    for name, seconds, texts in cases:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=printable(result.script.name),
            name=printable(name),
            time=f"{seconds:.3f}",
        )
        for text in texts:
            failure = ElementTree.SubElement(case, "failure", message=printable(text))
            failure.text = printable_lines(text)
    out = ElementTree.SubElement(suite, "system-out")
    out.text = printable_lines("\n".join(transcript_lines(result)))
    return suite


def _cases(result: CallerResult) -> Iterator[tuple[str, float, list[str]]]:
    """Yield the name of each case, its length in seconds, and what failed in it."""
    ends_s = [turn.began_s for turn in result.turns[1:]] + [result.duration_s]
    lengths_s = {
        turn.number: max(0.0, end_s - turn.began_s)
        for turn, end_s in zip(result.turns, ends_s, strict=False)
    }
    said = {turn.number: turn.said or turn.user for turn in result.turns}
    numbers = {number for number in said if number}
    numbers |= {failure.turn for failure in result.failures if failure.turn is not None}
    for number in sorted(numbers):
        texts = [failure.text for failure in result.failures if failure.turn == number]
        name = f"turn {number}: {said.get(number, '')}".rstrip(": ")
        yield name, lengths_s.get(number, 0.0), texts
    yield WHOLE, 0.0, [failure.text for failure in result.failures if failure.turn is None]
    for verdict in result.verdicts:
        yield f"judge: {verdict.criterion}", 0.0, [] if verdict.passed else [verdict.reason]
