"""The commands `sonic-voice devices` and `doctor`."""

from typing import Annotated

import typer
from rich.console import Console

from ..catalog import DEFAULT_MODEL
from ..devices import devices
from ..devices.listing import WITHOUT_DEVICES_HINT
from ..doctor import Finding, Options, examine, finding_lines, findings_as_json, talking_works
from ..errors import DeviceError
from .base import errors, run_until_done
from .configured import PresetName
from .device_choice import (
    ask_in_terminal,
    choose_devices,
    device_table,
    require_terminal,
    save_chosen_devices,
    selected_device,
)
from .options import (
    AudioBackend,
    CaFile,
    DeviceName,
    EndpointUrl,
    LogFile,
    ModelId,
    ProfileName,
    ProxyUrl,
    RegionName,
)
from .printing import echo


def list_devices(
    context: typer.Context,
    preset: PresetName = None,
    choose: Annotated[
        bool,
        typer.Option(
            "--choose", help="Ask for microphone and loudspeaker, and use them from now on."
        ),
    ] = False,
    audio_backend: AudioBackend = "sounddevice",
) -> None:
    """List microphones and loudspeakers, those of the sound server by their names.

    * marks the default ones, and on Linux the devices that the default stands for now.
    """
    with errors(context):
        if choose:
            require_terminal()
        found = devices(audio_backend)
        if not found:
            raise DeviceError(
                "There is neither a microphone nor a loudspeaker here.", hint=WITHOUT_DEVICES_HINT
            )
        console = Console()
        console.print(device_table(found))
        if choose:
            save_chosen_devices(choose_devices(found, ask_in_terminal))
            echo("Saved: `talk` and `doctor` use these devices, unless others are named.")


def doctor(
    context: typer.Context,
    preset: PresetName = None,
    log_file: LogFile = None,
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
        microphone=selected_device(microphone, "input", audio_backend) if audio else None,
        loudspeaker=selected_device(speaker, "output", audio_backend) if audio else None,
    )
    found: list[Finding] = []

    async def look() -> None:
        async for finding in examine(options):
            found.append(finding)
            if not json:
                echo("\n".join(finding_lines(finding)))

    with errors(context):
        run_until_done(look())
        if json:
            echo(findings_as_json(found))
        raise typer.Exit(0 if talking_works(found) else 1)
