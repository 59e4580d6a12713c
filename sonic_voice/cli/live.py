"""A live conversation: with the microphone, the loudspeaker and the terminal of this computer.

Microphone ─► EchoCancelledMicrophone ─► MutableSource ─►┐
              echo, ducking              mute            ├─ converse ─► Screen, or PrintedTranscript
Speaker ◄─────────── tap ◄─────────────── HushableSink ◄─┘
"""

import logging
import shutil
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..audio.mute import SHUT, Gate, HushableSink, MutableSource
from ..config import SessionConfig
from ..controls import Controls
from ..conversation import Observer, converse
from ..devices import BackendName, Latency, Microphone, Speaker
from ..echo import (
    SPEECH_MIN_DBFS,
    BargeInSensitivity,
    EchoCancelledMicrophone,
    echo_cancelled,
)
from ..echo.local_speech import Levels
from ..errors import ConfigError, DeadlineError, DeviceError
from ..masked_events import masked
from ..metrics import Metrics, SessionObserver
from ..printable import printable
from ..session import Session
from ..tools.toolbox import Toolbox
from .absent_devices import AbsentMicrophone, AbsentSpeaker
from .answers import AnswerTimer
from .echo_watch import BY_KEY, BY_LINE, BY_OPTION, EchoWatch
from .ending import Ending, print_notice
from .garbage import exempt_existing_objects
from .guard_option import GuardOption, opened_guard
from .line_input import LineInput
from .live_recording import LiveRecording
from .log_file import LoggedEvents
from .reasoner import CommandReasoner
from .recorded import print_summary, report_goodbye_timeout
from .saved import NEW_CONVERSATION, Continuation
from .service import TransportFactory
from .signals import ending_signals
from .story import JsonLines, PrintedTranscript
from .tape_recording import tape_recorder
from .terminal import Screen, can_draw_on, restorer, screen
from .transcript_file import TranscriptFile
from .typed_lines import TypedLines

_log = logging.getLogger(__name__)

LINES_HINT = "A line that you type is your turn; /help lists the commands.\n"
"""The sentence of the greeting about lines that are read."""

KEYS_HINT = "Esc, then ? lists the keys.\n"
"""The sentence of the greeting about single keys while a line is typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """The options of a live conversation."""

    config: SessionConfig
    """Configuration of the session."""
    tools: Toolbox
    """Tools that the model may call."""
    where: str
    """Description of the service, for the first line."""
    microphone: int | str | None = None
    """Number of a device or part of its name; None is the default device."""
    speaker: int | str | None = None
    """Number of a device or part of its name; None is the default device."""
    backend: BackendName = "sounddevice"
    """Library that opens the devices."""
    latency: Latency = "low"
    """Latency of the devices."""
    block_ms: float | None = None
    """Length of the blocks of both devices, in milliseconds; None is 20 ms for the microphone and
    10 ms for the loudspeaker."""
    aec: bool = True
    """True to remove the echo of the loudspeaker from the microphone."""
    half_duplex: bool = False
    """True to close the microphone while the model speaks."""
    auto_half_duplex: bool = False
    """True to do so once the model has interrupted itself twice within a minute."""
    gate: Gate = Gate.OPEN
    """State of the microphone at the beginning; ABSENT for a conversation that is typed."""
    sound: bool = True
    """True to play the answers. Otherwise they are only shown."""
    sensitivity: BargeInSensitivity = "normal"
    """Ease with which a voice at this end softens the playback."""
    min_level_dbfs: float = SPEECH_MIN_DBFS
    """Level of the microphone below which no sound softens the playback, in dBFS."""
    plain: bool = False
    """True to print a transcript instead of drawing on the terminal."""
    debug: bool = False
    """True to report planned renewals, too. It implies `plain`."""
    end: Ending
    """Outputs of the conversation, and its last record."""
    continuation: Continuation = NEW_CONVERSATION
    """The conversation that it continues, and the file in which it is saved."""
    transcript: TranscriptFile | None = None
    """The transcript file; None if there is none."""
    recording: LiveRecording | None = None
    """The recording of both sides; None if there is none."""
    tape: Path | None = None
    """File of the tape; None if there is none."""
    keeps_tape: bool = True
    """False for a tape that is removed at the end, after the report was made of it."""
    traced: SessionObserver | None = None
    """Returns the observer that traces the session; None if it is not traced."""
    guard: GuardOption | None = None
    """The guard; None for no guard."""
    reasoner: CommandReasoner | None = None
    """The text model that thinks; None if the voice model does."""

    @property
    def typed(self) -> bool:
        """True if the user types, and has no microphone."""
        return self.gate is Gate.ABSENT


async def run_live_conversation(options: LiveOptions, service: TransportFactory) -> None:
    """Hold the conversation until the user leaves. Cancelling it ends the session gracefully.

    Args:
        options: The options of the conversation.
        service: Opens the transport to the service.

    Raises:
        ConfigError: The user types, and the model takes no text.
        DeviceError: A device cannot be opened, or fails.
        NotAnswered: The conversation ended without an answer that was due.
        SonicError: The session ended with an error.
    """
    if options.typed and not options.config.voice_model.text_input:
        raise ConfigError(
            f"{options.config.voice_model.name} takes no text.",
            hint="Leave --text away and speak, or choose Nova 2 Sonic.",
        )
    feedback, end = _Feedback(), options.end
    end.notice = options.tools.on_notice = feedback.notice
    async with AsyncExitStack() as stack:
        if options.reasoner is not None:
            stack.push_async_callback(options.reasoner.aclose)
        stack.enter_context(ending_signals.on_forced_exit(restorer()))
        microphone = await stack.enter_async_context(_microphone(options, feedback))
        speaker = await stack.enter_async_context(_speaker(options, feedback))
        recording = options.recording
        near_end = _near_end(options, microphone, speaker, feedback)
        source = MutableSource(near_end or microphone, options.gate)
        transport = await stack.enter_async_context(service())
        guard = await stack.enter_async_context(opened_guard(options.guard))
        recorder = await stack.enter_async_context(
            tape_recorder(options.tape, transport, options.config, source.now, end)
        )
        sink = HushableSink(recorder.sink(speaker) if recorder else speaker)
        # The microphone is open: what the user says while the service is still opening is kept.
        continuation = options.continuation
        session = Session.open(
            options.config,
            recorder or transport,
            clock=source.now,
            resume=continuation.resume,
            early_audio=True,
        )
        metrics = Metrics(session, sink)
        # The devices count under-runs and lost blocks, and advise what to change.
        devices = [d for d in (microphone, speaker) if isinstance(d, (Microphone, Speaker))]
        advice = [lambda device=device: device.stats.advice for device in devices]
        feedback.timer = AnswerTimer(feedback.notice)
        stack.callback(feedback.timer.close)
        # The metrics come first: the transcript and the screen read them when they get an event.
        start_s = source.now()
        observers: list[Observer] = [
            *(metrics, LoggedEvents(), feedback.timer),
            end.begin_when_opened(lambda: source.now() - start_s),
            *([near_end.observe] if near_end else []),
            *_json_lines(end, start_s),
            *([options.transcript] if options.transcript is not None else []),
            *([recorder.observer] if recorder is not None else []),
            *([options.traced(session, metrics, None)] if options.traced is not None else []),
        ]
        controls = Controls(
            session,
            source,
            sink,
            observers,
            loudspeaker=speaker if isinstance(speaker, Speaker) else None,
            microphone=near_end,
        )
        greeting = _greeting(options, microphone, speaker)
        typed: TypedLines | None = None
        try:
            async with (
                session,
                _display(
                    options, controls, metrics, observers, feedback, advice, greeting
                ) as typed,
            ):
                exempt_existing_objects()
                sent = source
                if options.transcript is not None:
                    options.transcript.begin(session, sink, options.where, continuation.line)
                if recording is not None and near_end is not None:
                    sent = recording.source(source, lambda: near_end.chunk_began_s)
                    recording.begin(source.now())
                reasoner = None if options.reasoner is None else options.reasoner(options.tools)
                await converse(
                    session, sent, sink, options.tools, observers, guard=guard, reasoner=reasoner
                )
            report_goodbye_timeout(session, end)
            if typed is not None and typed.unanswered is not None:
                raise typed.unanswered
        except DeadlineError as error:
            if not session.hung_up:
                raise
            feedback.notice(str(error))  # the user did not want to wait: no error
        finally:
            if options.transcript is not None:
                options.transcript.finish()
            if recording is not None:
                await recording.aclose()
            for complaint in filter(None, [ask() for ask in advice]):
                feedback.notice(complaint)
            output = recording.path if recording else None
            print_summary(
                options.config,
                metrics,
                end,
                output=output,
                output_name="Recording",
                tape=options.tape if options.keeps_tape else None,
            )
            if end.now is not None:
                continuation.save(session, mask_pii=end.mask_pii)


def _json_lines(end: Ending, start_s: float) -> list[Observer]:
    """Return the observers that write the events, to a file and to standard output."""
    outputs = (end.events, end.out if end.as_json else None)
    return [
        JsonLines(out, mask_pii=end.mask_pii, start_s=start_s) for out in outputs if out is not None
    ]


@asynccontextmanager
async def _display(
    options: LiveOptions,
    controls: Controls,
    metrics: Metrics,
    observers: list[Observer],
    feedback: "_Feedback",
    advice: Sequence[Callable[[], str]],
    greeting: str,
) -> AsyncGenerator[TypedLines | None]:
    """Show the conversation, and let the user control it, until the end of the block.

    Standard output has JSON lines, a transcript, or the screen. The observers that this needs are
    added to `observers`.

    Yields:
        The reader of typed lines; None if there is none.
    """
    end, console, at_terminal = options.end, Console(), sys.stdin.isatty()
    plain = options.plain or options.debug or not can_draw_on(console)
    plain = plain or (options.typed and not at_terminal)  # the screen needs single keys
    reads_lines = (options.plain or at_terminal) and plain and not end.as_json
    reads_lines = reads_lines or (options.typed and (plain or end.as_json))
    show, offer = feedback.notice, BY_LINE if reads_lines else BY_OPTION
    async with AsyncExitStack() as stack:
        if not end.as_json:
            hint = LINES_HINT if reads_lines else KEYS_HINT if options.typed else ""
            end.out.write(greeting + hint)
        if plain and not end.as_json:
            transcript = PrintedTranscript(end.out, metrics, planned_renewals=options.debug)
            observers.append(masked(transcript) if end.mask_pii else transcript)
            feedback.transcript, feedback.source = transcript, controls.source
            show = transcript.note
        elif not end.as_json:
            shown = screen(console, metrics, controls, advice=advice, opened=False)
            stack.callback(feedback.leave_screen)  # once it is closed
            feedback.screen = await stack.enter_async_context(shown)
            observers.append(masked(feedback.screen) if end.mask_pii else feedback.screen)
            offer = BY_KEY if feedback.screen.keys else BY_OPTION
        feedback.watch = EchoWatch(controls, show, switch=options.auto_half_duplex, offer=offer)
        observers.append(feedback.watch)
        typed: TypedLines | None = None
        if reads_lines:
            lines = LineInput(sys.stdin.fileno())
            typed = TypedLines(lines, controls, show, ends=options.typed)
            observers.append(typed)
            await stack.enter_async_context(typed.reading())
        yield typed


class _Feedback:
    """The receiver of notices and levels. It passes them to the screen while there is one."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.timer: AnswerTimer | None = None
        self.watch: EchoWatch | None = None
        self.transcript: PrintedTranscript | None = None
        self.source: MutableSource | None = None

    def notice(self, text: str) -> None:
        """Show a sentence to the user. It may be called from any thread.

        Args:
            text: The sentence.
        """
        if self.screen is not None:
            _log.info("note: %s", text)
            self.screen.notice(text)
        else:
            print_notice(text)

    def leave_screen(self) -> None:
        """Print further notices, because the screen is closed."""
        self.screen = None

    def levels(self, levels: Levels) -> None:
        """Show the levels of both sides, and start the answer timer when the user speaks.

        Args:
            levels: Levels of microphone and loudspeaker.
        """
        if self.screen is not None:
            self.screen.levels(levels)
        if self.timer is not None and levels.speaking:
            self.timer.spoken()
        if self.watch is not None:
            # The clock of the session is that of the microphone.
            self.watch.heard(time.monotonic(), speaking=levels.speaking)
        muted = self.source is not None and self.source.gate in SHUT
        if self.transcript is not None and levels.speaking and not muted:
            self.transcript.hear()


def _microphone(options: LiveOptions, feedback: _Feedback) -> Microphone | AbsentMicrophone:
    if options.typed:
        return AbsentMicrophone(options.config.input)
    return Microphone(
        options.microphone,
        options.config.input,
        backend=options.backend,
        latency=options.latency,
        block_ms=options.block_ms or 20,
        on_notice=feedback.notice,
    )


def _near_end(
    options: LiveOptions,
    microphone: Microphone | AbsentMicrophone,
    speaker: Speaker | AbsentSpeaker,
    feedback: _Feedback,
) -> EchoCancelledMicrophone | None:
    """Return the microphone without the echo of the loudspeaker; None if there is none."""
    if not isinstance(microphone, Microphone):
        return None
    near_end = echo_cancelled(
        microphone,
        options.recording.speaker(speaker) if options.recording else speaker,
        aec=options.aec and isinstance(speaker, Speaker),
        half_duplex=options.half_duplex,
        sensitivity=options.sensitivity,
        min_level_dbfs=options.min_level_dbfs,
        on_levels=feedback.levels,
    )
    if near_end.notice:
        feedback.notice(near_end.notice)
    return near_end


def _speaker(options: LiveOptions, feedback: _Feedback) -> Speaker | AbsentSpeaker:
    if not options.sound:
        return _absent_speaker(options)
    try:
        return Speaker(
            options.speaker,
            options.config.output,
            backend=options.backend,
            latency=options.latency,
            block_ms=options.block_ms or 10,
            on_notice=feedback.notice,
        )
    except DeviceError as error:
        if not options.typed or options.speaker is not None:
            raise
        feedback.notice(f"{error.message} The answers are shown only, as with --no-speaker.")
        return _absent_speaker(options)


def _absent_speaker(options: LiveOptions) -> AbsentSpeaker:
    # The lines of a pipe come in turn with the voice: nobody reads the answer before it is spoken.
    in_step = options.typed and not sys.stdin.isatty()
    return AbsentSpeaker(options.config.output, now=time.monotonic if in_step else None)


def _greeting(
    options: LiveOptions,
    microphone: Microphone | AbsentMicrophone,
    speaker: Speaker | AbsentSpeaker,
) -> str:
    model, continuing = options.config.voice_model, options.continuation.line
    near = far = "none"
    if isinstance(microphone, Microphone):
        near = microphone.opening.label
    if isinstance(speaker, Speaker):
        far = speaker.opening.label
    what_to_do = "Type, and press Enter" if options.typed else "Speak"
    devices = (
        f"Microphone: {printable(near)}. Loudspeaker: {printable(far)}. "
        f"{what_to_do}; Ctrl-C ends it."
    )
    return (
        wrapped(f"{model.name} ({model.id}) {options.where}, voice {options.config.voice}")
        + wrapped(devices)
        + (wrapped(continuing) if continuing else "")
    )


def wrapped(text: str) -> str:
    """Return a text as lines: on a terminal none is wider, elsewhere there is one.

    Args:
        text: The text, of one line.
    """
    if not sys.stdout.isatty():
        return f"{text}\n"
    columns = shutil.get_terminal_size().columns
    return textwrap.fill(text, max(20, columns), break_on_hyphens=False) + "\n"
