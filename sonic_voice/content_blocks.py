"""The content blocks of the service that are open: begun, and not ended.

The service numbers nothing else. What comes in a block belongs to the turn and has the kind, the
role and the rate that its beginning named. What comes in a dead block is dropped, except for FINAL
texts, which confirm what was spoken before.

Source: protocol reference 3.3.
"""

from dataclasses import dataclass
from typing import Literal

from . import wire

type BlockKind = Literal["text", "audio", "tool"]
"""The kind of a content block."""

_CONTENT: dict[BlockKind, str] = {"text": "text", "audio": "sound", "tool": "a tool call"}
"""The contents of a block of each kind, for messages."""


@dataclass(slots=True)
class OpenBlock:
    """A content block of the service that has begun and not ended."""

    turn: int
    """Number of its turn."""
    kind: BlockKind
    role: str = ""
    """The role of its texts; empty for sound."""
    stage: wire.Stage | None = None
    rate_hz: int = 0
    """Sample rate of its sound, in Hz."""
    dead: bool = False
    """True if the rest of its content is dropped."""
    number: int = 0
    """Number of a block of sound within the session, from 1."""


class OpenBlocks:
    """The open content blocks of one stream, by their ids."""

    def __init__(self) -> None:
        self._blocks: dict[str, OpenBlock] = {}

    def __contains__(self, content_id: str) -> bool:
        """Return whether a block is open."""
        return content_id in self._blocks

    @property
    def have_sound(self) -> bool:
        """True while a block of sound that is played has not ended."""
        return any(block.kind == "audio" and not block.dead for block in self._blocks.values())

    def begin(self, content_id: str, block: OpenBlock) -> None:
        """Record that a block has begun.

        Args:
            content_id: Its id.
            block: The block.
        """
        self._blocks[content_id] = block

    def find(self, content_id: str, kind: BlockKind) -> OpenBlock | str:
        """Return the block to which some content belongs.

        Args:
            content_id: The id that the content names.
            kind: The kind of block in which such content comes.

        Returns:
            The block; or, if there is none of this kind, the reason why the content makes no sense.
        """
        block = self._blocks.get(content_id)
        if block is None:
            return f"{_CONTENT[kind]} of the unknown block {content_id}"
        if block.kind != kind:
            return f"{_CONTENT[kind]} in the {block.kind} block {content_id}"
        return block

    def end(self, content_id: str) -> OpenBlock | None:
        """Record that a block has ended, and return it; None if it was not open.

        Args:
            content_id: Its id.
        """
        return self._blocks.pop(content_id, None)

    def drop_the_rest(self) -> None:
        """Drop what is still to come in the blocks that are open now."""
        for block in self._blocks.values():
            block.dead = True
