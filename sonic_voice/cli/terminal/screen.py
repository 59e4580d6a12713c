"""The screen of a live conversation: it draws the conversation and handles the keys.

    async with screen(console, metrics, controls) as shown:
        await converse(session, controls.source, controls.sink, tools, [metrics, shown])

A finished turn is written once, as ordinary output: it scrolls away with the earlier output, and
the user can scroll back to it. Below it are the live lines. They are redrawn in place, every
`REFRESH_S`, if they have changed. `live_area` has the details.
"""

import asyncio
import io
import math
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import (
    asynccontextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from dataclasses import replace
from typing import TextIO

from rich.console import Console
from rich.text import Text

from ...audio.mute import SHUT, Gate
from ...controls import Controls
from ...echo.local_speech import Levels
from ...events import (
    Closed,
    Event,
    Guarded,
    GuardFailed,
    NetworkSlow,
    PictureShown,
    Reconnecting,
    Renewed,
    StreamExpiring,
)
from ...metrics import Metrics, Snapshot
from ...printable import printable
from .drawing import (
    NOTICE_STYLE,
    LiveView,
    help_lines,
    meter_steps,
    paragraph,
    turn_lines,
)
from .key_commands import KeyCommands
from .key_decoder import Key
from .keys import keyboard
from .live_area import LiveArea
from .scene import Scene

REFRESH_S = 0.1
"""Interval between two drawings, in seconds."""

NOTICE_S = 8.0
"""Time that a notice stays among the live lines before it is written permanently, in seconds."""

HANG_UP_S = 1.5
"""Time without any event of the service after `q`, in seconds, after which the conversation ends
without its goodbye. A service that works answers within a fraction of a second."""

IDLE = {
    Gate.OPEN: "listening",
    Gate.MUTED: "muted",
    Gate.WAITING: "push-to-talk",
    Gate.TALKING: "listening",
    Gate.ABSENT: "ready",
}
"""Activity to show for each state of the microphone while nothing happens."""


def can_draw_on(console: Console) -> bool:
    """Return whether a console is a terminal that can be drawn on.

    For others there is `story.PrintedTranscript`.

    Args:
        console: The console.
    """
    return console.is_terminal and not (console.is_dumb_terminal or console.legacy_windows)


@asynccontextmanager
async def screen(
    console: Console,
    metrics: Metrics,
    controls: Controls,
    *,
    advice: Sequence[Callable[[], str]] = (),
    terminal: TextIO | None = None,
    opened: bool = True,
) -> AsyncGenerator["Screen"]:
    """Draw a conversation and handle the keys, until the end of the block.

    Text that is printed meanwhile appears above the live lines. At the end all turns are written
    and the terminal is restored, which takes less than `REFRESH_S`.

    Args:
        console: A console for which `can_draw_on` is true.
        metrics: Metrics of the conversation.
        controls: Controls that the keys operate.
        advice: Functions such as `Microphone.stats.advice`. Each is called at every refresh until
            it returns a sentence, which is shown.
        terminal: The terminal whose keys are read; stdin by default.
        opened: Whether the service has taken the conversation already. Otherwise "connecting" is
            shown until the event `Opened`.

    Yields:
        The observer for `converse`. It must come after `metrics` in the list of observers.
    """
    shown = Screen(console, metrics, controls, opened=opened)
    printed = _LineBuffer(shown.write)
    with (
        redirect_stdout(printed),
        redirect_stderr(printed) if sys.stderr.isatty() else nullcontext(),
        keyboard(
            shown.press, stopping=shown.suspend, continued=shown.refresh, terminal=terminal
        ) as keys,
    ):
        shown.keys = keys
        drawing = asyncio.create_task(shown.draw(advice), name="sonic screen")
        try:
            yield shown
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])
            broken = None if drawing.cancelled() else drawing.exception()
            printed.end_line()
            shown.close()
    if broken:
        raise broken


class Screen:
    """An observer that draws the conversation. `screen` makes it; it belongs to the event loop.

    Args:
        console: A console for which `can_draw_on` is true.
        metrics: Metrics of the conversation.
        controls: Controls that the keys operate.
        opened: See `screen`.
    """

    def __init__(
        self, console: Console, metrics: Metrics, controls: Controls, *, opened: bool = True
    ) -> None:
        self.keys = False
        """True if there is a keyboard, so that hints about keys are useful."""
        self._console = console
        self._metrics = metrics
        self._controls = controls
        self._scene = Scene(opened=opened)
        self._area = LiveArea(console)
        self._levels: Levels | None = None
        self._printed: deque[str] = deque()
        self._waiting: deque[str] = deque()
        self._notice = ""
        self._notice_until_s = 0.0
        self._help = False
        """True if the keys are to be described at the next refresh."""
        self._leaving = False
        self._commands = KeyCommands(controls, self.notice, self._show_help, self._leave)
        self._left_at_s: float | None = None
        """Time of `q`, in monotonic seconds; None before."""
        self._newest_event_s = 0.0
        """Time of the newest event, in monotonic seconds."""

    def __call__(self, event: Event, now: float) -> None:
        """Show an event at the next refresh.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        self._newest_event_s = time.monotonic()
        self._leaving = self._leaving or isinstance(event, Closed)
        match event:
            case StreamExpiring() | NetworkSlow() | Guarded() | GuardFailed() | PictureShown():
                self.notice(event.notice)
            case Reconnecting(attempt=1):  # the activity counts down to the further attempts
                self.notice(event.notice)
            case Renewed() if not event.planned:
                self.notice(event.notice)
            case _:
                pass
        self._scene.observe(event, now)

    def levels(self, levels: Levels) -> None:
        """Show the levels of both sides at the next refresh.

        Args:
            levels: The levels that `echo.echo_cancelled` passes to `on_levels`.
        """
        self._levels = levels
        heard = levels.speaking and self._controls.source.gate not in SHUT
        self._scene.hear(heard, self._controls.session.now())

    def notice(self, text: str) -> None:
        """Show a sentence to the user. It may be called from any thread, as devices do.

        Args:
            text: The sentence.
        """
        self._waiting.append(text)

    def write(self, text: str) -> None:
        """Write a line above the live lines at the next refresh.

        It may be called from any thread, because tools print.

        Args:
            text: The line.
        """
        self._printed.append(text)

    def press(self, key: Key) -> None:
        """Execute a key, and show its effect at once.

        Args:
            key: A key of `keys.keyboard`.
        """
        self._commands.press(key)
        self.refresh()

    def _show_help(self) -> None:
        self._help = True

    def _leave(self) -> None:
        """Say goodbye; the second time, end without waiting for the service."""
        now = time.monotonic()
        self._leaving = True
        if self._left_at_s is None:
            self._left_at_s = now
            self._controls.leave()
        else:
            self._controls.hang_up(round(now - self._left_at_s, 1))

    async def draw(self, advice: Sequence[Callable[[], str]]) -> None:
        """Refresh every `REFRESH_S` until cancelled.

        Args:
            advice: See `screen`.
        """
        while True:
            advice = self._poll_advice(advice)
            if self._left_at_s is not None:
                silent_s = time.monotonic() - max(self._left_at_s, self._newest_event_s)
                if silent_s > HANG_UP_S:
                    self._leave()
            self.refresh()
            await asyncio.sleep(REFRESH_S)

    def _poll_advice(self, advice: Sequence[Callable[[], str]]) -> list[Callable[[], str]]:
        """Show the sentences of `advice`, and return the functions that had none."""
        without: list[Callable[[], str]] = []
        for ask in advice:
            if sentence := ask():
                self.notice(sentence)
            else:
                without.append(ask)
        return without

    def refresh(self) -> None:
        """Write finished turns and notices permanently, and draw the live lines if they changed."""
        snapshot = self._metrics.snapshot
        self._area.draw(self._finished(time.monotonic(), snapshot), self._view(snapshot))

    def _finished(self, now: float, snapshot: Snapshot) -> list[Text]:
        """Return the lines that are to be written permanently: printed text, notices and turns."""
        above = self._above(now)
        latencies = {turn.turn: turn.response_latency_s for turn in snapshot.turns}
        for turn in self._scene.take_finished(self._controls.sink.played_ms):
            timed = turn.heard and not turn.continued
            latency_s = latencies.get(turn.number) if timed else None
            above += turn_lines(self._console, turn, latency_s)
        return above

    def suspend(self) -> None:
        """Erase the live lines and show the cursor, until the next refresh."""
        self._area.suspend()

    def close(self) -> None:
        """Write all turns and notices that are left, and erase the live lines."""
        above = self._finished(math.inf, self._metrics.snapshot)
        for turn in self._scene.live(self._controls.sink.played_ms):
            above += turn_lines(self._console, turn)
        self._area.finish(above)

    def _above(self, now: float) -> list[Text]:
        """Return lines to write permanently: printed text, and notices that were shown long enough.

        A notice is also written when the next one is waiting.
        """
        above: list[Text] = help_lines(self._console) if self._help else []
        self._help = False
        while self._printed:
            above += Text(printable(self._printed.popleft())).wrap(
                self._console, self._console.width
            )
        while self._waiting or (self._notice and now >= self._notice_until_s):
            if self._notice:
                above += paragraph(
                    self._console, "note", Text(printable(self._notice), NOTICE_STYLE)
                )
            self._notice = self._waiting.popleft() if self._waiting else ""
            self._notice_until_s = now + NOTICE_S
        return above

    def _view(self, snapshot: Snapshot) -> LiveView:
        sink, gate, levels = self._controls.sink, self._controls.source.gate, self._levels
        idle = "goodbye" if self._leaving else IDLE[gate]
        now = self._controls.session.now()
        activity = self._scene.activity(sink.pending_s > 0, idle, now)
        if gate in SHUT and activity != idle:
            activity += f", {idle}"
        answered = [turn for turn in snapshot.turns if turn.response_latency_s is not None]
        tokens = snapshot.tokens
        steps = None
        if levels is not None:
            steps = meter_steps(levels.input_dbfs), meter_steps(levels.output_dbfs)
        return LiveView(
            turns=self._scene.live(sink.played_ms),
            activity=activity,
            gate=gate,
            levels=steps,
            latest=replace(answered[-1]) if answered else None,
            tokens=tokens.speech_in + tokens.text_in + tokens.speech_out + tokens.text_out,
            cost_usd=snapshot.cost_usd,
            notice=self._notice,
            draft=self._commands.editor.draft,
            keys=self.keys,
            volume=self._controls.volume,
            echo_unknown=levels is not None and levels.echo_unknown,
        )


class _LineBuffer(io.TextIOBase):
    """A text file that passes on whole lines.

    Args:
        write: Called with each line, without its line end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._line = ""
        self._take = write

    def write(self, text: str) -> int:
        """Pass on the lines that `text` completes, and keep the rest.

        Args:
            text: Any part of the output.

        Returns:
            The length of `text`.
        """
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def end_line(self) -> None:
        """Pass on a line that has begun, as if it were complete."""
        if self._line:
            self.write("\n")
