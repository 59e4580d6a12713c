"""The command `sonic-voice say`: a conversation that scripts and coding agents drive.

    sonic-voice say --start --session demo     start the conversation, in a process of its own
    sonic-voice say "Hello." --session demo    say something; print the answer
    sonic-voice say --events --session demo    print the events so far
    sonic-voice say --stop --session demo      say goodbye

Each prints JSON on standard output, and `{"error": ..., "hint": ...}` with an exit code above 0 if
it fails.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, FileError, SonicError
from ..printable import printable_json
from ..virtual_time import VirtualTimeLoop
from .base import FILE_EXIT, errors, exit_code_of, require_emulator, run_until_done
from .callers import Against, CallerOptions, check_target, open_target
from .options import (
    CaFile,
    Greeting,
    McpConfig,
    McpTargets,
    ModelId,
    ProfileName,
    ProxyUrl,
    ReasonerAddress,
    RegionName,
    ScenarioFile,
    SystemPrompt,
    ToolsFile,
)
from .printing import echo
from .saved import default_file
from .service import LOCAL, read_text_argument

if TYPE_CHECKING:
    from ..callers.session_address import SessionFiles

START_TIMEOUT_S = 60.0
"""Maximum time for the start of a conversation, in seconds."""

ANSWER_TIMEOUT_S = 180.0
"""Maximum time for an answer, in seconds: an answer of a minute in real time, and its tools."""

IDLE_MIN = 30.0
"""Time without a command after which a conversation ends by itself, in minutes."""

SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"})
"""Ends of names of files that are played instead of being spoken as text."""


def say(
    context: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT|FILE", help="Words to say, or a sound file to play."),
    ] = None,
    session: Annotated[str, typer.Option(help="Name of the conversation.")] = "default",
    start: Annotated[
        bool, typer.Option("--start", help="Start the conversation, in the background.")
    ] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Print the events so far, one JSON object per line.")
    ] = False,
    after: Annotated[
        int, typer.Option(min=0, help="With --events: only events with a larger number.")
    ] = 0,
    stop: Annotated[
        bool, typer.Option("--stop", help="Say goodbye, and end the conversation.")
    ] = False,
    against: Against = LOCAL,
    scenario: ScenarioFile = None,
    tools: ToolsFile = None,
    reasoner: ReasonerAddress = None,
    mcp: McpTargets = None,
    mcp_config: McpConfig = None,
    system: SystemPrompt = None,
    greeting: Greeting = "",
    model: ModelId = "",
    idle_min: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=24 * 60,
            help="With --start: minutes without a command after which the conversation ends.",
        ),
    ] = IDLE_MIN,
    region: RegionName = None,
    profile: ProfileName = None,
    ca: CaFile = None,
    proxy: ProxyUrl = None,
    serve: Annotated[bool, typer.Option("--serve", hidden=True)] = False,
) -> None:
    """Drive a conversation turn by turn, with JSON output, for scripts and coding agents.

    [bold]sonic-voice say --start --session demo[/bold]
    [bold]sonic-voice say "What time is it?" --session demo[/bold]
    [bold]sonic-voice say --events --session demo[/bold]
    [bold]sonic-voice say --stop --session demo[/bold]

    Without further options it talks to the emulator: no account, microphone or network is needed,
    and an answer of ten seconds comes within one; with --mcp or --reasoner it takes ten. Options
    from --against on go with --start.
    """
    wanted = [text is not None, start, events, stop, serve]
    if sum(wanted) != 1:
        raise typer.BadParameter("Give one of TEXT, --start, --events and --stop.")
    if serve:
        options = CallerOptions(
            against, tools=tools, scenario=scenario, region=region, profile=profile, ca=ca,
            proxy=proxy, mcp=tuple(mcp or ()), mcp_config=mcp_config, reasoner=reasoner,
        )  # fmt: skip
        with errors(context), _json_errors():
            _serve(session, options, system, greeting, model, idle_min)
        return
    from ..callers.session_address import SessionFiles

    try:
        files = SessionFiles(sessions_folder(), session)
        if start:
            _print(_start(files, sys.argv[1:]))
        elif events:
            for event in _ask(files, {"do": "events", "after": after})["events"]:
                _print(event)
        elif stop:
            _print(_ask(files, {"do": "stop"}))
        else:
            assert text is not None
            _print(_ask(files, _utterance(text)))
    except SonicError as error:
        _print({"error": error.message, "hint": error.hint})
        raise typer.Exit(exit_code_of(error)) from None


def sessions_folder() -> Path:
    """Return the private folder of the running conversations.

    Raises:
        ConfigError: The user has no home.
    """
    file = default_file()
    if file is None:
        raise ConfigError(
            "There is no folder for running conversations.", hint="Set HOME or XDG_STATE_HOME."
        )
    return file.parent / "say"


def _print(document: dict[str, Any]) -> None:
    echo(printable_json(document))


def _utterance(text: str) -> dict[str, Any]:
    """Return the request that says a text, or plays the file that it names.

    Raises:
        FileError: It names a file that does not exist.
        ConfigError: It says nothing.
    """
    path = Path(text)
    if not text.strip():
        raise ConfigError("There is nothing to say.", hint="Give words, or a sound file.")
    if path.suffix.lower() in SOUND_SUFFIXES and len(text.split()) == 1:
        if not path.is_file():
            raise FileError(f"There is no file {text}.", hint="Give words, or a sound file.")
        return {"do": "play", "path": str(path.absolute())}
    return {"do": "say", "text": text}


def _ask(files: "SessionFiles", request: dict[str, Any]) -> dict[str, Any]:
    """Return the response of a running conversation.

    Raises:
        SonicError: There is none, or it reports an error.
    """
    from ..callers.session_address import ask

    response = ask(files, request, ANSWER_TIMEOUT_S)
    if response is None:
        raise ConfigError(
            f"There is no conversation {files.name}.",
            hint=f"Start it: sonic-voice say --start --session {files.name}",
        )
    if "error" in response:
        raise SonicError(response["error"], hint=response.get("hint", ""))
    return response


def _start(files: "SessionFiles", arguments: list[str]) -> dict[str, Any]:
    """Start the process of a conversation, and return its first response.

    Args:
        files: The files of the session.
        arguments: The arguments of this command.

    Raises:
        ConfigError: The session exists, or its process did not start.
    """
    from ..callers.session_address import ask

    if ask(files, {"do": "events", "after": 0}, ANSWER_TIMEOUT_S) is not None:
        raise ConfigError(
            f"The conversation {files.name} runs already.",
            hint=f"Stop it: sonic-voice say --stop --session {files.name}",
        )
    files.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    served = ["--serve" if argument == "--start" else argument for argument in arguments]
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "sonic_voice", *served],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            **_detached(),
        )
    finally:
        os.close(log)
    assert process.stdout is not None
    with process.stdout as lines:
        line = lines.readline()
    try:
        first: dict[str, Any] = json.loads(line)
    except ValueError:
        raise ConfigError(
            f"The conversation {files.name} did not start.", hint=f"Its log is {files.log}."
        ) from None
    if "error" in first:
        kind = FileError if process.wait() == FILE_EXIT else ConfigError
        raise kind(first["error"], hint=first.get("hint", ""))
    return first


def _detached() -> dict[str, Any]:
    """Return the arguments of `Popen` for a process that outlives this command and its terminal."""
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags}
    return {"start_new_session": True}


def _serve(
    session: str, options: CallerOptions, system: str | None, greeting: str, model: str,
    idle_min: float,
) -> None:  # fmt: skip
    """Hold the conversation in this process, until it is stopped.

    Raises:
        SonicError: The conversation could not begin.
    """
    require_emulator()  # the caller's voice is one of its engines
    check_target(options)
    from ..audio.ports import INPUT_FORMAT
    from ..callers.live_call import LiveCall
    from ..callers.records import DEFAULT_VOICE, CallerScript
    from ..callers.session_address import SessionFiles
    from ..callers.session_server import SessionServer
    from ..callers.speech import CallerVoice
    from .story import event_fields

    files = SessionFiles(sessions_folder(), session)
    script = CallerScript(
        session,
        Path(session),
        system="" if system is None else read_text_argument(system),
        greeting=greeting,
        model=model,
    )

    def event_document(event: Any) -> dict[str, Any]:
        return {"event": type(event).__name__, **event_fields(event)}

    async def hold() -> None:
        call = LiveCall(CallerVoice(INPUT_FORMAT), DEFAULT_VOICE, greeted=bool(greeting))
        server = SessionServer(files, call, event_document, 60 * idle_min)
        async with open_target(script, options) as target:
            await server.run(target, _report_ready)

    loop_factory: Callable[[], Any] | None = VirtualTimeLoop if options.is_virtual else None
    run_until_done(hold(), loop_factory)


def _report_ready(first: dict[str, Any]) -> None:
    """Print the first response, and close standard output: the command that started us ends."""
    _print(first)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


@contextmanager
def _json_errors() -> Generator[None]:
    """Print a `SonicError` of the block as JSON on standard output, too.

    Raises:
        SonicError: The error.
    """
    try:
        yield
    except SonicError as error:
        _print({"error": error.message, "hint": error.hint})
        raise
