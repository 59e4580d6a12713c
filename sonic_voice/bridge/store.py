"""Stores: where the bridge keeps conversations, so that they survive its process.

A store is any object with the two functions of `Store`, such as one over an application's database.
Two are included: `MemoryStore`, for tests and for a bridge that is restarted within its process,
and `FolderStore`, which survives the process.

The key of a conversation is derived from its resume token, which itself is never stored: a reader
of the store cannot resume a conversation. The value contains what people said, and the subject of
the token with which the conversation began. It contains neither tokens nor credentials.
"""

import hashlib
import os
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ..daemon_thread import in_thread
from ..errors import ConfigError
from ..private_files import write_private

MAX_AGE_S = 3600.0
"""Default maximum age of a stored conversation, in seconds. A page tries to return for half a
minute, and a laptop that slept may come later."""

MAX_ENTRIES = 4096
"""Default maximum number of stored conversations, of 20 kB each: 80 MB."""

PRUNE_EVERY = 64
"""Number of writes after which a folder is searched for old files."""

_SUFFIX = ".conversation"


class Store(Protocol):
    """A store of values by key, which may be shared by several processes."""

    async def load(self, key: str) -> bytes | None:
        """Return the value that was saved last, or None if there is none or it is too old.

        Args:
            key: The key, of hexadecimal digits.
        """
        ...

    async def save(self, key: str, value: bytes) -> None:
        """Save a value. A later `load` returns it or a newer one, never a part of it.

        The bridge waits for it before it saves the next value of this key.

        Args:
            key: The key, of hexadecimal digits.
            value: The value, about 20 kB.
        """
        ...


class MemoryStore:
    """A store in the memory of this process.

    Args:
        entries: Maximum number of values; the oldest is dropped for a new one.
        max_age_s: Maximum age of a value, in seconds.
    """

    def __init__(self, *, entries: int = MAX_ENTRIES, max_age_s: float = MAX_AGE_S) -> None:
        self._entries = entries
        self._max_age_s = max_age_s
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def load(self, key: str) -> bytes | None:
        """See `Store`."""
        saved_s, value = self._values.get(key, (0.0, None))
        return value if time.monotonic() - saved_s <= self._max_age_s else None

    async def save(self, key: str, value: bytes) -> None:
        """See `Store`."""
        self._values[key] = time.monotonic(), value
        self._values.move_to_end(key)
        while len(self._values) > self._entries:
            self._values.popitem(last=False)


class FolderStore:
    """A store of one file for each value, in a folder that only its owner can read.

    Files are written in a thread, and replaced at once. Their names are derived from the keys by a
    hash, so that no key can name a file outside the folder.

    Args:
        folder: The folder; it is created if it is missing.
        entries: Maximum number of values, checked every `PRUNE_EVERY` writes; the oldest are
            deleted.
        max_age_s: Maximum age of a value, in seconds. Older ones are not returned, and deleted at
            the same time.

    Raises:
        ConfigError: The folder cannot be created or written to.
    """

    def __init__(
        self, folder: Path, *, entries: int = MAX_ENTRIES, max_age_s: float = MAX_AGE_S
    ) -> None:
        self._folder = folder
        self._entries = entries
        self._max_age_s = max_age_s
        self._writes = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(0, "it cannot be written to")
        except OSError as error:
            raise ConfigError(
                f"Conversations cannot be stored in {folder}: {error.strerror}.",
                hint="Name a folder that this user can write to.",
            ) from error

    async def load(self, key: str) -> bytes | None:
        """See `Store`. A file that cannot be read raises `OSError`."""
        return await in_thread(lambda: self._read(self._file(key)), "bridge store")

    async def save(self, key: str, value: bytes) -> None:
        """See `Store`. A file that cannot be written raises `OSError`."""
        self._writes += 1
        prunes = self._writes % PRUNE_EVERY == 1
        await in_thread(lambda: self._write(self._file(key), value, prunes), "bridge store")

    def _file(self, key: str) -> Path:
        return self._folder / (hashlib.sha256(key.encode("utf-8", "replace")).hexdigest() + _SUFFIX)

    def _read(self, file: Path) -> bytes | None:
        try:
            with file.open("rb") as opened:
                if time.time() - os.fstat(opened.fileno()).st_mtime > self._max_age_s:
                    return None
                return opened.read()
        except FileNotFoundError:
            return None

    def _write(self, file: Path, value: bytes, prunes: bool) -> None:
        write_private(file, value)
        if prunes:
            self._prune()

    def _prune(self) -> None:
        """Delete the files that are too old, or too many."""
        oldest_s = time.time() - self._max_age_s
        found: list[tuple[float, str]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                # The name of an unfinished file, left by a process that was killed, has a suffix.
                if _SUFFIX in entry.name:
                    with suppress(OSError):  # another process may have deleted it
                        found.append((entry.stat().st_mtime, entry.path))
        found.sort(reverse=True)
        for index, (written_s, path) in enumerate(found):
            if index >= self._entries or written_s < oldest_s:
                with suppress(OSError):
                    Path(path).unlink()
