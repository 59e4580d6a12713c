"""The options that several commands share: what Typer is told about each of them, once.

A command writes `region: RegionName = None` in its signature. The default belongs to the command.
"""

from pathlib import Path
from typing import Annotated

import typer

from ..device_settings import MIN_LEVEL_RANGE_DBFS, BackendName, BargeInSensitivity
from ..guards.verdicts import REPLACEMENT, FailurePolicy
from .completion import complete_language, complete_model, complete_region, complete_voice
from .server_log import LogFormat, LogLevel

LogFile = Annotated[
    Path | None,
    typer.Option(
        help="File to append a log to, up to 5 MB; only you can read it. It has no words of the "
        "conversation."
    ),
]
"""Option --log-file of several commands."""

IsLocal = Annotated[bool, typer.Option("--local", help="Talk to the built-in emulator.")]
"""Option --local of the commands that converse."""

ScenarioFile = Annotated[
    Path | None, typer.Option(help="Scenario file for the emulator (YAML or TOML).")
]
"""Option --scenario of the commands that converse."""

EndpointUrl = Annotated[
    str | None, typer.Option(help="URL of a server to use instead of Amazon Bedrock.")
]
"""Option --endpoint."""

CaFile = Annotated[
    Path | None, typer.Option(help="PEM file with a CA to trust for the connection.")
]
"""Option --ca."""

ProxyUrl = Annotated[
    str | None,
    typer.Option(
        help="URL of a proxy for every endpoint, instead of HTTPS_PROXY or ALL_PROXY. An empty "
        "URL means no proxy."
    ),
]
"""Option --proxy."""

RegionName = Annotated[str | None, typer.Option(autocompletion=complete_region, help="AWS region.")]
"""Option --region."""

ProfileName = Annotated[str | None, typer.Option(help="AWS profile to use.")]
"""Option --profile."""

ModelId = Annotated[
    str,
    typer.Option(autocompletion=complete_model, help="Id of the model; see `sonic-voice models`."),
]
"""Option --model of the commands that use one model."""

VoiceId = Annotated[
    str | None,
    typer.Option(
        autocompletion=complete_voice, help="Voice of the model; see `sonic-voice models`."
    ),
]
"""Option --voice."""

Language = Annotated[
    str | None,
    typer.Option(
        autocompletion=complete_language,
        help="Language to speak, such as de, en-GB or Hindi: takes a voice of the model that "
        "speaks it.",
    ),
]
"""Option --language."""

SystemPrompt = Annotated[str | None, typer.Option(help="System prompt, or @FILE to read it from.")]
"""Option --system."""

ToolsFile = Annotated[
    Path | None, typer.Option(help="Python file whose @tool functions the model may call.")
]
"""Option --tools."""

GuardName = Annotated[
    str | None,
    typer.Option(
        metavar="GUARD",
        help="Judge what you say and each sentence of an answer, before it is heard: checks, "
        "guardrail:ID, converse:MODEL or openai:URL#MODEL.",
    ),
]
"""Option --guard."""

GuardFailure = Annotated[
    FailurePolicy,
    typer.Option(help="Sentences without a verdict are heard (open) or not (closed)."),
]
"""Option --guard-failure."""

GuardSeconds = Annotated[
    float, typer.Option(metavar="SECONDS", help="Maximum time for a verdict of the guard.")
]
"""Option --guard-seconds."""

GuardText = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Words in place of a sentence that the guard flags.",
        show_default=REPLACEMENT,
    ),
]
"""Option --guard-text."""

GuardSound = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Sound file with these words; without it the model is asked to say them.",
    ),
]
"""Option --guard-sound."""

GuardPolicy = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="What a moderation model does not allow; @FILE reads it from a file.",
    ),
]
"""Option --guard-policy."""

ReasonerAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Text model that thinks while the voice model hears and speaks: converse:MODEL, "
        "openai:URL#MODEL, responses:URL#MODEL or messages:URL#MODEL. It gets the system prompt "
        "and the tools.",
    ),
]
"""Option --reasoner."""

McpTargets = Annotated[
    list[str] | None,
    typer.Option(
        "--mcp",
        metavar="COMMAND|URL",
        help="MCP server whose tools the model may call: a command line in quotes, or a URL "
        "(Streamable HTTP); may be repeated.",
    ),
]
"""Option --mcp of the commands that offer tools."""

McpConfig = Annotated[
    Path | None,
    typer.Option("--mcp-config", metavar="FILE", help="Standard mcp.json that names MCP servers."),
]
"""Option --mcp-config of the commands that offer tools."""

BuiltinTools = Annotated[
    list[str] | None,
    typer.Option(
        "--builtin",
        metavar="NAME",
        help="Tool of the package that the model may call, too: end_call, which hangs up once the "
        "goodbye was heard, or current_time; may be repeated.",
    ),
]
"""Option --builtin."""

TransferTo = Annotated[
    list[str] | None,
    typer.Option(
        "--transfer-to",
        metavar="NAME",
        help="Destination to which the model may pass the caller on; may be repeated. The "
        "conversation then ends, and names it.",
    ),
]
"""Option --transfer-to."""

DeviceName = Annotated[
    str | None, typer.Option(help="Number or part of a name; see `sonic-voice devices`.")
]
"""Options --microphone and --speaker."""

AudioBackend = Annotated[BackendName, typer.Option(help="Library that opens the devices.")]
"""Option --audio-backend."""

TypedOnly = Annotated[
    bool,
    typer.Option(
        "--text",
        help="Type instead of speaking: without a microphone. With a pipe, each line of it is a "
        "turn, and its end ends the conversation.",
    ),
]
"""Option --text of `talk`."""

NoSpeaker = Annotated[
    bool,
    typer.Option("--no-speaker", help="Only show the answers, and play no sound."),
]
"""Option --no-speaker of `talk`."""

StartsMuted = Annotated[
    bool, typer.Option("--mute", help="Begin with the microphone muted; the key m opens it.")
]
"""Option --mute of `talk`."""

PushToTalk = Annotated[
    bool,
    typer.Option(
        "--push-to-talk",
        help="Send your voice only from one press of the space bar to the next; with --plain, of "
        "Enter. A terminal does not report the release of a key.",
    ),
]
"""Option --push-to-talk of `talk`."""

AutoHalfDuplex = Annotated[
    bool,
    typer.Option(
        "--auto-half-duplex",
        help="Do as --half-duplex once the model has interrupted itself twice within a minute.",
    ),
]
"""Option --auto-half-duplex of `talk`."""

BargeInSensitivityName = Annotated[
    BargeInSensitivity,
    typer.Option(
        help="How easily your voice softens the playback: `low` takes 0.16 s of clear speech and "
        "suits loud rooms, `high` 0.06 s of what may be speech and suits soft voices. The service "
        "decides for itself whether you interrupt the model."
    ),
]
"""Option --barge-in-sensitivity."""

MinLevel = Annotated[
    float,
    typer.Option(
        "--min-level-dbfs",
        metavar="DBFS",
        min=MIN_LEVEL_RANGE_DBFS[0],
        max=MIN_LEVEL_RANGE_DBFS[1],
        help="Level of the microphone below which no sound softens the playback, in dBFS (0 is "
        "the loudest). Raise it to -45 or -35 if a TV or the next desk does.",
    ),
]
"""Option --min-level-dbfs."""

EventsAsJson = Annotated[
    bool, typer.Option("--json", help="Print events and summary as JSON lines.")
]
"""Option --json of the commands that converse."""

ListenHost = Annotated[str, typer.Option(help="Address to listen on.")]
"""Option --host of the servers."""

ListenPort = Annotated[
    int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")
]
"""Option --port of the servers."""

AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(
        help="Origin of pages that may connect, such as https://shop.example; may be repeated. "
        "https://*.shop.example stands for any one label; applications have schemes of their own, "
        "such as capacitor://localhost."
    ),
]
"""Option --allow-origin of `serve`."""

TrustedProxy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CIDR",
        help="Address or network of a reverse proxy whose X-Forwarded-For and Forwarded are "
        "believed, such as 127.0.0.1; may be repeated. Limits by address then count its clients.",
    ),
]
"""Option --trusted-proxy of `serve`."""

MaxPerAddress = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Maximum number of conversations at a time from one network address; 16 by default, "
        "and --max-sessions on this machine.",
    ),
]
"""Option --max-per-address of `serve`."""

ServerLogLevel = Annotated[
    LogLevel,
    typer.Option(
        help="Level from which the log on standard error is printed. info has a line for each "
        "conversation that starts or ends and for each connection that is rejected; warning has "
        "those alone that need an operator."
    ),
]
"""Option --log-level of `serve`."""

ServerLogFormat = Annotated[
    LogFormat, typer.Option(help="Format of the log: lines of text, or JSON objects.")
]
"""Option --log-format of `serve`."""

WebhookUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="URL that the report of each conversation is posted to as JSON: transcript, tokens, "
        "cost, latencies. With --token-secret-file it is signed (Sonic-Voice-Signature).",
    ),
]
"""Option --webhook of `serve`."""

NoReconnect = Annotated[
    bool,
    typer.Option(
        "--no-reconnect",
        help="End a conversation at the first fault, instead of connecting again.",
    ),
]
"""Option --no-reconnect of the commands that converse."""

StreamLife = Annotated[
    float | None,
    typer.Option(
        min=1,
        hidden=True,
        help="Life of a stream of the server, in seconds, if it is not that of the model: as "
        "--life-s of `emulate`.",
    ),
]
"""Option --stream-life of the commands that converse. It is hidden: only an emulator differs."""

Greeting = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help='Request with which the assistant speaks first: "Welcome the caller to Example Bank."',
    ),
]
"""Option --greeting of several commands."""

IdlePrompts = Annotated[
    list[str] | None,
    typer.Option(
        "--idle-prompt",
        metavar="SECONDS:TEXT",
        help="Request with which a silent user is addressed after some seconds, such as "
        '"20:Ask whether the user is still there."; may be repeated. '
        "SECONDS:end[bold]:[/bold]TEXT ends the conversation after it, SECONDS:end at once.",
    ),
]
"""Option --idle-prompt of several commands. The markup keeps rich from making `:end:` an emoji."""

TapePath = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FILE",
        help="File to record the whole conversation in while it goes on: sound of both sides, all "
        "events, tools. It must not exist, or be a folder; only you can read it. See `sonic-voice "
        "tape --help`.",
    ),
]
"""Option --record of `talk` and `demo`."""

MaskPii = Annotated[
    bool,
    typer.Option(
        "--mask-pii",
        help="Mask mail addresses and numbers of telephones, cards and accounts in what is "
        "written or leaves the process: tapes, whose sound becomes silence, transcripts, events, "
        "traces, stored conversations and reports.",
    ),
]
"""Option --mask-pii of `talk` and `serve`."""

ReportPath = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="HTML file for a report of the conversation, or of all, written at the end and "
        "replaced: to listen to, to read and to search. Only you can read it.",
    ),
]
"""Option --report of `talk`, `demo` and `test`."""

Traced = Annotated[
    bool,
    typer.Option(
        "--trace",
        help="Send spans and metrics to an OpenTelemetry collector: that of "
        "OTEL_EXPORTER_OTLP_ENDPOINT, or localhost. Without what was said.",
    ),
]
"""Option --trace of `talk` and `serve`."""

TranscriptPath = Annotated[
    Path | None,
    typer.Option(
        "--transcript",
        metavar="FILE",
        help="File to write the conversation to as it was heard, turn by turn: Markdown if its "
        "name ends in .md, else text. A file that exists is continued, never overwritten.",
    ),
]
"""Option --transcript of `talk`."""
