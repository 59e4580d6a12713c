"""One live conversation: this computer's microphone and loudspeaker, and its terminal.

Microphone ──► EchoCancelledMicrophone ──► MutableSource ──►┐
                 echo, ducking    mute           ├─ converse ─► Screen, or PrintedTranscript
Speaker ◄────────── tap ◄─────── HushableSink ◄──┘
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
from .signals import ending_signals
from .story import JsonLines, PrintedTranscript
from .terminal import Screen, can_draw_on, restorer, screen


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What was asked for. Devices are numbers or parts of names; None: the default ones."""

    config: SessionConfig
    tools: Toolbox
    where: str
    """The service, in words."""
    microphone: int | str | None = None
    speaker: int | str | None = None
    backend: BackendName = "sounddevice"
    latency: Latency = "low"
    block_ms: float | None = None
    """What the devices give and take at a time; None: 20 ms and 10 ms."""
    aec: bool = True
    half_duplex: bool = False
    plain: bool = False
    end: Ending


async def run_live_conversation(options: LiveOptions, service: TransportFactory) -> None:
    """Talk until the person leaves. A cancellation, as by Ctrl-C, is a goodbye, too.

    Raises `DeviceError` if a device does not open, and whatever ends the session.
    """
    feedback, end = _Feedback(), options.end
    end.notice = options.tools.on_notice = feedback.notice
    async with AsyncExitStack() as stack:
        stack.enter_context(ending_signals.on_forced_exit(restorer()))
        microphone = await stack.enter_async_context(_microphone(options, feedback))
        speaker = await stack.enter_async_context(_speaker(options, feedback))
        near = echo_cancelled(
            microphone,
            speaker,
            aec=options.aec,
            half_duplex=options.half_duplex,
            on_levels=feedback.levels,
        )
        if near.notice:
            feedback.notice(near.notice)
        source, sink = MutableSource(near), HushableSink(speaker)
        transport = await stack.enter_async_context(service())
        session = Session.open(options.config, transport, clock=source.now)
        metrics = Metrics(session, sink)
        advice = (lambda: microphone.stats.advice, lambda: speaker.stats.advice)
        feedback.timer = AnswerTimer(feedback.notice)
        stack.callback(feedback.timer.close)
        observers: list[Observer] = [metrics, near.observe, feedback.timer]
        if end.events is not None:
            observers.append(JsonLines(end.events))
        console = Console()
        try:
            async with session, AsyncExitStack() as scene:
                end.now = source.now
                if end.as_json:
                    observers.append(JsonLines(end.out))
                else:
                    end.out.write(_greeting(options, microphone, speaker))
                    if options.plain or not can_draw_on(console):
                        observers.append(PrintedTranscript(end.out, metrics))
                    else:
                        controls = Controls(session, source, sink, observers)
                        shown = screen(console, metrics, controls, advice=advice)
                        feedback.screen = await scene.enter_async_context(shown)
                        observers.append(feedback.screen)
                await converse(session, source, sink, options.tools, observers)
            report_goodbye_timeout(session, end)
        finally:
            feedback.screen = None
            for complaint in filter(None, [ask() for ask in advice]):
                feedback.notice(complaint)
            print_summary(options.config, metrics, end)


class _Feedback:
    """Sentences for the person, and levels: to the screen while there is one."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.timer: AnswerTimer | None = None

    def notice(self, text: str) -> None:
        """From any thread."""
        if self.screen is not None:
            self.screen.notice(text)
        else:
            print_notice(text)

    def levels(self, levels: Levels) -> None:
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
    model = options.config.voice_model
    return (
        f"{model.name} ({model.id}) {options.where}, voice {options.config.voice}\n"
        f"Microphone: {microphone.opening.device.name}. "
        f"Loudspeaker: {speaker.opening.device.name}. Speak; Ctrl-C ends it.\n"
    )
