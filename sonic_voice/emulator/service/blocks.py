"""The book of content blocks: what the client has opened and not closed yet."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class OpenBlock:
    """A content block of the client's that is open."""

    role: str
    """SYSTEM, SYSTEM_SPEECH, USER or ASSISTANT; AUDIO; TOOL."""
    history: bool = False
    live: bool = False
    """Interactive text of the user during the conversation."""
    call: str = ""
    """Of a tool result: the `toolUseId`."""
    parts: list[str] = field(default_factory=lambda: list[str]())
    filled: bool = False

    @property
    def text(self) -> str:
        """All that was sent, joined."""
        return "".join(self.parts)


class OpenBlocks:
    """Open blocks by `contentName`, and every name there ever was."""

    def __init__(self) -> None:
        self._open: dict[str, OpenBlock] = {}
        self._names: set[str] = set()
        self.audio: str | None = None
        """Name of the open audio container."""

    def open(self, content: str, block: OpenBlock) -> bool:
        """Enter `block`. False if its name is empty or that of an open one."""
        if not content or content in self._open:
            return False
        self._names.add(content)
        self._open[content] = block
        if block.role == "AUDIO":
            self.audio = content
        return True

    def known(self, content: str) -> bool:
        """Whether the name was ever used."""
        return content in self._names

    def find(self, content: str) -> OpenBlock | None:
        """The open block of that name."""
        return self._open.get(content)

    def close(self, content: str) -> None:
        """Its end came."""
        if self._open.pop(content).role == "AUDIO":
            self.audio = None

    def close_all(self) -> None:
        """The prompt ended."""
        self._open.clear()
        self.audio = None

    def any_but_audio(self) -> bool:
        """Whether something is open that must be closed before the prompt ends."""
        return bool(self._open.keys() - {self.audio})

    def any_history(self) -> bool:
        """Whether a message of the chat history is open."""
        return any(block.history for block in self._open.values())

    def answers(self, call: str) -> bool:
        """Whether the result of `call` is being sent."""
        return any(block.call == call for block in self._open.values())
