"""One live conversation: this computer's microphone and loudspeaker, and its terminal.

Microphone ──► EchoCancelledMicrophone ──► MutableSource ──►┐
                 echo, ducking    mute           ├─ converse ─► Screen, or Story
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
from .answers import AnswerWatch
from .ending import Ending, print_notice
from .recorded import Service, sum_up, tell_goodbye
from .signals import ending_signals
from .story import JsonLines, Story
from .terminal import Screen, restorer, screen, suits


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
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


async def hold_live(asked: Live, service: Service) -> None:
    """Talk until the person leaves. A cancellation, as by Ctrl-C, is a goodbye, too.

    Raises `DeviceError` if a device does not open, and whatever ends the session.
    """
    told, end = _Told(), asked.end
    end.notice = asked.tools.on_notice = told.notice
    async with AsyncExitStack() as stack:
        stack.enter_context(ending_signals.last_word(restorer()))
        microphone = await stack.enter_async_context(_microphone(asked, told))
        speaker = await stack.enter_async_context(_speaker(asked, told))
        near = echo_cancelled(
            microphone,
            speaker,
            aec=asked.aec,
            half_duplex=asked.half_duplex,
            on_levels=told.levels,
        )
        if near.notice:
            told.notice(near.notice)
        source, sink = MutableSource(near), HushableSink(speaker)
        transport = await stack.enter_async_context(service())
        session = Session.open(asked.config, transport, clock=source.now)
        metrics = Metrics(session, sink)
        advice = (lambda: microphone.stats.advice, lambda: speaker.stats.advice)
        told.watch = AnswerWatch(told.notice)
        stack.callback(told.watch.close)
        observers: list[Observer] = [metrics, near.observe, told.watch]
        if end.events is not None:
            observers.append(JsonLines(end.events))
        console = Console()
        try:
            async with session, AsyncExitStack() as scene:
                end.now = source.now
                if end.as_json:
                    observers.append(JsonLines(end.out))
                else:
                    end.out.write(_greeting(asked, microphone, speaker))
                    if asked.plain or not suits(console):
                        observers.append(Story(end.out, metrics))
                    else:
                        controls = Controls(session, source, sink, observers)
                        shown = screen(console, metrics, controls, advice=advice)
                        told.screen = await scene.enter_async_context(shown)
                        observers.append(told.screen)
                await converse(session, source, sink, asked.tools, observers)
            tell_goodbye(session, end)
        finally:
            told.screen = None
            for complaint in filter(None, [ask() for ask in advice]):
                told.notice(complaint)
            sum_up(asked.config, metrics, end)


class _Told:
    """Sentences for the person, and levels: to the screen while there is one."""

    def __init__(self) -> None:
        self.screen: Screen | None = None
        self.watch: AnswerWatch | None = None

    def notice(self, text: str) -> None:
        """From any thread."""
        if self.screen is not None:
            self.screen.notice(text)
        else:
            print_notice(text)

    def levels(self, levels: Levels) -> None:
        if self.screen is not None:
            self.screen.levels(levels)
        if self.watch is not None and levels.speaking:
            self.watch.spoken()


def _microphone(asked: Live, told: _Told) -> Microphone:
    return Microphone(
        asked.microphone,
        asked.config.input,
        backend=asked.backend,
        latency=asked.latency,
        block_ms=asked.block_ms or 20,
        on_notice=told.notice,
    )


def _speaker(asked: Live, told: _Told) -> Speaker:
    return Speaker(
        asked.speaker,
        asked.config.output,
        backend=asked.backend,
        latency=asked.latency,
        block_ms=asked.block_ms or 10,
        on_notice=told.notice,
    )


def _greeting(asked: Live, microphone: Microphone, speaker: Speaker) -> str:
    model = asked.config.voice_model
    return (
        f"{model.name} ({model.id}) {asked.where}, voice {asked.config.voice}\n"
        f"Microphone: {microphone.opening.device.name}. "
        f"Loudspeaker: {speaker.opening.device.name}. Speak; Ctrl-C ends it.\n"
    )
