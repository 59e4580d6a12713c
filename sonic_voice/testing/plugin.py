"""The pytest plugin of `sonic_voice`: fixtures for tests of voice applications.

    sonic_emulator   the local emulator of the service, one for the run; a scenario for each test
    conversation     opens a conversation between the test and an application
    speak            returns an utterance: a text spoken by the local voice, or a sound file
    sonic_tape       has the conversation of a test recorded on a tape, and replayed from it

pytest imports this module in every run of every project that has the package installed. It
therefore imports nothing but pytest, and the fixtures import what they need.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .emulator_thread import EmulatorThread
    from .fixtures import ConversationFixture, SonicEmulator, SpeakFixture
    from .tapes import TapeFixture

RECORD_MODES = ("none", "once", "new", "all")
"""Values of `--sonic-record`, as pytest-recording has them for `--record-mode`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("sonic_voice", "tests of voice applications")
    group.addoption(
        "--sonic-record",
        choices=RECORD_MODES,
        default="none",
        help=(
            "Tapes of sonic_tape. none: replay them, and fail if one is missing (default). "
            "once: record those that are missing. new: record also those whose session was "
            "configured differently. all: record all of them again."
        ),
    )
    group.addoption(
        "--sonic-live",
        action="store_true",
        help=(
            "Hold the conversations with Amazon Bedrock, in real time, instead of with the "
            "emulator. It needs AWS credentials, and costs money."
        ),
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the plugin."""
    config.addinivalue_line(
        "markers",
        "sonic_offline: needs the emulator, such as for its faults; skipped with --sonic-live",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need the emulator if the conversations are held with AWS."""
    if item.config.getoption("sonic_live") and item.get_closest_marker("sonic_offline"):
        pytest.skip("this test needs the emulator")


def pytest_assertrepr_compare(op: str, left: Any, right: Any) -> list[str] | None:
    """Explain a failed comparison of a measured time with the transcript of its turn."""
    # The module is not imported for this: a measured time exists only if it already is.
    measured: Any = left if type(left).__name__ == "Milliseconds" else right
    if type(measured).__name__ != "Milliseconds":
        return None
    return [f"{left} ms {op} {right} ms", "Transcript:", *measured.turn.context()]


def _option(request: pytest.FixtureRequest, name: str) -> Any:
    return request.config.getoption(name)


@pytest.fixture(scope="session")
def sonic_emulator_thread() -> "Generator[EmulatorThread]":
    """Run the emulator that the tests of this process share."""
    from .emulator_thread import EmulatorThread

    thread = EmulatorThread()
    thread.start()
    yield thread
    thread.close()


@pytest.fixture
def sonic_offline(request: pytest.FixtureRequest) -> Generator[None]:
    """Refuse sockets to other machines during a test, unless `--sonic-live` is given."""
    if _option(request, "sonic_live"):
        yield
        return
    from .network_guard import loopback_only

    with loopback_only():
        yield


@pytest.fixture
def sonic_emulator(
    request: pytest.FixtureRequest, sonic_emulator_thread: "EmulatorThread", sonic_offline: None
) -> "Generator[SonicEmulator]":
    """Return the emulator, which makes small talk until the test gives it a scenario."""
    from .fixtures import SonicEmulator

    sonic_emulator_thread.reset()
    yield SonicEmulator(sonic_emulator_thread, request.path.parent, request.config.rootpath)
    sonic_emulator_thread.reset()


@pytest.fixture
def speak(
    request: pytest.FixtureRequest, sonic_emulator_thread: "EmulatorThread"
) -> "SpeakFixture":
    """Return a function that makes an utterance of a text or a sound file."""
    from .fixtures import SpeakFixture

    return SpeakFixture(sonic_emulator_thread, request.path.parent)


@pytest.fixture
def sonic_tape(request: pytest.FixtureRequest) -> "TapeFixture":
    """Return a function `(name)` that has the conversation of the test replayed from a tape."""
    from .tapes import TapeFixture

    return TapeFixture(
        request.path.parent,
        _option(request, "sonic_record"),
        live=_option(request, "sonic_live"),
    )


@pytest.fixture
def conversation(
    request: pytest.FixtureRequest,
    sonic_emulator: "SonicEmulator",
    speak: "SpeakFixture",
    sonic_tape: "TapeFixture",
) -> "ConversationFixture":
    """Return a function that opens a conversation between the test and an application."""
    from .fixtures import ConversationFixture

    return ConversationFixture(
        sonic_emulator, speak, sonic_tape, live=_option(request, "sonic_live")
    )
