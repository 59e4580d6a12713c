"""The result of a caller, in lines for people and as values of JSON.

Nothing here depends on the speed of the run: times are those of the conversation.
"""

import json
from collections.abc import Iterator
from typing import Any

from .results import CallerResult, ObservedTurn

LABEL_WIDTH = 10
"""Width of the column that says whose words follow, in characters."""


def result_lines(result: CallerResult) -> Iterator[str]:
    """Yield the lines that a person reads about one caller.

    Args:
        result: The result.
    """
    yield f"{result.script.path}: {result.script.name}"
    yield from (f"  {line}" for line in transcript_lines(result))
    for verdict in result.verdicts:
        says = "agrees" if verdict.passed else "disagrees"
        reason = f": {verdict.reason}" if verdict.reason else ""
        yield f"  the judge {says} to: {verdict.criterion}{reason}"
    if result.script.judge and not result.verdicts:
        yield "  not judged: --judge names the chat model that decides"
    yield from (f"  FAILED {failure}" for failure in result.failures)
    verdict = "passed" if result.passed else "FAILED"
    turns = sum(turn.number > 0 for turn in result.turns)
    yield f"  {verdict}: {_counted(turns, 'turn')}, {result.duration_s:.1f} s of conversation"


def transcript_lines(result: CallerResult) -> Iterator[str]:
    """Yield the transcript of a conversation, a line for each thing that was said or done.

    Args:
        result: The result.
    """
    for turn in result.turns:
        yield from _turn_lines(turn)


def summary_line(results: list[CallerResult]) -> str:
    """Return the line that ends a run of several callers.

    Args:
        results: Their results.
    """
    failed = sum(not result.passed for result in results)
    passed = len(results) - failed
    return f"{_counted(passed, 'caller')} passed, {failed} failed"


def document(result: CallerResult) -> dict[str, Any]:
    """Return a result as values of JSON.

    Args:
        result: The result.
    """
    return {
        "file": str(result.script.path),
        "name": result.script.name,
        "passed": result.passed,
        "duration_s": round(result.duration_s, 3),
        "turns": [turn_document(turn) for turn in result.turns],
        "failures": [{"turn": failure.turn, "text": failure.text} for failure in result.failures],
        "verdicts": [
            {"criterion": verdict.criterion, "passed": verdict.passed, "reason": verdict.reason}
            for verdict in result.verdicts
        ],
    }


def _turn_lines(turn: ObservedTurn) -> Iterator[str]:
    if turn.number:
        note = " (interrupts)" if turn.interrupted else ""
        yield _line(turn.number, "user", f"{turn.said or '(sound)'}{note}")
        if _plain(turn.user) not in ("", _plain(turn.said)):
            yield _line("", "heard", turn.user)
    for call in turn.calls:
        result = f" -> {call.result_json}" if call.result_json else ""
        yield _line("", "call", f"{call.tool} {call.arguments_json}{result}")
    if turn.assistant:
        cut = " (cut off)" if turn.heard != turn.assistant else ""
        latency = turn.response_latency_ms
        after = f" [{latency / 1000:.2f} s]" if turn.number and latency is not None else ""
        yield _line("", "assistant", f"{turn.heard}{cut}{after}")


def _plain(text: str) -> str:
    """Return the letters and figures of a text, without case."""
    return "".join(character for character in text.casefold() if character.isalnum())


def _line(number: int | str, label: str, text: str) -> str:
    return f"{number!s:>2} {label:<{LABEL_WIDTH}} {text}".rstrip()


def turn_document(turn: ObservedTurn) -> dict[str, Any]:
    """Return a turn as values of JSON.

    Args:
        turn: The turn.
    """
    return {
        "turn": turn.number,
        "said": turn.said,
        "user": turn.user,
        "assistant": turn.assistant,
        "heard": turn.heard,
        "calls": [
            {"tool": call.tool, "arguments": call.arguments, "result": _read(call.result_json)}
            for call in turn.calls
        ],
        "began_s": round(turn.began_s, 3),
        "response_latency_ms": turn.response_latency_ms,
        "interrupted": turn.interrupted,
    }


def _read(text: str) -> Any:
    """Return the value of a JSON text; None if there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
