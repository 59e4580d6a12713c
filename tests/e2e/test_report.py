"""`sonic-voice report` and `--report`: the page of a conversation on the local emulator."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.recording import Played, SessionEvent, StreamEnded, StreamOpened, Tape, read_tape
from sonic_voice.recording.records import TapeRecord
from sonic_voice.report import report_data, report_page, report_run

MAX_PAGE_BYTES = 3_000_000
"""Maximum size of the page of ten minutes, in bytes."""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sonic_voice", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tape of the demonstration, and the report that was made at its end."""
    folder = tmp_path_factory.mktemp("report")
    done = run(
        *("demo", "--speed", "20", "--output", folder / "answer.wav"),
        *("--record", folder / "talk.tape", "--report", folder / "talk.html"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"Report        {folder / 'talk.html'}\n")
    return folder


def test_a_conversation_ends_with_its_report(folder: Path) -> None:
    report = folder / "talk.html"
    page = report.read_text(encoding="utf-8")
    assert "go forward ten meters." in page
    assert "<s>" in page, "the answer was interrupted"
    assert "data:audio/mpeg;base64," in page
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_tape_becomes_a_report_and_without_sound_a_small_one(folder: Path) -> None:
    done = run("report", folder / "talk.tape", "-o", folder / "quiet.html", "--no-sound")
    assert (done.returncode, done.stderr) == (0, "")
    quiet = (folder / "quiet.html").read_text(encoding="utf-8")
    assert "go forward ten meters." in quiet
    assert "data:audio" not in quiet
    assert len(quiet) < 100_000


def test_several_tapes_are_one_page_with_its_title(folder: Path) -> None:
    tape = folder / "talk.tape"
    done = run("report", tape, tape, "-o", folder / "two.html", "--title", "Two", "--no-sound")
    assert done.returncode == 0
    page = (folder / "two.html").read_text(encoding="utf-8")
    assert "<h1>Two</h1>" in page
    assert page.count("<section") == 2


def test_what_is_no_tape_is_named_and_no_page_is_written(folder: Path) -> None:
    done = run("report", folder / "answer.wav", "-o", folder / "none.html")
    assert done.returncode == 2
    assert "answer.wav" in done.stderr
    assert not (folder / "none.html").exists()


def test_a_report_never_replaces_its_tape_and_needs_its_folder(folder: Path) -> None:
    tape = folder / "talk.tape"
    before = tape.read_bytes()
    assert "is the tape itself" in run("report", tape, "-o", tape).stderr
    assert tape.read_bytes() == before
    missing = run("demo", "--report", folder / "missing" / "talk.html")
    assert missing.returncode == 2
    assert "does not exist" in missing.stderr


def test_the_report_has_the_figures_of_the_conversation(folder: Path) -> None:
    """Those that the summary of `demo` prints are on the tape's report, too."""
    data = report_data(read_tape(folder / "talk.tape"))
    assert [turn.user for turn in data.turns] == [
        *("hello.", "go forward ten meters.", "please try again.")
    ]
    assert [turn.interrupted for turn in data.turns] == [False, True, False]
    assert [tool.name for tool in data.tools] == ["go"]
    assert len(data.latencies) == 3
    for latency in data.latencies:
        assert latency.endpointing_s == pytest.approx(0.48)  # `endpoint_ms` of demo.yaml
        assert sum(latency.parts.values()) == pytest.approx(latency.total_s)
    assert 0.005 < data.cost_usd < 0.02


TOTALS = {"speech_in": 390, "text_in": 131, "speech_out": 563, "text_out": 84}


def later(record: TapeRecord, times: int, length_s: float) -> TapeRecord:
    """Return a record of the repetition of a conversation of three turns."""
    record = replace(record, t_s=record.t_s + times * length_s)
    if isinstance(record, Played):
        return replace(record, turn=record.turn + 3 * times)
    if not isinstance(record, SessionEvent):
        return record
    fields: dict[str, Any] = dict(record.fields)
    added = {"turn": 3, "offset_ms": round(1000 * length_s), "detected_ms": round(1000 * length_s)}
    fields |= {name: fields[name] + times * n for name, n in added.items() if name in fields}
    if isinstance(total := fields.get("total"), Mapping):
        fields["total"] = {name: total[name] + times * n for name, n in TOTALS.items()}
    return replace(record, fields=fields)


@pytest.mark.thorough
def test_the_report_of_ten_minutes_fits_into_three_megabytes(folder: Path) -> None:
    tape = read_tape(folder / "talk.tape")
    inner = [r for r in tape.records if not isinstance(r, StreamOpened | StreamEnded)]
    records: list[TapeRecord] = [StreamOpened(0.0, 1, tape.header.model)]
    times = 0
    while records[-1].t_s < 595:
        records += [later(record, times, tape.duration_s) for record in inner]
        times += 1
    long = Tape(tape.header, [record for record in records if record.t_s < 600])
    assert long.duration_s == pytest.approx(600, abs=1)
    page = report_page([report_run(long, "ten minutes")])
    assert len(page.encode()) < MAX_PAGE_BYTES
