"""What holds for every test: tasks have an owner, and nothing depends on how fast we are.

The rest of the strictness (warnings are errors, asyncio in debug mode, a hang ends the run with
its stacks) is in pyproject.toml. Properties are tried with few examples, so that the tests can be
run often; `tests/long` tries the same ones with the profile `many`.
"""

import asyncio
import gc
import inspect
import os
from collections.abc import AsyncIterator, Generator

import hypothesis
import pytest

hypothesis.settings.register_profile("many", max_examples=300, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "few", hypothesis.settings.get_profile("many"), max_examples=20
)
hypothesis.settings.load_profile("few")


def pytest_collection_finish() -> None:
    """Spare the garbage collector, and tests that call it, the modules: they stay to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With `NO_SKIPS` set, as CI does, a test that is skipped has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("NO_SKIPS"):
        report.outcome = "failed"
    return report


@pytest.fixture(autouse=True, scope="session")
def conversations_are_not_saved_at_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have the processes that tests start save their conversations in a folder of the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def every_task_has_an_owner(request: pytest.FixtureRequest) -> None:
    """Hold each `async` test to `no_task_is_left`, and start no loop for the others."""
    node = request.node
    if isinstance(node, pytest.Function) and inspect.iscoroutinefunction(node.obj):
        request.getfixturevalue("no_task_is_left")


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Fail the test if a task that began during it, or during its fixtures, outlives them."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks without an owner: {left}"
