"""A conversation of the command line that reads its input from a file.

Errors that do not depend on the network are found before it is used: `prepare_conversation` opens
the files. `run_conversation` then connects, converses and prints the summary, also after Ctrl-C.
"""

import asyncio
import contextlib
import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from ..audio.ports import AudioSink, NullSink
from ..audio.wav import WavSink, WavSource
from ..config import SessionConfig
from ..conversation import OWED_ANSWER_TIMEOUT_S, Observer, converse
from ..errors import DeadlineError
from ..events import Event, Opened
from ..masked_events import masked
from ..metrics import Metrics, SessionObserver
from ..printable import printable, printable_json
from ..recording import Recorder
from ..session import Session
from ..tools.toolbox import Toolbox
from .answers import AnswerTracker
from .ending import Ending, print_notice
from .log_file import LoggedEvents
from .reasoner import CommandReasoner
from .saved import NEW_CONVERSATION, Continuation
from .service import TransportFactory
from .signals import ending_signals
from .story import JsonLines, PrintedTranscript, summary, summary_lines
from .tape_recording import tape_path, tape_recorder

if TYPE_CHECKING:
    from ..guards.verdicts import GuardSettings
    from .guard_option import GuardOption
    from .transcript_file import TranscriptFile

UNSPOKEN_NOTICE_S = 0.1
"""Minimum length of an unsent part of the recording that is reported, in seconds: three chunks."""


@dataclass(frozen=True, slots=True)
class RecordedConversation:
    """A conversation whose input and output files are open."""

    config: SessionConfig
    """Configuration of the session."""
    source: WavSource
    """The recording that is sent."""
    sink: WavSink | NullSink
    """Receiver of the answers."""
    output: Path | None
    """File of the answers; None if they are not kept."""
    tools: Toolbox
    """Tools that the model may call."""
    end: Ending
    """Outputs of the conversation, and its last record."""
    where: str
    """Description of the service, for the first line."""
    continuation: Continuation = NEW_CONVERSATION
    """The conversation that it continues, and the file in which it is saved."""
    transcript: "TranscriptFile | None" = None
    """The transcript file; None if there is none."""
    tape: Path | None = None
    """File of the tape; None if there is none."""
    keeps_tape: bool = True
    """False for a tape that is removed at the end, after the report was made of it."""
    traced: SessionObserver | None = None
    """Returns the observer that traces the session; None if it is not traced."""
    guard: "GuardOption | None" = None
    """The guard; None for no guard."""
    debug: bool = False
    """True to report planned renewals, too."""
    reasoner: CommandReasoner | None = None
    """The text model that thinks; None if the voice model does."""

    def save(self) -> None:
        """Save the recording of the answers at once, or remove it if no conversation began.

        It is called when a signal ends the process.
        """
        if self.end.now is None and isinstance(self.sink, WavSink):
            self.sink.discard()
            return
        with contextlib.suppress(StopIteration):
            self.sink.aclose().send(None)  # a coroutine that never suspends


@contextmanager
def prepare_conversation(
    config: SessionConfig,
    input: Path,
    output: Path | None,
    speed: float,
    events: Path | None,
    tools: Toolbox,
    end: Ending,
    where: str,
    continuation: Continuation = NEW_CONVERSATION,
    *,
    transcript: "TranscriptFile | None" = None,
    tape: Path | None = None,
    keeps_tape: bool = True,
    traced: SessionObserver | None = None,
    guard: "GuardOption | None" = None,
    debug: bool = False,
    reasoner: CommandReasoner | None = None,
) -> Generator[RecordedConversation]:
    """Open the files that a conversation reads and writes.

    Args:
        config: Configuration of the session.
        input: Sound file that is sent; `-` for the standard input.
        output: Sound file for the answers.
        speed: Speed of the conversation, as a multiple of real time.
        events: File for the events.
        tools: Tools that the model may call.
        end: Outputs of the conversation, and its last record.
        where: Description of the service, for the first line.
        continuation: What it continues, and where it is saved.
        transcript: The transcript file.
        tape: File of the tape, or the folder in which it is named by the time.
        keeps_tape: Whether the tape is there after the conversation.
        traced: Returns the observer that traces the session.
        guard: The guard.
        debug: Whether to report planned renewals, too.
        reasoner: The text model that thinks.

    Yields:
        The conversation, ready to run.

    Raises:
        AudioError: A file cannot be opened.
        TapeError: The tape cannot be created.
        typer.BadParameter: Standard input is a terminal, or closed.
    """
    tape = tape_path(tape)
    source = WavSource(_origin(input), config.input, speed=speed)
    end.unspoken_s = lambda: source.unspoken_s
    sink: WavSink | NullSink = NullSink(config.output, now=source.now)
    if output is not None:
        with ending_signals.deferred():
            sink = WavSink(output, config.output, now=source.now)
    run = RecordedConversation(
        config,
        source,
        sink,
        output,
        tools,
        end,
        where,
        continuation,
        transcript,
        tape,
        keeps_tape,
        traced,
        guard,
        debug,
        reasoner,
    )
    with ending_signals.on_forced_exit(run.save):
        if warning := config.voice_model.warning(datetime.now(UTC).date()):
            print_notice(warning)
        if source.note:
            print_notice(source.note)
        end.open_events(events)
        yield run


def _origin(input: Path) -> Path | BinaryIO:
    """Return the file to read for `--input`: standard input for `-`.

    Raises:
        typer.BadParameter: Standard input is a terminal, or closed.
    """
    if str(input) != "-":
        return input
    if sys.stdin is None or sys.stdin.isatty():
        raise typer.BadParameter(
            "--input - reads a recording from a pipe: sox question.mp3 -t wav - | sonic-voice talk "
            "--local --input -"
        )
    return sys.stdin.buffer


async def run_conversation(run: RecordedConversation, service: TransportFactory) -> None:
    """Hold the conversation and print its summary. Cancelling it ends the session gracefully.

    Args:
        run: The conversation.
        service: Opens the transport to the service.

    Raises:
        NotAnswered: The conversation ended without an answer that was due.
        SonicError: The session ended with an error.
    """
    run.tools.on_notice = print_notice
    async with AsyncExitStack() as stack:
        stack.push_async_callback(run.source.aclose)
        if run.reasoner is not None:
            stack.push_async_callback(run.reasoner.aclose)
        transport = await stack.enter_async_context(service())
        guard = None
        if run.guard is not None:
            guard = await stack.enter_async_context(run.guard.opened())
        recorder = await stack.enter_async_context(
            tape_recorder(run.tape, transport, run.config, run.source.now, run.end)
        )
        # Without `early_audio`, attempts to connect could not be reported before one has succeeded.
        session = Session.open(
            run.config,
            recorder or transport,
            clock=run.source.now,
            resume=run.continuation.resume,
            early_audio=True,
        )
        metrics = Metrics(session, run.sink)
        answers = AnswerTracker(session)
        try:
            try:
                async with session:
                    await _converse(run, session, metrics, answers, recorder, guard)
            except DeadlineError as error:
                if not session.finished:  # another deadline than that of the goodbye was missed
                    raise
                raise (
                    answers.missing(run.source.path.name, OWED_ANSWER_TIMEOUT_S) or error
                ) from error
            report_goodbye_timeout(session, run.end)
            if missing := answers.missing(run.source.path.name, OWED_ANSWER_TIMEOUT_S):
                raise missing
            if not session.transcript.lines and not run.end.as_json:
                run.end.out.write(
                    f"The service heard nothing to answer in {printable(run.source.path.name)}.\n"
                )
        finally:
            print_summary(
                run.config,
                metrics,
                run.end,
                output=run.output,
                tape=run.tape if run.keeps_tape else None,
            )
            if run.end.now is not None:
                run.continuation.save(session, mask_pii=run.end.mask_pii)
            if run.end.now is not None and run.source.unspoken_s > UNSPOKEN_NOTICE_S:
                _print_unspoken(run)


async def _converse(
    run: RecordedConversation,
    session: Session,
    metrics: Metrics,
    answers: AnswerTracker,
    recorder: Recorder | None,
    guard: "GuardSettings | None",
) -> None:
    end = run.end
    source = _WaitingSource(run.source)
    observers: list[Observer] = [
        metrics, answers, LoggedEvents(), end.begin_when_opened(source.now),
        source.start_when_opened,
    ]  # fmt: skip
    if end.as_json:
        observers.append(JsonLines(end.out, mask_pii=end.mask_pii))
    else:
        printed = PrintedTranscript(end.out, metrics, planned_renewals=run.debug)
        observers.append(masked(printed) if end.mask_pii else printed)
    if end.events is not None:
        observers.append(JsonLines(end.events, mask_pii=end.mask_pii))
    if not end.as_json:
        model = run.config.voice_model
        end.out.write(
            f"{model.name} ({model.id}) {printable(run.where)}, voice {run.config.voice}; "
            f"{printable(run.source.path.name)} speaks for {run.source.duration_s:.1f} s\n"
        )
        if run.continuation.line:
            end.out.write(f"{run.continuation.line}\n")
    sink: AudioSink = run.sink
    if run.traced is not None:
        observers.append(run.traced(session, metrics, None))
    if recorder is not None:
        observers.append(recorder.observer)
        sink = recorder.sink(run.sink)
    if run.transcript is not None:
        observers.append(run.transcript)
        run.transcript.begin(session, sink, run.where, run.continuation.line)
    reasoner = None if run.reasoner is None else run.reasoner(run.tools)
    try:
        await converse(session, source, sink, run.tools, observers, guard=guard, reasoner=reasoner)
    finally:
        if run.transcript is not None:
            run.transcript.finish()
        if end.now is not None:
            await sink.aclose()
        elif isinstance(run.sink, WavSink):
            run.sink.discard()


class _WaitingSource:
    """The recording, which waits until the service has taken the conversation.

    A person at a microphone does not wait, but a recording loses nothing by it, and its
    conversation has the same times whatever the connection takes.

    Args:
        source: The recording.
    """

    def __init__(self, source: WavSource) -> None:
        self.format = source.format
        self._source = source
        self._started = asyncio.Event()

    def start_when_opened(self, event: Event, now: float) -> None:
        """Begin to read when the service has taken the conversation. An observer.

        Args:
            event: An event of the conversation.
            now: Its time on the session's clock, in seconds; not used.
        """
        if isinstance(event, Opened):
            self._started.set()

    async def read(self) -> bytes:
        """Return the next chunk. See `AudioSource`."""
        await self._started.wait()
        return await self._source.read()

    @property
    def done(self) -> bool:
        """True once the recording was read to its end."""
        return self._source.done

    def now(self) -> float:
        """Return the position in the recording, in seconds."""
        return self._source.now()

    async def aclose(self) -> None:
        """Close the recording."""
        await self._source.aclose()


def report_goodbye_timeout(session: Session, end: Ending) -> None:
    """Notify the user if the service did not end the stream after the goodbye.

    Args:
        session: The session, closed.
        end: Outputs of the conversation.
    """
    if session.goodbye_timed_out:
        end.notice(
            "The service did not end the stream within "
            f"{session.goodbye_waited_s:g} s of the goodbye. "
            "All its answers had come."
        )


def _print_unspoken(run: RecordedConversation) -> None:
    """Print how much of the recording was not sent."""
    if not run.end.as_json:
        name = printable(run.source.path.name)
        run.end.out.write(f"The last {run.source.unspoken_s:.1f} s of {name} were not spoken.\n")


def print_summary(
    config: SessionConfig,
    metrics: Metrics,
    end: Ending,
    *,
    output: Path | None = None,
    output_name: str = "Answer",
    tape: Path | None = None,
) -> None:
    """Print the summary of the conversation, if it had any turns.

    Args:
        config: Configuration of the session.
        metrics: Metrics of the conversation.
        end: Outputs of the conversation.
        output: Sound file of the conversation.
        output_name: Name of that file's line: what is in it.
        tape: File of the tape.
    """
    snapshot = metrics.snapshot
    if not snapshot.turns:
        return
    if end.as_json:
        facts = {"event": "Summary", **summary(snapshot, config)}
        facts["output"] = str(output) if output else None
        facts["tape"] = str(tape) if tape else None
        end.out.write(printable_json(facts) + "\n")
        return
    end.out.write(f"\n{summary_lines(snapshot, config)}\n")
    if output is not None:
        end.out.write(f"{output_name:<14}{printable(str(output))}\n")
    if tape is not None:
        end.out.write(f"{'Tape':<14}{printable(str(tape))}\n")
