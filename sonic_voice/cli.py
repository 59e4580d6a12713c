"""The command line: talk, demo, emulate, models.

Exit codes: 0 good, 2 usage, 3 configuration or credentials, 4 refused by the service, 5 network,
130 Ctrl-C after a graceful goodbye, 143 SIGTERM to `emulate`. Errors go to stderr, one sentence
and the next step; the conversation goes to stdout.
"""

import asyncio
import logging
import runpy
import sys
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from rich.console import Console
from rich.table import Table

from .catalog import DEFAULT_MODEL, OTHER_MODELS, VOICE_MODELS
from .config import DEFAULT_SYSTEM, SessionConfig
from .errors import AudioError, ConfigError, NetworkError, ServiceError, SonicError
from .run import Service, hold, prepared
from .tools import Tool, Toolbox, tool
from .transport import Transport

app = typer.Typer(
    help="Spoken conversations with Amazon Nova Sonic, and a local emulator of the service.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

EXIT_CODES: tuple[tuple[type[SonicError], int], ...] = (
    (AudioError, 2),
    (ConfigError, 3),
    (ServiceError, 4),
    (NetworkError, 5),
    (SonicError, 1),
)

Engine = Literal["http2", "crt"]

EMULATOR = "on the local emulator"


def main() -> None:
    """Entry point of `sonic-voice`."""
    app()


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(help="Show stack traces and a log on stderr.")] = False,
) -> None:
    """Spoken conversations with Amazon Nova Sonic, and a local emulator of the service."""
    context.obj = debug
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)


@app.command()
def talk(
    context: typer.Context,
    input: Annotated[Path, typer.Option("--input", "-i", help="WAV file that speaks for you.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="WAV file for what you would have heard.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Talk to the built-in emulator.")] = False,
    scenario: Annotated[
        Path | None, typer.Option(help="What the emulator hears and answers (YAML or TOML).")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of another endpoint.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file with the CA to trust there.")] = None,
    model: Annotated[str, typer.Option(help="See `sonic-voice models`.")] = DEFAULT_MODEL,
    voice: Annotated[str | None, typer.Option(help="See `sonic-voice models`.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt, or @FILE with it.")] = None,
    tools: Annotated[
        Path | None, typer.Option(help="Python file whose @tool functions the model may call.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of the AWS configuration.")] = None,
    transport: Annotated[Engine, typer.Option(help="HTTP/2: our own, or the SDK's.")] = "http2",
    speed: Annotated[float, typer.Option(help="How many times faster than life to talk.")] = 1.0,
    events: Annotated[
        Path | None, typer.Option(help="File for every event, one JSON object a line.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events and summary as JSON lines.")
    ] = False,
) -> None:
    """Hold a conversation: a recording asks, the model answers.

    [bold]sonic-voice talk --local --input question.wav --output answer.wav[/bold]

    Without --local it talks to Amazon Bedrock, with your AWS credentials.
    """
    with _errors(context):
        if local and (endpoint or ca or profile):
            raise typer.BadParameter("--local has an endpoint and credentials of its own.")
        if scenario and not local:
            raise typer.BadParameter("--scenario is for the emulator: add --local.")
        toolbox = _tools_of(tools) if tools is not None else Toolbox()
        config = SessionConfig(
            model=model,
            voice=voice,
            region=region,
            system=DEFAULT_SYSTEM if system is None else _text(system),
            tools=toolbox.specs,
        )
        if local:
            service, where = _local(scenario, transport), EMULATOR
        else:
            service = _bedrock(region, profile, endpoint, ca, transport)
            where = f"at {endpoint}" if endpoint else "on Amazon Bedrock"
        with prepared(config, input, output, speed, events, toolbox, as_json, where) as run:
            _until_done(hold(run, service))


@app.command()
def demo(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="WAV file for what you would have heard.")
    ] = Path("sonic-voice-demo.wav"),
    speed: Annotated[float, typer.Option(help="How many times faster than life to talk.")] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events and summary as JSON lines.")
    ] = False,
) -> None:
    """Show a conversation on the local emulator: three turns, a tool call, an interruption.

    Recorded people speak; nothing leaves this machine.
    """

    @tool
    def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
        """Move the robot."""
        return {"direction": direction, "meters": meters}

    with _errors(context), ExitStack() as stack:
        folder = resources.files("sonic_voice.emulator")
        script = stack.enter_context(resources.as_file(folder / "demo.yaml"))
        speech = stack.enter_context(resources.as_file(folder / "demo.wav"))
        tools = Toolbox([go])
        config = SessionConfig(tools=tools.specs, system="You steer a small robot.")
        run = stack.enter_context(
            prepared(config, speech, output, speed, None, tools, as_json, EMULATOR)
        )
        _until_done(hold(run, _local(script, "http2")))


@app.command()
def emulate(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8443,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    scenario: Annotated[
        Path | None, typer.Option(help="What it hears and answers (YAML or TOML).")
    ] = None,
    ca_out: Annotated[Path | None, typer.Option(help="Write the CA certificate there.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what real clients do slightly wrong.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="Offer this model alone; may come again.")
    ] = None,
    allow_retired: Annotated[
        bool, typer.Option("--allow-retired", help="Models past their end of life still answer.")
    ] = False,
    latency: Annotated[str, typer.Option(help="typical, fast, slow or none.")] = "typical",
    life_s: Annotated[
        float, typer.Option(min=0.1, help="Age at which a stream ends, in seconds.")
    ] = 480.0,
    idle_s: Annotated[
        float, typer.Option(min=0.1, help="Gap without input that ends a stream, in seconds.")
    ] = 55.0,
    max_streams: Annotated[
        int | None, typer.Option(min=0, help="More streams at once than so many get 429.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:ARG][@N]",
            help="Misbehave, with @N for the first N streams alone; may come again. "
            "A wrong name lists all.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="JSON file for what clients did right and wrong.")
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="Show its streams on a page, on loopback, next port.")
    ] = False,
) -> None:
    """Run the emulator of Amazon Nova Sonic for any AWS SDK, until Ctrl-C.

    It prints what to paste to point a client at it, and then, for each mistake of a client, what
    the real service would have done.
    """
    with _errors(context):
        _needs_emulator()
        from .emulate import Emulation, serve
        from .emulator.local import Behaviour
        from .emulator.served import Pace

        behaviour = Behaviour(
            strict=strict,
            models=tuple(model or ()),
            allow_retired=allow_retired,
            latency=latency,
            pace=Pace(life_s=life_s, idle_s=idle_s),
            max_streams=max_streams,
            faults=tuple(fault or ()),
        )
        asked = Emulation(behaviour, scenario, host, port, ca_out, report, ui, bool(context.obj))
        _until_done(serve(asked))


@app.command()
def models(
    all_models: Annotated[
        bool, typer.Option("--all", help="The other Bedrock models, too, and how they are called.")
    ] = False,
) -> None:
    """List the models that speak: voices, regions, prices."""
    console = Console()
    today = datetime.now(UTC).date()
    for model in VOICE_MODELS:
        table = Table(title=f"{model.name}  [bold]{model.id}[/bold]", title_justify="left")
        for column in ("voice", "locale", "gender", "speaks"):
            table.add_column(column)
        for voice in model.voices:
            speaks = "every language" if voice.polyglot else ", ".join(voice.locales)
            table.add_row(voice.id, voice.locale, voice.gender, speaks)
        console.print(table)
        prices = model.prices
        console.print(f"regions    {', '.join(model.regions)}")
        console.print(f"languages  {', '.join(model.languages)}")
        console.print(
            f"USD per million tokens  speech {prices.speech_in:g} in, {prices.speech_out:g} out; "
            f"text {prices.text_in:g} in, {prices.text_out:g} out"
        )
        if warning := model.warning(today):
            console.print(f"[yellow]{warning}[/yellow]")
        console.print()
    if all_models:
        table = Table(title="Models that do not speak, and how they are called")
        for column in ("model", "id begins with", "kind", "called through"):
            table.add_column(column)
        for other in OTHER_MODELS:
            table.add_row(other.name, other.prefix, other.kind, ", ".join(other.apis))
        console.print(table)


# ----------------------------------------------------------------------------------------------


def _local(scenario: Path | None, engine: Engine) -> Service:
    _needs_emulator()
    from .emulator.local import LocalService

    service = LocalService(scenario, engine=engine)  # a scenario is read before all else
    return lambda: service


def _needs_emulator() -> None:
    """Say what is missing where the emulator's packages are not installed."""
    try:
        from .emulator import local  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sonic_voice"):
            raise
        raise ConfigError(
            f"The emulator needs the package {error.name}.",
            hint="Install it: pip install 'sonic-voice[emulator]'",
        ) from error


def _bedrock(
    region: str | None, profile: str | None, endpoint: str | None, ca: Path | None, engine: Engine
) -> Service:
    from .bedrock import BedrockTransport

    transport = BedrockTransport(
        region=region, profile=profile, endpoint=endpoint, ca_file=ca, engine=engine
    )

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Transport]:
        try:
            yield transport
        finally:
            await transport.aclose()

    return opened


def _tools_of(path: Path) -> Toolbox:
    """The `@tool` functions of a Python file, which is run."""
    try:
        names = runpy.run_path(str(path))
    except SonicError:
        raise
    except OSError as error:
        raise ConfigError(
            f"Cannot read {path}: {error.strerror}.", hint="Name a Python file."
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{path} fails when it is run: {type(error).__name__}: {error}.",
            hint="--debug shows where.",
        ) from error
    values = cast(dict[str, object], names).values()
    found: list[Tool[..., Any]] = [cast(Any, v) for v in values if isinstance(v, Tool)]
    if not found:
        raise ConfigError(f"{path} has no tools.", hint="Decorate functions with @tool.")
    return Toolbox(found)


def _text(argument: str) -> str:
    """`argument`, or what is in the file it names with an @, as curl does it."""
    if not argument.startswith("@"):
        return argument
    try:
        return Path(argument[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Cannot read {argument[1:]}: {getattr(error, 'strerror', None) or error}.",
            hint="Name a text file in UTF-8.",
        ) from error


def _until_done(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`. Ctrl-C cancels it, which says goodbye, and gives the exit code 130."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@contextmanager
def _errors(context: typer.Context) -> Generator[None]:
    """Errors of ours as one message and an exit code; stack traces with --debug alone."""
    try:
        yield
    except SonicError as error:
        if context.obj:
            raise
        typer.echo(f"sonic-voice: {error.message}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        code = next(code for kind, code in EXIT_CODES if isinstance(error, kind))
        raise typer.Exit(code) from None
