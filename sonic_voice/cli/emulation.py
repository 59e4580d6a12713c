"""The server of `sonic-voice emulate`: the emulator for any client, until a signal ends it.

It prints the settings that point a client at it, then a line for each mistake of a client, with
what the real service would have done. When it is stopped it ends its streams with a GOAWAY and
writes the report for the last time. `cli.signals` has the signals and their exit codes.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..catalog import DEFAULT_MODEL, voice_model
from ..emulator.assembly import emulator
from ..emulator.behaviour import Behaviour
from ..emulator.faults import parse_fault
from ..emulator.observers import EmulatorObserver, StreamStatistics
from ..emulator.observers.conformance import RuleViolation
from ..emulator.observers.recorder import Recorder
from ..emulator.observers.report import ConformanceReport
from ..emulator.observers.status import EmulatorStatus
from ..emulator.observers.status_page import StatusPage
from ..emulator.server import Emulator
from ..emulator.server.certificates import CertificateAuthority, check_name
from ..errors import ConfigError
from ..http2.loopback import is_loopback
from ..printable import printable, printable_json
from .client_settings import client_settings
from .faults import chaos_notice
from .log_file import log_warnings_to_stderr
from .printing import echo


@dataclass(frozen=True, slots=True)
class EmulateOptions:
    """The options of `sonic-voice emulate`."""

    behaviour: Behaviour
    """Behaviour of the emulated service."""
    scenario: Path | None = None
    """Scenario file."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 0
    """Port to listen on; 0 takes a free one."""
    names: tuple[str, ...] = ()
    """Further names and addresses for the server's certificate."""
    ca_out: Path | None = None
    """File for the CA certificate."""
    report: Path | None = None
    """File for the conformance report, in JSON."""
    record: Path | None = None
    """Folder for the recordings of streams."""
    ui: bool = False
    """True to serve the status page."""
    debug: bool = False
    """True if --debug has set up logging."""


async def serve(options: EmulateOptions) -> None:
    """Serve until cancelled.

    Args:
        options: The options of the command.

    Raises:
        ConfigError: A fault is unknown, a file cannot be read or written, or the port is in use.
    """
    for name in options.names:
        check_name(name)
    if not options.debug:
        log_warnings_to_stderr()
    async with AsyncExitStack() as stack:
        report = await stack.enter_async_context(_reporting(options.report))
        status = EmulatorStatus()
        observers: list[EmulatorObserver] = [report, status] if options.ui else [report]
        if options.record is not None:
            observers.append(Recorder(options.record))
        authority = CertificateAuthority.of_this_user()
        running = emulator(
            options.scenario,
            host=options.host,
            port=options.port,
            behaviour=options.behaviour,
            authority=authority,
            names=options.names,
            observers=observers,
        )
        await stack.enter_async_context(running)
        if options.ca_out is not None:
            _replace(options.ca_out, authority.ca_pem, private=False)
        for line in _welcome(running, options):
            echo(line)
        if options.ui:
            page = StatusPage(
                lambda: status.document(running.endpoint),
                port=running.port + 1 if options.port else 0,
            )
            await stack.enter_async_context(page)
            echo(f"Status page: {page.url}")
        echo("Ctrl-C ends it.")
        sys.stdout.flush()
        await asyncio.Event().wait()  # a signal cancels this


@asynccontextmanager
async def _reporting(path: Path | None) -> AsyncGenerator[ConformanceReport]:
    """Provide a report that prints mistakes, and write it to `path` whenever it changes."""
    changed = asyncio.Event()
    report = ConformanceReport(_print_mistake, changed.set)
    if path is None:
        yield report
        return

    def write() -> None:
        text = printable_json(report.document(), indent=2)
        _replace(path, f"{text}\n".encode(), private=True)

    async def keep_writing() -> None:
        while True:
            await changed.wait()
            changed.clear()
            try:
                write()
            except ConfigError as error:
                echo(printable(f"sonic-voice: {error}"), err=True)

    write()  # a file that cannot be written is reported before the server starts
    writing = asyncio.create_task(keep_writing(), name="report")
    try:
        yield report
    finally:
        writing.cancel()
        await asyncio.wait({writing})
        write()


def _print_mistake(statistics: StreamStatistics, mistake: RuleViolation) -> None:
    stream = statistics.request.request_id[:8]
    echo(printable(f"{datetime.now().astimezone():%H:%M:%S}  stream {stream}  {mistake}"))


def _welcome(running: Emulator, options: EmulateOptions) -> Iterator[str]:
    """Yield the lines that tell how to point a client at the emulator."""
    environment = running.environment()
    if options.ca_out is not None:
        environment |= dict.fromkeys(
            ("SSL_CERT_FILE", "AWS_CA_BUNDLE"), str(options.ca_out.absolute())
        )
    yield f"Nova Sonic, emulated, at {running.endpoint}\n"
    if not is_loopback(options.host):
        yield f"Any host that can reach {options.host} can use it: its keys are no secret.\n"
    yield from client_settings(environment, running.port)
    model = voice_model((options.behaviour.models or (DEFAULT_MODEL,))[0]).id
    yield f"\nModel: {model}"
    yield from (
        f"Fault: {text}: {parse_fault(text).description}" for text in options.behaviour.faults
    )
    if isinstance(options.behaviour.chaos, int):
        yield chaos_notice(options.behaviour.chaos)
    if options.report is not None:
        yield f"Report: {options.report.absolute()}"
    if options.record is not None:
        yield f"Recordings: {options.record.absolute()}"


def _replace(path: Path, content: bytes, *, private: bool) -> None:
    """Replace a file atomically.

    Args:
        path: The file.
        content: Its new content.
        private: Whether only this user may read it.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            new = Path(file.name)
            file.write(content)
        try:
            if not private:
                new.chmod(0o644)
            new.replace(path)
        except OSError:
            new.unlink()
            raise
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror or error}.",
            hint="Name a file in a folder that exists.",
        ) from error
