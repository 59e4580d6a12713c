"""The command `sonic-voice demo`: a recorded conversation on the emulator."""

from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..config import SessionConfig
from ..tools.toolbox import Toolbox, tool
from .base import errors, run_until_done
from .ending import ending
from .mcp import mcp_servers, run_with_tools
from .options import EventsAsJson, McpConfig, McpTargets, ReasonerAddress, ReportPath, TapePath
from .reasoner import load_reasoner
from .recorded import prepare_conversation, run_conversation
from .report import reported
from .service import EMULATOR, emulated_service


def demo(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="WAV file to write the answers to.")
    ] = Path("sonic-voice-demo.wav"),
    speed: Annotated[float, typer.Option(help="Speed as a multiple of real time.")] = 1.0,
    reasoner: ReasonerAddress = None,
    mcp: McpTargets = None,
    mcp_config: McpConfig = None,
    record: TapePath = None,
    report: ReportPath = None,
    as_json: EventsAsJson = False,
) -> None:
    """Show a conversation on the local emulator: three turns, a tool call, an interruption.

    The user's side is a recording. Nothing leaves this machine, unless --reasoner has a model
    elsewhere answer in place of the script, with the tools of --mcp if there are some.
    """

    @tool
    def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
        """Move the robot."""
        return {"direction": direction, "meters": meters}

    with errors(context), ending(as_json) as end, ExitStack() as stack:
        folder = resources.files("sonic_voice.emulator")
        script = stack.enter_context(resources.as_file(folder / "demo.yaml"))
        speech = stack.enter_context(resources.as_file(folder / "demo.wav"))
        if (mcp or mcp_config is not None) and reasoner is None:
            raise typer.BadParameter("The script calls one tool: --mcp needs --reasoner here.")
        servers = mcp_servers(mcp, mcp_config)
        tools = Toolbox([go])
        config, thinker = load_reasoner(
            reasoner,
            SessionConfig(tools=tools.specs, system="You steer a small robot."),
            region=None,
            profile=None,
            proxy=None,
            on_notice=lambda text: end.notice(text),
        )
        where = EMULATOR if thinker is None else f"{EMULATOR} with the reasoner {thinker.name}"
        run = stack.enter_context(
            prepare_conversation(
                config,
                speech,
                output,
                speed,
                None,
                tools,
                end,
                where,
                reasoner=thinker,
                tape=stack.enter_context(reported(report, record, end)),
                keeps_tape=record is not None,
            )
        )
        service = emulated_service(script)
        run_until_done(run_with_tools(servers, run, lambda run: run_conversation(run, service)))
