"""A bridge with a folder of tapes: each conversation is recorded, and none depends on it."""

import asyncio
import shutil
import threading
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sonic_voice.bridge import Access, Bridge
from sonic_voice.config import SessionConfig
from sonic_voice.recording import (
    Recorder,
    Sent,
    SessionEvent,
    StreamOpened,
    Tape,
    TapeFolder,
    read_tape,
)
from sonic_voice.transport import Transport

from ..support.memory_socket import ORIGIN, MemorySocket
from ..support.quiet_bridge import OFFER, QuietService, uncollected


@asynccontextmanager
async def meeting(tapes: TapeFolder) -> AsyncGenerator[tuple[MemorySocket, Bridge]]:
    """A page that has said hello, and the bridge that records it until it says goodbye."""
    access = Access(origins=frozenset({ORIGIN}))
    async with Bridge(OFFER, QuietService(), access=access, tapes=tapes) as bridge:
        socket = MemorySocket()
        socket.say("hello", version=1)
        served = asyncio.create_task(bridge.handle(socket))
        yield socket, bridge
        socket.say("bye")
        await served


async def heard_of(page: MemorySocket, kind: str) -> None:
    while (await page.next())["type"] != kind:
        pass


def only_tape(folder: TapeFolder) -> Tape:
    [path] = folder.path.iterdir()
    return read_tape(path)


async def test_a_conversation_with_a_page_is_recorded(tmp_path: Path) -> None:
    folder = TapeFolder(tmp_path / "tapes")
    async with meeting(folder) as (page, bridge):
        await heard_of(page, "listening")
        [(session, _)] = bridge._sessions.values()  # pyright: ignore[reportPrivateUsage]
    [path] = folder.path.iterdir()
    assert path.name.endswith(f"-{session.id}.tape")
    assert path.stat().st_mode & 0o777 == 0o600
    tape = only_tape(folder)
    assert tape.header.config["voice"] == "tiffany"
    assert [type(record) for record in tape.records][:2] == [StreamOpened, Sent]
    names = [record.name for record in tape.records if isinstance(record, SessionEvent)]
    assert names[0] == "Opened"
    assert session.resume.encode() not in path.read_bytes()


async def test_a_recorded_conversation_leaves_nothing_to_the_collector(tmp_path: Path) -> None:
    folder = TapeFolder(tmp_path / "tapes")
    with uncollected():
        async with meeting(folder) as (page, bridge):
            await heard_of(page, "listening")
            [(session, conversation)] = bridge._sessions.values()  # pyright: ignore[reportPrivateUsage]
            kept = weakref.ref(session)
            del session
            page.say("sing")
            await conversation
            del conversation
        assert kept() is None


async def test_a_folder_that_has_gone_costs_no_conversation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = TapeFolder(tmp_path / "tapes")
    shutil.rmtree(folder.path)
    async with meeting(folder) as (page, _):
        await heard_of(page, "listening")
    assert "is not recorded" in caplog.text


class SlowFolder(TapeFolder):
    """A folder that creates a tape when it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked, self.free = threading.Event(), threading.Event()

    def recorder(
        self, transport: Transport, config: SessionConfig, conversation: str
    ) -> Recorder | None:
        """Wait, and return a recorder."""
        self.asked.set()
        self.free.wait(30)
        return super().recorder(transport, config, conversation)


@pytest.mark.parametrize("created", [False, True], ids=["before", "after"])
async def test_a_conversation_that_is_cancelled_while_its_tape_is_created_leaves_nothing(
    tmp_path: Path, created: bool
) -> None:
    folder = SlowFolder(tmp_path / "tapes")
    access = Access(origins=frozenset({ORIGIN}))
    before = set(threading.enumerate())
    async with Bridge(OFFER, QuietService(), access=access, tapes=folder) as bridge:
        socket = MemorySocket()
        socket.say("hello", version=1)
        served = asyncio.create_task(bridge.handle(socket))
        await asyncio.to_thread(folder.asked.wait, 30)
        [(_, conversation)] = bridge._sessions.values()  # pyright: ignore[reportPrivateUsage]
        if created:  # and the loop does not know of it yet
            [creating] = [t for t in threading.enumerate() if t.name == "bridge tape"]
            folder.free.set()
            creating.join(30)
        conversation.cancel()
        await served
        folder.free.set()
        for _ in range(3):  # a thread may start another one
            for thread in set(threading.enumerate()) - before:
                if thread.name in ("bridge tape", "sonic tape"):
                    await asyncio.to_thread(thread.join, 30)
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert "bridge tape" not in left
    assert "sonic tape" not in left
    assert not list(folder.path.iterdir())
