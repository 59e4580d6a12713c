"""One conversation of the command line: what it reads, what it writes, what it prints.

Everything that can be wrong without a network is found before any: `prepared` opens the files and
`hold` connects, converses, and sums up whatever came of it, also after Ctrl-C.
"""

import contextlib
import json
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..audio.ports import NullSink
from ..audio.wav import WavSink, WavSource
from ..config import SessionConfig
from ..conversation import OWED_ANSWER_TIMEOUT_S, Observer, converse
from ..errors import DeadlineError
from ..metrics import Metrics
from ..session import Session
from ..tools.toolbox import Toolbox
from ..transport import Transport
from .answers import Answers
from .ending import Ending, print_notice
from .signals import ending_signals
from .story import JsonLines, Story, summary, summary_lines

type Service = Callable[[], contextlib.AbstractAsyncContextManager[Transport]]
"""Gives a transport to whom the conversation is with."""

UNSPOKEN_S = 0.1
"""Less of a recording that was not spoken is not worth a sentence, in seconds: three chunks."""


@dataclass(frozen=True, slots=True)
class Run:
    """One conversation of the command line, everything checked that can be without a network."""

    config: SessionConfig
    source: WavSource
    sink: WavSink | NullSink
    output: Path | None
    tools: Toolbox
    end: Ending
    where: str
    """The service, in words."""

    def save(self) -> None:
        """Put the recording in place at once, or remove it if no conversation was begun."""
        if self.end.now is None and isinstance(self.sink, WavSink):
            self.sink.discard()
            return
        with contextlib.suppress(StopIteration):
            self.sink.aclose().send(None)  # a coroutine that never suspends


@contextmanager
def prepared(
    config: SessionConfig,
    input: Path,
    output: Path | None,
    speed: float,
    events: Path | None,
    tools: Toolbox,
    end: Ending,
    where: str,
) -> Generator[Run]:
    """Open what the conversation reads and writes; a wrong file is found before any network."""
    source = WavSource(input, config.input, speed=speed)
    end.unspoken_s = lambda: source.unspoken_s
    sink: WavSink | NullSink = NullSink(config.output, now=source.now)
    if output is not None:
        with ending_signals.held():
            sink = WavSink(output, config.output, now=source.now)
    run = Run(config, source, sink, output, tools, end, where)
    with ending_signals.last_word(run.save):
        if warning := config.voice_model.warning(datetime.now(UTC).date()):
            print_notice(warning)
        if source.note:
            print_notice(source.note)
        end.open_events(events)
        yield run


async def hold(run: Run, service: Service) -> None:
    """Hold the conversation, and print what it came to.

    Raises:
        NotAnswered: It came to its end without an answer that was owed.
        SonicError: Whatever ended it.
    """
    run.tools.on_notice = print_notice
    async with AsyncExitStack() as stack:
        stack.push_async_callback(run.source.aclose)
        transport = await stack.enter_async_context(service())
        session = Session.open(run.config, transport, clock=run.source.now)
        metrics = Metrics(session, run.sink)
        answers = Answers(session)
        try:
            try:
                async with session:
                    run.end.now = run.source.now
                    await _tell(run, session, metrics, answers)
            except DeadlineError as error:
                if not session.finished:  # it was not the goodbye that came too late
                    raise
                raise (
                    answers.missing(run.source.path.name, OWED_ANSWER_TIMEOUT_S) or error
                ) from error
            tell_goodbye(session, run.end)
            if missing := answers.missing(run.source.path.name, OWED_ANSWER_TIMEOUT_S):
                raise missing
            if not session.transcript.lines and not run.end.as_json:
                run.end.out.write(
                    f"The service heard nothing to answer in {run.source.path.name}.\n"
                )
        finally:
            sum_up(run.config, metrics, run.end, output=run.output)
            if run.end.now is not None and run.source.unspoken_s > UNSPOKEN_S:
                _tell_unspoken(run)


async def _tell(run: Run, session: Session, metrics: Metrics, answers: Answers) -> None:
    end = run.end
    observers: list[Observer] = [metrics, answers]
    observers.append(JsonLines(end.out) if end.as_json else Story(end.out, metrics))
    if end.events is not None:
        observers.append(JsonLines(end.events))
    if not end.as_json:
        model = run.config.voice_model
        end.out.write(
            f"{model.name} ({model.id}) {run.where}, voice {run.config.voice}; "
            f"{run.source.path.name} speaks for {run.source.duration_s:.1f} s\n"
        )
    sink = run.sink
    try:
        await converse(session, run.source, sink, run.tools, observers)
    finally:
        await sink.aclose()


def tell_goodbye(session: Session, end: Ending) -> None:
    """Tell the person that the service did not end the stream, if that is so."""
    if session.goodbye_timed_out:
        waited_s = session.config.deadlines.close_s
        end.notice(
            f"The service did not end the stream within {waited_s:g} s of the goodbye. "
            "All its answers had come."
        )


def _tell_unspoken(run: Run) -> None:
    """Print how much of the recording was not spoken."""
    if not run.end.as_json:
        run.end.out.write(
            f"The last {run.source.unspoken_s:.1f} s of {run.source.path.name} were not spoken.\n"
        )


def sum_up(
    config: SessionConfig, metrics: Metrics, end: Ending, *, output: Path | None = None
) -> None:
    """Print what it came to, if anybody said anything."""
    snapshot = metrics.snapshot
    if not snapshot.turns:
        return
    if end.as_json:
        facts = {"event": "Summary", **summary(snapshot, config)}
        facts["output"] = str(output) if output else None
        end.out.write(json.dumps(facts, ensure_ascii=False) + "\n")
        return
    end.out.write(f"\n{summary_lines(snapshot, config)}\n")
    if output is not None:
        end.out.write(f"{'Answer':<14}{output}\n")
