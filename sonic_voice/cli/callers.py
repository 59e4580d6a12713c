"""The command `sonic-voice test`: callers against an application. `callers` explains the files.

With `--against local` the emulator runs in this process, on virtual time: the conversation takes as
long as the computations in it, and is the same on every run. Other targets take real time. So do
conversations with MCP servers or a reasoner, which have clocks of their own.
"""

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, NetworkError
from ..extras import install_command
from ..printable import printable, printable_json
from ..virtual_time import VirtualTimeLoop
from .base import FILE_EXIT, errors, require_emulator, run_until_done
from .caller_report import caller_tape, recorded_callers, write_caller_report
from .emulate import Ears, EarsName
from .ending import print_notice
from .faults import FaultTexts
from .mcp import mcp_servers, offered_tools
from .options import (
    CaFile,
    McpConfig,
    McpTargets,
    ProfileName,
    ProxyUrl,
    ReasonerAddress,
    RegionName,
    ReportPath,
    ScenarioFile,
    ToolsFile,
)
from .printing import echo
from .reasoner import load_reasoner
from .service import BEDROCK, LOCAL, service_against
from .tools_file import load_tools

if TYPE_CHECKING:
    from ..callers.chat import ChatModel
    from ..callers.records import CallerScript
    from ..callers.results import CallerResult, Verdict
    from ..callers.runner import Target

FAILED_EXIT = 1
"""Exit code when an expectation does not hold, or the judge disagrees."""

BRIDGE_SCHEMES = ("ws://", "wss://")
"""Beginnings of the addresses of bridges."""

Against = Annotated[
    str,
    typer.Option(
        metavar="local|bedrock|URL",
        help="What is called: the emulator, Amazon Bedrock, the https URL of another endpoint, or "
        "the ws or wss URL of a bridge of `serve`.",
    ),
]
"""Option --against of several commands."""


@dataclass(frozen=True, slots=True)
class CallerOptions:
    """The options of `sonic-voice test`."""

    against: str
    """The target: `local`, `bedrock`, or a URL."""
    judge: str = ""
    """Chat model that judges; empty for none."""
    caller: str = ""
    """Chat model that speaks for simulated callers; empty for none."""
    tools: Path | None = None
    """Python file with tools, instead of those that the files name."""
    scenario: Path | None = None
    """Scenario of the emulator, instead of those that the files name."""
    ears: Ears = "default"
    """Speech recognition of the emulator."""
    faults: tuple[str, ...] = ()
    """Faults of the emulator."""
    region: str | None = None
    profile: str | None = None
    ca: Path | None = None
    proxy: str | None = None
    token: str = ""
    """Session token of a bridge."""
    mcp: tuple[str, ...] = ()
    """MCP servers whose tools the model may call: command lines and URLs."""
    mcp_config: Path | None = None
    """File that names MCP servers."""
    reasoner: str | None = None
    """Address of the model that thinks; None if the voice model does."""

    @property
    def is_virtual(self) -> bool:
        """True if the conversation runs on virtual time: nothing in it has a clock of its own."""
        others = (*self.mcp, self.mcp_config, self.reasoner)
        return self.against == LOCAL and not any(others)


def call(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Caller files (YAML or TOML).")],
    against: Against = LOCAL,
    judge: Annotated[
        str,
        typer.Option(
            metavar="openai:URL#MODEL",
            help="Chat endpoint that decides on the sentences under `judge`; its key is read from "
            "OPENAI_API_KEY.",
        ),
    ] = "",
    caller: Annotated[
        str,
        typer.Option(
            metavar="openai:URL#MODEL",
            help="Chat endpoint that makes up the words of simulated callers.",
        ),
    ] = "",
    tools: ToolsFile = None,
    reasoner: ReasonerAddress = None,
    mcp: McpTargets = None,
    mcp_config: McpConfig = None,
    scenario: ScenarioFile = None,
    ears: EarsName = "default",
    fault: FaultTexts = None,
    region: RegionName = None,
    profile: ProfileName = None,
    ca: CaFile = None,
    proxy: ProxyUrl = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="SONIC_VOICE_TOKEN", help="Session token for a bridge that requires one."
        ),
    ] = "",
    junit: Annotated[
        Path | None, typer.Option(help="File to write the results to, as JUnit XML.")
    ] = None,
    report: ReportPath = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each file.")
    ] = False,
) -> None:
    """Test a voice application with scripted callers: what is said, when, and what is expected.

    [bold]sonic-voice test callers/*.yaml[/bold]
    [bold]sonic-voice test order.yaml --against bedrock --region us-east-1[/bold]

    It exits with 1 if an expectation does not hold. Against the emulator it runs faster than real
    time, and prints the same on every run; with --mcp or --reasoner it takes real time. --scenario
    and --tools replace those of the files.
    """
    with errors(context):
        require_emulator()  # the caller's voice is one of its engines
        scripts = read_scripts(files)
        options = CallerOptions(
            against, judge, caller, tools, scenario, ears, tuple(fault or ()),
            region, profile, ca, proxy, token, tuple(mcp or ()), mcp_config, reasoner,
        )  # fmt: skip
        check_target(options)
        _check_words(options, scripts)
        results: list[CallerResult] = []

        def print_result(result: "CallerResult") -> None:
            from ..callers.report import document, result_lines

            results.append(result)
            lines = [printable_json(document(result))] if as_json else result_lines(result)
            for line in lines:
                echo(printable(line))

        with recorded_callers(report, against) as tapes:
            run_until_done(
                run_callers(scripts, options, print_result, tapes),
                loop_factory=VirtualTimeLoop if options.is_virtual else None,
            )
            if report is not None and tapes is not None:
                write_caller_report(report, results, tapes)
        if junit is not None:
            _write_junit(junit, results)
        if not as_json:
            from ..callers.report import summary_line

            echo(summary_line(results))
        if not all(result.passed for result in results):
            raise typer.Exit(FAILED_EXIT)


def read_scripts(files: Sequence[Path]) -> "list[CallerScript]":
    """Return the callers in files.

    Args:
        files: The files.

    Raises:
        typer.Exit: A file has mistakes, which have been printed.
    """
    from ..callers.reader import caller_mistakes, load_caller

    found = [mistake for file in files for mistake in caller_mistakes(file)]
    for mistake in found:
        echo(printable(f"{mistake.message} {mistake.hint}").rstrip(), err=True)
    if found:
        raise typer.Exit(FILE_EXIT)
    return [load_caller(file) for file in files]


async def run_callers(
    scripts: "Sequence[CallerScript]",
    options: CallerOptions,
    report: "Callable[[CallerResult], None]",
    tapes: Path | None = None,
) -> None:
    """Run callers one after the other.

    Args:
        scripts: The callers.
        options: The options of the command.
        report: Called with each result as it comes.
        tapes: Folder for a tape of each conversation; None for none.

    Raises:
        SonicError: The target cannot be reached, or a file of a caller cannot be used.
    """
    from ..audio.ports import INPUT_FORMAT
    from ..callers.chat import ChatModel
    from ..callers.runner import run_caller
    from ..callers.simulated import SimulatedCaller
    from ..callers.speech import CallerVoice

    voice = CallerVoice(INPUT_FORMAT)
    judge = ChatModel(options.judge) if options.judge else None
    imagine = SimulatedCaller(ChatModel(options.caller)) if options.caller else None
    for number, script in enumerate(scripts, 1):
        _show_progress(script, number, len(scripts))
        record = None if tapes is None else caller_tape(tapes, number)
        async with open_target(script, options, record) as target:
            result = await run_caller(script, target, voice, imagine)
        if judge is not None:
            result.verdicts = await _judge(result, judge)
        report(result)


async def _judge(result: "CallerResult", model: "ChatModel") -> "list[Verdict]":
    """Return the decisions of the judge; one that does not answer agrees to nothing."""
    from ..callers.judge import judge
    from ..callers.results import Verdict

    try:
        return await judge(result, model)
    except NetworkError as error:
        return [Verdict(criterion, False, error.message) for criterion in result.script.judge]


@asynccontextmanager
async def open_target(
    script: "CallerScript", options: CallerOptions, record: Path | None = None
) -> "AsyncGenerator[Target]":
    """Open the target that a caller calls.

    Args:
        script: The caller, whose settings the conversation has.
        options: The options of the command.
        record: File for a tape of the conversation; None for none. A bridge is not recorded here.

    Yields:
        The target.

    Raises:
        SonicError: It cannot be reached, or a setting or a file cannot be used.
    """
    if options.against.startswith(BRIDGE_SCHEMES):
        from ..callers.bridge_target import BridgeTarget

        yield BridgeTarget(options.against, options.token)
        return
    from ..callers.runner import SessionTarget, session_config

    servers = mcp_servers(options.mcp, options.mcp_config)
    tools = load_tools(options.tools or script.tools)
    tools.on_notice = lambda text: echo(printable(text), err=True)
    config = replace(session_config(script, tools), region=options.region)
    config, thinker = load_reasoner(
        options.reasoner,
        config,
        region=options.region,
        profile=options.profile,
        proxy=options.proxy,
        on_notice=print_notice,
    )
    behaviour = None
    if options.against == LOCAL:
        from ..emulator.behaviour import Behaviour

        behaviour = Behaviour(ears=options.ears, faults=options.faults)
    service = service_against(
        options.against,
        config.model,
        scenario=options.scenario or script.scenario,
        behaviour=behaviour,
        region=options.region,
        profile=options.profile,
        ca=options.ca,
        proxy=options.proxy,
    )
    async with AsyncExitStack() as stack:
        if thinker is not None:
            stack.push_async_callback(thinker.aclose)
        offered = offered_tools(servers, config, tools, has_reasoner=thinker is not None)
        config = await stack.enter_async_context(offered)
        transport = await stack.enter_async_context(service)
        yield SessionTarget(config, transport, tools, record=record, reasoner=thinker)


def check_target(options: CallerOptions) -> None:
    """Check that the options fit the target.

    Args:
        options: The options of the command.

    Raises:
        typer.BadParameter: They do not.
        ConfigError: A package is missing.
    """
    schemes = ("https://", "http://", *BRIDGE_SCHEMES)
    if options.against not in (LOCAL, BEDROCK) and not options.against.startswith(schemes):
        raise typer.BadParameter(
            f"{options.against!r} is not local, bedrock or a URL.", param_hint="--against"
        )
    if options.against.startswith(BRIDGE_SCHEMES) and find_spec("websockets") is None:
        raise ConfigError(
            "Calling a bridge needs the package websockets.",
            hint=f"Install it: {install_command('bridge')}",
        )
    thinking = {
        "--mcp": options.mcp, "--mcp-config": options.mcp_config, "--reasoner": options.reasoner
    }  # fmt: skip
    for name, value in thinking.items():
        if value and options.against.startswith(BRIDGE_SCHEMES):
            raise typer.BadParameter(
                f"The application behind a bridge has its own tools: give {name} to `serve`."
            )
    emulated = {"--scenario": options.scenario, "--fault": options.faults}
    for name, value in emulated.items():
        if value and options.against != LOCAL:
            raise typer.BadParameter(f"{name} is an option of the emulator: use --against local.")


def _check_words(options: CallerOptions, scripts: "Sequence[CallerScript]") -> None:
    """Check that the words of simulated callers come from somewhere.

    Raises:
        ConfigError: A simulated caller has no chat model.
    """
    for script in scripts:
        if script.persona is not None and not options.caller:
            raise ConfigError(
                f"{script.path} has a simulated caller, whose words a chat model makes up.",
                hint="Name it: --caller openai:http://localhost:11434/v1#llama3.2",
            )


def _show_progress(script: "CallerScript", number: int, count: int) -> None:
    """Print to a terminal which caller is running."""
    if sys.stderr is not None and sys.stderr.isatty():
        echo(printable(f"{number} of {count}: {script.path}"), err=True)


def _write_junit(path: Path, results: "Sequence[CallerResult]") -> None:
    from ..callers.junit import junit_xml

    try:
        path.write_bytes(junit_xml(results))
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror or error}.",
            hint="Name a file in a folder that exists.",
        ) from error
