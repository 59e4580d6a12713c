"""The commands with a reasoner that has the tools of an MCP server: everything is real.

The text model is a server on loopback, the MCP server a program, and the emulator is that of
`--local`.
"""

import json
import shlex
import sys
from pathlib import Path

from ..support.served_process import serving
from ..support.text_models import HttpTextModel, Move, calling, saying
from .test_typed_conversation import shell

SPEECH = Path(__file__).parents[1] / "speech"
ROBOT = shlex.join([sys.executable, str(Path(__file__).parents[1] / "support" / "mcp_robot.py")])
ARGUMENTS = '{"direction": "forward", "meters": 10}'
CALLER = """
turns:
  - say: Go forward ten meters, please.
    expect:
      assistant: I went ten meters
      calls: [{tool: go, arguments: {direction: forward, meters: 10}}]
"""


def moves() -> list[Move]:
    """Return the answers of the text model: a call of the server's tool, then words about it."""
    return [calling("go", ARGUMENTS, before="One moment. "), saying("I went ten meters.")]


def check_asked(service: HttpTextModel) -> None:
    """Check that the text model was offered the server's tools, and got the result of its call."""
    first, second = service.asked
    assert {"go", "turn_left"} <= {tool["function"]["name"] for tool in first["tools"]}
    result = json.loads(second["messages"][-1]["content"])
    assert result == {"direction": "forward", "meters": 10}


async def test_talk_lets_a_reasoner_call_the_tools_of_an_mcp_server(tmp_path: Path) -> None:
    async with HttpTextModel("openai", moves()).running() as service:
        code, out, err = await shell(
            f"sonic-voice talk --local --speed 10 --no-save --mcp {shlex.quote(ROBOT)} "
            f"--input {SPEECH / 'goforward.wav'} --reasoner '{service.address}'",
            tmp_path,
        )
    assert code == 0, err
    assert f"go({ARGUMENTS})" in out
    assert 'go -> {"direction": "forward", "meters": 10}' in out
    assert "One moment." in out
    assert "I went ten meters." in out
    assert "ExpertTool" not in out
    assert "The tool 'turn/left' of the MCP server mcp_robot.py is called 'turn_left'." in err
    check_asked(service)


async def test_serve_lets_a_reasoner_call_the_tools_of_an_mcp_server(tmp_path: Path) -> None:
    """A caller of the command `test` is the page, in real time: about 10 s."""
    (tmp_path / "caller.yaml").write_text(CALLER)
    async with (
        HttpTextModel("openai", moves()).running() as service,
        serving("--mcp", ROBOT, "--reasoner", service.address) as (_, url),
    ):
        where = f"ws{url.removeprefix('http')}talk"
        code, out, err = await shell(f"sonic-voice test caller.yaml --against {where}", tmp_path)
    assert code == 0, out + err
    check_asked(service)


async def test_callers_call_a_reasoner_with_the_tools_of_an_mcp_server(tmp_path: Path) -> None:
    (tmp_path / "caller.yaml").write_text(CALLER)
    async with HttpTextModel("messages", moves()).running() as service:
        code, out, err = await shell(
            f"sonic-voice test caller.yaml --mcp {shlex.quote(ROBOT)} "
            f"--reasoner '{service.address}' --json",
            tmp_path,
        )
    assert code == 0, out + err
    (turn,) = json.loads(out)["turns"]
    assert [call["tool"] for call in turn["calls"]] == ["go"]
    assert len(service.asked) == 2


async def test_a_conversation_in_the_background_has_both_too(tmp_path: Path) -> None:
    async with HttpTextModel("openai", moves()).running() as service:
        code, out, err = await shell(
            f"sonic-voice say --start --mcp {shlex.quote(ROBOT)} --reasoner '{service.address}' "
            "&& sonic-voice say 'Go forward ten meters, please.'; sonic-voice say --stop",
            tmp_path,
        )
    assert (code, err) == (0, "")
    answer = json.loads(out.splitlines()[1])
    assert answer["assistant"] == "One moment. I went ten meters."
    assert [call["tool"] for call in answer["calls"]] == ["go"]
    check_asked(service)


async def test_the_demonstration_is_held_by_a_reasoner(tmp_path: Path) -> None:
    said = [saying("I am a model of yours."), *moves(), saying("So long!")]
    async with HttpTextModel("openai", said).running() as service:
        code, out, err = await shell(
            f"sonic-voice demo --speed 4 --mcp {shlex.quote(ROBOT)} --reasoner '{service.address}'",
            tmp_path,
        )
    assert code == 0, err
    assert "with the reasoner stand-in by openai" in out
    assert "I am a model of yours." in out
    assert service.asked[0]["messages"][0]["content"].endswith("You steer a small robot.")
    assert "turn_left" in [tool["function"]["name"] for tool in service.asked[0]["tools"]]


async def test_where_they_have_no_effect_they_are_refused(tmp_path: Path) -> None:
    (tmp_path / "caller.yaml").write_text(CALLER)
    for command, reason in [
        ("demo --mcp robot", "--mcp needs --reasoner here"),
        ("test caller.yaml --against ws://localhost:1/ --mcp robot", "give --mcp to `serve`"),
    ]:
        code, out, err = await shell(f"sonic-voice {command}", tmp_path)
        assert (code, out) == (2, "")
        assert reason in " ".join(err.replace("│", " ").split())
