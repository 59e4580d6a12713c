"""The commands `sonic-voice devices` and `doctor`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..catalog import DEFAULT_MODEL
from ..devices import devices
from ..doctor import Finding, Options, examine, finding_lines, findings_as_json, talking_works
from ..errors import DeviceError
from .base import errors, run_until_done
from .options import (
    AudioBackend,
    CaFile,
    DeviceName,
    EndpointUrl,
    ModelId,
    ProfileName,
    ProxyUrl,
    RegionName,
)


def device_selector(wanted: str | None) -> int | str | None:
    """Return the number of a device as an integer, and a part of its name as text.

    Args:
        wanted: The option of the command line; None for the default device.
    """
    return int(wanted) if wanted is not None and wanted.isdecimal() else wanted


def list_devices(context: typer.Context, audio_backend: AudioBackend = "sounddevice") -> None:
    """List microphones and loudspeakers; * marks the default ones."""
    with errors(context):
        found = devices(audio_backend)
        if not found:
            hint = "Talk with files: sonic-voice talk --input speech.wav --output answer.wav"
            raise DeviceError("There is neither a microphone nor a loudspeaker here.", hint=hint)
        table = Table("number", "name", "through", "in", "out", "Hz")
        for one in found:
            table.add_row(
                str(one.index),
                escape(one.name),
                one.host_api,
                f"{one.inputs or ''}{' *' * one.default_input}",
                f"{one.outputs or ''}{' *' * one.default_output}",
                str(one.rate_hz),
            )
        Console().print(table)


def doctor(
    context: typer.Context,
    local: Annotated[
        bool, typer.Option("--local", help="Check for talking to the built-in emulator.")
    ] = False,
    audio: Annotated[
        bool, typer.Option(help="Check microphone and loudspeaker; plays a short tone.")
    ] = True,
    endpoint: EndpointUrl = None,
    ca: CaFile = None,
    proxy: ProxyUrl = None,
    model: ModelId = DEFAULT_MODEL,
    region: RegionName = None,
    profile: ProfileName = None,
    microphone: DeviceName = None,
    speaker: DeviceName = None,
    audio_backend: AudioBackend = "sounddevice",
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check everything that a conversation needs, and print the next step for each problem.

    The exit code is 0 if there is no failure, otherwise 1. The checks cost nothing: they open no
    stream to a model.
    """
    options = Options(
        model=model,
        region=region,
        profile=profile,
        endpoint=endpoint,
        ca_file=ca,
        proxy=proxy,
        local=local,
        audio=audio,
        backend=audio_backend,
        microphone=device_selector(microphone),
        loudspeaker=device_selector(speaker),
    )
    found: list[Finding] = []

    async def look() -> None:
        async for finding in examine(options):
            found.append(finding)
            if not json:
                typer.echo("\n".join(finding_lines(finding)))

    with errors(context):
        run_until_done(look())
        if json:
            typer.echo(findings_as_json(found))
        raise typer.Exit(0 if talking_works(found) else 1)
