"""The commands `sonic-voice talk` and `demo`: one conversation each."""

from contextlib import ExitStack
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from ..catalog import DEFAULT_MODEL
from ..config import DEFAULT_SYSTEM, SessionConfig, ToolChoice
from ..policies import IdlePrompt, RecoveryPolicy
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
from .saved import Continuation, prepare_continuation
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


class TalkCommand(TyperCommand):
    """The command `talk`, whose option `--continue` may stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with an empty value where `--continue` has none.

        Args:
            ctx: The context of the command.
            args: The arguments, which are all options and their values.
        """
        followed = zip(args, [*args[1:], "-"], strict=True)
        return super().parse_args(
            ctx,
            [
                f"{arg}=" if arg == "--continue" and after.startswith("-") else arg
                for arg, after in followed
            ],
        )


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
    model: Annotated[
        str | None,
        typer.Option(help="Id of the model; see `sonic-voice models`.", show_default=DEFAULT_MODEL),
    ] = None,
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
    continued: Annotated[
        str | None,
        typer.Option(
            "--continue",
            metavar="[FILE]",
            help="Continue the last conversation, or that of a file, with its model, voice and "
            "system prompt unless others are given.",
        ),
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save/--no-save",
            help="Save the conversation at its end, for --continue: in the file that was "
            "continued, or in the last conversation's.",
        ),
    ] = True,
) -> None:
    """Hold a conversation with the model, by microphone or with a recording.

    [bold]sonic-voice talk --local[/bold]
    [bold]sonic-voice talk --local --input question.wav --output answer.wav[/bold]
    [bold]sonic-voice talk --continue[/bold]

    Without --local it connects to Amazon Bedrock with your AWS credentials.
    """
    with errors(context), ending(as_json) as end:
        if input is None and (output or speed != 1.0):
            raise typer.BadParameter("--output and --speed are for recordings: add --input.")
        continuation = prepare_continuation(continued, save=save)
        toolbox = load_tools(tools)
        config = _config(
            continuation,
            model=model,
            voice=voice,
            region=region,
            system=None if system is None else read_text_argument(system),
            tools=toolbox,
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
            model=config.model,
            proxy=proxy,
            engine=transport,
            quiet=as_json,
            faults=fault,
            chaos=chaos,
        )
        where = EMULATOR if local else f"at {endpoint}" if endpoint else "on Amazon Bedrock"
        if input is not None:
            with prepare_conversation(
                config,
                input,
                output,
                speed,
                events,
                toolbox,
                end,
                where,
                continuation,
                debug=bool(context.obj),
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
            continuation=continuation,
        )
        run_until_done(run_live_conversation(live, service))


def _config(
    continuation: Continuation,
    *,
    model: str | None,
    voice: str | None,
    region: str | None,
    system: str | None,
    tools: Toolbox,
    greeting: str,
    idle_prompts: tuple[IdlePrompt, ...],
    stream_s: float | None,
    recovery: RecoveryPolicy,
) -> SessionConfig:
    """Return the configuration of a conversation: what is given, else what it had, else defaults.

    A voice belongs to a model: with another model, the voice that the conversation had is not used.
    """
    if continuation.resume is None:
        model, system = model or DEFAULT_MODEL, DEFAULT_SYSTEM if system is None else system
        return SessionConfig(
            model=model,
            voice=voice,
            region=region,
            system=system,
            tools=tools.specs,
            greeting=greeting,
            idle_prompts=idle_prompts,
            stream_s=stream_s,
            recovery=recovery,
        )
    before = continuation.resume.config
    same = model is None or model == before.model
    return replace(
        before if same else SessionConfig(model=str(model), system=before.system),
        region=region,
        voice=voice if voice or not same else before.voice,
        system=before.system if system is None else system,
        tools=tools.specs,
        tool_choice=ToolChoice(),
        history_policy="trim",
        greeting=greeting,
        idle_prompts=idle_prompts,
        stream_s=stream_s,
        recovery=recovery,
    )


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
