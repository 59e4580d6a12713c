"""A test that waits for ever fails by its own name, and the tests after it run."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import FAST_FOLDERS, PROPERTY_TIMEOUT_S, TIMEOUT_S

ROOT = Path(__file__).parents[2]

WAITING = """
import asyncio
import threading

import pytest
from hypothesis import given, strategies


def test_waits_in_a_thread() -> None:
    threading.Event().wait()

async def test_waits_in_a_loop() -> None:
    await asyncio.Event().wait()

async def test_waits_in_a_task() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.Event().wait())

async def test_turns_in_a_loop() -> None:
    while True:
        await asyncio.sleep(0)

@pytest.fixture
def waiting() -> None:
    threading.Event().wait()

def test_waits_in_a_fixture(waiting: None) -> None: ...

@given(strategies.integers())
def test_waits_in_a_property(number: int) -> None:
    threading.Event().wait()

def test_the_next_one() -> None: ...

async def test_the_next_one_in_a_loop() -> None:
    await asyncio.sleep(0)
"""


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tests in `folder` with the settings and the conftest of this repository."""
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfEp",
         f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={folder}", *arguments,
         str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("beside", [(), ("--numprocesses=1",)])
def test_a_test_that_waits_fails_by_its_own_name(tmp_path: Path, beside: tuple[str, ...]) -> None:
    (tmp_path / "test_waiting.py").write_text(WAITING)
    run = pytest_run(tmp_path, "--timeout=0.5", *beside)
    summary = run.stdout.partition("short test summary info")[2].splitlines()
    found = dict[str, set[str]]()
    for line in summary:
        if "::" in line:
            outcome, name = line.split()[:2]
            found.setdefault(outcome, set()).add(name.split("::")[-1])
    assert found["FAILED"] | found["ERROR"] == {
        "test_waits_in_a_thread", "test_waits_in_a_loop", "test_waits_in_a_task",
        "test_turns_in_a_loop", "test_waits_in_a_fixture", "test_waits_in_a_property",
    }, run.stdout + run.stderr  # fmt: skip
    assert found["PASSED"] == {"test_the_next_one", "test_the_next_one_in_a_loop"}


LIMITS = """
import pytest
from hypothesis import HealthCheck, given, settings, strategies

@pytest.fixture
def limit_s(request: pytest.FixtureRequest) -> object:
    marker = request.node.get_closest_marker("timeout")
    return marker and marker.args[0]

def test_waits(limit_s: object) -> None:
    assert limit_s == {waits}

@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=strategies.none())
def test_calculates(limit_s: object, number: None) -> None:
    assert limit_s == {calculates}

@pytest.mark.timeout(3)
def test_has_its_own(limit_s: object) -> None:
    assert limit_s == 3
"""


def test_fast_tests_have_ten_seconds_and_properties_more(tmp_path: Path) -> None:
    for folder in (*FAST_FOLDERS, "e2e"):
        fast = folder in FAST_FOLDERS
        waits, calculates = (TIMEOUT_S, PROPERTY_TIMEOUT_S) if fast else (None, None)
        (tmp_path / folder).mkdir()
        text = LIMITS.format(waits=waits, calculates=calculates)
        (tmp_path / folder / "test_limits.py").write_text(text)
    run = pytest_run(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    (tmp_path / "e2e" / "test_limits.py").unlink()
    for folder in FAST_FOLDERS:
        text = LIMITS.format(waits=TIMEOUT_S, calculates=None)
        (tmp_path / folder / "test_limits.py").write_text(text)
    run = pytest_run(tmp_path, "--hypothesis-profile=many")
    assert run.returncode == 0, run.stdout + run.stderr
