# pyright: basic, reportMissingImports=false
"""AWS's Node.js sample, `websocket-nodejs`: its server, with this file in place of its page.

The server is built from a copy of the clone; page and server talk Socket.IO.
"""

import asyncio
import base64
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import socketio
from driver import REGION, SYSTEM, report, speech

SAMPLE = Path(os.environ["INTEROP_SAMPLE"])
PORT = 3000
START_S = 30.0
"""Maximum time until the server accepts connections, in seconds."""
ACKNOWLEDGE_S = 5.0
"""Maximum time until the server has answered `initializeConnection`, which older ones do not."""
GOODBYE_S = 3.0
"""Time in which the server can end its stream, in seconds."""
CHUNK_MS = 32
"""Length of a chunk of the sample's page, in milliseconds: 512 samples at 16 kHz."""


def profile(folder: Path) -> dict[str, str]:
    """Write the keys of the environment as a profile, which the sample reads, and name it."""
    credentials = folder / "credentials"
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    lines = [f"{name.lower()} = {os.environ[name]}" for name in keys]
    credentials.write_text("\n".join(["[interop]", *lines, ""]))
    return {
        "AWS_PROFILE": "interop",
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_REGION": REGION,
    }


@asynccontextmanager
async def server() -> AsyncIterator[None]:
    """Run the sample's server."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *("node", "dist/server.js"),
            cwd=SAMPLE,
            env=os.environ | profile(Path(folder)) | {"PORT": str(PORT)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
        )
        try:
            async with asyncio.timeout(START_S):
                while True:
                    with suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", PORT)
                        writer.close()
                        break
                    await asyncio.sleep(0.2)
            yield
        finally:
            with suppress(ProcessLookupError):  # it has failed
                process.kill()
            await process.wait()


class Page:
    """The page: what the server tells it is reported."""

    def __init__(self) -> None:
        self.socket = socketio.AsyncClient(reconnection=False)
        self._shown = False
        for name in ("contentStart", "textOutput", "audioOutput", "toolUse", "error"):
            self.socket.on(name, getattr(self, f"_{name}"))

    def _contentStart(self, data) -> None:  # noqa: N802
        fields = json.loads(data.get("additionalModelFields") or "{}")
        self._shown = data["role"] == "USER" or fields.get("generationStage") == "SPECULATIVE"

    def _textOutput(self, data) -> None:  # noqa: N802
        text = data["content"]
        if text.startswith("{") and json.loads(text).get("interrupted"):
            report(interrupted=True)
        elif self._shown:
            report(**{data["role"].lower(): text})

    def _audioOutput(self, data) -> None:  # noqa: N802
        report(audio_bytes=len(base64.b64decode(data["content"])))

    def _toolUse(self, data) -> None:  # noqa: N802
        report(tool=data["toolName"], arguments=json.loads(data["content"]))

    def _error(self, data) -> None:
        report(error=str(data))

    async def converse(self) -> None:
        """Do what the page does when its button is pressed, and speak."""
        await self.socket.connect(f"http://127.0.0.1:{PORT}")
        with suppress(socketio.exceptions.TimeoutError):
            await self.socket.call("initializeConnection", timeout=ACKNOWLEDGE_S)
        await self.socket.emit("promptStart")
        await self.socket.emit("systemPrompt", SYSTEM)
        await self.socket.emit("audioStart")
        async for pcm in speech(CHUNK_MS):
            await self.socket.emit("audioInput", base64.b64encode(pcm).decode())
        await self.socket.emit("stopAudio")
        await asyncio.sleep(GOODBYE_S)
        await self.socket.disconnect()


def sdk_version() -> str:
    """Return the version of the AWS SDK that npm has installed."""
    package = SAMPLE / "node_modules" / "@aws-sdk" / "client-bedrock-runtime" / "package.json"
    return json.loads(package.read_text())["version"]


async def main() -> None:
    sample = os.environ["INTEROP_SAMPLES_VERSION"]
    report(versions={"sample": sample, "client-bedrock-runtime": sdk_version()})
    async with server():
        await Page().converse()


asyncio.run(main())
