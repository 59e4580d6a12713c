"""The command line: `main` is its entry point, `commands` registers the commands.

Importing this package is cheap, so that `main` can install the signal handlers before it imports
the commands and their dependencies, which takes up to a second.
"""


def main() -> None:
    """Run `sonic-voice` with the arguments of this process, and end the process.

    Raises:
        SystemExit: With the exit code, see `base`.
    """
    from .signals import ending_signals

    ending_signals.install()
    from .commands import app

    ending_signals.importing = False
    try:
        app()
    finally:
        ending_signals.finished()
