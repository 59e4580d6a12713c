"""A transcript as a text that is the same on every run: for failures and for snapshots.

    turn 1
      user       at 0.55 s  what is the weather in paris
      tool       at 2.34 s  weather(city='Paris') -> {"celsius": 18}
      assistant  at 2.94 s  It is 18 degrees in Paris.
    turn 2
      assistant  at 6.02 s  Once upon a time there ...  (interrupted after 1.21 s)
      planned               Once upon a time there was a king.

Ids and times of the wall clock do not occur. Words of the service are made printable.
"""

from collections.abc import Callable, Sequence

from ..printable import printable
from .exchange import ServiceTurn


def turn_lines(
    position: int,
    parts: Sequence[ServiceTurn],
    heard: Callable[[ServiceTurn], str],
    *,
    times: bool = True,
) -> list[str]:
    """Return the lines of one turn.

    Args:
        position: Number of the turn.
        parts: The turns of the service that belong to it, in their order.
        heard: Returns what was heard of an answer.
        times: Whether each line has its time.
    """
    lines = [f"turn {position}" + ("" if parts else ": no answer yet")]
    for part in parts:
        if part.user:
            role = "user (typed)" if part.typed else "user"
            lines.append(_line(role, part.user_at_ms, part.user_text, times))
        lines += [_line("tool", call.at_ms, repr(call), times) for call in part.calls]
        if part.blocks:
            lines += _answer_lines(part, heard(part), times)
    return lines


def _answer_lines(part: ServiceTurn, heard: str, times: bool) -> list[str]:
    at_ms = part.sound_at_ms if part.audible_at_ms is None else part.audible_at_ms
    if not part.interrupted:
        return [_line("assistant", at_ms, heard if part.ended else f"{heard} ...", times)]
    after = f" after {(part.heard_ms or 0) / 1000:.2f} s" if times else ""
    return [
        _line("assistant", at_ms, f"{heard} ...  (interrupted{after})".strip(), times),
        _line("planned", None, part.planned, times),
    ]


def _line(role: str, at_ms: int | None, text: str, times: bool) -> str:
    at = f"at {at_ms / 1000:.2f} s" if at_ms is not None else ""
    return f"  {role:<12} " + (f"{at:<12} " if times else "") + printable(text)


class StableText(str):
    """A text whose `repr` is the text itself, for tools that keep the `repr` of what they see."""

    def __repr__(self) -> str:
        return str(self)
