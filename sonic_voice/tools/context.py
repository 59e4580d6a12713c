"""The context of a conversation, which a tool may ask for beside the model's arguments.

    @tool(ack="One moment.")
    async def next_order(context: ToolContext) -> str:
        context.progress("I am still looking.")
        return await orders[context.subject].next()

A parameter with the hint `ToolContext` is filled in by the program. The model is not told of it,
and cannot give it: what a user may see must not depend on what a model was talked into.

`ToolContext` is a small frozen value: who and where. What a tool may do to the conversation goes
through its port, `ToolConversation`, which `converse` implements. Outside a conversation, in a test
or a direct call, the port does nothing. All of it may be called from any thread, because sync tools
run in threads.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..history import Message
from ..pictures import checked_picture


class ToolConversation(Protocol):
    """The conversation in which a tool runs. Each method may be called from any thread."""

    def transcript(self) -> tuple[Message, ...]:
        """Return the conversation so far, as it was heard."""
        ...

    def say(self, text: str) -> bool:
        """Have the model say something as soon as nobody speaks. See `ToolContext.say`."""
        ...

    def progress(self, tool_use: str, text: str) -> None:
        """Note the progress of a call. See `ToolContext.progress`."""
        ...

    def show(self, tool_use: str, data: bytes, alt: str) -> bool:
        """Show a picture to the user. See `ToolContext.show`."""
        ...

    def is_cancelled(self, tool_use: str) -> bool:
        """Return whether the result of a call is not needed any more."""
        ...

    def end_after_answer(self, tool_use: str, then: Callable[[], object] | None) -> None:
        """End the conversation once the answer to a call was heard. See `ToolContext`."""
        ...


class NoConversation:
    """A `ToolConversation` that does nothing, for calls outside a conversation."""

    def transcript(self) -> tuple[Message, ...]:
        """Return nothing."""
        return ()

    def say(self, text: str) -> bool:
        """Return false: there is nobody to say it to."""
        return False

    def progress(self, tool_use: str, text: str) -> None:
        """Do nothing."""

    def show(self, tool_use: str, data: bytes, alt: str) -> bool:
        """Return false: there is nobody to show it to."""
        return False

    def is_cancelled(self, tool_use: str) -> bool:
        """Return false."""
        return False

    def end_after_answer(self, tool_use: str, then: Callable[[], object] | None) -> None:
        """Do nothing."""


_NO_CONVERSATION = NoConversation()


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The conversation in which a tool is called."""

    subject: str = ""
    """Name of the user, as the application has signed it in; empty if nobody has."""
    conversation: str = ""
    """Id of the conversation, as in the log of the bridge; empty outside a bridge."""
    turn: int = 0
    """Number of the turn in which the model made the call; 0 outside a conversation."""
    tool_use: str = ""
    """Id of the call; empty outside a conversation."""
    on_page: bool = False
    """True if the user has a page, which shows pictures. A terminal shows their words."""
    port: ToolConversation = field(default=_NO_CONVERSATION, repr=False, compare=False)
    """The conversation, as far as the tool may act on it."""

    @property
    def transcript(self) -> tuple[Message, ...]:
        """The conversation so far, as it was heard. It contains the words that led to the call."""
        return self.port.transcript()

    def say(self, text: str) -> bool:
        """Have the model say something as soon as neither side speaks.

        It needs no call that is still open: a tool that has returned may keep its context and
        announce later that its work is done.

        Args:
            text: The words that the user is to hear. The model is asked to say them, and may
                phrase them differently.

        Returns:
            False if the model takes no text (v1), too many texts wait, or there is no conversation.
        """
        return self.port.say(text)

    def progress(self, text: str) -> None:
        """Report how far the work is, for a user who would otherwise hear nothing.

        A model that is silent while a tool runs (Nova 2.5) is asked to say it when neither side
        speaks, in place of an acknowledgement that was not said yet. Reports that come faster than
        they can be said are replaced by the newest one, and all are dropped when the result is
        there. Models that go on talking by themselves are not told. Within the answer of a reasoner
        it is a sentence of that answer.

        Args:
            text: A sentence for the user, such as "I have found three of five."
        """
        self.port.progress(self.tool_use, text)

    def show(self, data: bytes, alt: str) -> bool:
        """Show a picture to the user.

        A page shows it at the turn of the call, also where arguments and results of tools are kept
        from pages (`Offer.show_tools`): showing it is the purpose of the call. A terminal shows the
        words.

        Args:
            data: A PNG, JPEG or WebP file of at most `pictures.MAX_PICTURE_BYTES`.
            alt: What it shows, in words: for those who cannot see it, and for the transcript.

        Returns:
            False if there is no conversation, or it is over.

        Raises:
            ValueError: The picture cannot be shown, or has no words.
        """
        checked_picture(data, alt)
        return self.port.show(self.tool_use, data, alt)

    @property
    def cancelled(self) -> bool:
        """True once the result is not needed: the call timed out, was interrupted by the user
        (`cancel_on_barge_in`), or the conversation ended. A sync tool, which cannot be stopped, may
        look at it between two steps."""
        return self.port.is_cancelled(self.tool_use)

    def end_after_answer(self, then: Callable[[], object] | None = None) -> None:
        """End the conversation once the answer to this call was heard to its last sample.

        If the user interrupts that answer, the conversation goes on.

        Args:
            then: Called in the event loop when the answer was heard, before the goodbye; None for
                nothing.
        """
        self.port.end_after_answer(self.tool_use, then)
