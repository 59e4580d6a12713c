"""Output to a reader that does not read: nothing waits, nothing is reordered, and the end comes."""

import errno
import io
import json
import logging
import os
import pty
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress

import pytest

from sonic_voice.cli import output_thread
from sonic_voice.cli.output import LineOutput, QueuedLines
from sonic_voice.cli.output_thread import OutputThread
from sonic_voice.cli.standard_streams import BackgroundText, background_streams

ENOUGH = 200_000
"""A number of bytes that no pipe or terminal holds."""


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        with suppress(OSError):
            os.close(fd)


def never(error: OSError) -> None:
    raise AssertionError(error)


def read_all(reader: int) -> bytes:
    seen = b""
    while chunk := os.read(reader, 1 << 16):
        seen += chunk
    return seen


def test_writes_are_executed_in_order_and_stop_waits_for_them() -> None:
    thread, written = OutputThread("test"), list[int]()
    for number in range(1000):
        assert thread.submit(lambda number=number: written.append(number), 1)
    assert thread.stop(10)
    assert written == [*range(1000)]
    assert not thread.submit(lambda: written.append(0), 1)
    assert not any(running.name == "test" for running in threading.enumerate())


def test_lines_for_a_reader_that_does_not_read_wait_and_then_come_in_order(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    lines = QueuedLines(LineOutput(writer, never), "test")
    began_s = time.monotonic()
    for number in range(ENOUGH // 20):
        lines.write(json.dumps({"number": number, "x": "x" * 10}) + "\n")
    assert time.monotonic() - began_s < 2
    seen: list[bytes] = []
    reading = threading.Thread(target=lambda: seen.append(read_all(reader)))
    reading.start()
    lines.close(None)
    reading.join()
    numbers = [json.loads(line)["number"] for line in seen[0].splitlines()]
    assert numbers == [*range(ENOUGH // 20)]


def test_lines_that_do_not_fit_into_the_queue_are_counted(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_thread, "MAX_WAITING_BYTES", 10_000)
    reader, writer = pipe
    lines = QueuedLines(LineOutput(writer, never), "test")
    sent = ENOUGH // 20
    for number in range(sent):
        lines.write(json.dumps({"number": number}) + "\n")
    lines.write('{"event": "Ended"}\n', retry=True)
    seen: list[bytes] = []
    reading = threading.Thread(target=lambda: seen.append(read_all(reader)))
    reading.start()
    lines.close(10)
    reading.join()
    *records, last = [json.loads(line) for line in seen[0].splitlines()]
    assert last == {"event": "Ended"}
    expected = 0
    for record in records:
        assert record.get("number", expected) == expected
        expected += record.get("lines", 1)
    assert expected == sent
    assert any("lines" in record for record in records)


def test_an_output_that_stays_blocked_is_given_up_after_the_deadline(
    pipe: tuple[int, int],
) -> None:
    _, writer = pipe
    lines = QueuedLines(LineOutput(writer, never), "test")
    lines.write("x" * ENOUGH + "\n")
    began_s = time.monotonic()
    lines.close(0.2)
    lines.close(0.2)
    lines.write("late\n")
    assert 0.1 < time.monotonic() - began_s < 2


def test_a_text_never_waits_for_a_terminal_that_is_not_read() -> None:
    controller, terminal = pty.openpty()
    with open(terminal, "w", encoding="utf-8") as file:  # noqa: PTH123
        out = BackgroundText(file, OutputThread("test"), never)
        assert out.isatty()
        began_s = time.monotonic()
        for _ in range(100):
            print("x" * 1000, file=out)
        assert time.monotonic() - began_s < 2
        assert out.behind
        seen = b""
        while seen.count(b"\n") < 100:
            seen += os.read(controller, 1 << 16)
        out.stop(10)
    os.close(controller)
    assert seen == (b"x" * 1000 + b"\r\n") * 100


def test_a_closed_reader_is_told_once_and_later_text_is_dropped(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    failures: list[int | None] = []
    with os.fdopen(writer, "w") as file:
        out = BackgroundText(file, OutputThread("test"), lambda error: failures.append(error.errno))
        out.write("one\n")
        out.write("two\n")
        out.stop(10)
    assert failures == [errno.EPIPE]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_characters_that_the_encoding_does_not_have_end_nothing(
    pipe: tuple[int, int], encoding: str
) -> None:
    reader, writer = pipe
    with os.fdopen(writer, "w", encoding=encoding) as file:
        out = BackgroundText(file, OutputThread("test"), never)
        out.write("नमस्ते \ud83d\n")
        out.stop(10)
    assert read_all(reader).endswith(b"\n")


def test_what_is_printed_and_logged_in_the_block_goes_through_the_threads(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    file = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(sys, "stderr", file)
    handler = logging.StreamHandler(file)
    logging.getLogger().addHandler(handler)
    try:
        print("before")
        with background_streams(never) as wait:
            print("one")
            print("two", file=sys.stderr)
            logging.getLogger().warning("three")
            print("four")
            wait(10)
            assert os.read(reader, 1000) == b"before\none\ntwo\nthree\nfour\n"
        assert sys.stdout is file
        assert sys.stderr is file
        assert handler.stream is file
    finally:
        logging.getLogger().removeHandler(handler)
        file.close()


def test_streams_that_are_closed_or_no_files_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", text)
    with background_streams(never):
        assert sys.stdout is None
        assert sys.stderr is text
