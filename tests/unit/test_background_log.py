"""A log whose writer blocks holds nothing up: its records wait, and those too many are counted."""

import logging
import os
import sys
import threading
import time
from collections.abc import Generator

import pytest

from sonic_voice.cli.background_log import QUEUED_RECORDS, BackgroundHandler
from sonic_voice.cli.server_log import server_log

PIPE_BYTES = 65_536
"""Size of a pipe's buffer on Linux, in bytes: what nobody reads beyond it blocks its writer."""

log = logging.getLogger("sonic_voice.bridge.operator_log")


class Stuck(logging.Handler):
    """A handler that writes nothing until it is let go, as a disk that hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.lines: list[str] = []
        self.closed = False

    def emit(self, record: logging.LogRecord) -> None:
        assert self.go.wait(10)
        self.lines.append(self.format(record))

    def close(self) -> None:
        self.closed = True
        super().close()


@pytest.fixture(autouse=True)
def levels() -> Generator[None]:
    """Restore the levels of the loggers."""
    loggers = (logging.getLogger(), logging.getLogger("sonic_voice"))
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("sonic_voice", logging.INFO, __file__, 1, text, args, None)


def test_a_handler_that_blocks_does_not_block_the_log() -> None:
    stuck = Stuck()
    handler = BackgroundHandler(stuck)
    turns = ["hello"]
    handler.handle(record("heard %s", turns))
    turns.append("later")
    assert stuck.lines == []
    stuck.go.set()
    handler.close()
    assert stuck.lines == ["heard ['hello']"], "the text is that of the moment"
    assert stuck.closed


def test_records_beyond_the_queue_are_lost_and_counted() -> None:
    stuck = Stuck()
    handler = BackgroundHandler(stuck)
    for number in range(QUEUED_RECORDS + 3):
        handler.handle(record("line %d", number))
    stuck.go.set()
    deadline_s = time.monotonic() + 10
    while len(stuck.lines) < QUEUED_RECORDS and time.monotonic() < deadline_s:
        time.sleep(0.001)
    handler.handle(record("last"))
    handler.close()
    kept, end = stuck.lines[:QUEUED_RECORDS], stuck.lines[QUEUED_RECORDS:]
    assert kept == [f"line {number}" for number in range(QUEUED_RECORDS)]
    assert end == ["3 log records were lost: nobody took them.", "last"]


def test_a_server_whose_standard_error_nobody_reads_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    finished = threading.Event()
    pieces: list[bytes] = []

    def log_much() -> None:
        with server_log("info", "text", debug=False):
            for number in range(3 * PIPE_BYTES // 100):
                log.info("connection rejected %s %d", 100 * "x", number)
            finished.set()

    with os.fdopen(writer, "w") as errors:
        monkeypatch.setattr(sys, "stderr", errors)
        logging_thread = threading.Thread(target=log_much)
        logging_thread.start()
        went_on = finished.wait(5)
        reading = threading.Thread(target=lambda: pieces.extend(_pieces(reader)))
        reading.start()
        logging_thread.join()
    reading.join()
    os.close(reader)
    assert went_on, "the log waited for its reader"
    assert b"".join(pieces).count(b"connection rejected") == 3 * PIPE_BYTES // 100


def _pieces(descriptor: int) -> Generator[bytes]:
    while piece := os.read(descriptor, PIPE_BYTES):
        yield piece
