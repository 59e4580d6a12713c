"""Hold a conversation on the page in WebKitGTK, over WebDriver.

    scripts/webkit

Behind the page is `sonic-voice serve --local` with the robot of the browser tests; microphone and
loudspeaker are virtual devices. The first turn is typed, and the second one is spoken, if the
browser has opened the microphone. The exit code is 1 if a turn was not answered, or the words were
not kept over a reload.

On a busy machine this browser stops for most of a second, and then sends the sound of that time at
once. The session has sent silence in its place after half a second. The robot, which ends a turn
after 0.48 s of silence, would then hear two turns and answer both: the tool's answer comes after
that of the second one, and the page shows them in that order. Here the robot waits as long as the
service does by default, and the longest gap between two frames of sound is printed.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from tests.browser.conftest import HERE
from tests.browser.sounds import MICROPHONE_HZ, script
from tests.e2e.test_serve import serving
from tests.support.virtual import SoundServer, missing

DRIVER = "WebKitWebDriver"
"""Name of the program that WebDriver commands are sent to."""

MINI_BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser"
"""Path of the browser on Debian; another one is given by the variable MINI_BROWSER."""

ENDPOINT_MS = 1750
"""Silence that ends a turn, in milliseconds: the service's medium sensitivity."""

SETTLE_S = 1.0
"""Time in which the server tells which words of an interrupted answer were heard, in seconds."""

TIMEOUT_S = 40.0
"""Maximum time to wait for a state of the page, in seconds."""

ROOT = "document.querySelector('sonic-voice').shadowRoot"
"""Expression for the content of the element."""

TURNS = f"""return [...{ROOT}.querySelectorAll('.turn:not([hidden])')].map((turn) =>
  turn.querySelector('.who').textContent + ': ' + turn.querySelector('.said').textContent)"""
"""Script that returns the turns that are shown."""

GAPS = """window.longestGap = 0;
  const { send } = WebSocket.prototype;
  let before = 0;
  WebSocket.prototype.send = function (frame) {
    if (typeof frame !== 'string') {
      if (before) window.longestGap = Math.max(window.longestGap, performance.now() - before);
      before = performance.now();
    }
    return send.call(this, frame);
  };"""
"""Script that measures the longest gap between two frames of sound, in milliseconds."""

CLICK = f"""const [name] = arguments;
  return [...{ROOT}.querySelectorAll('button')].find((node) =>
    node.textContent === name && node.getClientRects().length)"""
"""Script that returns the button with a name."""


class WebKit:
    """A session of WebKitWebDriver.

    Args:
        port: The port of the driver.
    """

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/session"
        binary = os.environ.get("MINI_BROWSER", MINI_BROWSER)
        browser = {"binary": binary, "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": browser}}
        started = self._post("", {"capabilities": wanted})
        self._base += f"/{started['sessionId']}"
        facts = started["capabilities"]
        self.name = f"{facts['browserName']} {facts['browserVersion']}"

    def open(self, url: str) -> None:
        """Open a page.

        Args:
            url: The address.
        """
        self._post("/url", {"url": url})

    def run(self, code: str, *arguments: Any) -> Any:
        """Return the result of a script.

        Args:
            code: The body of a function.
            arguments: Its arguments.
        """
        return self._post("/execute/sync", {"script": code, "args": list(arguments)})

    def click(self, name: str) -> None:
        """Click a button.

        Args:
            name: Its text.
        """
        button = self.run(CLICK, name)
        [id] = button.values()
        self._post(f"/element/{id}/click", {})

    def say(self, text: str) -> None:
        """Type a turn, and send it.

        Args:
            text: The turn.
        """
        [id] = self.run(f"return {ROOT}.querySelector('.say input')").values()
        self._post(f"/element/{id}/value", {"text": f"{text}\ue007"})

    def wait_for(self, code: str) -> Any:
        """Return the result of a script as soon as it is true.

        Args:
            code: The body of a function.

        Raises:
            TimeoutError: It was not true within `TIMEOUT_S`.
        """
        deadline_s = time.monotonic() + TIMEOUT_S
        while not (value := self.run(code)):
            if time.monotonic() > deadline_s:
                text = self.run(f"return {ROOT}.querySelector('section').innerText")
                raise TimeoutError(f"Not within {TIMEOUT_S:.0f} s: {code}\n{text}")
            time.sleep(0.1)
        return value

    def shows(self, *states: str) -> str:
        """Wait until the page shows one of these states, and return it.

        Args:
            states: The states, as the page shows them.
        """
        state = f"{ROOT}?.querySelector('.state').textContent"
        element = f"{ROOT.removesuffix('.shadowRoot')}?.shadowRoot && {state}"
        return str(self.wait_for(f"return {json.dumps(states)}.includes({element}) && {element}"))

    def close(self) -> None:
        """Close the browser."""
        self._send("", None, "DELETE")

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._send(path, body, "POST")

    def _send(self, path: str, body: dict[str, Any] | None, method: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error


@contextmanager
def webkit() -> Generator[WebKit]:
    """Start a screen, the driver and the browser, and yield the browser."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    read_end, write_end = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1280x800x24"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as numbers:
        display = numbers.readline().strip()
    # The sandbox cannot be set up as root, and no foreign page is opened.
    sandbox = {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
    environment = os.environ | {"DISPLAY": f":{display}"} | sandbox
    driver = subprocess.Popen([DRIVER, f"--port={port}", "--host=127.0.0.1"], env=environment)
    try:
        deadline_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)
        browser = WebKit(port)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        for process in (driver, screen):
            process.terminate()
            process.wait()


def hold_conversation(browser: WebKit, url: str, sound: SoundServer) -> int:
    """Hold the conversation, print what was shown, and return the exit code.

    Args:
        browser: The browser.
        url: The address of the page.
        sound: The virtual devices.
    """
    print(browser.name)
    browser.open(url)
    browser.shows("ready")
    browser.run(GAPS)
    browser.click("Start talking")
    heard = browser.shows("listening", "no microphone", "ended")
    print("microphone:", heard)
    browser.say("hello.")
    browser.shows("speaking")
    lit = browser.wait_for(
        "const { turns } = document.querySelector('sonic-voice').client;"
        "return turns.at(-1).over ? 'all' : turns.at(-1).heardLength"
    )
    print("characters that were heard while it spoke:", lit)
    browser.shows("listening", "no microphone")
    if heard == "listening":
        sound.say(script("goforward"), MICROPHONE_HZ).wait()
        browser.shows("speaking")
        browser.wait_for(
            f"return [...{ROOT}.querySelectorAll('.spoken')].at(-1)?.textContent.includes('I went')"
        )
        browser.click("Interrupt")
        browser.wait_for(f"return {ROOT}.querySelector('.said s')")
        browser.shows("listening")
    print(f"longest gap in the sound that was sent: {browser.run('return longestGap'):.0f} ms")
    time.sleep(SETTLE_S)
    said = cast(list[str], browser.run(TURNS))
    print("\n".join(said))
    browser.open(url)
    browser.shows("ready")
    kept = cast(list[str], browser.run(TURNS))
    print("kept over a reload:", kept == said or kept)
    return 0 if kept == said and len(said) == (4 if heard == "listening" else 2) else 1


@asynccontextmanager
async def _page() -> AsyncGenerator[str]:
    scenario = (HERE / "robot.yaml").read_text()
    with TemporaryDirectory() as folder:
        patient = Path(folder) / "robot.yaml"
        patient.write_text(scenario.replace("endpoint_ms: 480", f"endpoint_ms: {ENDPOINT_MS}"))
        robot = ("--scenario", str(patient), "--tools", str(HERE / "robot.py"))
        async with serving(*robot) as (_, url):
            yield url


async def _hold() -> int:
    sound = SoundServer()
    try:
        async with _page() as url:
            with webkit() as browser:
                return await asyncio.to_thread(hold_conversation, browser, url, sound)
    finally:
        sound.close()


def main() -> int:
    """Hold the conversation; return 1 if something failed or is not installed."""
    absent = [program for program in (DRIVER, "Xvfb") if not shutil.which(program)]
    if reason := missing() or (absent and f"without {', '.join(absent)}"):
        print(f"WebKitGTK cannot be tried {reason}: apt-get install webkit2gtk-driver xvfb")
        return 1
    return asyncio.run(_hold())


if __name__ == "__main__":
    sys.exit(main())
