"""Tapes of tests: when a conversation is recorded, and when it is replayed.

    --sonic-record   the tape is there        the tape is missing
    none (default)   replayed                 the test fails
    once             replayed                 recorded
    new              replayed, or recorded    recorded
                     again if the session was
                     configured differently
    all              recorded again           recorded

A replayed conversation needs neither a service nor the emulator. It is strict: an application that
sends something else than it did when the tape was recorded fails, with the first difference as a
diff. A tape is written under a hidden name, and takes its place when the conversation has ended
well, so that a failed test never replaces a good tape.

With `--sonic-live` nothing is replayed: the conversation is held with AWS, and recorded where the
table says so.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ..config import SessionConfig
from ..errors import ConfigError
from ..recording import Recorder, read_tape
from ..recording.recorder import tape_header
from ..recording.replay import Replay
from ..transport import Transport

FOLDER = "tapes"
"""Folder of the tapes, beside the test."""

type RecordMode = Literal["none", "once", "new", "all"]
"""A value of `--sonic-record`."""


@dataclass(frozen=True, slots=True)
class TapeUse:
    """The use of one tape by one conversation."""

    path: Path
    action: Literal["replay", "record", "neither"]

    @property
    def hidden_path(self) -> Path:
        """The path under which the tape is written."""
        return self.path.with_name(f".{self.path.name}.part")

    def replay(self) -> Replay:
        """Return the transport that replays the tape.

        Raises:
            TapeError: The tape cannot be read.
        """
        return Replay(read_tape(self.path), strict=True)

    def recorder(
        self, transport: Transport, config: SessionConfig | None, clock: Callable[[], float]
    ) -> Recorder:
        """Return the recorder of a new tape.

        Args:
            transport: Where the streams are opened.
            config: Configuration of the session, if it is known.
            clock: The clock of the conversation.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.hidden_path.unlink(missing_ok=True)
        return Recorder(transport, self.hidden_path, config, clock=clock)

    def keep(self) -> None:
        """Put the recorded tape in its place."""
        if self.hidden_path.exists():
            self.hidden_path.replace(self.path)

    def discard(self) -> None:
        """Remove the recorded tape."""
        self.hidden_path.unlink(missing_ok=True)


class TapeFixture:
    """A function that chooses the tape of a test's conversations.

    The first conversation of the test has the tape `NAME.tape`, the second `NAME-2.tape`, and so
    on.

    Args:
        folder: Folder of the test.
        mode: Value of `--sonic-record`.
        live: Whether the conversations are held with AWS.
    """

    def __init__(self, folder: Path, mode: RecordMode, *, live: bool) -> None:
        self._folder = folder / FOLDER
        self._mode: RecordMode = mode
        self._live = live
        self._name = ""
        self._conversations = 0

    def __call__(self, name: str) -> Path:
        """Have the next conversations of this test replayed from tapes, or recorded on them.

        Args:
            name: Name of the tape, which is its file without the suffix.

        Returns:
            The path of the first tape.

        Raises:
            ConfigError: The name is no name of a file.
        """
        if not name or Path(name).name != name:
            raise ConfigError(f"{name!r} is no name of a tape.", hint="A name without a folder.")
        self._name, self._conversations = name, 0
        return self._path(1)

    def next_use(self, config: SessionConfig | None) -> TapeUse | None:
        """Return how the next conversation uses its tape; None if the test has no tape.

        Args:
            config: Configuration of its session, if it is known.

        Raises:
            ConfigError: The tape is missing.
        """
        if not self._name:
            return None
        self._conversations += 1
        path = self._path(self._conversations)
        records = self._mode == "all" or (
            self._mode != "none"
            and (not path.exists() or (self._mode == "new" and not _is_made_with(path, config)))
        )
        if records:
            return TapeUse(path, "record")
        if self._live:
            return TapeUse(path, "neither")
        if not path.exists():
            raise ConfigError(
                f"There is no tape {path}.", hint="Record it: pytest --sonic-record=once."
            )
        return TapeUse(path, "replay")

    def _path(self, conversation: int) -> Path:
        number = f"-{conversation}" if conversation > 1 else ""
        return self._folder / f"{self._name}{number}.tape"


def _is_made_with(path: Path, config: SessionConfig | None) -> bool:
    """Return whether a tape was recorded with a configuration; True if it is not known.

    The region is not compared: it belongs to the place where the tape was recorded.
    """
    if config is None:
        return True
    wanted = tape_header(replace(config, region=None), datetime.now(UTC)).config
    found = dict(read_tape(path).header.config) | {"region": None}
    return _plain(found) == _plain(wanted)


def _plain(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
