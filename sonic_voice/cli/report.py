"""The command `sonic-voice report`, and the report of a conversation at its end (`--report`)."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SonicError, TapeError
from ..printable import printable
from .base import errors
from .ending import Ending
from .printing import echo
from .tape_recording import tape_path

HTML_SUFFIX = ".html"
"""End of the name of a report whose name is not given."""


def report(
    context: typer.Context,
    tapes: Annotated[
        list[Path], typer.Argument(metavar="TAPE...", help="Files that --record has written.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="HTML file to write, which is replaced. Only you can read it.",
            show_default="the tape's name, with .html",
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the page.")] = "",
    sound: Annotated[
        bool, typer.Option(help="Put the sound into the page, to listen to it there.")
    ] = True,
) -> None:
    """Make one HTML page of recorded conversations: to listen to, to read and to search.

    [bold]sonic-voice report talk.tape -o talk.html[/bold]

    The page loads nothing from elsewhere, and contains all that was said. Use
    `sonic-voice tape redact` first if it is to be public.
    """
    with errors(context):
        from ..recording import read_tape
        from ..report import report_page, report_run, write_report

        written = output or tapes[0].with_suffix(HTML_SUFFIX)
        check_report(written, tapes)
        runs = [report_run(read_tape(tape), tape.name, sound=sound) for tape in tapes]
        write_report(written, report_page(runs, title))
        echo(f"Report        {printable(str(written))}")


def check_report(path: Path, tapes: list[Path]) -> None:
    """Check that a report can be written, before the work for it begins.

    Args:
        path: The file.
        tapes: The tapes, none of which may be replaced by it.

    Raises:
        TapeError: It is a folder or one of the tapes, or its folder does not exist.
    """
    if path.is_dir():
        raise TapeError(f"{path} is a folder.", hint="Name a file in it.")
    if not path.parent.is_dir():
        raise TapeError(f"The folder {path.parent} does not exist.", hint="Create it first.")
    if any(path == tape or (path.exists() and path.samefile(tape)) for tape in tapes):
        raise TapeError(f"{path} is the tape itself.", hint="Name another file with --output.")


@contextmanager
def reported(path: Path | None, tape: Path | None, end: Ending) -> Generator[Path | None]:
    """Write the report of the conversation of this block at its end, however it ends.

    A report that cannot be made is a notice: the conversation is not lost by it.

    Args:
        path: File of the report; None for none.
        tape: File of the tape, or its folder; None makes one that is removed afterwards.
        end: Outputs of the conversation.

    Yields:
        The tape to record; None if neither is wanted.

    Raises:
        TapeError: The tape or the report cannot be written there.
    """
    tape = tape_path(tape)
    if path is None:
        yield tape
        return
    check_report(path, [] if tape is None else [tape])
    with tempfile.TemporaryDirectory(prefix="sonic-voice-") as folder:
        recorded = tape or Path(folder) / f"{path.stem}.tape"
        try:
            yield recorded
        finally:
            if recorded.exists():
                _write(path, recorded, end)


def _write(path: Path, tape: Path, end: Ending) -> None:
    from ..report import report_of, write_report

    try:
        write_report(path, report_of(tape))
    except SonicError as error:
        end.notice(f"No report: {error.message}")
    else:
        if not end.as_json:
            end.out.write(f"{'Report':<14}{printable(str(path))}\n")
