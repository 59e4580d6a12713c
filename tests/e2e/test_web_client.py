"""The page's `VoiceClient` in Node.js, over real WebSockets, with the bridge and the emulator.

Its devices are stand-ins, which hear silence and play by the clock; the tests of the page have a
browser's. Between client and bridge is a network that can be cut.
"""

import asyncio
import json
import re
import shutil
import subprocess
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import pytest

from sonic_voice import LocalService, SessionConfig, Toolbox, tool
from sonic_voice.bridge import Access, Bridge, Close, Offer, issue_token, served, web_client

from ..support.page import until

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
SCRIPT = Path(__file__).with_name("web_client.mjs")
SECRET = b"a secret of this test, of 32 bytes and more"
OLDEST_NODE = (20, 19)
PATIENCE_S = 20.0


@tool
def go(direction: Literal["forward", "backward"], meters: int) -> dict[str, Any]:
    """Move the robot."""
    return {"direction": direction, "meters": meters}


TOOLS = Toolbox([go])
OFFER = Offer(config=SessionConfig(tools=TOOLS.specs), tools=TOOLS, show_tools=True)


@dataclass
class Network:
    """Forwards connections to `port` while it is up."""

    port: int
    down: bool = False
    _writers: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    def cut(self) -> None:
        """Every connection breaks, and no other is had until `down` is false."""
        self.down = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def forward(self, near: asyncio.StreamReader, page: asyncio.StreamWriter) -> None:
        if self.down:
            page.transport.abort()
            return
        try:
            far, server = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:  # the server is not there
            page.transport.abort()
            return
        self._writers += [page, server]
        await asyncio.gather(_copy(near, server), _copy(far, page))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(65_536):
            sink.write(chunk)
            await sink.drain()
    except OSError:
        return  # cut
    finally:
        sink.close()


@dataclass
class Client:
    """The process, and what it has printed."""

    node: Process
    printed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.node.stdout is not None
        async for line in self.node.stdout:
            self.printed.append(json.loads(line))
            self._came.set()

    def call(self, method: str, *args: str) -> None:
        assert self.node.stdin is not None
        self.node.stdin.write(json.dumps({"method": method, "args": args}).encode() + b"\n")

    async def until[T](self, seen: Callable[[], T]) -> T:
        """What `seen` gives, as soon as that is something."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := seen()):
                self._came.clear()
                await self._came.wait()
        return found

    async def told(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first line of `event` with `fields`."""
        return (await self.until(lambda: self.of(event, **fields)))[0]

    def of(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        wanted = {"event": event, **fields}
        return [line for line in self.printed if wanted.items() <= line.items()]

    def answer(self, number: int) -> dict[str, Any]:
        """The answer of a turn as it is shown now; empty before it begins."""
        told = self.of("turns")
        turns: list[dict[str, Any]] = told[-1]["turns"] if told else []
        wanted = {"number": number, "who": "assistant"}
        shown = [turn for turn in turns if wanted.items() <= turn.items()]
        return shown[0] if shown else {}

    async def over(self, number: int) -> dict[str, Any]:
        """The answer of a turn, when it has sounded to its end."""
        return await self.until(lambda: shown if (shown := self.answer(number)).get("over") else {})


@asynccontextmanager
async def bridge(access: Access | None = None) -> AsyncGenerator[tuple[str, Bridge]]:
    """A bridge to the emulator, and its URL."""
    async with (
        LocalService(DEMO / "demo.yaml") as transport,
        Bridge(OFFER, transport, access=access) as running,
        served(running, pages={}) as url,
    ):
        yield url, running


@asynccontextmanager
async def page(url: str, *, token: str = "") -> AsyncGenerator[tuple[Client, Network]]:
    """A client behind a network of its own. Nothing that it prints may be an error."""
    network = Network(urlsplit(url).port or 0)
    settings = {"origin": url.removesuffix("/"), "token": token}
    async with await asyncio.start_server(network.forward, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings["url"] = f"http://127.0.0.1:{port}/talk"
        node = await asyncio.create_subprocess_exec(
            *("node", *_flags(), SCRIPT, web_client() / "voice-client.js", json.dumps(settings)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        client = Client(node)
        listening = asyncio.create_task(client.listen())
        try:
            yield client, network
            assert node.stdin is not None
            node.stdin.close()
            async with asyncio.timeout(PATIENCE_S):
                await listening
                assert node.stderr is not None
                errors = await node.stderr.read()
                assert (await node.wait(), errors) == (0, b"")
        finally:
            listening.cancel()
            if node.returncode is None:
                node.kill()
                await node.communicate()
            network.cut()


def _version() -> tuple[int, int]:
    node = shutil.which("node")
    if node is None:
        return 0, 0
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, _ = version.lstrip("v").split(".")
    return int(major), int(minor)


def _flags() -> list[str]:
    if _version() < OLDEST_NODE:
        pytest.skip(f"needs Node.js {OLDEST_NODE[0]}.{OLDEST_NODE[1]} or newer")
    return ["--experimental-websocket", "--no-warnings"] if _version() < (22, 0) else []


def text(turn: dict[str, Any]) -> str:
    return "".join(part["text"] for part in turn.get("parts", []))


async def test_a_page_types_and_is_answered_aloud_by_a_tool() -> None:
    async with bridge() as (url, running):
        async with page(url) as (client, _):
            client.call("connect")
            await client.told("done", method="connect")
            client.call("sendText", "hello.")
            assert "What shall I do?" in text(await client.over(1))
            client.call("sendText", "go forward ten meters.")
            await client.told("state", state="speaking")
            await client.until(lambda: "lighthouse" in text(client.answer(2)))
            client.call("interrupt")
            cut = await client.until(lambda: shown if (shown := client.answer(2))["lost"] else {})
            client.call("transcript")
            transcript = (await client.told("done", method="transcript"))["result"]
            client.call("close")
            assert (await client.told("ended"))["code"] == 1000
        await until(lambda: "sonic_voice_conversations 0.0" in running.metrics_page())
    [tool] = cut["tools"]
    assert (tool["name"], tool["answered"]) == ("go", True)
    spoken = re.sub(r"^[0-9:]{8} ", "", transcript, flags=re.MULTILINE)
    assert "\nYou, typed: hello.\nAssistant: Hello!" in spoken
    assert cut["lost"].strip() not in transcript
    if heard := cut["heard"].strip():
        assert spoken.endswith(f"Assistant: {heard} [cut off]\n")
    assert not client.of("gap")


async def test_a_conversation_survives_its_network_with_history_and_every_sample() -> None:
    async with bridge() as (url, running), page(url) as (client, network):
        client.call("connect")
        await client.told("done", method="connect")
        client.call("sendText", "hello.")
        await client.told("state", state="speaking")
        network.cut()
        await client.told("notice", text="The connection was lost. Trying again.")
        await asyncio.sleep(1)  # two attempts fail
        network.down = False
        await client.told("notice", text="Connected again. The conversation goes on.")
        assert text(await client.over(1)).endswith("What shall I do?")
        client.call("sendText", "go forward ten meters.")
        await client.until(lambda: "10 meters" in text(client.answer(2)))
        assert (running.metrics.conversations, running.metrics.resumed) == (1, 1)
    assert not client.of("gap")


async def test_a_refusal_is_told_in_words_and_a_token_opens_the_door() -> None:
    async with bridge(Access(secret=SECRET)) as (url, _):
        async with page(url) as (client, _):
            client.call("connect")
            refused = await client.told("failed", method="connect")
            assert (await client.told("ended"))["reason"] == "A token is needed. Sign in again."
        assert (refused["name"], refused["code"]) == ("VoiceError", 4010)
        assert (refused["message"], refused["hint"]) == ("A token is needed.", "Sign in again.")
        token = issue_token(SECRET, "ann", now_s=time.time())
        async with page(url, token=token) as (client, _):
            client.call("connect")
            await client.told("done", method="connect")


async def test_a_server_that_stops_is_asked_once_more() -> None:
    async with bridge() as (url, running), page(url) as (client, _):
        client.call("connect")
        await client.told("done", method="connect")
        running.stop()
        ended = await client.told("ended")
        assert ended["reason"] == "The server is stopping. Try again in a minute."
        states = [line["state"] for line in client.of("state")]
        assert states == ["connecting", "listening", "connecting", "ended"]
        assert running.metrics.closed == running.metrics.rejected == {Close.STOPPING: 1}


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    async with bridge() as (url, _), page(url) as (client, network):
        network.down = True
        client.call("connect")
        refused = await client.told("failed", method="connect")
        assert (refused["code"], refused["hint"]) == (1006, "Check the network and try again.")
