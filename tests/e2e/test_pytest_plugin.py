"""The pytest plugin in projects of its users, each in a process of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sonic_voice.recording import read_tape
from sonic_voice.testing import SonicEmulator

from ..support.plugin_run import ASYNCIO_INI, ROOT, project, run_pytest

EXAMPLE = ROOT / "tests" / "example_app"

ASYNCIO = ("-p", "pytest_asyncio.plugin")

WEATHER = '''
from sonic_voice import SessionConfig, Toolbox, tool

@tool
def weather(city: str) -> dict[str, object]:
    """Return the weather."""
    return {"celsius": 18}

TOOLS = Toolbox([weather])
CONFIG = SessionConfig(system="You report the weather.", tools=TOOLS.specs)
SCENARIO = """
name: weather
steps:
  - user: what is the weather in Paris
    call:
      tool: weather
      arguments: {city: Paris}
      then: It is {result.celsius} degrees.
"""
'''

FAILING = """
import socket
import pytest
from app import CONFIG, SCENARIO, TOOLS

@pytest.fixture
async def turn(sonic_emulator, conversation):
    sonic_emulator.play(SCENARIO)
    async with conversation(CONFIG, TOOLS) as call:
        return await call.say("What is the weather in Paris?")

async def test_holds(turn):
    turn.user_said("weather", "paris")
    turn.called("weather", city="Paris")
    turn.assistant_said("18 degrees")
    turn.was_not_interrupted()
    assert turn.response_latency_ms < 3000

async def test_user(turn):
    turn.user_said("weather in London")

async def test_assistant(turn):
    turn.assistant_said("20 degrees")

async def test_tool(turn):
    turn.called("weather", city="London")

async def test_interrupted(turn):
    turn.was_interrupted(after_ms=500)

async def test_latency(turn):
    assert turn.response_latency_ms < 100

async def test_heard(sonic_emulator, conversation):
    sonic_emulator.play(SCENARIO)
    async with conversation(CONFIG, TOOLS) as call:
        await call.ask("What is the weather in Paris?")
        await call.heard_until("sunny")

async def test_network(conversation):
    with pytest.raises(RuntimeError, match="tried to reach 192.0.2.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(RuntimeError, match="tried to reach example.com"):
        socket.getaddrinfo("example.com", 443)
    socket.getaddrinfo("localhost", 443)

async def test_tape_is_missing(sonic_tape, conversation):
    sonic_tape("weather")
    conversation(CONFIG, TOOLS)

def test_network_of_other_tests():
    assert socket.getaddrinfo.__module__ == "socket"
"""


def test_assertions_fail_with_the_transcript_around_the_place(tmp_path: Path) -> None:
    project(tmp_path, app=WEATHER, test_failing=FAILING)
    run = run_pytest(tmp_path, *ASYNCIO)
    passing = {"test_holds", "test_network", "test_network_of_other_tests"}
    assert run.outcomes().keys() >= passing, run.output
    assert {name for name, how in run.outcomes().items() if how == "passed"} == passing, run.output
    for message in (
        "Turn 1: the user did not say 'weather in London'.",
        "The user said: what is the weather in paris?",
        "Turn 1: the assistant did not say '20 degrees'.",
        "The assistant said: It is 18 degrees.",
        "Turn 1: weather(city='London') was not called.",
        "The model called: weather(city='Paris') -> {\"celsius\": 18}",
        "Turn 1: the answer was not interrupted.",
        " ms < 100 ms",
        "Turn 1: 'sunny' was not heard within 60 s.",
        "Record it: pytest --sonic-record=once.",
    ):
        assert message in run.output, message
    assert run.output.count(">   assistant ") >= 4  # the transcript, with the turn marked


ANYIO = """
import pytest
from app import CONFIG, SCENARIO, TOOLS

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def test_weather(sonic_emulator, sonic_tape, conversation):
    sonic_emulator.play(SCENARIO)
    sonic_tape("paris")
    async with conversation(CONFIG, TOOLS) as call:
        turn = await call.say("What is the weather in Paris?")
    turn.assistant_said("18 degrees")
"""


def test_it_works_with_anyio_instead_of_pytest_asyncio(tmp_path: Path) -> None:
    ini = "[pytest]\naddopts = -p no:cacheprovider\nfilterwarnings = error"
    project(tmp_path, ini, app=WEATHER, test_anyio=ANYIO)
    run = run_pytest(tmp_path, "-p", "anyio", "--sonic-record=once")
    assert run.outcomes() == {"test_weather": "passed"}, run.output
    assert read_tape(tmp_path / "tapes" / "paris.tape").records


SNAPSHOTS = '''
import pytest
from inline_snapshot import snapshot as inline
from app import CONFIG, SCENARIO, TOOLS

@pytest.fixture
async def call(sonic_emulator, conversation):
    sonic_emulator.play(SCENARIO)
    async with conversation(CONFIG, TOOLS) as call:
        await call.say("What is the weather in Paris?")
    return call

async def test_syrupy(call, snapshot):
    assert call.transcript == snapshot
    assert call.wire == snapshot

async def test_inline(call):
    assert call.transcript == inline("""\\
turn 1
  user         what is the weather in paris?
  tool         weather(city='Paris') -> {"celsius": 18}
  assistant    It is 18 degrees.\\
""")
'''


def test_transcript_and_wire_are_stable_in_snapshots(tmp_path: Path) -> None:
    project(tmp_path, app=WEATHER, test_snapshots=SNAPSHOTS)
    plugins = (*ASYNCIO, "-p", "syrupy", "-p", "inline_snapshot.pytest_plugin")
    written = run_pytest(tmp_path, *plugins, "--snapshot-update", "-k", "syrupy")
    assert written.code == 0, written.output
    kept = (tmp_path / "__snapshots__" / "test_snapshots.ambr").read_text()
    assert '-> toolResult {"content": {"celsius": 18}' in kept
    assert "promptName 1" in kept
    run = run_pytest(tmp_path, *plugins)
    assert run.outcomes() == {"test_syrupy": "passed", "test_inline": "passed"}, run.output


def example_copy(folder: Path) -> Path:
    """Copy the example application with its tests, as a project of its own."""
    app = folder / "example_app"
    shutil.copytree(EXAMPLE, app, ignore=shutil.ignore_patterns("__pycache__"))
    project(folder, ASYNCIO_INI.replace("addopts =", "addopts = --import-mode=importlib"))
    return app


def test_a_planted_change_of_the_application_fails_the_test_that_names_it(tmp_path: Path) -> None:
    """The smallest table that fits becomes the smallest that has more seats than guests."""
    app = example_copy(tmp_path)
    source = (app / "restaurant.py").read_text()
    assert source.count("seats >= people") == 1
    (app / "restaurant.py").write_text(source.replace("seats >= people", "seats > people + 1"))
    run = run_pytest(tmp_path, *ASYNCIO, "-p", "xdist", "-n2")
    assert run.outcomes() == {
        "test_a_table_is_offered": "failed",
        "test_a_full_house_is_a_polite_refusal": "passed",
        "test_a_booking_is_kept_although_the_directions_are_interrupted": "passed",
    }, run.output
    assert "Turn 1: the assistant did not say 'a table with 4 seats'." in run.output
    assert "The assistant said: Yes, we have a table with 8 seats." in run.output


def test_the_example_of_the_readme_passes_as_it_stands(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files = re.findall(r"```\w+\n# (\S+\.(?:py|yaml))\n(.*?)```", readme, re.DOTALL)
    assert [name for name, _ in files] == ["weather.py", "weather.yaml", "test_weather.py"]
    for name, text in files:
        (tmp_path / name).write_text(text)
    project(tmp_path)
    run = run_pytest(tmp_path, *ASYNCIO)
    assert run.outcomes() == {"test_a_forecast_can_be_interrupted": "passed"}, run.output


LIVE = """
import pytest

async def test_live(conversation):
    async with conversation() as call:
        turn = await call.say("What time is it?")
    assert turn.heard
    assert 300 < turn.response_latency_ms < 8000

@pytest.mark.sonic_offline
async def test_offline(sonic_emulator, conversation):
    raise AssertionError
"""


def test_the_same_tests_run_in_real_time_against_a_service(
    tmp_path: Path, sonic_emulator: SonicEmulator
) -> None:
    """The service is an emulator, which is found by the AWS settings as AWS would be."""
    project(tmp_path, test_live=LIVE)
    environment = sonic_emulator.environment()
    run = run_pytest(tmp_path, *ASYNCIO, "--sonic-live", environment=environment)
    assert run.outcomes() == {"test_live": "passed"}, run.output
    assert "1 skipped" in run.output


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("sonic_voice", ("pytest", "_pytest", "numpy", "aws_sdk_bedrock_runtime")),
        (
            "sonic_voice.testing.plugin",
            ("sonic_voice.emulator", "sonic_voice.session", "numpy", "aws_sdk_bedrock_runtime"),
        ),
    ],
)
def test_an_import_loads_nothing_that_is_not_needed(imported: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {imported}; print(*[name for name in {absent!r} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
