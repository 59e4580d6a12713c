"""The command `sonic-voice talk`: its options, and the conversation that they ask for."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..audio.mute import Gate
from ..audio.sound_file import FLAC_SUFFIX
from ..catalog import DEFAULT_MODEL
from ..guards.verdicts import DEADLINE_S
from .base import errors, run_until_done
from .builtin_tools import with_builtin
from .completion import complete_model
from .configured import ConfiguredCommand, PresetName, setting_of
from .device_choice import selected_device
from .ending import ending
from .faults import ChaosSeed, FaultTexts
from .guard_option import AwsSettings, guard_option
from .mcp import mcp_servers, run_with_tools
from .options import (
    AudioBackend,
    AutoHalfDuplex,
    BargeInSensitivityName,
    BuiltinTools,
    CaFile,
    DeviceName,
    EndpointUrl,
    EventsAsJson,
    Greeting,
    GuardFailure,
    GuardName,
    GuardPolicy,
    GuardSeconds,
    GuardSound,
    GuardText,
    IdlePrompts,
    IsLocal,
    Language,
    LogFile,
    MaskPii,
    McpConfig,
    McpTargets,
    MinLevel,
    NoReconnect,
    NoSpeaker,
    ProfileName,
    ProxyUrl,
    PushToTalk,
    ReasonerAddress,
    RegionName,
    ReportPath,
    ScenarioFile,
    StartsMuted,
    StreamLife,
    SystemPrompt,
    TapePath,
    ToolsFile,
    Traced,
    TranscriptPath,
    TransferTo,
    TypedOnly,
    VoiceId,
)
from .reasoner import load_reasoner
from .recorded import prepare_conversation, run_conversation
from .report import reported
from .saved import conversation_config, prepare_continuation
from .service import (
    EMULATOR,
    Engine,
    idle_prompts,
    read_text_argument,
    recovery_policy,
    select_service,
)
from .telemetry import telemetry
from .tools_file import load_tools


class TalkCommand(ConfiguredCommand):
    """The command `talk`, whose option `--continue` may stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with an empty value where `--continue` has none.

        Args:
            ctx: The context of the command.
            args: The arguments, which are all options and their values.
        """
        followed = zip(args, [*args, "-"][1:], strict=True)
        rest = super().parse_args(
            ctx,
            [
                f"{arg}=" if arg == "--continue" and after.startswith("-") else arg
                for arg, after in followed
            ],
        )
        if ctx.params.get("continued") is not None:
            # What the conversation had is closer to it than what the file says for all of them.
            for name in ("model", "voice", "system"):
                if setting_of(ctx, name) is not None:
                    ctx.params[name] = None
        return rest


def talk(
    context: typer.Context,
    preset: PresetName = None,
    log_file: LogFile = None,
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
        typer.Option(
            "--output",
            "-o",
            help="File to record the conversation in while it goes on, WAV or FLAC: you on the "
            "left, what you heard on the right. It must not exist. With --input: WAV file for the "
            "answers alone, which is replaced.",
        ),
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
        typer.Option(
            autocompletion=complete_model,
            help="Id of the model; see `sonic-voice models`.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    voice: VoiceId = None,
    language: Language = None,
    system: SystemPrompt = None,
    greeting: Greeting = "",
    idle_prompt: IdlePrompts = None,
    tools: ToolsFile = None,
    guard: GuardName = None,
    guard_failure: GuardFailure = "closed",
    guard_seconds: GuardSeconds = DEADLINE_S,
    guard_text: GuardText = None,
    guard_sound: GuardSound = None,
    guard_policy: GuardPolicy = None,
    reasoner: ReasonerAddress = None,
    mcp: McpTargets = None,
    mcp_config: McpConfig = None,
    builtin: BuiltinTools = None,
    transfer_to: TransferTo = None,
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
    auto_half_duplex: AutoHalfDuplex = False,
    mute: StartsMuted = False,
    push_to_talk: PushToTalk = False,
    text: TypedOnly = False,
    no_speaker: NoSpeaker = False,
    barge_in_sensitivity: BargeInSensitivityName = "normal",
    min_level_dbfs: MinLevel = -60.0,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Print plain lines, as it does into pipes, and read lines: messages, and "
            "commands such as /mute; /help lists them. For screen readers.",
        ),
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
    transcript: TranscriptPath = None,
    record: TapePath = None,
    mask_pii: MaskPii = False,
    report: ReportPath = None,
    trace: Traced = False,
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
    with errors(context), ending(as_json) as end, ExitStack() as stack:
        if input is None and speed != 1.0:
            raise typer.BadParameter("--speed is for recordings: add --input.")
        if input is not None and output is not None and output.suffix.lower() == FLAC_SUFFIX:
            raise typer.BadParameter("With --input, --output is a WAV file: name it .wav.")
        end.mask_pii = mask_pii
        gate = initial_gate(
            text=text,
            mute=mute,
            push_to_talk=push_to_talk,
            microphone={
                "--input": input is not None,
                "--output": text and output is not None,
                "--microphone": microphone is not None,
                "--half-duplex": half_duplex,
                "--auto-half-duplex": auto_half_duplex,
            },
        )
        continuation = prepare_continuation(continued, save=save)
        toolbox = with_builtin(load_tools(tools), builtin, transfer_to)
        servers = mcp_servers(mcp, mcp_config)
        guarding = guard_option(
            guard,
            failure=guard_failure,
            deadline_s=guard_seconds,
            instead=guard_text,
            sound=guard_sound,
            policy=guard_policy,
            aws=AwsSettings(region, profile, endpoint, ca, proxy),
        )
        config = conversation_config(
            continuation,
            model=model,
            voice=voice,
            language=language,
            region=region,
            system=None if system is None else read_text_argument(system),
            tools=toolbox,
            stream_s=stream_life,
            recovery=recovery_policy(no_reconnect),
            greeting=greeting,
            idle_prompts=idle_prompts(idle_prompt),
        )
        config, thinker = load_reasoner(
            reasoner,
            config,
            region=region,
            profile=profile,
            proxy=proxy,
            on_notice=lambda text: end.notice(text),
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
            language=language,
            engine=transport,
            quiet=as_json,
            faults=fault,
            chaos=chaos,
        )
        from .transcript_file import transcript_file

        tape = stack.enter_context(reported(report, record, end))
        traced = stack.enter_context(
            telemetry(trace, lambda text: end.notice(text), mask_pii=mask_pii)
        )
        written = stack.enter_context(transcript_file(transcript, end))
        where = EMULATOR if local else f"at {endpoint}" if endpoint else "on Amazon Bedrock"
        if thinker is not None:
            where += f" with the reasoner {thinker.name}"
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
                transcript=written,
                tape=tape,
                keeps_tape=record is not None,
                traced=traced,
                guard=guarding,
                debug=bool(context.obj),
                reasoner=thinker,
            ) as run:
                run_until_done(
                    run_with_tools(servers, run, lambda run: run_conversation(run, service))
                )
            return
        from .live import LiveOptions, run_live_conversation
        from .live_recording import live_recording

        end.open_events(events)
        recording = stack.enter_context(live_recording(output, config, end))
        live = LiveOptions(
            config=config,
            tools=toolbox,
            where=where,
            microphone=selected_device(microphone, "input", audio_backend),
            speaker=selected_device(speaker, "output", audio_backend),
            backend=audio_backend,
            latency=latency,
            block_ms=block_ms,
            aec=aec,
            half_duplex=half_duplex,
            auto_half_duplex=auto_half_duplex,
            gate=gate,
            sound=not no_speaker,
            sensitivity=barge_in_sensitivity,
            min_level_dbfs=min_level_dbfs,
            plain=plain,
            debug=bool(context.obj),  # the screen would draw over the log
            end=end,
            continuation=continuation,
            transcript=written,
            recording=recording,
            tape=tape,
            keeps_tape=record is not None,
            traced=traced,
            guard=guarding,
            reasoner=thinker,
        )
        run_until_done(
            run_with_tools(servers, live, lambda live: run_live_conversation(live, service))
        )


def initial_gate(
    *, text: bool, mute: bool, push_to_talk: bool, microphone: Mapping[str, bool]
) -> Gate:
    """Return the state of the microphone with which a conversation begins.

    Args:
        text: Whether --text is given.
        mute: Whether --mute is given.
        push_to_talk: Whether --push-to-talk is given.
        microphone: Whether further options are given that need a microphone, by their names.

    Raises:
        typer.BadParameter: The options contradict each other.
    """
    chosen = {"--text": text, "--mute": mute, "--push-to-talk": push_to_talk}
    given = [name for name, is_given in chosen.items() if is_given]
    if len(given) > 1:
        raise typer.BadParameter(f"{given[0]} and {given[1]} exclude each other: take one.")
    if text and (needing := [name for name, is_given in microphone.items() if is_given]):
        raise typer.BadParameter(f"--text has no microphone: leave {needing[0]} away.")
    if given and microphone["--input"]:
        raise typer.BadParameter(f"{given[0]} is for a live conversation: leave --input away.")
    by_option = {"--text": Gate.ABSENT, "--mute": Gate.MUTED, "--push-to-talk": Gate.WAITING}
    return by_option[given[0]] if given else Gate.OPEN
