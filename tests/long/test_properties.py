"""The properties of the quick tests, tried with many more examples than those have time for."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)
def test_every_property_holds_for_many_examples() -> None:
    arguments = ["tests/unit", "tests/asyncio", "-m", "hypothesis", "--hypothesis-profile", "many"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
