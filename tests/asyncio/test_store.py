"""Stores of conversations: what they keep, for how long, and how the bridge writes to them."""

import asyncio
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.bridge import FolderStore, MemoryStore, Store
from sonic_voice.bridge.frames import EPOCHS
from sonic_voice.bridge.saving import Record, Saver, load_record, store_key
from sonic_voice.bridge.store import PRUNE_EVERY
from sonic_voice.config import SessionConfig
from sonic_voice.errors import ConfigError
from sonic_voice.snapshot import SessionSnapshot

RECORD = Record(SessionSnapshot(config=SessionConfig(), turn=3), "ann", 7)


@pytest.fixture(params=["memory", "folder"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return MemoryStore
    return partial(FolderStore, tmp_path / "store")


async def test_the_newest_value_is_returned_and_no_other(make_store: Any) -> None:
    store: Store = make_store()
    assert await store.load("a") is None
    await store.save("a", b"1")
    await store.save("b", b"2")
    await store.save("a", b"3")
    assert (await store.load("a"), await store.load("b")) == (b"3", b"2")


async def test_values_that_are_too_old_are_not_returned(make_store: Any) -> None:
    store: Store = make_store(max_age_s=0)
    await store.save("a", b"1")
    await asyncio.sleep(0.01)
    assert await store.load("a") is None


async def test_a_memory_store_drops_the_oldest() -> None:
    store = MemoryStore(entries=2)
    for key in "abac":
        await store.save(key, key.encode())
    assert [await store.load(key) for key in "abc"] == [b"a", None, b"c"]


async def test_a_folder_store_deletes_old_files_and_leaves_others_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, entries=3, max_age_s=60)
    (tmp_path / "notes.txt").touch()
    long_ago = time.time() - 3600
    os.utime(tmp_path / "notes.txt", (long_ago, long_ago))
    await store.save("old", b"old")
    [old] = tmp_path.glob("*.conversation")
    os.utime(old, (long_ago, long_ago))
    for number in range(PRUNE_EVERY):
        await store.save(str(number), b"new")
    assert not old.exists()
    assert len(list(tmp_path.glob("*.conversation"))) == 3
    assert (tmp_path / "notes.txt").exists()


async def test_another_store_of_the_same_folder_reads_what_was_written(tmp_path: Path) -> None:
    await FolderStore(tmp_path).save("a", b"1")
    assert await FolderStore(tmp_path).load("a") == b"1"


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "/etc/passwd", "a\0b", "", "x" * 5000, "\ud800"]
)
async def test_no_key_leaves_the_folder_and_its_files_are_private(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "store"
    store = FolderStore(folder)
    await store.save(key, b"1")
    assert await store.load(key) == b"1"
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not key or key not in file.name


def test_a_folder_that_cannot_be_made_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be stored") as refused:
        FolderStore(tmp_path / "file")
    assert "folder" in refused.value.hint


# -- records -----------------------------------------------------------------------------------


def test_a_record_survives_its_bytes_and_names_no_token() -> None:
    assert Record.from_bytes(RECORD.to_bytes()) == RECORD
    assert "secret-token" not in store_key("secret-token")
    assert store_key("a") != store_key("b")


def test_the_next_epoch_is_later_and_stays_in_its_range() -> None:
    for epoch in (0, 1, EPOCHS - 1):
        following = replace(RECORD, epoch=epoch).next_epoch
        assert 0 <= following < EPOCHS
        assert 0 < (following - epoch) % EPOCHS < EPOCHS / 2


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", RECORD.to_bytes().replace(b":1,", b":2,", 1)])
async def test_what_is_no_record_is_not_resumed(value: bytes) -> None:
    store = MemoryStore()
    await store.save(store_key("token"), value)
    assert await load_record(store, "token") is None


async def test_only_the_token_of_a_conversation_that_goes_on_loads_it() -> None:
    store = MemoryStore()
    await store.save(store_key("on"), RECORD.to_bytes())
    await store.save(store_key("over"), replace(RECORD, ended=True).to_bytes())
    assert await load_record(store, "on") == RECORD
    assert await load_record(store, "over") is None
    assert await load_record(store, "other") is None


class _Broken(MemoryStore):
    async def load(self, key: str) -> bytes | None:
        raise OSError("no disk")

    async def save(self, key: str, value: bytes) -> None:
        raise OSError("no disk")


async def test_a_store_that_fails_loads_nothing_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await load_record(_Broken(), "token") is None
    saver = Saver(_Broken(), "key", lambda ended: RECORD)
    await saver.finish(ended=True)
    assert [entry.getMessage() for entry in caplog.records] == [
        "a conversation could not be loaded: OSError",
        "a conversation could not be stored: OSError",
    ]


# -- writing -----------------------------------------------------------------------------------


class _Slow(MemoryStore):
    """A store whose writes last until they are allowed to end."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Queue[bytes]()
        self.may_end = asyncio.Semaphore(0)
        self.writing = self.most = 0

    async def save(self, key: str, value: bytes) -> None:
        self.writing += 1
        self.most = max(self.most, self.writing)
        self.began.put_nowait(value)
        await self.may_end.acquire()
        await super().save(key, value)
        self.writing -= 1


def turn(value: bytes) -> int:
    return Record.from_bytes(value).snapshot.turn


async def test_one_write_at_a_time_and_the_newest_state_comes_last() -> None:
    store, now = _Slow(), [0]

    def take(ended: bool) -> Record:
        return Record(SessionSnapshot(config=SessionConfig(), turn=now[0]), ended=ended)

    saver = Saver(store, "key", take)
    assert turn(await store.began.get()) == 0
    for now[0] in range(1, 6):
        saver.changed()
    store.may_end.release()
    assert turn(await store.began.get()) == 5, "what came meanwhile is merged"
    now[0] = 6
    finishing = asyncio.create_task(saver.finish(ended=True))
    store.may_end.release()
    store.may_end.release()
    await finishing
    assert store.most == 1
    last = Record.from_bytes(await store.load("key") or b"")
    assert (last.snapshot.turn, last.ended) == (6, True)


class _Failing(MemoryStore):
    fails = True

    async def save(self, key: str, value: bytes) -> None:
        if self.fails:
            raise OSError("no disk")
        await super().save(key, value)


async def test_a_state_that_is_stored_as_the_last_one_stays_the_last() -> None:
    store, now = MemoryStore(), [1]

    def take(ended: bool) -> Record:
        return Record(SessionSnapshot(config=SessionConfig(), turn=now[0]), ended=ended)

    saver = Saver(store, "key", take)
    now[0] = 2
    await saver.save_last()
    assert turn(await store.load("key") or b"") == 2
    now[0] = 3
    saver.changed()
    await saver.finish(ended=True)
    last = Record.from_bytes(await store.load("key") or b"")
    assert (last.snapshot.turn, last.ended) == (2, False)


async def test_a_last_state_that_cannot_be_stored_is_followed_by_later_ones() -> None:
    store = _Failing()
    saver = Saver(store, "key", lambda ended: RECORD)
    await saver.save_last()
    store.fails = False
    await saver.finish(ended=False)
    assert await store.load("key") == RECORD.to_bytes()


async def test_a_store_that_hangs_delays_the_end_only_for_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sonic_voice.bridge.saving.LAST_WRITE_S", 0.05)
    saver = Saver(_Slow(), "key", lambda ended: RECORD)
    async with asyncio.timeout(2):
        await saver.finish(ended=True)
