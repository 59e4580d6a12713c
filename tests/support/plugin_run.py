"""Runs of pytest with the test kit in a project of their own, as somebody has who uses it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_TIMEOUT_S = 90.0
"""Maximum time of a run, in seconds."""

ASYNCIO_INI = """
[pytest]
addopts = -p no:cacheprovider
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
"""Settings of a project that uses pytest-asyncio."""


@dataclass(frozen=True)
class PluginRun:
    """The outcome of a run."""

    code: int
    output: str

    def outcomes(self) -> dict[str, str]:
        """Return the outcome of each test by its name, from the lines that `-rA` prints."""
        found: dict[str, str] = {}
        for line in self.output.splitlines():
            outcome, _, rest = line.partition(" ")
            if outcome in ("PASSED", "FAILED", "ERROR", "SKIPPED") and "::" in rest:
                found[rest.split("::")[1].split(" ")[0]] = outcome.lower()
        return found


def run_pytest(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> PluginRun:
    """Run the tests of a folder, with the plugin and nothing of this project's own tests.

    Args:
        folder: The folder of the project.
        arguments: Further arguments of pytest.
        environment: Variables on top of those of this process.
    """
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SONIC_VOICE_CONFIG": "",
        "COLUMNS": "200",
        **(environment or {}),
    }
    variables.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "sonic_voice.testing.plugin"]
    run = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    return PluginRun(run.returncode, run.stdout + run.stderr)


def project(folder: Path, ini: str = ASYNCIO_INI, **files: str) -> Path:
    """Write a project.

    Args:
        folder: Its folder.
        ini: The content of `pytest.ini`.
        files: Contents of Python modules, by their names without the suffix.
    """
    (folder / "pytest.ini").write_text(ini)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder
