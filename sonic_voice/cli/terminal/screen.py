"""The terminal of a live conversation: what is drawn, when, and what the keys do.

    async with screen(console, metrics, controls) as shown:
        await converse(session, controls.source, controls.sink, tools, [metrics, shown])

A turn that is over is written once and belongs to the terminal: it scrolls away with what came
before, and can be scrolled back to. Below it are the live lines, drawn again in place, `REFRESH_S`
apart and only if they would look different.

The cursor rests, hidden, at the start of the first live line; to draw is to write from there. So
when the terminal is made narrower, and breaks the lines as it likes, the cursor moves with its
line, and nothing is left behind and nothing of the past is lost, as it would be if we counted
lines to go up. Each line is erased as it is written: a terminal in which all was erased first would
flicker, and tmux takes an erased screen for a page to scroll back to.
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
    suppress,
)
from dataclasses import replace
from typing import TextIO

from rich.console import Console
from rich.text import Text

from ...audio.mute import SHUT, Gate
from ...controls import Controls
from ...echo.local_speech import Levels
from ...errors import SonicError
from ...events import Closed, Event, NetworkSlow, StreamExpiring
from ...metrics import Metrics, Snapshot
from .drawing import LiveView, help_lines, live_lines, meter_steps, paragraph, printable, turn_lines
from .keys import keyboard
from .line_editor import Draft
from .scene import Scene

REFRESH_S = 0.1

NOTICE_S = 8.0
"""How long a notice stays among the live lines before it is written where it stays."""

IDLE = {
    Gate.OPEN: "listening",
    Gate.MUTED: "muted",
    Gate.WAITING: "push-to-talk",
    Gate.TALKING: "listening",
}


def can_draw_on(console: Console) -> bool:
    """Whether `console` is a terminal that can be drawn on; `story.Story` is for the others."""
    return console.is_terminal and not (console.is_dumb_terminal or console.legacy_windows)


@asynccontextmanager
async def screen(
    console: Console,
    metrics: Metrics,
    controls: Controls,
    *,
    advice: Sequence[Callable[[], str]] = (),
    terminal: TextIO | None = None,
) -> AsyncGenerator["Screen"]:
    """Draw on `console`, which must suit, and obey the keys of `terminal`, stdin unless given.

    Gives the observer to hand to `converse`, after `metrics`. Each of `advice` is asked for a
    complaint, such as `Microphone.stats.advice`, until it has one, which is shown. What others
    print meanwhile is written above the live lines. Leaving takes less than `REFRESH_S`; the
    terminal is then as it was, and every turn written.
    """
    shown = Screen(console, metrics, controls)
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
    """An observer that shows what it is told. Made by `screen`; belongs to the event loop."""

    def __init__(self, console: Console, metrics: Metrics, controls: Controls) -> None:
        self.keys = False
        """Whether there is a keyboard, so that hints make sense."""
        self._console = console
        self._metrics = metrics
        self._controls = controls
        self._scene = Scene()
        self._area = _LiveArea(console)
        self._levels: Levels | None = None
        self._draft: Draft | None = None
        self._printed: deque[str] = deque()
        self._waiting: deque[str] = deque()
        self._notice = ""
        self._notice_until_s = 0.0
        self._leaving = False

    def __call__(self, event: Event, now: float) -> None:
        """Show `event` at the next refresh."""
        self._leaving = self._leaving or isinstance(event, Closed)
        if isinstance(event, (StreamExpiring, NetworkSlow)):
            self.notice(event.notice)
        self._scene.observe(event)

    def levels(self, levels: Levels) -> None:
        """Show how loud both sides are; for `echo.echo_cancelled`' `on_levels`."""
        self._levels = levels

    def notice(self, text: str) -> None:
        """Show a sentence for the user. From any thread, as devices call it."""
        self._waiting.append(text)

    def write(self, text: str) -> None:
        """Write a line above the live ones at the next refresh. From any thread: tools print."""
        self._printed.append(text)

    def press(self, key: str) -> None:
        """Do what `key` asks for, and show it at once."""
        try:
            if self._draft is None:
                self._command(key)
            else:
                self._type(self._draft, key)
        except SonicError as error:
            self.notice(str(error))
        self.refresh()

    def _command(self, key: str) -> None:
        match key:
            case "m":
                self._controls.source.mute()
            case "p":
                self._controls.source.push_to_talk()
            case " ":
                self._controls.source.talk()
            case "t":
                self._draft = Draft()
            case "i":
                self._controls.interrupt()
            case "q":
                self._leaving = True
                self._controls.leave()
            case "?":
                self._area.draw(help_lines(self._console), None)
            case _:
                pass

    def _type(self, draft: Draft, key: str) -> None:
        if key not in ("Enter", "Escape"):
            self._draft = draft.press(key)
            return
        self._draft = None
        if key == "Enter" and draft.text.strip():
            self._controls.say(draft.text.strip())

    async def draw(self, advice: Sequence[Callable[[], str]]) -> None:
        """Refresh until cancelled."""
        while True:
            advice = self._poll_advice(advice)
            self.refresh()
            await asyncio.sleep(REFRESH_S)

    def _poll_advice(self, advice: Sequence[Callable[[], str]]) -> list[Callable[[], str]]:
        """Show complaints. Returns who has none yet."""
        quiet: list[Callable[[], str]] = []
        for ask in advice:
            if complaint := ask():
                self.notice(complaint)
            else:
                quiet.append(ask)
        return quiet

    def refresh(self) -> None:
        """Write what stays, and draw the live lines if they look different."""
        above = self._above(time.monotonic())
        snapshot = self._metrics.snapshot
        latencies = {turn.turn: turn.response_latency_s for turn in snapshot.turns}
        for turn in self._scene.take_finished(self._controls.sink.played_ms):
            latency_s = latencies.get(turn.number) if turn.heard else None
            above += turn_lines(self._console, turn, latency_s)
        self._area.draw(above, self._view(snapshot))

    def suspend(self) -> None:
        """Leave the terminal to others, until the next refresh."""
        self._area.clear()

    def close(self) -> None:
        """Write what is left, and give the terminal back."""
        self.refresh()
        above = self._above(math.inf)
        for turn in self._scene.live(self._controls.sink.played_ms):
            above += turn_lines(self._console, turn)
        self._area.draw(above, None)
        self._area.clear()

    def _above(self, now: float) -> list[Text]:
        """Lines that stay: what was printed, and notices that were shown long enough.

        A notice gives way to the next one, too.
        """
        above: list[Text] = []
        while self._printed:
            above += Text(printable(self._printed.popleft())).wrap(
                self._console, self._console.width
            )
        while self._waiting or (self._notice and now >= self._notice_until_s):
            if self._notice:
                above += paragraph(self._console, "note", Text(printable(self._notice), "yellow"))
            self._notice = self._waiting.popleft() if self._waiting else ""
            self._notice_until_s = now + NOTICE_S
        return above

    def _view(self, snapshot: Snapshot) -> LiveView:
        sink, gate, levels = self._controls.sink, self._controls.source.gate, self._levels
        idle = "goodbye" if self._leaving else IDLE[gate]
        activity = self._scene.activity(sink.pending_s > 0, idle)
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
            draft=self._draft,
            keys=self.keys,
        )


ERASE_LINE, ERASE_BELOW = "\r\x1b[2K", "\x1b[J"
ERASE_LIVE = f"{ERASE_LINE}\n{ERASE_BELOW}\x1b[A"
"""From the second line on: at the top of the screen, erasing below would be erasing all."""
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
AT_ONCE, DONE = "\x1b[?2026h", "\x1b[?2026l"
"""Around a drawing, for terminals that can show it in one piece; the others take no notice."""

ASCII = str.maketrans("█░●…", "#-*.")


class _LiveArea:
    """The lines below the cursor."""

    def __init__(self, console: Console) -> None:
        console.file = self._out = console.file  # stays the terminal, whatever stdout becomes
        self._console = console
        self._drawn: object = None
        self._size = console.size

    def draw(self, above: list[Text], view: LiveView | None) -> None:
        """Write lines that stay, and below them `view`, unless all that is there already."""
        size = self._console.size
        if not above and (view, size) == self._drawn:
            return
        erased = "" if size == self._size else ERASE_LIVE  # broken lines take more room
        self._drawn, self._size = (view, size), size
        live = live_lines(self._console, view) if view else []
        with self._console.capture() as written:
            for line in [*above, *live]:
                self._console.print(line, no_wrap=True)
        lines = "".join(ERASE_LINE + line for line in written.get().splitlines(keepends=True))
        back = f"\x1b[{len(live)}A" if live else ""
        self._write(f"{AT_ONCE}{HIDE_CURSOR}{erased}{lines}{ERASE_BELOW}{back}{DONE}")

    def clear(self) -> None:
        """Erase the live lines; the terminal is as others expect it."""
        self._drawn = None
        self._write(f"{ERASE_LIVE}{SHOW_CURSOR}")

    def _write(self, text: str) -> None:
        encoding = self._console.encoding
        if not encoding.startswith("utf"):
            text = text.translate(ASCII)
        with suppress(OSError):  # the terminal was closed; the signal for that ends the program
            self._out.write(text.encode(encoding, "replace").decode(encoding))
            self._out.flush()


class _LineBuffer(io.TextIOBase):
    """Takes what is printed, line by line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._line = ""
        self._take = write

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def end_line(self) -> None:
        """Take a line that was begun for a whole one."""
        if self._line:
            self.write("\n")
