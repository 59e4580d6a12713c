"""A picture that a tool shows, from the model's call to the bytes that its page receives."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sonic_voice import Toolbox, ToolContext, wire
from sonic_voice.bridge import Access, Bridge
from sonic_voice.bridge.picture_queue import AHEAD_BYTES
from sonic_voice.delegates.images import image_tool
from sonic_voice.transport import MemoryStream

from ..support.bedrock_stand_in import bedrock_stand_in
from ..support.memory_socket import ORIGIN, MemorySocket
from ..support.quiet_bridge import OFFER, QuietService

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 600


class Drawing(QuietService):
    """A service that calls `draw_image` for typed words, and speaks for five seconds meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.results: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def open(self, model: str) -> MemoryStream:
        return _DrawingStream(self.results)


class _DrawingStream(MemoryStream):
    def __init__(self, results: asyncio.Queue[dict[str, Any]]) -> None:
        super().__init__()
        self._results = results

    async def send(self, payload: bytes) -> None:
        ids = wire.Ids("session", "prompt", "completion")
        match wire.decode_input(payload):
            case wire.TextInput(text="Draw a boat."):
                arguments = json.dumps({"description": "A red boat"})
                call = wire.ToolUse(ids, "t", "call-1", "draw_image", arguments)
                self.deliver(wire.encode_output(call))
            case wire.ToolResult(result_json=result_json):
                self._results.put_nowait(json.loads(result_json))
                self.deliver(wire.encode_output(wire.AudioBlock(ids, "a", 24_000)))
                for _ in range(10):
                    self.deliver(wire.encode_output(wire.AudioOutput(ids, "a", bytes(24_000))))
            case wire.SessionEnd():
                self.finish()
            case _:
                pass


@asynccontextmanager
async def drawing_page(
    folder: Path, picture: bytes = PNG
) -> AsyncGenerator[tuple[MemorySocket, Bridge, Drawing]]:
    """A page that has asked for a picture, of a bridge that keeps tool data from pages."""
    service, access = Drawing(), Access(origins=frozenset({ORIGIN}))
    answer = {"images": [b64encode(picture).decode()]}
    async with (
        bedrock_stand_in(invoke=lambda _: answer) as bedrock,
        bedrock.operations() as operations,
    ):
        tools = Toolbox([image_tool(folder, operations=operations)])
        config = replace(OFFER.config, tools=tools.specs)
        offer = replace(OFFER, config=config, tools=tools)
        async with Bridge(offer, service, access=access) as bridge, asyncio.timeout(20):
            socket = MemorySocket()
            socket.say("hello", version=1)
            served = asyncio.create_task(bridge.handle(socket))
            await socket.until("listening")
            socket.say("say", text="Draw a boat.")
            yield socket, bridge, service
            socket.say("bye")
            await served


async def read_picture(page: MemorySocket, announced: dict[str, Any], have: bytes = b"") -> bytes:
    while len(have) < announced["bytes"]:
        data = await page.until("picture_data")
        assert (data["picture"], data["start"]) == (announced["seq"], len(have))
        assert "seq" not in data
        have += b64decode(data["data"])
        page.say("picture_received", picture=data["picture"], bytes=len(have))
    return have


async def test_the_page_is_shown_the_picture_that_the_model_had_drawn(tmp_path: Path) -> None:
    """Also where the data of tools is kept from pages: the picture is for the user."""
    async with drawing_page(tmp_path) as (page, _, service):
        call = await page.until("tool_call")
        assert "arguments_json" not in call
        announced = await page.until("picture")
        assert announced == {
            "type": "picture",
            "turn": call["turn"],
            "tool_use": "call-1",
            "alt": "A red boat",
            "media_type": "image/png",
            "bytes": len(PNG),
            "seq": announced["seq"],
        }
        assert await read_picture(page, announced) == PNG
        result = await service.results.get()
        assert result["tell_the_user"] == "It is on the page."


async def test_a_lost_connection_goes_on_where_the_page_has_confirmed(tmp_path: Path) -> None:
    async with drawing_page(tmp_path) as (page, bridge, _):
        announced = await page.until("picture")
        data = await page.until("picture_data")
        have = b64decode(data["data"])
        page.say("picture_received", picture=announced["seq"], bytes=len(have))
        session = bridge._sessions.copy()  # pyright: ignore[reportPrivateUsage]
        [(browser, _)] = session.values()
        again = MemorySocket()
        again.say("hello", version=1, resume=browser.resume, seen=announced["seq"])
        served = asyncio.create_task(bridge.handle(again))
        assert (await again.next())["resumed"]
        assert await read_picture(again, announced, have) == PNG
        again.say("bye")
        await served


async def test_sound_does_not_wait_for_a_picture(tmp_path: Path) -> None:
    """A page that confirms nothing is sent all the sound, and a little of the picture."""
    async with drawing_page(tmp_path) as (page, _, _):
        announced = await page.until("picture")
        frames: list[str | bytes] = []
        sound = 0
        while sound < 120_000:
            frame = await page._to_page.get()  # pyright: ignore[reportPrivateUsage]
            frames.append(frame)
            sound += len(frame) - 12 if isinstance(frame, bytes) else 0
        pictures = [f for f in frames if isinstance(f, str) and '"picture_data"' in f]
        assert 0 < sum(len(b64decode(json.loads(f)["data"])) for f in pictures) <= AHEAD_BYTES
        assert announced["bytes"] > AHEAD_BYTES


@pytest.mark.parametrize("picture", [b"GIF89a", PNG + bytes(5_000_000)])
async def test_what_a_page_cannot_show_is_named_by_its_file(tmp_path: Path, picture: bytes) -> None:
    async with drawing_page(tmp_path, picture) as (_, _, service):
        result = await service.results.get()
        assert result["tell_the_user"] == "It is in the file a-red-boat.png."
        assert Path(result["file"]).read_bytes() == picture


async def test_outside_a_conversation_nobody_is_shown_anything() -> None:
    assert ToolContext().show(PNG, "A boat") is False
    with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
        ToolContext().show(b"GIF89a", "A boat")
