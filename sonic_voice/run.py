"""One conversation of the command line: what it reads, what it writes, what it prints.

Everything that can be wrong without a network is found before any: `prepared` opens the files and
`hold` connects, converses, and sums up whatever came of it, also after Ctrl-C.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import typer

from .audio import AudioSink, NullSink
from .config import SessionConfig
from .conversation import Observer, converse
from .errors import AudioError
from .metrics import Metrics
from .session import Session
from .story import JsonLines, Story, summary, summary_lines
from .tools import Toolbox
from .transport import Transport
from .wav import WavSink, WavSource

type Service = Callable[[], contextlib.AbstractAsyncContextManager[Transport]]
"""Gives a transport to whom the conversation is with."""


@dataclass(frozen=True, slots=True)
class Run:
    """One conversation of the command line, everything checked that can be without a network."""

    config: SessionConfig
    source: WavSource
    sink: AudioSink
    output: Path | None
    events: TextIO | None
    tools: Toolbox
    as_json: bool
    where: str
    """The service, in words."""


@contextmanager
def prepared(
    config: SessionConfig,
    input: Path,
    output: Path | None,
    speed: float,
    events: Path | None,
    tools: Toolbox,
    as_json: bool,
    where: str,
) -> Generator[Run]:
    """Open what the conversation reads and writes; a wrong file is found before any network."""
    source = WavSource(input, config.input, speed=speed)
    sink: AudioSink = NullSink(config.output, now=source.now)
    if output is not None:
        sink = WavSink(output, config.output, now=source.now)
    if warning := config.voice_model.warning(datetime.now(UTC).date()):
        noted(warning)
    if source.note:
        noted(source.note)
    with events_file(events) as log:
        yield Run(config, source, sink, output, log, tools, as_json, where)


def noted(text: str) -> None:
    """Show a sentence for the person beside the conversation."""
    typer.echo(f"Note: {text}", err=True)


@contextmanager
def events_file(path: Path | None) -> Generator[TextIO | None]:
    """The open file at `path`, if one is wanted. Raises `AudioError`."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise AudioError(
            f"Cannot write events to {path}: {error.strerror}.",
            hint="Name a file in a folder that exists.",
        ) from error
    with file:
        yield file


async def hold(run: Run, service: Service) -> None:
    run.tools.on_notice = noted
    async with AsyncExitStack() as stack:
        stack.push_async_callback(run.source.aclose)
        transport = await stack.enter_async_context(service())
        session = Session.open(run.config, transport, clock=run.source.now)
        metrics = Metrics(session, run.sink)
        try:
            async with session:
                await _tell(run, session, metrics)
        finally:
            sum_up(run.config, metrics, as_json=run.as_json, output=run.output)


async def _tell(run: Run, session: Session, metrics: Metrics) -> None:
    observers: list[Observer] = [metrics]
    observers.append(JsonLines(sys.stdout) if run.as_json else Story(sys.stdout, metrics))
    if run.events is not None:
        observers.append(JsonLines(run.events))
    if not run.as_json:
        model = run.config.voice_model
        typer.echo(
            f"{model.name} ({model.id}) {run.where}, voice {run.config.voice}; "
            f"{run.source.path.name} speaks for {run.source.duration_s:.1f} s"
        )
    sink = run.sink
    try:
        await converse(session, run.source, sink, run.tools, observers)
    finally:
        await sink.aclose()


def sum_up(
    config: SessionConfig, metrics: Metrics, *, as_json: bool, output: Path | None = None
) -> None:
    """Print what it came to, if anybody said anything."""
    snapshot = metrics.snapshot
    if not snapshot.turns:
        return
    if as_json:
        facts = {"event": "Summary", **summary(snapshot, config)}
        facts["output"] = str(output) if output else None
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    typer.echo(f"\n{summary_lines(snapshot, config)}")
    if output is not None:
        typer.echo(f"{'Answer':<14}{output}")
