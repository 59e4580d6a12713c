"""The commands `sonic-voice talk` and `demo`: one conversation each."""

from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..catalog import DEFAULT_MODEL
from ..config import DEFAULT_SYSTEM, SessionConfig
from ..tools.toolbox import Toolbox, tool
from .base import errors, run_until_done
from .ending import ending
from .faults import ChaosSeed, FaultTexts
from .options import (
    AudioBackend,
    CaFile,
    DeviceName,
    EndpointUrl,
    EventsAsJson,
    Greeting,
    IdlePrompts,
    IsLocal,
    ModelId,
    NoReconnect,
    ProfileName,
    ProxyUrl,
    RegionName,
    ScenarioFile,
    StreamLife,
    SystemPrompt,
    ToolsFile,
    VoiceId,
)
from .recorded import prepare_conversation, run_conversation
from .service import (
    Engine,
    emulated_service,
    idle_prompts,
    read_text_argument,
    recovery_policy,
    select_service,
)
from .sound import device_selector
from .tools_file import load_tools

EMULATOR = "on the local emulator"
"""Description of the service in the first line that a conversation prints."""


def talk(
    context: typer.Context,
    input: Annotated[
        Path | None,
        typer.Option(
            "--input",
            "-i",
            help="Recording to send instead of the microphone; - reads it from a pipe.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="With --input: WAV file to write the answers to."),
    ] = None,
    local: IsLocal = False,
    scenario: ScenarioFile = None,
    fault: FaultTexts = None,
    chaos: ChaosSeed = None,
    endpoint: EndpointUrl = None,
    ca: CaFile = None,
    proxy: ProxyUrl = None,
    model: ModelId = DEFAULT_MODEL,
    voice: VoiceId = None,
    system: SystemPrompt = None,
    greeting: Greeting = "",
    idle_prompt: IdlePrompts = None,
    tools: ToolsFile = None,
    region: RegionName = None,
    profile: ProfileName = None,
    transport: Annotated[
        Engine,
        typer.Option(
            help="HTTP/2 client: http2 (ours) or crt (AWS SDK). crt sends no pings, notices a "
            "dead or slow network only after a minute, names fewer causes, and takes no SOCKS "
            "proxy."
        ),
    ] = "http2",
    microphone: DeviceName = None,
    speaker: DeviceName = None,
    audio_backend: AudioBackend = "sounddevice",
    latency: Annotated[
        Literal["low", "high"],
        typer.Option(help="Latency of the devices; use high if sound breaks up."),
    ] = "low",
    block_ms: Annotated[
        float | None,
        typer.Option(min=1, help="Length of one block of audio of a device, in milliseconds."),
    ] = None,
    aec: Annotated[
        bool, typer.Option(help="Cancel the echo of the model's voice; not needed with headphones.")
    ] = True,
    half_duplex: Annotated[
        bool, typer.Option("--half-duplex", help="Close the microphone while the model speaks.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print plain lines, as it does into pipes.")
    ] = False,
    no_reconnect: NoReconnect = False,
    stream_life: StreamLife = None,
    speed: Annotated[
        float, typer.Option(help="With --input: speed as a multiple of real time.")
    ] = 1.0,
    events: Annotated[
        Path | None, typer.Option(help="File for all events, one JSON object per line.")
    ] = None,
    as_json: EventsAsJson = False,
) -> None:
    """Hold a conversation with the model, by microphone or with a recording.

    [bold]sonic-voice talk --local[/bold]
    [bold]sonic-voice talk --local --input question.wav --output answer.wav[/bold]

    Without --local it connects to Amazon Bedrock with your AWS credentials.
    """
    with errors(context), ending(as_json) as end:
        if input is None and (output or speed != 1.0):
            raise typer.BadParameter("--output and --speed are for recordings: add --input.")
        toolbox = load_tools(tools)
        config = SessionConfig(
            model=model,
            voice=voice,
            region=region,
            system=DEFAULT_SYSTEM if system is None else read_text_argument(system),
            tools=toolbox.specs,
            stream_s=stream_life,
            recovery=recovery_policy(no_reconnect),
            greeting=greeting,
            idle_prompts=idle_prompts(idle_prompt),
        )
        service = select_service(
            local=local,
            scenario=scenario,
            region=region,
            profile=profile,
            endpoint=endpoint,
            ca=ca,
            model=model,
            proxy=proxy,
            engine=transport,
            quiet=as_json,
            faults=fault,
            chaos=chaos,
        )
        where = EMULATOR if local else f"at {endpoint}" if endpoint else "on Amazon Bedrock"
        if input is not None:
            with prepare_conversation(
                config, input, output, speed, events, toolbox, end, where, debug=bool(context.obj)
            ) as run:
                run_until_done(run_conversation(run, service))
            return
        from .live import LiveOptions, run_live_conversation

        end.open_events(events)
        live = LiveOptions(
            config=config,
            tools=toolbox,
            where=where,
            microphone=device_selector(microphone),
            speaker=device_selector(speaker),
            backend=audio_backend,
            latency=latency,
            block_ms=block_ms,
            aec=aec,
            half_duplex=half_duplex,
            plain=plain,
            debug=bool(context.obj),  # the screen would draw over the log
            end=end,
        )
        run_until_done(run_live_conversation(live, service))


def demo(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="WAV file to write the answers to.")
    ] = Path("sonic-voice-demo.wav"),
    speed: Annotated[float, typer.Option(help="Speed as a multiple of real time.")] = 1.0,
    as_json: EventsAsJson = False,
) -> None:
    """Show a conversation on the local emulator: three turns, a tool call, an interruption.

    The user's side is a recording. Nothing leaves this machine.
    """

    @tool
    def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
        """Move the robot."""
        return {"direction": direction, "meters": meters}

    with errors(context), ending(as_json) as end, ExitStack() as stack:
        folder = resources.files("sonic_voice.emulator")
        script = stack.enter_context(resources.as_file(folder / "demo.yaml"))
        speech = stack.enter_context(resources.as_file(folder / "demo.wav"))
        tools = Toolbox([go])
        config = SessionConfig(tools=tools.specs, system="You steer a small robot.")
        run = stack.enter_context(
            prepare_conversation(config, speech, output, speed, None, tools, end, EMULATOR)
        )
        run_until_done(run_conversation(run, emulated_service(script)))
