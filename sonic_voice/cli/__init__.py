"""The command line: `main` is its entry point, `commands` registers the commands.

Importing this package is cheap, so that `main` can install the signal handlers before it imports
the commands and their dependencies, which takes up to a second.
"""

import os
import sys
from contextlib import suppress

PROGRAM = "sonic-voice"
"""Name of the program in usage texts, also of `python -m sonic_voice`, and for shell completion."""

SILENT_OPTIONS = frozenset({"--json", "--help", "--version"})
"""Options with which `talk` prints nothing but what they ask for."""


def print_starting_line() -> None:
    """Print to a terminal that a conversation is starting, before the imports of the commands.

    The imports and the devices take 2 to 8 s on a slow machine. Completion by a shell runs the
    program too, with a variable in the environment.
    """
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    completing = "_SONIC_VOICE_COMPLETE" in os.environ
    if command != "talk" or completing or not SILENT_OPTIONS.isdisjoint(options):
        return
    with suppress(OSError, ValueError, AttributeError):  # standard output is closed
        if sys.stdout.isatty():
            print("Starting ...", flush=True)


def main() -> None:
    """Run `sonic-voice` with the arguments of this process, and end the process.

    Raises:
        SystemExit: With the exit code, see `base`.
    """
    from .missing_streams import open_missing_streams
    from .signals import ending_signals

    ending_signals.install()
    open_missing_streams()
    print_starting_line()
    from ..fast_imports import no_garbage_collection

    with no_garbage_collection():
        from typer.main import get_command

        from .commands import app
        from .printing import configure_streams

    configure_streams()

    ending_signals.importing = False
    try:
        get_command(app)(prog_name=PROGRAM)  # and not `app()`, which replaces `sys.excepthook`
    finally:
        ending_signals.finished()
