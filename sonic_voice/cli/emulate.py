"""`sonic-voice emulate`: its options; what it does is in `emulate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .base import errors, needs_emulator, until_done

Ears = Literal["default", "auto", "light", "good", "none"]
Quality = Literal["auto", "light", "good"]


def emulate(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8443,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    scenario: Annotated[
        Path | None, typer.Option(help="What it hears and answers (YAML or TOML).")
    ] = None,
    brain: Annotated[
        str,
        typer.Option(
            metavar="openai:URL#MODEL",
            help="A chat endpoint answers; its key is in OPENAI_API_KEY.",
        ),
    ] = "",
    ears: Annotated[
        Ears,
        typer.Option(
            help="Who recognises words. default: nobody where a scenario knows them, else the best "
            "that is installed (auto)."
        ),
    ] = "default",
    voices: Annotated[
        Quality, typer.Option(help="Who speaks; good is Piper, where installed.")
    ] = "light",
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
    record: Annotated[
        Path | None, typer.Option(help="Folder for the events and the sound of each stream.")
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="Show its streams on a page, on loopback, next port.")
    ] = False,
) -> None:
    """Run the emulator of Amazon Nova Sonic for any AWS SDK, until Ctrl-C.

    It prints what to paste to point a client at it, and then, for each mistake of a client, what
    the real service would have done.
    """
    with errors(context):
        needs_emulator()
        from ..emulator.assembly import Behaviour
        from ..emulator.server.stream_handler import StreamTimeouts
        from .emulation import Emulation, serve

        behaviour = Behaviour(
            strict=strict,
            models=tuple(model or ()),
            allow_retired=allow_retired,
            latency=latency,
            timeouts=StreamTimeouts(life_s=life_s, idle_s=idle_s),
            max_streams=max_streams,
            ears=ears,
            voices=voices,
            brain=brain,
            faults=tuple(fault or ()),
        )
        asked = Emulation(
            behaviour, scenario, host, port, ca_out, report, record, ui, bool(context.obj)
        )
        until_done(serve(asked))


def scenario(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="YAML or TOML files.")],
) -> None:
    """Check scenario files: every mistake, with its line and column."""
    with errors(context):
        needs_emulator()
        from ..emulator.scenario import mistakes

        wrong = False
        for file in files:
            found = mistakes(file)
            for mistake in found:
                typer.echo(f"{mistake.message} {mistake.hint}".rstrip(), err=True)
            wrong |= bool(found)
            if not found:
                typer.echo(f"{file}: good")
        if wrong:
            raise typer.Exit(3)
