"""Events without personal data, for observers that write or show what was said. Pure.

    observers.append(masked(PrintedTranscript(...)))

The session itself, and what the model and the user's own page receive, is not changed.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from .events import (
    AssistantText,
    Event,
    Guarded,
    Heard,
    PictureShown,
    ToolAnswered,
    ToolCall,
    ToolProgress,
    UserText,
)
from .masking import mask, mask_json


def masked(observe: Callable[[Event, float], None]) -> Callable[[Event, float], None]:
    """Return an observer that passes each event on to another one, with personal data masked.

    Args:
        observe: The other one.
    """
    return lambda event, now: observe(masked_event(event), now)


def masked_event(event: Event) -> Event:
    """Return an event with the personal data in its words masked.

    Args:
        event: The event.
    """
    match event:
        case UserText() | AssistantText() | ToolProgress() | Guarded():
            return replace(event, text=mask(event.text))
        case Heard():
            # A number may be cut in its middle. What was heard stays a beginning of the plan.
            planned = mask(event.planned)
            pairs = zip(mask(event.heard), planned, strict=False)
            heard = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            return replace(event, heard=heard, planned=planned)
        case ToolCall():
            return replace(event, arguments_json=mask_json(event.arguments_json))
        case ToolAnswered():
            return replace(event, result_json=mask_json(event.result_json))
        case PictureShown():
            return replace(event, alt=mask(event.alt))
        case _:
            return event
