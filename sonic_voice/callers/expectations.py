"""The decision whether what was observed of a conversation is what its file expects."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..emulator.scenario import Condition, Present, met
from .records import CallerScript, Expectations, ExpectedCall
from .results import Failure, ObservedCall, ObservedTurn


def failures_of(script: CallerScript, turns: Sequence[ObservedTurn]) -> list[Failure]:
    """Return every expectation of a file that does not hold, in the order of the file.

    Args:
        script: The file.
        turns: What was observed, in order; the first may be turn 0.
    """
    by_number = {turn.number: turn for turn in turns}
    found: list[Failure] = []
    for number, scripted in enumerate(script.turns, 1):
        observed = by_number.get(number)
        if observed is None:
            found.append(Failure(number, "the conversation ended before it."))
            continue
        found += (Failure(number, text) for text in _turn_failures(scripted.expect, observed))
    found += (Failure(None, text) for text in _whole_failures(script.expect, turns))
    return found


def needs_answer(expect: Expectations) -> bool:
    """Return whether a turn must be answered.

    Args:
        expect: What is expected of it. A turn that must not interrupt, or whose `assistant` must
            not be present, needs none.
    """
    silent = any(test.of == "assistant" and test.test == Present(False) for test in expect.texts)
    return expect.interrupted is not False and not silent


def _turn_failures(expect: Expectations, turn: ObservedTurn) -> Iterator[str]:
    """Yield what does not hold for one turn, in sentences."""
    if turn.missed_word is not None:
        yield (
            f"it should begin at word {turn.missed_word} of the answer before, "
            "which had fewer words."
        )
    if not turn.answered and needs_answer(expect):
        yield "no answer came."
    values = _values(turn.user, turn.assistant)
    yield from _unmet(expect.texts, values)
    yield from _call_failures(expect.calls, turn.calls)
    yield from _latency_failures(expect.within_ms, turn.response_latency_ms)
    if expect.interrupted is not None and turn.interrupted != expect.interrupted:
        does = "interrupts" if turn.interrupted else "does not interrupt"
        should = "should" if expect.interrupted else "should not"
        yield f"it {does} the answer before it, and {should}."
    yield from _never_failures(expect, [turn])


def _whole_failures(expect: Expectations, turns: Sequence[ObservedTurn]) -> Iterator[str]:
    """Yield what does not hold for the whole conversation, in sentences."""
    user = " ".join(turn.user for turn in turns if turn.user)
    assistant = " ".join(turn.assistant for turn in turns if turn.assistant)
    yield from _unmet(expect.texts, _values(user, assistant))
    yield from _call_failures(expect.calls, [call for turn in turns for call in turn.calls])
    yield from _never_failures(expect, turns)


def _values(user: str, assistant: str) -> dict[str, Any]:
    """Return the values of the conditions, without those that are not there."""
    return {name: text for name, text in (("user", user), ("assistant", assistant)) if text}


def _unmet(conditions: Sequence[Condition], values: Mapping[str, Any]) -> Iterator[str]:
    for condition in conditions:
        if met(condition, values) is None:
            yield condition.unmet(values)


def _latency_failures(within_ms: int | None, latency_ms: int | None) -> Iterator[str]:
    if within_ms is None:
        return
    if latency_ms is None:
        yield f"expected the answer within {within_ms} ms, and none sounded."
    elif latency_ms > within_ms:
        yield f"expected the answer within {within_ms} ms; it came after {latency_ms} ms."


def _call_failures(
    expected: Sequence[ExpectedCall] | None, calls: Sequence[ObservedCall]
) -> Iterator[str]:
    if expected is None:
        return
    made = _listed(calls)
    if not expected and calls:
        yield f"expected no call; {made}."
    unmatched = _unmatched(list(expected), list(calls))
    if unmatched:
        wanted = "; ".join(str(call) for call in unmatched)
        yield f"expected a call of {wanted}; {made}."


def _unmatched(
    expected: Sequence[ExpectedCall], calls: Sequence[ObservedCall]
) -> list[ExpectedCall]:
    """Return the expected calls that remain when each call stands for at most one of them.

    Of all assignments one that leaves the fewest is taken: Kuhn's maximum matching, in which an
    expected call may take a call from another one that finds a different call instead.
    """
    taken: dict[int, int] = {}

    def assign(index: int, tried: set[int]) -> bool:
        for at, call in enumerate(calls):
            if at in tried or not _fits(expected[index], call):
                continue
            tried.add(at)
            if at not in taken or assign(taken[at], tried):
                taken[at] = index
                return True
        return False

    return [call for index, call in enumerate(expected) if not assign(index, set())]


def _fits(expected: ExpectedCall, call: ObservedCall) -> bool:
    """Return whether a call is the expected one."""
    values = {"arguments": call.arguments}
    return expected.tool == call.tool and all(
        met(condition, values) is not None for condition in expected.arguments
    )


def _listed(calls: Sequence[ObservedCall]) -> str:
    """Return a clause that names the calls that were made."""
    if not calls:
        return "none was made"
    return "made: " + ", ".join(f"{call.tool} {call.arguments_json}" for call in calls)


def _never_failures(expect: Expectations, turns: Sequence[ObservedTurn]) -> Iterator[str]:
    for turn in turns:
        values = _values("", turn.assistant)
        for condition in expect.never_said:
            if met(condition, values) is not None:
                yield (
                    f"expected assistant never {condition.test}; "
                    f'in turn {turn.number} it is "{turn.assistant}".'
                )
        for forbidden in expect.never_called:
            for call in turn.calls:
                if _fits(forbidden, call):
                    yield (
                        f"expected no call of {forbidden}; "
                        f"turn {turn.number} made: {call.tool} {call.arguments_json}."
                    )
