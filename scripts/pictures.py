"""Make the pictures of the README: the terminal and the page, each in a real conversation.

    scripts/pictures                 # both
    scripts/pictures terminal        # scripts/images/terminal.svg
    scripts/pictures page            # scripts/images/page.png

The person is the recording of the demonstration. For the terminal it is played to a virtual
microphone, `sonic-voice talk --local` runs in a pseudo-terminal, and the picture is what it drew
there. For the page it is the fake microphone of a Chromium that opened the page of `sonic-voice
serve --local`. Both pictures are taken in the middle of the last answer, after a tool call and an
interruption.
"""

import argparse
import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import wave
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import expect, sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from sonic_voice import DEMO_SCENARIO, DEMO_WAV
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.sounds import MICROPHONE_HZ, write_microphone
from tests.support.terminal_cells import TerminalCells
from tests.support.virtual import SoundServer, missing

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "scripts" / "images"
"""Folder of the pictures."""

PROGRAM = Path(sys.executable).with_name("sonic-voice")
"""Path of the command `sonic-voice`."""

SERVICE = (
    *("--local", "--scenario", DEMO_SCENARIO),
    *("--tools", ROOT / "tests" / "browser" / "robot.py"),
)
"""Options of both commands: the emulator with the demonstration, and its tool."""

INTO_THE_ANSWER = "I will tell it"
"""Words of the last answer; the picture of the terminal is taken once they were heard."""

TIMEOUT_S = 60.0
"""Maximum time from the beginning to a picture, in seconds."""

TITLE = "sonic-voice talk --local --scenario demo.yaml --tools robot.py"
"""Title of the terminal's window: the command, without the folders of its files."""

COLUMNS, ROWS = 96, 30
"""Size of the terminal, in cells."""

WIDTH, HEIGHT, SCALE = 800, 820, 1.25
"""Size of the page, in CSS pixels, and pixels of the picture for each of them."""

INTO_THE_SOUND_MS = 1500
"""Time from the first sound of the last answer to the picture of the page, in milliseconds: half
of the answer, so that the wave shows both sides."""

DARK = TerminalTheme(
    (24, 26, 31),
    (220, 223, 228),
    [
        *((40, 44, 52), (224, 108, 117), (152, 195, 121), (229, 192, 123)),
        *((97, 175, 239), (198, 120, 221), (86, 182, 194), (220, 223, 228)),
    ],
)
"""Colours of the terminal: background, foreground, and the eight of ANSI."""

FONTS = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
"""Fonts of the terminal. All are on the reader's machine; the picture loads nothing."""


def recording() -> bytes:
    """Return the recording of the demonstration, as s16le mono at `MICROPHONE_HZ`."""
    with wave.open(str(DEMO_WAV)) as file:
        assert (file.getframerate(), file.getnchannels()) == (MICROPHONE_HZ, 1)
        return file.readframes(file.getnframes())


# --- the terminal


def picture_terminal() -> Path:
    """Hold the conversation in a terminal, and write `terminal.svg`.

    Raises:
        TimeoutError: The last answer was not drawn within `TIMEOUT_S`.
    """
    sound = SoundServer()
    try:
        with _in_terminal(PROGRAM, "talk", *SERVICE, "--no-aec") as terminal:
            speaking: subprocess.Popen[bytes] | None = None
            lines: list[Text] = []
            for output in _output(terminal):
                lines = screen_lines(output)
                if speaking is None and "listening" in output:
                    speaking = sound.say(recording(), MICROPHONE_HZ)
                if any(INTO_THE_ANSWER in _bright(line) for line in lines):
                    break
            os.write(terminal, b"q")
            for _ in _output(terminal):
                pass  # the goodbye, and the end
    finally:
        sound.close()
    path = IMAGES / "terminal.svg"
    path.write_text(_as_svg(lines), encoding="utf-8")
    return path


@contextmanager
def _in_terminal(*command: object) -> Generator[int]:
    """Run a command in a pseudo-terminal, and yield the descriptor of its other end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        process.terminate()
        process.wait()
        os.close(ours)


def _output(terminal: int) -> Iterator[str]:
    """Yield all that was written to a terminal, whenever it has become more, to the end.

    Raises:
        TimeoutError: There was no end within `TIMEOUT_S`.
    """
    written = b""
    deadline_s = time.monotonic() + TIMEOUT_S
    while select.select([terminal], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        try:
            written += os.read(terminal, 1 << 16)
        except OSError:  # the program has closed its end
            return
        yield written.decode(errors="replace").replace("\r\n", "\n")
    raise TimeoutError(f"The terminal showed no end within {TIMEOUT_S:.0f} s: {written!r}")


def screen_lines(output: str) -> list[Text]:
    """Return the lines that a terminal has after an output, those above its first row included.

    Args:
        output: What was written to the terminal; it may end within an escape sequence.
    """
    cells = TerminalCells(COLUMNS, ROWS)
    cells.feed(_INCOMPLETE.sub("", output))
    return cells.texts


_INCOMPLETE = re.compile(r"\x1b(\[[?\d;]*)?$")
"""An escape sequence whose end is still to come."""


def _bright(line: Text) -> str:
    """Return the text of a line that is not dim."""
    segments = line.render(Console(file=io.StringIO()))
    return "".join(one.text for one in segments if not (one.style and one.style.dim))


def _as_svg(lines: list[Text]) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for line in lines:
        console.print(line)
    console.print()  # the picture ends a pixel below its last line, which cuts letters off
    svg = console.export_svg(title=TITLE, theme=DARK, unique_id="terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", FONTS)
    # Whatever the font is, each text is as wide as its cells: meters have no gaps.
    return svg.replace(" textLength=", ' lengthAdjust="spacingAndGlyphs" textLength=')


# --- the page


def picture_page() -> Path:
    """Hold the conversation on the page, and write `page.png`.

    Raises:
        AssertionError: The last answer was not shown within `TIMEOUT_S`.
    """
    path = IMAGES / "page.png"
    with TemporaryDirectory() as folder, _serving() as url, sync_playwright() as playwright:
        microphone = Path(folder) / "microphone.wav"
        write_microphone(microphone, recording())
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[flag.format(microphone=microphone) for flag in FLAGS]
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT},
            device_scale_factor=SCALE,
            color_scheme="light",
            permissions=["microphone"],
        )
        page.goto(url)
        page.get_by_role("button", name="Start talking").click()
        transcript = page.get_by_role("log", name="Transcript")
        answer = transcript.locator(".planned", has_text=INTO_THE_ANSWER)
        expect(answer).to_have_count(1, timeout=1000 * TIMEOUT_S)
        expect(page.locator(".state")).to_have_text("speaking")
        page.wait_for_timeout(INTO_THE_SOUND_MS)
        page.screenshot(path=path)
        browser.close()
    return path


@contextmanager
def _serving() -> Generator[str]:
    """Run `sonic-voice serve`, and yield its URL."""
    command = [str(word) for word in (PROGRAM, "serve", "--port", 0, *SERVICE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("Open ").strip()
        finally:
            process.terminate()


PICTURES = {"terminal": picture_terminal, "page": picture_page}
"""The function that makes each picture, by its name."""


def main() -> int:
    """Make the pictures that are asked for; return 1 if something for that is not installed."""
    parser = argparse.ArgumentParser(
        prog="scripts/pictures", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("picture", nargs="*", choices=[[], *PICTURES], help="all without it")
    asked = parser.parse_args().picture or list(PICTURES)
    if reason := missing() or ("" if CHROMIUM else "without Chromium: apt-get install chromium"):
        print(f"No pictures {reason}", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    for name in asked:
        path = PICTURES[name]()
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
