"""The options that several commands share: what Typer is told about each of them, once.

A command writes `region: RegionName = None` in its signature. The default belongs to the command.
"""

from pathlib import Path
from typing import Annotated

import typer

from ..devices import BackendName

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

RegionName = Annotated[str | None, typer.Option(help="AWS region.")]
"""Option --region."""

ProfileName = Annotated[str | None, typer.Option(help="AWS profile to use.")]
"""Option --profile."""

ModelId = Annotated[str, typer.Option(help="Id of the model; see `sonic-voice models`.")]
"""Option --model of the commands that use one model."""

VoiceId = Annotated[str | None, typer.Option(help="Voice of the model; see `sonic-voice models`.")]
"""Option --voice."""

SystemPrompt = Annotated[str | None, typer.Option(help="System prompt, or @FILE to read it from.")]
"""Option --system."""

ToolsFile = Annotated[
    Path | None, typer.Option(help="Python file whose @tool functions the model may call.")
]
"""Option --tools."""

DeviceName = Annotated[
    str | None, typer.Option(help="Number or part of a name; see `sonic-voice devices`.")
]
"""Options --microphone and --speaker."""

AudioBackend = Annotated[BackendName, typer.Option(help="Library that opens the devices.")]
"""Option --audio-backend."""

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
        '"20:Ask whether the user is still there."; may be repeated. SECONDS:end:TEXT ends the '
        "conversation after it, SECONDS:end at once.",
    ),
]
"""Option --idle-prompt of several commands."""
