"""Standard output and standard error: any text under any encoding, without control sequences.

`configure_streams` is called once, when the program starts. `echo` is the only function of the
commands that prints a line. Tables and help are rendered by rich, whose texts pass `printable`.
"""

import io
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import typer

from ..printable import ENCODING_ERRORS, printable, printable_lines

USAGE_ERROR: Any = typer.BadParameter.__base__
"""Class of the errors in a command line. Typer exports the subclass alone."""


def configure_streams() -> None:
    """Let standard output and standard error replace characters that their encoding lacks.

    Without this a Hindi answer on an output in cp1252, or a frame around a help text in ASCII,
    would end the program with `UnicodeEncodeError`. An exception that nothing has caught is
    printed without control characters, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None, if the program was started without one
            stream.reconfigure(errors=ENCODING_ERRORS)
    sys.excepthook = _print_exception


def echo(text: str, *, err: bool = False) -> None:
    """Print a text and a line end, without what a terminal would interpret.

    Nothing is printed if the program was started without the stream.

    Args:
        text: One or more lines. Parts of it that could imitate further lines must have passed
            `printable`.
        err: Whether to print to standard error.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is not None:
        stream.write(f"{printable_lines(text)}\n")
        stream.flush()


def print_traceback(error: BaseException) -> None:
    """Print the stack trace of an exception to standard error.

    Args:
        error: The exception.
    """
    echo("".join(traceback.format_exception(error)).rstrip("\n"), err=True)


@contextmanager
def printable_usage_errors() -> Generator[None]:
    """Remove control characters from the message of an error in the command line.

    It quotes arguments, which may come from a script and name files of others.

    Raises:
        Exception: The error, which Typer prints.
    """
    try:
        yield
    except USAGE_ERROR as error:
        error.message = printable(error.message)
        raise


def _print_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    print_traceback(error.with_traceback(trace))
