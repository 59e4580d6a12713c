"""A folder of tapes: one file for each conversation of a server."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from ..config import SessionConfig
from ..errors import TapeError
from ..transport import Transport
from .recorder import Recorder

MAX_TAPE_BYTES = 100_000_000
"""Maximum size of a tape of a server, in bytes, unless another is chosen: some 50 minutes."""

_log = logging.getLogger(__name__)


class TapeFolder:
    """A folder that has a tape of each conversation, named by its time and its id.

    Args:
        path: The folder. It is created for its owner only if it is missing.
        max_bytes: Size at which the recording of a conversation stops, in bytes.
        mask_pii: Whether personal data is masked; see `Recorder`.

    Raises:
        TapeError: It is no folder, or cannot be created.
    """

    def __init__(
        self, path: Path, *, max_bytes: int = MAX_TAPE_BYTES, mask_pii: bool = False
    ) -> None:
        self.path = path
        self._mask_pii = mask_pii
        self._max_bytes = max_bytes
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise TapeError(
                f"{path} cannot be a folder of tapes: {error.strerror}.",
                hint="Name a folder that you may write to.",
            ) from error

    def recorder(
        self, transport: Transport, config: SessionConfig, conversation: str
    ) -> Recorder | None:
        """Return the recorder of a new conversation. It blocks while the file is created.

        Args:
            transport: Where the streams are opened.
            config: Configuration of the session.
            conversation: Id of the conversation.

        Returns:
            The recorder; None if the file cannot be created, which is logged. The conversation is
            worth more than its tape.
        """
        name = re.sub(r"[^A-Za-z0-9_-]", "_", conversation)
        path = self.path / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}.tape"
        try:
            return Recorder(
                transport, path, config, max_bytes=self._max_bytes, mask_pii=self._mask_pii
            )
        except TapeError as error:
            _log.warning("conversation %s is not recorded: %s", conversation, error)
            return None
