"""The interface of a guard, its verdicts, and the settings for their consequences.

def no_prices(role: Role, text: str) -> Verdict:
    return Verdict(role == "ASSISTANT" and "$" in text, "a price")

await converse(session, source, sink, tools, guard=no_prices)
await converse(session, source, sink, tools, guard=GuardSettings(no_prices, deadline_s=0.5))
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from ..config import BYTES_PER_SAMPLE
from ..errors import ConfigError

type Role = Literal["USER", "ASSISTANT"]
"""The side whose words are judged."""

type FailurePolicy = Literal["open", "closed"]
"""The policy for words on which a guard gives no verdict: `open` lets them pass, `closed` treats
them as flagged."""

type Replacing = Literal["auto", "service", "silence"]
"""The speaker of a replacement without a sound of its own: the service, or nobody. `auto` is
`service` where the model takes text."""

REPLACEMENT = "I can't say that."
"""Default words in place of a flagged sentence."""

DEADLINE_S = 1.0
"""Default time for a verdict, in seconds. The sound of a sentence follows its text by 0.1 s
(reference 3.12), so that a guard that takes longer than that is heard as a pause."""


REQUEST_TIMEOUT_S = 10.0
"""Maximum time of a guard's request, in seconds. `DEADLINE_S`, which is shorter, decides; this one
ends requests that are made without it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of a guard on a piece of text."""

    flagged: bool
    """True if the text must not be heard, or if it is the user's, not be answered."""
    reason: str = ""
    """The reason in a few words, such as the name of a category."""


PASSED = Verdict(flagged=False)
"""The verdict on words that nothing speaks against."""

type Guard = Callable[[Role, str], Verdict | Awaitable[Verdict]]
"""A function that judges the words of one side. A function that is not `async` runs in a thread.
An error that it raises counts as a missing verdict."""


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """A guard, and what is done with its verdicts."""

    check: Guard
    """The guard."""
    replacement: str = REPLACEMENT
    """Words in place of a flagged sentence; empty for none. They come once for each answer."""
    sound: bytes = b""
    """Sound of the replacement: s16le mono PCM at the rate of the session's output; empty: see
    `replacing`."""
    replacing: Replacing = "auto"
    """The speaker of the replacement if it has no `sound`. With `service`, the model is asked for
    it by a text once the answer is over and the user is silent, and what it then says is a turn of
    its own. Otherwise the words stand in the transcript in place of the sentence."""
    on_failure: FailurePolicy = "closed"
    """The policy for a guard that fails, or whose time is over."""
    deadline_s: float = DEADLINE_S
    """Maximum time for a verdict, in seconds."""

    def __post_init__(self) -> None:
        if self.on_failure not in ("open", "closed"):
            raise ConfigError(
                f"There is no guard policy {self.on_failure!r}.", hint="open or closed."
            )
        if not 0 < self.deadline_s <= 30:
            raise ConfigError(
                f"A guard cannot have {self.deadline_s:g} s for a verdict.",
                hint="More than 0 and at most 30 s: the sentence waits for it.",
            )
        if len(self.sound) % BYTES_PER_SAMPLE:
            raise ConfigError(
                "The sound of the guard's replacement ends inside a sample.",
                hint="It is s16le mono PCM.",
            )


def guard_settings(guard: Guard | GuardSettings) -> GuardSettings:
    """Return the settings of a guard, with defaults for a function alone.

    Args:
        guard: A guard, or its settings.
    """
    return guard if isinstance(guard, GuardSettings) else GuardSettings(guard)
