"""The comparison of two conversations as a table for people."""

from collections.abc import Iterator
from typing import cast

from ..printable import printable
from ..recording.conversation_outline import ToolUseOutline, TurnOutline
from ..recording.outline_comparison import ConversationComparison, TurnComparison

WORDS_WIDTH = 32
"""Maximum width of the user's words in the table, in characters."""

_HEAD = ("turn", "user", "words", "answer", "latency on tape", "now", "change", "differs in")


def comparison_lines(comparison: ConversationComparison) -> Iterator[str]:
    """Yield the lines of a comparison.

    Below the table, each turn that differs is shown as it was on the tape and as it is now.

    Args:
        comparison: The comparison.
    """
    rows = [_HEAD, *(_row(turn) for turn in comparison.turns)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
    for turn in comparison.turns:
        yield from _details(turn)
    for when, error in (("on the tape", comparison.before.error), ("now", comparison.after.error)):
        if error:
            yield f"The conversation {when} ended with an error: {printable(error)}"
    before, after = len(comparison.before.turns), len(comparison.after.turns)
    found = ", ".join(comparison.differences)
    turns = "turn" if before == 1 else "turns"
    yield f"{before} {turns} on the tape, {after} now: " + (
        f"they differ in {found}." if found else "no difference."
    )


def _row(turn: TurnComparison) -> tuple[str, ...]:
    some = turn.before or turn.after
    assert some is not None
    return (
        str(some.turn),
        _shortened(printable(some.user)),
        _share(turn.user_word_errors),
        _share(turn.assistant_word_errors),
        _milliseconds(turn.before),
        _milliseconds(turn.after),
        "-" if turn.latency_change_ms is None else f"{turn.latency_change_ms:+d} ms",
        _only(turn) or ", ".join(turn.differences) or "-",
    )


def _only(turn: TurnComparison) -> str:
    if turn.after is None:
        return "only on the tape"
    return "only now" if turn.before is None else ""


def _details(turn: TurnComparison) -> Iterator[str]:
    old, new = turn.before, turn.after
    if old is None or new is None:
        return
    for aspect in turn.differences:
        match aspect:
            case "user-words":
                before, after = old.user, new.user
            case "assistant-words":
                before, after = old.assistant, new.assistant
            case "tools":
                before, after = _tools(old), _tools(new)
            case "interruptions":
                before, after = _interrupted(old), _interrupted(new)
            case _:
                continue
        yield f"turn {old.turn}, {aspect}"
        yield f"  tape  {printable(before)}"
        yield f"  now   {printable(after)}"


def _tools(turn: TurnOutline) -> str:
    return ", ".join(map(_tool, turn.tools)) or "none"


def _tool(tool: ToolUseOutline) -> str:
    arguments: object = tool.arguments
    if not isinstance(arguments, dict):
        return f"{tool.name}({arguments!r})"
    named = cast(dict[str, object], arguments).items()
    return f"{tool.name}({', '.join(f'{name}={value!r}' for name, value in named)})"


def _interrupted(turn: TurnOutline) -> str:
    return "interrupted" if turn.interrupted else "heard to its end"


def _share(errors: float | None) -> str:
    return "-" if errors is None else f"{round(100 * errors)} %"


def _milliseconds(turn: TurnOutline | None) -> str:
    return "-" if turn is None or turn.latency_ms is None else f"{turn.latency_ms} ms"


def _shortened(text: str) -> str:
    return text if len(text) <= WORDS_WIDTH else f"{text[: WORDS_WIDTH - 3]}..."
