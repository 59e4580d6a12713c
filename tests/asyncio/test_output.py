"""What is written to when writing fails: whole lines, one complaint, and no exception."""

import errno
import json
import os
import resource
from pathlib import Path

import pytest

from sonic_voice.cli.output import LineOutput


@pytest.fixture
def failures() -> list[int | None]:
    return []


def test_a_full_disk_leaves_whole_lines_and_is_told_once(
    tmp_path: Path, failures: list[int | None]
) -> None:
    path = tmp_path / "e.jsonl"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    lines = LineOutput(fd, lambda error: failures.append(error.errno))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        for number in range(10):
            lines.write(json.dumps({"number": number, "text": "x" * 10}) + "\n")
        lines.write('{"last": 1}\n', retry=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    lines.close()
    lines.close()
    lines.write("after the end\n")
    assert failures == [errno.EFBIG]
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("number") for line in written] == [0, 1, None]
    assert written[-1] == {"last": 1}


def test_a_reader_that_has_gone_is_told_once(failures: list[int | None]) -> None:
    reader, writer = os.pipe()
    lines = LineOutput(writer, lambda error: failures.append(error.errno))
    lines.write("one\n")
    os.close(reader)
    lines.write("two\n")
    lines.write("three\n")
    lines.close()
    assert failures == [errno.EPIPE]


def test_a_lone_surrogate_becomes_a_replacement_character(
    tmp_path: Path, failures: list[int | None]
) -> None:
    path = tmp_path / "e.jsonl"
    lines = LineOutput(
        os.open(path, os.O_WRONLY | os.O_CREAT), lambda error: failures.append(error.errno)
    )
    text = "half of a pair: \ud83d"
    lines.write(json.dumps(text, ensure_ascii=False) + "\n")
    lines.close()
    assert json.loads(path.read_text()) == "half of a pair: \N{REPLACEMENT CHARACTER}"
    assert failures == []
