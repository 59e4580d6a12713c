"""Make screenshots of the terminal in each state of a conversation, at three sizes and two colours.

    python -m scripts.states FOLDER          # all
    python -m scripts.states FOLDER speaking muted

Each state is drawn by the real drawing code into a tmux of that size, and what tmux then shows is
rendered with Chromium, light on black and dark on white. The pictures are to be looked at: is
anything cut, illegible or in the wrong place? Needs tmux and Chromium.
"""

import argparse
import html
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.style import Style
from rich.text import Text

from sonic_voice.audio.mute import Gate
from sonic_voice.cli.live import wrapped
from sonic_voice.cli.terminal.drawing import LiveView, help_lines, turn_lines
from sonic_voice.cli.terminal.line_editor import Draft
from sonic_voice.cli.terminal.live_area import LiveArea
from sonic_voice.cli.terminal.scene import ShownCall, ShownTurn
from sonic_voice.metrics import TurnMetrics
from tests.browser.conftest import CHROMIUM

ROOT = Path(__file__).parents[1]

SIZES = ((80, 24), (120, 40), (60, 20))
"""Sizes of the terminal, in columns and rows."""

SHADES = {"black": ("#000000", "#e0e0e0"), "white": ("#ffffff", "#202020")}
"""Background and foreground of the terminal, by the name of the background."""

DIM_SHARE = 0.6
"""Share of the foreground in dim text; terminals mix it with the background."""

SETTLE_S = 0.5
"""Time that tmux has to show a drawing, in seconds."""

WAIT_S = 20.0
"""Maximum time from the start of tmux to the drawing, in seconds."""

GREETING = (
    "Starting ...",
    "Nova 2 Sonic (amazon.nova-2-sonic-v1:0) on Amazon Bedrock, voice tiffany",
    "Microphone: Built-in Audio Analog Stereo. Loudspeaker: USB Headset. Speak; Ctrl-C ends it.",
)
"""Lines that `talk` prints before the screen."""

FIRST = ShownTurn(
    1, "What is the weather in Berlin?", False,
    (ShownCall("weather", '{"city":"Berlin"}', '{"temperature_c":21,"sky":"clear"}'),),
    "It has 21 degrees in Berlin and the sun shines.", "", False,
)  # fmt: skip
SECOND = ShownTurn(
    2, "Tell me a story.", True, (),
    "There once was a lighthouse keeper who counted the ships each night,",
    " and wrote their names into a book, until one evening a ship came that had no name at all.",
    False,
)  # fmt: skip
LATEST = TurnMetrics(1, 1.17, True, 0.42, 0.65, 0.1)
QUIET = LiveView((), "listening", Gate.OPEN, (4, 0), LATEST, 1234, 0.0123)


def states() -> dict[str, tuple[list[ShownTurn], LiveView | None, str]]:
    """Return for each state: the turns above, the live lines, and a last line of text."""
    new = replace(QUIET, latest=None, tokens=0, cost_usd=0.0)
    asked = replace(SECOND, heard="", rest="")
    cut = replace(SECOND, interrupted=True)
    notice = "The connection was cut. Connecting again now."
    speaking = replace(QUIET, turns=(SECOND,), activity="speaking", levels=(3, 15))
    error = (
        "sonic-voice: The connection to bedrock-runtime.us-east-1.amazonaws.com was cut.\n"
        "  Check the network, and start again: --continue goes on with this conversation."
    )
    ended = "Turns         2 in 31.4 s\nInterrupted   1\nTool calls    1\nLatency       1.17 s mean"
    return {
        "starting": ([], None, ""),
        "connecting": ([], replace(new, activity="connecting"), ""),
        "listening": ([FIRST], QUIET, ""),
        "hearing-you": ([FIRST], replace(QUIET, activity="hearing you", levels=(15, 0)), ""),
        "thinking": ([FIRST], replace(QUIET, turns=(asked,), activity="thinking"), ""),
        "speaking": ([FIRST], speaking, ""),
        "unknown-echo": ([FIRST], replace(speaking, levels=(0, 15), echo_unknown=True), ""),
        "interrupted": ([FIRST, cut], QUIET, ""),
        "muted": ([FIRST], replace(QUIET, activity="muted", gate=Gate.MUTED), ""),
        "silent-service": (
            [FIRST],
            replace(QUIET, turns=(asked,), activity="service silent for 4 s"),
            "",
        ),
        "reconnecting": (
            [FIRST],
            replace(QUIET, activity="connection lost: reconnecting in 2 s", notice=notice),
            "",
        ),
        "half-duplex": (
            [FIRST],
            replace(speaking, levels=(0, 15), notice="Half-duplex: the microphone is closed "
                    "while the model speaks."),
            "",
        ),
        "push-to-talk": ([FIRST], replace(QUIET, activity="push-to-talk", gate=Gate.WAITING), ""),
        "typing": ([FIRST], replace(QUIET, draft=Draft("Tell me a sto", "ry")), ""),
        "help": ([FIRST], QUIET, "?"),
        "ended": ([FIRST, cut], None, ended),
        "error": ([FIRST], None, error),
    }  # fmt: skip


def draw(name: str) -> None:
    """Draw a state on this terminal, and leave it there."""
    console = Console()
    turns, view, last = states()[name]
    greeting = GREETING[: 1 if name == "starting" else None]
    print("".join(map(wrapped, greeting)), end="", flush=name == "starting")  # else in one piece
    above = [line for turn in turns for line in turn_lines(console, turn, 1.17)]
    if last == "?":
        above += help_lines(console)
    area = LiveArea(console)
    if view is None:
        area.finish(above)
        print(last)
    else:
        area.draw(above, view)
    time.sleep(WAIT_S)


def captured(name: str, columns: int, rows: int) -> list[Text]:
    """Return what a tmux of a size shows of a state.

    Raises:
        TimeoutError: Nothing was shown within `WAIT_S`.
    """
    server = ["tmux", "-L", f"sonic-{uuid4().hex}", "-f", "/dev/null"]
    program = f"{sys.executable} -m scripts.states --draw {name} ."
    size = ["-x", str(columns), "-y", str(rows)]
    environment = os.environ | {"LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "COLORTERM": ""}
    subprocess.run([*server, "new-session", "-d", *size, program], check=True, env=environment)
    try:
        deadline_s, before = time.monotonic() + WAIT_S, ""
        while time.monotonic() < deadline_s:
            time.sleep(SETTLE_S)
            shown = subprocess.run(
                [*server, "capture-pane", "-p", "-e"], check=True, capture_output=True, text=True
            ).stdout
            if shown.strip() and shown == before:
                return [*Text.from_ansi(shown).split("\n")][:rows]  # styles go on over lines
            before = shown
        raise TimeoutError(f"tmux shows nothing of {name} within {WAIT_S:.0f} s.")
    finally:
        subprocess.run([*server, "kill-server"], check=False)


def as_html(lines: list[Text], columns: int, rows: int, shade: str) -> str:
    """Return a page that shows the lines of a terminal."""
    background, foreground = SHADES[shade]
    console = Console(width=columns)
    body = "\n".join("".join(_spans(console, line, background, foreground)) for line in lines)
    return (
        f"<body style='margin:0;background:{background}'><pre style='margin:6px;color:{foreground};"
        f"font:14px/17px DejaVu Sans Mono,monospace;width:{columns}ch;height:{rows * 17}px;"
        f"overflow:hidden'>{body}</pre></body>"
    )


def _spans(console: Console, line: Text, background: str, foreground: str) -> Iterator[str]:
    for text, style, _ in line.render(console):
        css = _css(style or Style(), background, foreground)
        yield f"<span style='{css}'>{html.escape(text)}</span>"


def _css(style: Style, background: str, foreground: str) -> str:
    plain = style.color is None or style.color.is_default
    colour = foreground if plain else _truecolor(style)
    css = f"color:{colour};"
    if style.reverse:
        css = f"color:{background};background:{foreground};"
    if style.dim:
        share = f"{100 * DIM_SHARE:.0f}%"
        css = f"color:color-mix(in srgb, {colour} {share}, {background});"
    css += "font-weight:bold;" if style.bold else ""
    return css + ("text-decoration:line-through;" if style.strike else "")


def _truecolor(style: Style) -> str:
    assert style.color is not None
    return style.color.get_truecolor().hex


def picture(folder: Path, names: list[str], report: Callable[[str], None]) -> None:
    """Write the pictures of states into a folder: one for each size, with both shades.

    Args:
        folder: The folder; it is made.
        names: Names of the states.
        report: Called with the name of each file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, TemporaryDirectory() as pages:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        for columns, rows in SIZES:
            page.set_viewport_size({"width": round(columns * 8.43) + 14, "height": rows * 17 + 12})
            for name in names:
                lines = captured(name, columns, rows)
                for shade in SHADES:
                    source = Path(pages) / "page.html"
                    source.write_text(as_html(lines, columns, rows, shade), encoding="utf-8")
                    page.goto(source.as_uri())
                    path = folder / f"{columns}x{rows}-{shade}-{name}.png"
                    page.screenshot(path=path)
                    report(path.name)
        browser.close()


def main() -> int:
    """Make the screenshots that are asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.states", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="folder of the pictures")
    parser.add_argument("state", nargs="*", choices=[[], *states()], help="all without it")
    parser.add_argument("--draw", choices=[*states()], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.draw:
        draw(asked.draw)
    else:
        picture(asked.folder, asked.state or [*states()], print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
