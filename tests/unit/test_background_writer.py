"""The thread that writes: in order, never holding up its owner, and one error at most."""

import errno
import threading

import pytest

from sonic_voice.background_writer import BackgroundWriter


class Disk:
    """A place to write to that can be stopped, and can be full."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.finished = 0
        self.failures: list[Exception] = []
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Event()
        self.full_from: int | None = None

    def write(self, item: int) -> None:
        self.begun.set()
        self.free.wait(10)
        if self.full_from is not None and item >= self.full_from:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written.append(item)

    def finish(self) -> None:
        self.finished += 1

    def writer(self, limit: int = 100) -> BackgroundWriter[int]:
        return BackgroundWriter(
            self.write, self.finish, name="disk", limit=limit, on_failure=self.failures.append
        )


def test_items_are_written_in_order_before_the_close_returns() -> None:
    disk = Disk()
    writer = disk.writer()
    assert all(writer.offer(number) for number in range(50))
    assert writer.close(10)
    assert disk.written == list(range(50))
    assert disk.finished == 1
    assert not writer.offer(50)
    assert writer.close(10)
    assert disk.finished == 1


def test_a_disk_that_hangs_fills_the_queue_and_blocks_nobody() -> None:
    disk = Disk()
    disk.free.clear()
    writer = disk.writer(limit=3)
    assert [writer.offer(number) for number in range(5)] == [True, True, True, False, False]
    assert not writer.close(0.01)
    disk.free.set()
    assert writer.close(10)
    assert disk.written == [0, 1, 2]


def test_the_item_that_is_being_written_counts() -> None:
    disk = Disk()
    disk.free.clear()
    writer = disk.writer(limit=2)
    assert writer.offer(0)
    assert disk.begun.wait(10)
    assert [writer.offer(1), writer.offer(2)] == [True, False]
    disk.free.set()
    assert writer.close(10)


def test_a_full_disk_is_reported_once_and_ends_the_writing() -> None:
    disk = Disk()
    disk.full_from = 2
    writer = disk.writer()
    assert all(writer.offer(number) for number in range(10))
    assert writer.close(10)
    assert [str(error) for error in disk.failures] == ["[Errno 28] No space left on device"]
    assert disk.written == [0, 1]
    assert disk.finished == 1


@pytest.mark.parametrize("items", [0, 3])
async def test_the_loop_is_free_while_the_rest_is_written(items: int) -> None:
    disk = Disk()
    writer = disk.writer()
    for number in range(items):
        writer.offer(number)
    assert await writer.aclose(10)
    assert len(disk.written) == items
