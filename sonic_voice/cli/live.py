"""A live conversation: with the microphone, the loudspeaker and the terminal of this computer.

Microphone ─► EchoCancelledMicrophone ─► MutableSource ─►┐
              echo, ducking              mute            ├─ converse ─► Screen, or PrintedTranscript
Speaker ◄─────────── tap ◄─────────────── HushableSink ◄─┘
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from rich.console import Console

from ..audio.mute import HushableSink, MutableSource
from ..config import SessionConfig
from ..controls import Controls
from ..conversation import Observer, converse
from ..devices import BackendName, Latency, Microphone, Speaker
from ..echo import echo_cancelled
from ..echo.local_speech import Levels
from ..metrics import Metrics
from ..session import Session
from ..tools.toolbox import Toolbox
from .answers import AnswerTimer
from .ending import Ending, print_notice
from .recorded import TransportFactory, print_summary, report_goodbye_timeout
from .saved import NEW_CONVERSATION, Continuation
from .signals import ending_signals
from .story import JsonLines, PrintedTranscript
from .terminal import Screen, can_draw_on, restorer, screen


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
    plain: bool = False
    """True to print a transcript instead of drawing on the terminal."""
    debug: bool = False
    """True to report planned renewals, too. It implies `plain`."""
    end: Ending
    """Outputs of the conversation, and its last record."""
    continuation: Continuation = NEW_CONVERSATION
    """The conversation that it continues, and the file in which it is saved."""


async def run_live_conversation(options: LiveOptions, service: TransportFactory) -> None:
    """Hold the conversation until the user leaves. Cancelling it ends the session gracefully.

    Args:
        options: The options of the conversation.
        service: Opens the transport to the service.

    Raises:
        DeviceError: A device cannot be opened, or fails.
        SonicError: The session ended with an error.
    """
    feedback, end = _Feedback(), options.end
    end.notice = options.tools.on_notice = feedback.notice
    async with AsyncExitStack() as stack:
        stack.enter_context(ending_signals.on_forced_exit(restorer()))
        microphone = await stack.enter_async_context(_microphone(options, feedback))
        speaker = await stack.enter_async_context(_speaker(options, feedback))
        near_end = echo_cancelled(
            microphone,
            speaker,
            aec=options.aec,
            half_duplex=options.half_duplex,
            on_levels=feedback.levels,
        )
        if near_end.notice:
            feedback.notice(near_end.notice)
        source, sink = MutableSource(near_end), HushableSink(speaker)
        transport = await stack.enter_async_context(service())
        # The microphone is open: what the user says while the service is still opening is kept.
        continuation = options.continuation
        session = Session.open(
            options.config,
            transport,
            clock=source.now,
            resume=continuation.resume,
            early_audio=True,
        )
        metrics = Metrics(session, sink)
        # The devices count under-runs and lost blocks, and advise what to change.
        advice = (lambda: microphone.stats.advice, lambda: speaker.stats.advice)
        feedback.timer = AnswerTimer(feedback.notice)
        stack.callback(feedback.timer.close)
        # The metrics come first: the transcript and the screen read them when they get an event.
        observers: list[Observer] = [
            metrics, near_end.observe, feedback.timer, end.begin_when_opened(source.now)
        ]  # fmt: skip
        if end.events is not None:
            observers.append(JsonLines(end.events))
        console = Console()
        try:
            async with session, AsyncExitStack() as scene:
                # Standard output has JSON lines, a transcript, or the screen.
                if end.as_json:
                    observers.append(JsonLines(end.out))
                else:
                    end.out.write(_greeting(options, microphone, speaker))
                    if options.plain or options.debug or not can_draw_on(console):
                        transcript = PrintedTranscript(
                            end.out, metrics, planned_renewals=options.debug
                        )
                        observers.append(transcript)
                    else:
                        controls = Controls(session, source, sink, observers)
                        shown = screen(console, metrics, controls, advice=advice, opened=False)
                        feedback.screen = await scene.enter_async_context(shown)
                        observers.append(feedback.screen)
                await converse(session, source, sink, options.tools, observers)
            report_goodbye_timeout(session, end)
        finally:
            feedback.screen = None
            for complaint in filter(None, [ask() for ask in advice]):
                feedback.notice(complaint)
            print_summary(options.config, metrics, end)
            if end.now is not None:
                continuation.save(session)


class _Feedback:
    """The receiver of notices and levels. It passes them to the screen while there is one."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.timer: AnswerTimer | None = None

    def notice(self, text: str) -> None:
        """Show a sentence to the user. It may be called from any thread.

        Args:
            text: The sentence.
        """
        if self.screen is not None:
            self.screen.notice(text)
        else:
            print_notice(text)

    def levels(self, levels: Levels) -> None:
        """Show the levels of both sides, and start the answer timer when the user speaks.

        Args:
            levels: Levels of microphone and loudspeaker.
        """
        if self.screen is not None:
            self.screen.levels(levels)
        if self.timer is not None and levels.speaking:
            self.timer.spoken()


def _microphone(options: LiveOptions, feedback: _Feedback) -> Microphone:
    return Microphone(
        options.microphone,
        options.config.input,
        backend=options.backend,
        latency=options.latency,
        block_ms=options.block_ms or 20,
        on_notice=feedback.notice,
    )


def _speaker(options: LiveOptions, feedback: _Feedback) -> Speaker:
    return Speaker(
        options.speaker,
        options.config.output,
        backend=options.backend,
        latency=options.latency,
        block_ms=options.block_ms or 10,
        on_notice=feedback.notice,
    )


def _greeting(options: LiveOptions, microphone: Microphone, speaker: Speaker) -> str:
    model, continuing = options.config.voice_model, options.continuation.line
    return (
        f"{model.name} ({model.id}) {options.where}, voice {options.config.voice}\n"
        f"Microphone: {microphone.opening.device.name}. "
        f"Loudspeaker: {speaker.opening.device.name}. Speak; Ctrl-C ends it.\n"
        + (f"{continuing}\n" if continuing else "")
    )
