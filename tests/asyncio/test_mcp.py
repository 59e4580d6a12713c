"""Tools of an MCP server in this process: calls, questions, and what a server does wrong."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sonic_voice.errors import ConfigError
from sonic_voice.mcp_servers import mcp_tools
from sonic_voice.mcp_servers.calls import ANSWER_S
from sonic_voice.mcp_servers.results import MAX_RESULT_BYTES
from sonic_voice.tools.context import NoConversation, ToolContext
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.virtual_time import run_in_virtual_time

from ..support.mcp_robot import HUGE, robot_server


class Robot:
    """The tools of a robot, and what the user was told."""

    def __init__(self, toolbox: Toolbox, notices: list[str]) -> None:
        self.toolbox = toolbox
        self.notices = notices

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        return json.loads(await self.toolbox.run(name, json.dumps(arguments)))

    @property
    def names(self) -> set[str]:
        return {spec.name for spec in self.toolbox.specs}


@pytest.fixture
async def robot() -> AsyncIterator[Robot]:
    notices: list[str] = []
    async with mcp_tools(robot_server(), on_notice=notices.append) as toolbox:
        yield Robot(toolbox, notices)


async def test_a_tool_is_called_with_the_arguments_of_the_model(robot: Robot) -> None:
    assert await robot.call("go", direction="forward", meters="10") == {
        "direction": "forward",
        "meters": 10,
    }


async def test_what_is_missing_is_said_without_asking_the_server(robot: Robot) -> None:
    assert await robot.call("go", direction="forward") == {"error": "meters is missing"}


async def test_a_bad_name_is_mapped_and_a_bad_schema_simplified(robot: Robot) -> None:
    assert await robot.call("turn_left", degrees="90") == {"result": "turned '90'"}
    [spec] = [spec for spec in robot.toolbox.specs if spec.name == "turn_left"]
    assert spec.schema["properties"]["degrees"]["type"] == "string"
    where = "The tool 'turn/left' of the MCP server robot"
    assert robot.notices == [
        f"{where} is called 'turn_left'.",
        f"{where} has a simpler schema here, which loses: degrees: integer or string.",
    ]


async def test_an_error_of_a_tool_is_a_result(robot: Robot) -> None:
    assert await robot.call("fail") == {"error": "Error executing tool fail: The motor is hot."}


async def test_a_huge_result_is_cut_and_says_so(robot: Robot) -> None:
    result = await robot.call("huge")
    assert result["result"].startswith("word word ")
    assert len(json.dumps(result)) < MAX_RESULT_BYTES
    assert str(HUGE)[:3] in result["note"]


def test_a_server_that_hangs_is_an_error_and_the_next_call_works() -> None:
    async def check() -> None:
        notices: list[str] = []
        async with mcp_tools(robot_server(), on_notice=notices.append) as toolbox:
            robot = Robot(toolbox, notices)
            assert await robot.call("hang") == {"error": "hang gave no result within 20 s."}
            assert notices[-1] == "The MCP server robot gave no result of hang within 20 s."
            assert "motor is hot" in (await robot.call("fail"))["error"]

    run_in_virtual_time(check())


async def test_a_server_that_changes_its_tools_changes_the_toolbox(robot: Robot) -> None:
    changed = asyncio.Event()
    with robot.toolbox.watched(changed.set):
        assert await robot.call("learn") == {"result": "learned"}
        await changed.wait()
    assert {"dance", "slowly"} & robot.names == {"dance"}
    assert await robot.call("dance") == {"result": "danced"}
    assert "There is no tool 'slowly'" in (await robot.call("slowly"))["error"]
    assert robot.notices[-1] == (
        "The MCP server robot has changed its tools. New: dance. Gone: slowly."
    )


async def test_a_call_goes_on_while_the_user_is_asked(robot: Robot) -> None:
    question = await robot.call("book")
    assert question["question"] == "I book a table. How many people?"
    assert question["expected"] == "a whole number in digits"
    assert "answer_question" in question["what_to_do"]
    assert await robot.call("answer_question", answer="four") == {"result": "accept people=4"}


async def test_an_answer_that_is_not_understood_is_a_refusal(robot: Robot) -> None:
    await robot.call("book")
    result = await robot.call("answer_question", answer="the blue one")
    assert result["result"] == "decline None"
    assert "not understood" in result["note"]


async def test_a_user_may_decline(robot: Robot) -> None:
    await robot.call("book")
    assert await robot.call("answer_question", answer="") == {"result": "decline None"}


@pytest.mark.parametrize(("said", "told"), [("Yes, please.", "sure: True"), ("No!", "sure: False")])
async def test_the_user_is_asked_by_the_protocol_of_2026_too(
    robot: Robot, said: str, told: str
) -> None:
    assert (await robot.call("explode"))["question"] == "Shall I really do it?"
    assert await robot.call("answer_question", answer=said) == {"result": told}


async def test_a_server_of_2026_asks_the_user_and_changes_its_tools() -> None:
    notices: list[str] = []
    changed = asyncio.Event()
    async with mcp_tools(robot_server(modern=True), on_notice=notices.append) as toolbox:
        robot = Robot(toolbox, notices)
        with toolbox.watched(changed.set):
            assert await robot.call("learn") == {"result": "learned"}
            await changed.wait()
        assert "dance" in robot.names
        assert (await robot.call("explode"))["question"] == "Shall I really do it?"
        assert await robot.call("answer_question", answer="yes") == {"result": "sure: True"}
        assert "no back-channel" in (await robot.call("book"))["error"]


async def test_an_answer_without_a_question_is_an_error(robot: Robot) -> None:
    assert "error" in await robot.call("answer_question", answer="yes")


def test_a_user_who_does_not_answer_holds_nothing_up() -> None:
    async def check() -> None:
        async with mcp_tools(robot_server(), on_notice=print) as toolbox:
            robot = Robot(toolbox, [])
            assert "question" in await robot.call("book")
            await asyncio.sleep(ANSWER_S + 1)
            assert "error" in await robot.call("answer_question", answer="4")
            assert "question" in await robot.call("book")

    run_in_virtual_time(check())


def test_the_time_for_the_answer_does_not_count_as_that_of_the_call() -> None:
    async def check() -> None:
        async with mcp_tools(robot_server(), on_notice=print) as toolbox:
            robot = Robot(toolbox, [])
            assert "question" in await robot.call("book")
            await asyncio.sleep(ANSWER_S - 1)
            assert await robot.call("answer_question", answer="2") == {"result": "accept people=2"}

    run_in_virtual_time(check())


async def test_a_question_is_asked_in_its_own_conversation_only(robot: Robot) -> None:
    first, second = (
        Robot(robot.toolbox.for_conversation(ToolContext(conversation=name)), robot.notices)
        for name in ("first", "second")
    )
    assert "question" in await first.call("explode")
    assert "error" in await second.call("answer_question", answer="yes")
    assert await first.call("answer_question", answer="yes") == {"result": "sure: True"}


async def test_leaving_takes_the_tools_away_and_ends_the_calls() -> None:
    @tool
    def stop() -> None:
        """Stop."""

    toolbox = Toolbox([stop])
    async with mcp_tools(robot_server(), tools=toolbox, on_notice=print) as given:
        assert given is toolbox
        assert "question" in json.loads(await toolbox.run("book", ""))
    assert [spec.name for spec in toolbox.specs] == ["stop"]


async def test_a_call_that_runs_ends_with_its_servers() -> None:
    async with mcp_tools(robot_server(), on_notice=print) as toolbox:
        hanging = asyncio.create_task(toolbox.run("hang", ""))
        assert await Robot(toolbox, []).call("slowly") == {"result": "there"}
    assert json.loads(await hanging) == {"error": "The call was ended."}


async def test_cancelling_a_call_leaves_the_server_usable(robot: Robot) -> None:
    hanging = asyncio.create_task(robot.toolbox.run("hang", ""))
    assert await robot.call("slowly") == {"result": "there"}
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await robot.call("slowly") == {"result": "there"}


async def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    with pytest.raises(ConfigError, match="need the package mcp 2"):
        async with mcp_tools("uvx mcp-server-time"):
            pass


class Progress(NoConversation):
    """A conversation that notes the progress of its calls."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []

    def progress(self, tool_use: str, text: str) -> None:
        self.reports.append((tool_use, text))


async def test_progress_is_reported_to_the_conversation_of_the_call(robot: Robot) -> None:
    port = Progress()
    tools = robot.toolbox.for_call(1, "use-1", port)
    assert json.loads(await tools.run("slowly", "")) == {"result": "there"}
    assert port.reports == [("use-1", "I am half way.")]


async def test_tools_with_the_same_name_are_told_apart() -> None:
    @tool
    def go() -> str:
        """Go on."""
        return "ours"

    notices: list[str] = []
    async with mcp_tools(robot_server(), tools=[go], on_notice=notices.append) as toolbox:
        robot = Robot(toolbox, notices)
        assert await robot.call("go") == {"result": "ours"}
        assert await robot.call("robot_go", direction="forward", meters=1) != {"result": "ours"}
    assert "The tool 'go' of the MCP server robot is called 'robot_go'." in notices
