"""The command line: talk, demo, emulate, models.

Exit codes: 0 good, 2 usage, 3 configuration or credentials, 4 refused by the service, 5 network,
130 Ctrl-C after a graceful goodbye. Errors go to stderr, one sentence and the next step; the
conversation goes to stdout.
"""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer
from rich.console import Console
from rich.table import Table

from .audio import AudioSink, NullSink
from .catalog import DEFAULT_MODEL, OTHER_MODELS, VOICE_MODELS
from .config import DEFAULT_SYSTEM, SessionConfig
from .conversation import Observer, converse
from .errors import AudioError, ConfigError, NetworkError, ServiceError, SonicError
from .metrics import Metrics
from .session import Session
from .story import JsonLines, Story, summary, summary_lines
from .tools import Toolbox, tool
from .transport import Transport
from .wav import WavSink, WavSource

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


@dataclass(frozen=True, slots=True)
class _Run:
    """One conversation of the command line, everything checked that can be without a network."""

    config: SessionConfig
    source: WavSource
    sink: AudioSink
    output: Path | None
    events: TextIO | None
    tools: Toolbox
    as_json: bool


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
        config = SessionConfig(
            model=model,
            voice=voice,
            region=region,
            system=DEFAULT_SYSTEM if system is None else _text(system),
        )
        service: Callable[[], contextlib.AbstractAsyncContextManager[Transport]]
        if local:
            service = _local(scenario, transport)
        else:
            service = _bedrock(region, profile, endpoint, ca, transport)
        with _run(config, input, output, speed, events, Toolbox(), as_json) as run:
            _until_done(_converse(run, service))


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
        run = stack.enter_context(_run(config, speech, output, speed, None, tools, as_json))
        _until_done(_converse(run, _local(script, "http2")))


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
) -> None:
    """Run the emulator of Amazon Nova Sonic for any AWS SDK, until Ctrl-C.

    It prints the environment variables that point an SDK at it.
    """
    with _errors(context):
        _until_done(_serve(port, host, scenario, ca_out, strict))


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


def _local(
    scenario: Path | None, engine: Engine
) -> Callable[[], contextlib.AbstractAsyncContextManager[Transport]]:
    try:
        from .emulator.local import LocalService
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sonic_voice"):
            raise
        raise ConfigError(
            f"The emulator needs the package {error.name}.",
            hint="Install it: pip install 'sonic-voice[emulator]'",
        ) from error
    service = LocalService(scenario, engine=engine)  # a scenario is read before all else
    return lambda: service


def _bedrock(
    region: str | None, profile: str | None, endpoint: str | None, ca: Path | None, engine: Engine
) -> Callable[[], contextlib.AbstractAsyncContextManager[Transport]]:
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


@contextmanager
def _run(
    config: SessionConfig,
    input: Path,
    output: Path | None,
    speed: float,
    events: Path | None,
    tools: Toolbox,
    as_json: bool,
) -> Generator[_Run]:
    """Open what the conversation reads and writes; a wrong file is found before any network."""
    source = WavSource(input, config.input, speed=speed)
    sink: AudioSink = NullSink(config.output, now=source.now)
    if output is not None:
        sink = WavSink(output, config.output, now=source.now)
    if warning := config.voice_model.warning(datetime.now(UTC).date()):
        typer.echo(f"Note: {warning}", err=True)
    if source.note:
        typer.echo(f"Note: {source.note}", err=True)
    with ExitStack() as stack:
        log = None
        if events is not None:
            try:
                log = stack.enter_context(events.open("w", encoding="utf-8"))
            except OSError as error:
                raise AudioError(
                    f"Cannot write events to {events}: {error.strerror}.",
                    hint="Name a file in a folder that exists.",
                ) from error
        yield _Run(config, source, sink, output, log, tools, as_json)


async def _converse(
    run: _Run, service: Callable[[], contextlib.AbstractAsyncContextManager[Transport]]
) -> None:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(run.source.aclose)
        transport = await stack.enter_async_context(service())
        session = Session.open(run.config, transport, clock=run.source.now)
        metrics = Metrics(session)
        try:
            async with session:
                await _tell(run, session, metrics)
        finally:
            _sum_up(run, metrics)


async def _tell(run: _Run, session: Session, metrics: Metrics) -> None:
    observers: list[Observer] = [metrics]
    observers.append(JsonLines(sys.stdout) if run.as_json else Story(sys.stdout, metrics))
    if run.events is not None:
        observers.append(JsonLines(run.events))
    if not run.as_json:
        model = run.config.voice_model
        typer.echo(
            f"{model.name} ({model.id}), voice {run.config.voice}; "
            f"{run.source.path.name} speaks for {run.source.duration_s:.1f} s"
        )
    sink = run.sink
    try:
        await converse(session, run.source, sink, run.tools, observers)
    finally:
        await sink.aclose()


def _sum_up(run: _Run, metrics: Metrics) -> None:
    snapshot = metrics.snapshot
    if not snapshot.turns:
        return
    if run.as_json:
        facts = {"event": "Summary", **summary(snapshot, run.config)}
        facts["output"] = str(run.output) if run.output else None
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    typer.echo(f"\n{summary_lines(snapshot, run.config)}")
    if run.output is not None:
        typer.echo(f"{'Answer':<14}{run.output}")


async def _serve(
    port: int, host: str, scenario: Path | None, ca_out: Path | None, strict: bool
) -> None:
    from .emulator.local import emulator

    def note(request: Any, note: Any) -> None:
        typer.echo(f"{request.request_id}  {note.rule}: {note.text}")

    async with emulator(scenario, host=host, port=port, strict=strict, on_note=note) as running:
        environment = running.environment()
        if ca_out is not None:
            _write(ca_out, running.ca_pem)
            environment |= {"SSL_CERT_FILE": str(ca_out), "AWS_CA_BUNDLE": str(ca_out)}
        typer.echo(f"Nova Sonic, emulated, at {running.endpoint}. Point an AWS SDK at it with\n")
        for name, value in environment.items():
            typer.echo(f"export {name}={value}")
        typer.echo("\nCtrl-C ends it.")
        await asyncio.Event().wait()


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


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror}.", hint="Name a file in a folder that exists."
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
