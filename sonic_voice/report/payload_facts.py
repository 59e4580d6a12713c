"""Events for a tape that was made by the transport alone, without an observer of the session.

They are what `recording.payload_events` tells, and the tokens and results of tools beside it. Such
a tape has no renewals, and nothing of what was heard.
"""

from collections.abc import Iterator
from dataclasses import asdict

from ..errors import WireError
from ..recording.payload_events import payload_events
from ..recording.records import Received, Sent, SessionEvent, Tape
from ..wire import (
    Tokens,
    ToolResult,
    ToolResultStart,
    UsageEvent,
    decode_input,
    decode_output,
)

_WITH_FACTS = (b'"usageEvent"', b'"toolResult')
"""Parts of the payloads that are decoded here; the others, most of them sound, are not."""


def session_events(tape: Tape) -> list[SessionEvent]:
    """Return the session's events of a tape, with those of its payloads if it has no words.

    Args:
        tape: The tape.
    """
    events = [record for record in tape.records if isinstance(record, SessionEvent)]
    if not any(event.name in ("UserText", "AssistantText") for event in events):
        events += [*payload_events(tape), *_payload_facts(tape)]
        events.sort(key=lambda event: event.t_s)
    return events


def _payload_facts(tape: Tape) -> Iterator[SessionEvent]:
    totals: dict[int, Tokens] = {}
    calls: dict[tuple[int, str], str] = {}
    for record in tape.records:
        if not isinstance(record, Sent | Received):
            continue
        if not any(part in record.payload for part in _WITH_FACTS):
            continue
        decode = decode_input if isinstance(record, Sent) else decode_output
        try:
            decoded = decode(record.payload)
        except WireError:
            continue
        match decoded:
            case UsageEvent(_, _, total):
                totals[record.stream] = total
                whole = sum(totals.values(), Tokens())
                yield SessionEvent(record.t_s, "Usage", {"total": asdict(whole)})
            case ToolResultStart(content=content, tool_use=tool_use):
                calls[record.stream, content] = tool_use
            case ToolResult(content=content, result_json=result_json):
                tool_use = calls.get((record.stream, content), "")
                fields = {"tool_use": tool_use, "result_json": result_json}
                yield SessionEvent(record.t_s, "ToolAnswered", fields)
            case _:
                pass
