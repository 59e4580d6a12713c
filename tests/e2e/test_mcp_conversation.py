"""Conversations on the emulator with the tools of an MCP server, up to the command line."""

import asyncio
import json
import shlex
import sys
from pathlib import Path

from sonic_voice import SessionConfig, mcp_tools
from sonic_voice.events import Renewed
from sonic_voice.testing import ConversationFixture, SonicEmulator

from ..support.mcp_robot import robot_server

PROGRAM = Path(sys.executable).with_name("sonic-voice")
SPEECH = Path(__file__).parents[1] / "speech"
ROBOT = [sys.executable, str(Path(__file__).parents[1] / "support" / "mcp_robot.py")]
LIMIT_S = 90

BOOKING = """
name: booking
steps:
  - user: please book a table
    call: {tool: book, arguments: {}, then: "{result.question}"}
  - user: for four of us
    call: {tool: answer_question, arguments: {answer: "4"}, then: "Done, {result.result}."}
"""

LEARNING = """
name: learning
steps:
  - user: please learn something
    call: {tool: learn, arguments: {}, then: "I have {result.result}."}
  - user: now dance
    call: {tool: dance, arguments: {}, then: "I have {result.result}."}
"""

CLOCK = """
name: clock
steps:
  - user: hello.
    call:
      tool: get_current_time
      arguments: {timezone: Etc/GMT-9}
      then: "It is a day in {result.timezone}, and the clock says {result.datetime}."
otherwise: Goodbye!
"""


async def test_the_user_is_asked_what_a_server_wants_to_know(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    sonic_emulator.play(BOOKING)
    async with (
        mcp_tools(robot_server(), on_notice=print) as tools,
        conversation(SessionConfig(tools=tools.specs), tools) as call,
    ):
        asked = await call.say("Please book a table.")
        done = await call.say("For four of us.")
    asked.assistant_said("How many people?")
    done.called("answer_question", answer="4")
    done.assistant_said("Done, accept people=4.")


async def test_a_tool_that_a_server_adds_is_declared_and_called(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    sonic_emulator.play(LEARNING)
    async with (
        mcp_tools(robot_server(), on_notice=print) as tools,
        conversation(SessionConfig(tools=tools.specs), tools) as call,
    ):
        await call.say("Please learn something.")
        for _ in range(60):  # half a minute of the conversation
            if any(isinstance(one.event, Renewed) for one in call.events):
                break
            await call.wait(0.5)
        dance = await call.say("Now dance.")
    dance.called("dance")
    dance.assistant_said("I have danced.")


async def run(*arguments: str, cwd: Path) -> tuple[int | None, str, str]:
    """Run the command, and return its exit code and what it printed to both outputs."""
    running = await asyncio.create_subprocess_exec(
        *(PROGRAM, *arguments),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), LIMIT_S)
    return running.returncode, out.decode(), err.decode()


async def test_talk_calls_a_server_of_ours_by_voice(tmp_path: Path) -> None:
    """The words are those that the emulator recognises in a recording of a person."""
    code, out, err = await run(
        *("talk", "--local", "--speed", "10", "--no-save", "--mcp", shlex.join(ROBOT)),
        *("--input", str(SPEECH / "goforward.wav")),
        cwd=tmp_path,
    )
    assert 'go({"direction":"forward","meters":10})' in out
    assert 'go -> {"direction": "forward", "meters": 10}' in out
    assert "The tool 'turn/left' of the MCP server mcp_robot.py is called 'turn_left'." in err
    assert code == 0


async def test_talk_calls_a_server_from_the_registry_by_voice(tmp_path: Path) -> None:
    (tmp_path / "clock.yaml").write_text(CLOCK)
    server = {"command": sys.executable, "args": ["-m", "mcp_server_time"]}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"time": server}}))
    code, out, err = await run(
        *("talk", "--local", "--scenario", "clock.yaml", "--speed", "10", "--no-save"),
        *("--input", str(SPEECH / "hello.wav"), "--mcp-config", "mcp.json"),
        cwd=tmp_path,
    )
    assert "It is a day in Etc/GMT-9" in out
    assert "+09:00" in out
    assert (code, err) == (0, "")


async def test_lint_checks_what_a_server_offers(tmp_path: Path) -> None:
    code, out, err = await run("lint", "--mcp", shlex.join(ROBOT), cwd=tmp_path)
    findings = [line.split(": ")[:2] for line in out.splitlines() if not line.startswith(" ")]
    assert ["mcp_robot.py:1", "refused-schema"] in findings
    assert "The rewrite loses degrees: integer or string." in out
    assert (code, err) == (1, "")


async def test_a_server_that_is_missing_ends_the_command_with_a_sentence(tmp_path: Path) -> None:
    code, out, err = await run("serve", "--local", "--mcp", "no-such-program", cwd=tmp_path)
    assert (code, out) == (3, "")
    assert err.startswith(
        "sonic-voice: The MCP server no-such-program cannot be started: No such file or directory."
    )
