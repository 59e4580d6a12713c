"""Reports: a conversation as one HTML page, to listen to and to look into.

    Tape ──► report_data ──► ReportData ─┐
         ──► event_rows  ──► EventRow    ├─► ReportRun ─► report_page ─► one file of HTML
         ──► report_sound ─► ReportSound ┘

`report_of` does all of it for one tape; `report_page` joins several runs, as those of a test, in
one page.
"""

from pathlib import Path

from ..errors import ConfigError
from ..recording import read_tape
from ..recording.records import Tape
from .data import ReportData, report_data
from .event_rows import EventRow, event_rows
from .latency import percentiles
from .page import ReportRun, report_page
from .sound import ReportSound, report_sound

__all__ = [
    "EventRow",
    "ReportData",
    "ReportRun",
    "ReportSound",
    "event_rows",
    "percentiles",
    "report_data",
    "report_of",
    "report_page",
    "report_run",
    "report_sound",
    "write_report",
]


def report_run(
    tape: Tape, name: str, *, outcome: str = "", notes: tuple[str, ...] = (), sound: bool = True
) -> ReportRun:
    """Return what a page says of one tape. Ten minutes of it take about 5 s of one core.

    Args:
        tape: The tape.
        name: Name of the conversation.
        outcome: `passed` or `failed`; empty where nothing was tested.
        notes: Sentences about it, such as the checks that failed.
        sound: Whether the page contains its sound.
    """
    return ReportRun(
        name,
        report_data(tape),
        event_rows(tape),
        *([report_sound(tape)] if sound else []),
        outcome=outcome,
        notes=notes,
    )


def report_of(path: Path) -> str:
    """Return the page of a tape.

    Args:
        path: The tape.

    Raises:
        TapeError: It is no tape, or cannot be read.
    """
    return report_page([report_run(read_tape(path), path.name)])


def write_report(path: Path, page: str) -> None:
    """Write a page to a file, which is replaced.

    It contains all that was said: only its owner can read it.

    Args:
        path: The file.
        page: The page.

    Raises:
        ConfigError: The file cannot be written.
    """
    from ..private_files import write_private

    try:
        write_private(path, page.encode("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The report cannot be written to {path}: {error.strerror or error}.",
            hint="Name another file.",
        ) from error
