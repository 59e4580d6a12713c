"""What holds for every test: tasks have an owner, and nothing depends on how fast we are.

The rest of the strictness (warnings are errors, asyncio in debug mode, a hang ends the run with
its stacks) is in pyproject.toml.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator

import hypothesis
import pytest

hypothesis.settings.register_profile("sonic", deadline=None, print_blob=True)
hypothesis.settings.load_profile("sonic")


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
