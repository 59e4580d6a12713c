"""The tool calls of a conversation: what is sent to the service about them, and when.

The service requires exactly one result for each call (reference 8.4). `ToolCalls` decides when it
is sent, and which texts may be sent beside it: acknowledgements, reports of progress, and what
tools have the model say.

    called ──► running ── returned, failed, timed out, cancelled ──► returned ── due ──► sent
                  │
                  └── due: an acknowledgement, once, while neither side speaks

- *Results.* One that is due `now` is sent at once, one that waits for quiet (`when_idle`) when
  neither side speaks, at the latest after `HOLD_S`. A call has one result, whatever happens: what
  comes for a call that has its result is ignored.
- *Acknowledgements.* A model that is silent while a tool runs (Nova 2.5, reference 8.5) is asked to
  say one when the tool has run for `ACK_AFTER_S` and neither side speaks. It covers all calls that
  run at that moment. It is not sent if the result is there, and not twice.
- *Texts.* A text that is sent while the model speaks interrupts it (reference 2.10). So each text
  waits until neither side speaks. While the model answers a text, nothing else is sent, at most for
  `TEXT_ANSWER_S`.
- *Renewals.* The result of a call of an earlier stream goes to the live stream as a text. Therefore
  it waits like a text.

The time is passed in, and decisions are returned: this module has no clock and no I/O.

Source: protocol reference 2.10, 8.4, 8.5, and AWS's prompting guide for Nova 2.5, which asks for
imperative texts and for both sides to be silent.
"""

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field

from .policies import ToolPolicy

ACK_AFTER_S = 0.5
"""Time that a tool must have run before it is acknowledged, in seconds. The answer to a text begins
about 0.9 s after it (reference 2.10): a result that comes earlier is heard sooner without it."""

TEXT_ANSWER_S = 5.0
"""Maximum time for which nothing else is sent after a text, in seconds. The sound of a sentence has
come about 2 s after the text; a service that has not answered by then does not answer it."""

HOLD_S = 30.0
"""Maximum time for which a result waits until neither side speaks, in seconds. The service requires
a result, so that it cannot be held for ever beside a loud television."""

PROGRESS_EVERY_S = 6.0
"""Minimum time between two texts about running tools, in seconds."""

_INSTRUCTION = "Tell the caller this now, and nothing else: "
"""Text before the quoted words that the model is to say."""

TEXTS_WAITING = 8
"""Maximum number of texts of tools that wait for quiet; more are refused."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """An action: send the result of a call."""

    tool_use: str
    """Id of the call."""
    result_json: str
    """The result: a JSON object as a string."""
    is_spoken: bool = True
    """False if the model was asked to say nothing about it."""


@dataclass(frozen=True, slots=True)
class SendText:
    """An action: have the model say something, by a text (`instruction`) or as a reasoner does."""

    words: str
    """The words that the user is to hear."""
    acknowledged: str | None = field(default=None, compare=False)
    """Id of the call that the words acknowledge; None if they do not."""


@dataclass(slots=True)
class _Call:
    """A call whose result has not been sent."""

    policy: ToolPolicy
    called_s: float
    """Time of the call, in monotonic seconds."""
    result_json: str | None = None
    """The result; None while the tool runs."""
    returned_s: float = 0.0
    """Time at which the result came, in monotonic seconds."""
    is_spoken: bool = True
    is_acknowledged: bool = False
    progress: str = ""
    """The newest report of the tool that has not been said; may be empty."""


class ToolCalls:
    """The decisions about the tool calls of one conversation.

    Args:
        silent_tools: Whether the model is silent while a tool runs (`VoiceModel.silent_tools`).
        text_input: Whether the model answers texts (`VoiceModel.text_input`).
    """

    def __init__(self, *, silent_tools: bool, text_input: bool) -> None:
        self._silent_tools = silent_tools
        self._text_input = text_input
        self.is_idle = True
        """True if there is nothing to decide: no call is open, and no text waits."""
        self._calls: dict[str, _Call] = {}
        self._texts: deque[str] = deque()
        self._answer_until_s: float | None = None
        """Time until which the model is given to answer the last text, in monotonic seconds; None
        if it has answered."""
        self._told_s = float("-inf")
        """Time of the last text about running tools, in monotonic seconds."""

    def is_running(self, tool_use: str) -> bool:
        """Return whether a call is known whose result has not come.

        Args:
            tool_use: Id of the call.
        """
        call = self._calls.get(tool_use)
        return call is not None and call.result_json is None

    def is_held(self, tool_use: str) -> bool:
        """Return whether the result of a call is there and was not sent.

        Args:
            tool_use: Id of the call.
        """
        call = self._calls.get(tool_use)
        return call is not None and call.result_json is not None

    def called(
        self, tool_use: str, policy: ToolPolicy, now: float, *, is_acknowledged: bool = False
    ) -> bool:
        """Note a call of the model.

        Args:
            tool_use: Id of the call.
            policy: The policy of its tool.
            now: Monotonic seconds; it never runs backwards.
            is_acknowledged: Whether the user has been told something in its place.

        Returns:
            False if the call is known and open, so that its tool must not run again.
        """
        if tool_use in self._calls:
            return False
        is_spoken = policy.result != "silent"
        self._calls[tool_use] = _Call(
            policy, now, is_spoken=is_spoken, is_acknowledged=is_acknowledged
        )
        self.is_idle = False
        return True

    def returned(self, tool_use: str, result_json: str, now: float) -> bool:
        """Note the result of a call: what the tool returned, or an error in its place.

        Args:
            tool_use: Id of the call.
            result_json: A JSON object as a string.
            now: Monotonic seconds; it never runs backwards.

        Returns:
            False if the call is unknown, or has its result already: this one is dropped.
        """
        call = self._calls.get(tool_use)
        if call is None or call.result_json is not None:
            return False
        call.result_json, call.returned_s = result_json, now
        return True

    def interrupted(self) -> tuple[str, ...]:
        """Note that the user has interrupted, or has said something while tools ran.

        Returns:
            Ids of the running calls that are to be cancelled. Their results, which must follow, are
            not to be spoken.
        """
        self._answer_until_s = None
        cancelled = tuple(
            tool_use
            for tool_use, call in self._calls.items()
            if call.policy.cancel_on_barge_in and call.result_json is None
        )
        for tool_use in cancelled:
            self._calls[tool_use].is_spoken = False
        return cancelled

    def answered(self) -> None:
        """Note that all sound of an answer has come."""
        self._answer_until_s = None

    def renewed(self) -> None:
        """Note that another stream is live, which does not know the last text."""
        self._answer_until_s = None

    def say(self, text: str) -> bool:
        """Have the model say something when neither side speaks.

        Args:
            text: The words that the user is to hear.

        Returns:
            False if the model takes no text, `text` is blank, or too many texts wait.
        """
        if not self._text_input or not text.strip() or len(self._texts) >= TEXTS_WAITING:
            return False
        self._texts.append(text)
        self.is_idle = False
        return True

    def forget(self, tool_use: str) -> None:
        """Forget a call whose result is not sent to the service: a reasoner has made it.

        Args:
            tool_use: Id of the call.
        """
        self._calls.pop(tool_use, None)
        self._note_idle()

    def progress(self, tool_use: str, text: str) -> None:
        """Note a report of a running tool, which replaces an earlier one that was not said.

        Args:
            tool_use: Id of the call.
            text: The words that the user is to hear.
        """
        call = self._calls.get(tool_use)
        if call is not None and call.result_json is None:
            call.progress = text.strip()

    def needs_quiet(self, now: float) -> bool:
        """Return whether `due` depends on `quiet` now: whether it has to be found out.

        Args:
            now: Monotonic seconds; it never runs backwards.
        """
        if self._awaits_answer(now):
            return False
        return (
            bool(self._texts)
            or self._news(now) is not None
            or any(call.result_json is not None for call in self._calls.values())
        )

    def due(
        self, now: float, *, quiet: bool, lost: Container[str] = ()
    ) -> list[SendResult | SendText]:
        """Return what is to be sent now, in order. It then counts as sent.

        Args:
            now: Monotonic seconds; it never runs backwards.
            quiet: Whether neither side speaks, and no answer is about to begin.
            lost: Ids of the calls that an earlier stream has made.
        """
        actions: list[SendResult | SendText] = []
        if self._awaits_answer(now):
            return actions
        for tool_use, call in sorted(self._calls.items(), key=lambda item: item[1].returned_s):
            waits = call.policy.result == "when_idle" or (tool_use in lost and self._text_input)
            held = waits and call.is_spoken and not quiet and now - call.returned_s < HOLD_S
            if call.result_json is None or held:
                continue
            del self._calls[tool_use]
            actions.append(SendResult(tool_use, call.result_json, call.is_spoken))
            # An answer is about to begin, unless the model waits for other results, too.
            others_run = any(other.result_json is None for other in self._calls.values())
            quiet = quiet and not (call.is_spoken and not (self._silent_tools and others_run))
        if quiet and (text := self._next_text(now)) is not None:
            actions.append(text)
            self._answer_until_s = now + TEXT_ANSWER_S
        self._note_idle()
        return actions

    def _note_idle(self) -> None:
        self.is_idle = not self._calls and not self._texts

    def _awaits_answer(self, now: float) -> bool:
        """Return whether the model has not answered the last text, and may still do so."""
        return self._answer_until_s is not None and now < self._answer_until_s

    def _next_text(self, now: float) -> SendText | None:
        """Return what to say while neither side speaks; None for nothing."""
        if self._texts:
            text = SendText(self._texts.popleft())
        elif (text := self._news(now)) is None:
            return None
        # The user has heard something: that is the acknowledgement of all that runs.
        self._told_s = now
        for call in self._calls.values():
            call.is_acknowledged, call.progress = True, ""
        return text

    def _news(self, now: float) -> SendText | None:
        """Return what there is to say about running tools: the newest report, or else an
        acknowledgement; None for nothing."""
        if not (self._silent_tools and self._text_input):
            return None
        running = [(id, call) for id, call in self._calls.items() if call.result_json is None]
        for _, call in reversed(running):
            if call.progress and now - max(self._told_s, call.called_s) >= self._pause_s(call):
                return SendText(call.progress)
        for id, call in running:
            ack = call.policy.ack
            if ack and not call.is_acknowledged and now - call.called_s >= ACK_AFTER_S:
                return SendText(ack, id)
        return None

    def _pause_s(self, call: _Call) -> float:
        """Return the time that must pass before a report of a call is said, in seconds."""
        return PROGRESS_EVERY_S if call.is_acknowledged else ACK_AFTER_S


def instruction(words: str) -> str:
    """Return the text that has the model say some words.

    It is imperative: Nova 2.5 does not reliably answer a description (reference 2.10).

    Args:
        words: The words that the user is to hear.
    """
    quoted = " ".join(words.replace('"', "'").split())
    return f'{_INSTRUCTION}"{quoted}"'


def instructed_words(text: str) -> str:
    """Return the words that `instruction` asks for at the end of a text; empty if it does not.

    Args:
        text: The text, which may begin with words of the user: a service joins texts that come one
            after the other.
    """
    found = text.rstrip().rpartition(_INSTRUCTION)[2]
    is_instruction = found != text.rstrip() and found[:1] == found[-1:] == '"' and len(found) > 2
    return found[1:-1] if is_instruction and '"' not in found[1:-1] else ""
