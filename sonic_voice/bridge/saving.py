"""The storage of a bridge's conversations: written after each turn, read by another process.

A *record* is a snapshot with what the bridge must know besides. It is written by `Saver`: in a
thread, one write at a time, and always the newest state. While one write lasts, later changes are
merged into the next one. A store that fails costs the copy and not the conversation.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from ..config import SessionConfig
from ..daemon_thread import in_thread
from ..errors import ConfigError
from ..snapshot import SessionSnapshot, take_snapshot
from ..transcript import Transcript
from ..wire import Tokens
from .closing import BridgeRefusal, Close
from .frames import EPOCHS
from .shared_state import StateUnavailable
from .store import Store

_log = logging.getLogger(__name__)

VERSION = 1
"""Version of the form of a record."""

LAST_WRITE_S = 2.0
"""Maximum time to wait for the last write of a conversation, in seconds."""

LOAD_S = 3.0
"""Maximum time to load a record, in seconds. A page waits 8 s for the answer to its hello."""


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation in the store."""

    snapshot: SessionSnapshot
    """The conversation with the service."""
    subject: str = ""
    """Subject of the token with which it began; empty if none was needed."""
    epoch: int = 0
    """Epoch of its sound, see `PageOutbox.epoch`."""
    ended: bool = False
    """True if it has ended for good, so that no page may resume it."""
    mask_pii: bool = False
    """True if personal data is masked when the record is written."""

    @property
    def next_epoch(self) -> int:
        """An epoch that is later than all that the page can have seen since this was saved."""
        return (self.epoch + EPOCHS // 4) % EPOCHS

    def to_bytes(self) -> bytes:
        """Return the record as JSON."""
        snapshot = self.snapshot.masked() if self.mask_pii else self.snapshot
        document = {
            "version": VERSION,
            "subject": self.subject,
            "epoch": self.epoch,
            "ended": self.ended,
            "snapshot": json.loads(snapshot.to_json()),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> "Record":
        """Return the record that `to_bytes` has written.

        Args:
            value: The JSON.

        Raises:
            ConfigError: It is no record, or one of another version.
        """
        try:
            document: object = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ConfigError("A stored conversation is not JSON.") from error
        match document:
            case {
                "version": int(version),
                "subject": str(subject),
                "epoch": int(epoch),
                "ended": bool(ended),
                "snapshot": dict(),
            } if version == VERSION:
                text = json.dumps(cast(dict[str, Any], document)["snapshot"])
                return cls(SessionSnapshot.from_json(text), subject, epoch % EPOCHS, ended)
            case _:
                raise ConfigError("A stored conversation has another form.")


def first_snapshot(config: SessionConfig) -> SessionSnapshot:
    """Return the snapshot of a conversation in which nothing was said yet.

    Args:
        config: The configuration of its session.
    """
    return take_snapshot(
        config,
        Transcript(),
        turn=0,
        tokens=Tokens(),
        calls=(),
        results={},
        progress=None,
        still_owed=False,
        audio=b"",
    )


def store_key(resume: str) -> str:
    """Return the key of a conversation, from which its resume token cannot be found.

    Args:
        resume: The resume token.
    """
    return hashlib.sha256(b"sonic-voice store " + resume.encode("utf-8", "replace")).hexdigest()


async def load_record(store: Store, resume: str) -> Record | None:
    """Return the record of a conversation that may be resumed.

    Args:
        store: The store.
        resume: The resume token of a page.

    Returns:
        The record; None if there is none, it cannot be read in time, or the conversation has ended.

    Raises:
        BridgeRefusal: `RESTART`, if what the processes share cannot be reached just now, so that
            the page tries again.
    """
    try:
        async with asyncio.timeout(LOAD_S):
            value = await store.load(store_key(resume))
            if value is None:
                return None
            record = await in_thread(lambda: Record.from_bytes(value), "bridge store")
    except StateUnavailable as error:
        raise BridgeRefusal(Close.RESTART) from error
    except Exception as error:
        _log.warning("a conversation could not be loaded: %s", type(error).__name__)
        return None
    return None if record.ended else record


class Saver:
    """Stores one conversation. Creating it starts its task, and stores the first state.

    It must be ended with `finish`.

    Args:
        store: The store.
        key: The key of the conversation.
        take: Returns its present state. The argument says whether it has ended for good.
    """

    def __init__(self, store: Store, key: str, take: Callable[[bool], Record]) -> None:
        self._store = store
        self._key = key
        self._take = take
        self._changed = asyncio.Event()
        self._changed.set()
        self._written = asyncio.Event()
        """Set while the store has the present state, or a write has failed."""
        self._finishing = False
        self._ended = False
        self._failing = False
        self._closed = False
        """True if no further state is stored."""
        self._task = asyncio.create_task(self._run(), name="bridge saver")

    def changed(self) -> None:
        """Store the state soon. Never waits."""
        self._written.clear()
        self._changed.set()

    async def save_last(self) -> None:
        """Store the present state as the last one, and wait for it for at most `LAST_WRITE_S`.

        It is then the state from which another process continues, and what comes later is not
        stored. If it cannot be stored in time, later states are.
        """
        self.changed()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WRITE_S):
                await self._written.wait()
                self._closed = not self._failing

    async def finish(self, *, ended: bool) -> None:
        """Store the last state, and wait for it for at most `LAST_WRITE_S`.

        Args:
            ended: Whether the conversation has ended for good.
        """
        self._finishing, self._ended = True, ended
        self._changed.set()
        try:
            await asyncio.wait([self._task], timeout=LAST_WRITE_S)
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            last = self._finishing
            if self._closed:
                if last:
                    return
                continue
            try:
                record = self._take(self._ended)
                await self._store.save(self._key, await in_thread(record.to_bytes, "bridge store"))
                self._failing = False
            except Exception as error:
                if not self._failing and not isinstance(error, StateUnavailable):
                    _log.warning("a conversation could not be stored: %s", type(error).__name__)
                self._failing = True
            if not self._changed.is_set():
                self._written.set()
            if last:
                return
