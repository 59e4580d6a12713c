"""The command `sonic-voice llms`: how coding agents use this program, in one page."""

from importlib import resources

from .printing import echo

FILE_NAME = "llms.txt"
"""Name of the page in the package."""


def llms() -> None:
    """Print how coding agents and scripts use this program, in the format of llms.txt."""
    page = resources.files("sonic_voice") / FILE_NAME
    echo(page.read_text(encoding="utf-8").rstrip())
