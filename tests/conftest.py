"""What holds for every test: tasks have an owner, and nothing depends on how fast we are.

The rest of the strictness (warnings are errors, asyncio in debug mode, a hang fails the test) is in
pyproject.toml. Properties are tried with few examples, so that the tests can be run often;
`scripts/test` tries them with the profile `many`.
"""

import asyncio
import gc
import inspect
import os
import signal
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("many", max_examples=150, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "few", hypothesis.settings.get_profile("many"), max_examples=20
)
hypothesis.settings.load_profile("few")


pytest_plugins = ["sonic_voice.testing.plugin"]
"""The plugin of the test kit, also where the package was installed before it had an entry point."""

os.environ["SONIC_VOICE_CONFIG"] = ""  # no test may depend on the settings of its user

# A shell without job control starts a program in the background with Ctrl-C ignored, and every
# program that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent
FAST_FOLDERS = ("unit", "asyncio")
"""Folders of tests that have short time limits, since they wait for nothing but themselves."""

TIMEOUT_S = 10
"""Time limit of a fast test, in seconds. The longest takes two on an idle machine."""

PROPERTY_TIMEOUT_S = 60
"""Time limit of a fast test of a property, in seconds: its examples calculate, and shrink when one
fails. With the profile `many` only the limit in pyproject.toml holds."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the tests of the fast folders their time limits, unless `--timeout` says otherwise."""
    if config.getoption("timeout") is not None:
        return
    many = hypothesis.settings.get_current_profile_name() == "many"
    fast_folders = {ROOT / folder for folder in FAST_FOLDERS}
    for item in items:
        fast = item.path.parent in fast_folders
        is_property = hypothesis.is_hypothesis_test(getattr(item, "obj", None))
        if fast and not (is_property and many):
            limit_s = PROPERTY_TIMEOUT_S if is_property else TIMEOUT_S
            item.add_marker(pytest.mark.timeout(limit_s), append=True)


class TimeLimitExceeded(BaseException):
    """A test took too long. Not an `Exception`, so that neither code nor hypothesis handles it."""


LIMIT_S = pytest.StashKey[float]()
REPEAT_S = 0.2
"""Time after which the exception is raised again, in seconds: an event loop that was hit between
two steps has logged it and goes on."""


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """Note the time limit of a test, in place of pytest-timeout's timer, which goes off once."""
    item.stash[LIMIT_S] = settings.timeout
    return True


def pytest_timeout_cancel_timer() -> bool:
    """Leave nothing to cancel to pytest-timeout."""
    return True


@contextmanager
def _time_limit(item: pytest.Item) -> Generator[None]:
    """Raise `TimeLimitExceeded` in the main thread while the body takes too long."""
    limit_s = item.stash.get(LIMIT_S, 0.0)

    def end(number: int, frame: object) -> None:
        raise TimeLimitExceeded(f"{item.name} took more than {limit_s:g} s.")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit_s, REPEAT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# The innermost wrappers, so that the alarm never hits pytest itself.


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Limit the time of the fixtures."""
    with _time_limit(item):
        yield


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Limit the time of the test."""
    with _time_limit(item):
        yield


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Limit the time of the fixtures' ends."""
    with _time_limit(item):
        yield


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
