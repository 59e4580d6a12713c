"""The commands `sonic-voice emulate` and `scenario`: their options. `emulation` runs the server."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..printable import printable
from .base import FILE_EXIT, errors, require_emulator, run_until_done
from .faults import ChaosSeed, FaultTexts, chaos_seed
from .log_file import log_to_file
from .options import ListenHost, ListenPort, LogFile
from .printing import echo

Ears = Literal["default", "auto", "light", "good", "none"]
"""Values of --ears: the engine for speech recognition."""

EarsName = Annotated[
    Ears,
    typer.Option(
        help="Engine for speech recognition. default: none with a scenario, which knows the "
        "words; otherwise the best one that is installed (auto)."
    ),
]
"""Option --ears of several commands."""

Quality = Literal["auto", "light", "good"]
"""Values of --voices: the engine for speech synthesis."""


def emulate(
    context: typer.Context,
    log_file: LogFile = None,
    port: ListenPort = 8443,
    host: ListenHost = "127.0.0.1",
    scenario: Annotated[
        Path | None, typer.Option(help="Scenario file with requests and answers (YAML or TOML).")
    ] = None,
    brain: Annotated[
        str,
        typer.Option(
            metavar="openai:URL#MODEL",
            help="Chat endpoint that answers; its key is read from OPENAI_API_KEY.",
        ),
    ] = "",
    brain_thinks_first: Annotated[
        bool,
        typer.Option(
            "--brain-thinks-first",
            help="The model of --brain begins with thoughts that have no opening tag: say nothing "
            "before their closing tag, such as </think>.",
        ),
    ] = False,
    ears: EarsName = "default",
    ears_model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a Whisper model in CTranslate2's format for speech recognition, such "
            "as a larger one; without it, the model that is installed."
        ),
    ] = None,
    voices: Annotated[
        Quality, typer.Option(help="Engine for speech synthesis; good is Piper, if installed.")
    ] = "light",
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Further name or address for the certificate, such as that of a container; may "
            "be repeated."
        ),
    ] = None,
    ca_out: Annotated[
        Path | None, typer.Option(help="File to write the CA certificate to.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse small mistakes that real clients make.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="Offer only this model; may be repeated.")
    ] = None,
    allow_retired: Annotated[
        bool, typer.Option("--allow-retired", help="Accept models past their end of life.")
    ] = False,
    latency: Annotated[
        str, typer.Option(help="Latency of answers: typical, fast, slow or none.")
    ] = "typical",
    life_s: Annotated[
        float, typer.Option(min=0.1, help="Maximum age of a stream, in seconds.")
    ] = 480.0,
    idle_s: Annotated[
        float,
        typer.Option(min=0.1, help="Time without input after which a stream ends, in seconds."),
    ] = 55.0,
    max_streams: Annotated[
        int | None,
        typer.Option(min=0, help="Maximum number of streams at a time; more get status 429."),
    ] = None,
    life_clock: Annotated[
        Literal["wall", "audio"],
        typer.Option(
            help="Clock that --life-s is measured by: audio is the input audio of the stream, for "
            "runs at a multiple of real time."
        ),
    ] = "wall",
    keys_life_s: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Time after which the printed keys expire, in seconds: new streams then get "
            "status 403 and ExpiredTokenException.",
        ),
    ] = None,
    fault: FaultTexts = None,
    chaos: ChaosSeed = None,
    report: Annotated[
        Path | None, typer.Option(help="JSON file for a report on the behaviour of clients.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Folder to record the events and the sound of each stream in."),
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="Serve a status page, on loopback and the next port.")
    ] = False,
) -> None:
    """Run the emulator of Amazon Nova Sonic for any AWS SDK, until Ctrl-C.

    It prints the settings that point a client at it, and then, for each mistake of a client, what
    the real service would have done.
    """
    with errors(context), log_to_file(log_file):
        require_emulator()
        from ..emulator.behaviour import Behaviour, StreamTimeouts
        from .emulation import EmulateOptions, serve

        behaviour = Behaviour(
            strict=strict,
            models=tuple(model or ()),
            allow_retired=allow_retired,
            latency=latency,
            timeouts=StreamTimeouts(life_s=life_s, idle_s=idle_s),
            max_streams=max_streams,
            ears=ears,
            ears_model=ears_model,
            voices=voices,
            brain=brain,
            brain_thinks_first=brain_thinks_first,
            life_clock=life_clock,
            keys_life_s=keys_life_s,
            faults=tuple(fault or ()),
            chaos=chaos_seed(chaos),
        )
        options = EmulateOptions(
            behaviour=behaviour,
            scenario=scenario,
            host=host,
            port=port,
            names=tuple(name or ()),
            ca_out=ca_out,
            report=report,
            record=record,
            ui=ui,
            debug=bool(context.obj),
        )
        run_until_done(serve(options))


def scenario(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="YAML or TOML files.")],
) -> None:
    """Check scenario files, and print each mistake with its line and column."""
    with errors(context):
        require_emulator()
        from ..emulator.scenario import mistakes

        wrong = False
        for file in files:
            found = mistakes(file)
            for mistake in found:
                echo(printable(f"{mistake.message} {mistake.hint}").rstrip(), err=True)
            wrong |= bool(found)
            if not found:
                echo(printable(f"{file}: good"))
        if wrong:
            raise typer.Exit(FILE_EXIT)
