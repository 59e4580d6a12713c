"""The graph of steps: which step may follow which."""

from collections.abc import Iterator, Sequence

from .records import END, ScenarioStep


def step_numbers(steps: Sequence[ScenarioStep]) -> dict[str, int]:
    """Return the index of each step that a `goto` may name; the end is after the last.

    Args:
        steps: The steps of a scenario.
    """
    return {step.name: at for at, step in enumerate(steps) if step.name} | {END: len(steps)}


def reachable_steps(steps: Sequence[ScenarioStep]) -> set[int]:
    """Return the indices of all steps that can be reached from the first.

    Args:
        steps: The steps of a scenario.
    """
    known = step_numbers(steps)
    found: set[int] = set()
    left = [0]
    while left:
        at = left.pop()
        if at not in found:
            found.add(at)
            if at < len(steps):
                left += [known[goto] if goto else at + 1 for goto in _gotos(steps[at])]
    return found


def _gotos(step: ScenarioStep) -> Iterator[str]:
    """Yield the names of the steps that may follow; empty stands for the next.

    A tool's result may come late or never, so both cases count.
    """
    for answer in step.answers:
        yield answer.goto
        for call in answer.calls:
            # The result may come late, so each answer to it may be the last to set the next step.
            later = (*(branch.answer for branch in call.when), call.fallback)
            yield from filter(None, (call.goto, *(a.goto for a in later if a is not None)))
