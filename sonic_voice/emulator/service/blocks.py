"""The content blocks that the client has opened and not closed yet."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class OpenBlock:
    """A content block that the client has opened and not closed yet."""

    role: str
    """SYSTEM, SYSTEM_SPEECH, USER or ASSISTANT for text; AUDIO; TOOL."""
    history: bool = False
    """True if the block is a message of the chat history."""
    live: bool = False
    """True if the block is interactive text of the user during the conversation."""
    call: str = ""
    """The `toolUseId` that a tool result answers; empty for other blocks."""
    parts: list[str] = field(default_factory=lambda: list[str]())
    """The texts that were sent for the block, in their order."""
    filled: bool = False
    """True once the block has any content."""

    @property
    def text(self) -> str:
        """All texts of the block, joined."""
        return "".join(self.parts)


class OpenBlocks:
    """The open blocks by `contentName`, and every name that was ever used."""

    def __init__(self) -> None:
        self._open: dict[str, OpenBlock] = {}
        self._names: set[str] = set()
        self.audio: str | None = None
        """Name of the open audio container, or None."""

    def open(self, content: str, block: OpenBlock) -> bool:
        """Add a block that the client has opened.

        Args:
            content: The `contentName` of the block.
            block: The block.

        Returns:
            False if the name is empty or already belongs to an open block.
        """
        if not content or content in self._open:
            return False
        self._names.add(content)
        self._open[content] = block
        if block.role == "AUDIO":
            self.audio = content
        return True

    def known(self, content: str) -> bool:
        """Return whether a name was ever used.

        Args:
            content: A `contentName`.
        """
        return content in self._names

    def find(self, content: str) -> OpenBlock | None:
        """Return the open block of a name.

        Args:
            content: A `contentName`.

        Returns:
            The block, or None if no block of that name is open.
        """
        return self._open.get(content)

    def close(self, content: str) -> None:
        """Remove a block whose end the client has sent.

        Args:
            content: The `contentName` of an open block.

        Raises:
            KeyError: No block of that name is open.
        """
        if self._open.pop(content).role == "AUDIO":
            self.audio = None

    def close_all(self) -> None:
        """Remove every block at the end of the prompt."""
        self._open.clear()
        self.audio = None

    def any_but_audio(self) -> bool:
        """Return whether a block is open that must be closed before the prompt ends."""
        return bool(self._open.keys() - {self.audio})

    def any_history(self) -> bool:
        """Return whether a message of the chat history is open."""
        return any(block.history for block in self._open.values())

    def answers(self, call: str) -> bool:
        """Return whether the result of a tool call is being sent.

        Args:
            call: A `toolUseId`.
        """
        return any(block.call == call for block in self._open.values())
