"""The page of `sonic-voice test --report`: all conversations of a run, with what failed in each."""

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..printable import printable
from .printing import echo
from .report import check_report

if TYPE_CHECKING:
    from ..callers.results import CallerResult
    from ..recording import Tape
    from ..report import ReportRun


def caller_tape(folder: Path, number: int) -> Path:
    """Return the file of the tape of a caller.

    Args:
        folder: The folder of the tapes.
        number: Number of the caller, from 1.
    """
    return folder / f"{number}.tape"


@contextmanager
def recorded_callers(report: Path | None, against: str) -> Generator[Path | None]:
    """Make a folder for the tapes of which a report is made; it is removed after the block.

    Args:
        report: The file of the report; None for none.
        against: What is called.

    Yields:
        The folder; None without a report.

    Raises:
        TapeError: The report cannot be written there.
        typer.BadParameter: What is called records its conversations itself.
    """
    if report is None:
        yield None
        return
    check_report(report, [])
    if against.startswith(("ws://", "wss://")):
        raise typer.BadParameter(
            "A bridge records its conversations itself: start it as `serve --record FOLDER`, and "
            "use `sonic-voice report` with the tapes.",
            param_hint="--report",
        )
    with tempfile.TemporaryDirectory(prefix="sonic-voice-") as folder:
        yield Path(folder)


def write_caller_report(path: Path, results: "Sequence[CallerResult]", tapes: Path) -> None:
    """Write the page, and print to standard error where it is.

    Args:
        path: The file, which is replaced.
        results: The results, in the order of the callers.
        tapes: The folder of their tapes.

    Raises:
        ConfigError: The file cannot be written.
    """
    from ..report import report_page, write_report

    runs = [_run(result, caller_tape(tapes, number)) for number, result in enumerate(results, 1)]
    title = f"{len(runs)} callers" if len(runs) > 1 else f"{runs[0].name} {runs[0].outcome}"
    write_report(path, report_page(runs, title))
    echo(f"Report        {printable(str(path))}", err=True)


def _run(result: "CallerResult", tape: Path) -> "ReportRun":
    from ..report import report_run

    notes = [str(failure) for failure in result.failures]
    for verdict in result.verdicts:
        says = "agrees" if verdict.passed else "disagrees"
        reason = f": {verdict.reason}" if verdict.reason else "."
        notes.append(f"The judge {says} to \u201c{verdict.criterion}\u201d{reason}")
    return report_run(
        _read(tape),
        f"{result.script.path}: {result.script.name}",
        outcome="passed" if result.passed else "failed",
        notes=tuple(notes),
    )


def _read(path: Path) -> "Tape":
    """Return a tape; one without records for a conversation that did not begin."""
    from datetime import UTC, datetime

    from ..recording import Tape, read_tape
    from ..recording.recorder import tape_header

    return read_tape(path) if path.exists() else Tape(tape_header(None, datetime.now(UTC)), ())
