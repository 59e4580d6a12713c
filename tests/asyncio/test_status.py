"""The status page: what it answers, to whom, and how long it listens to nonsense."""

import asyncio
import json
from typing import Any

import pytest

from sonic_voice.emulator.observers import StreamStatistics
from sonic_voice.emulator.observers import status_page as status
from sonic_voice.emulator.observers.status import EmulatorStatus
from sonic_voice.emulator.observers.status_page import StatusPage
from sonic_voice.emulator.service.effects import Emit, Fail, StreamRequest
from sonic_voice.errors import ConfigError
from sonic_voice.wire import (
    AudioInput,
    AudioStart,
    BlockEnd,
    Ids,
    SessionStart,
    TextBlock,
    TextOutput,
    encode_input,
    encode_output,
)

EVIL = "<script>alert(1)</script>"


async def ask(page: StatusPage, path: str, *, host: str = "localhost", method: str = "GET") -> str:
    return await send(page, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


async def send(page: StatusPage, request: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
    writer.write(request)
    try:
        async with asyncio.timeout(5):
            return (await reader.read()).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()


def state() -> dict[str, Any]:
    return {"said": EVIL}


async def test_it_answers_a_page_and_its_state() -> None:
    async with StatusPage(state) as page:
        html, document = await ask(page, "/"), await ask(page, "/state.json")
    assert html.startswith("HTTP/1.1 200 OK\r\n")
    assert "text/html" in html
    assert json.loads(document.partition("\r\n\r\n")[2]) == state()


async def test_the_page_runs_no_script_but_its_own() -> None:
    async with StatusPage(state) as page:
        first, second = await ask(page, "/"), await ask(page, "/")
    for html in (first, second):
        nonce = html.partition("script-src 'nonce-")[2].partition("'")[0]
        assert f'<script nonce="{nonce}">' in html
        assert "default-src 'none'" in html
        assert "unsafe-inline" not in html
        assert "innerHTML" not in html
    assert first.partition("nonce-")[2][:12] != second.partition("nonce-")[2][:12]


@pytest.mark.parametrize(
    ("path", "host", "method", "status"),
    [
        ("/", "evil.example", "GET", 403),
        ("/state.json", "evil.example:80", "GET", 403),
        ("/state.json", "", "GET", 403),
        ("/", "127.0.0.1:1", "GET", 200),
        ("/", "[::1]:1", "GET", 200),
        ("/", "[", "GET", 403),
        ("/", "localhost", "POST", 405),
        ("/../etc/passwd", "localhost", "GET", 404),
        ("/state.json", "localhost", "HEAD", 200),
    ],
)
async def test_it_answers_this_machine_alone(
    path: str, host: str, method: str, status: int
) -> None:
    async with StatusPage(state) as page:
        answer = await ask(page, path, host=host, method=method)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert (EVIL in answer) is (status == 200 and path == "/state.json" and method == "GET")


@pytest.mark.parametrize(
    "request_", [b"\r\n\r\n", b"\x16\x03\x01" + bytes(50), b"x" * 20_000, b"GET\r\n\r\n"]
)
async def test_nonsense_is_closed(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "REQUEST_S", 0.2)
    async with StatusPage(state) as page:
        assert EVIL not in await send(page, request_)
        assert "200 OK" in await ask(page, "/")


async def test_who_asks_too_slowly_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "REQUEST_S", 0.1)
    async with StatusPage(state) as page:
        assert await send(page, b"GET / HT") == ""


async def test_a_port_that_is_taken_is_said() -> None:
    async with StatusPage(state) as page:
        with pytest.raises(ConfigError, match="status page cannot listen"):
            async with StatusPage(state, port=page.port):
                pass


IDS = Ids("s", "P", "c")


def spoken(content: str, stage: Any, text: str, role: str = "ASSISTANT") -> list[Emit]:
    records = (
        TextBlock(IDS, content, role, stage),
        TextOutput(IDS, content, text, role),
        BlockEnd(IDS, content, "TEXT", "PARTIAL_TURN"),
    )
    return [Emit(encode_output(record)) for record in records]


def test_the_board_tells_what_a_stream_did() -> None:
    status = EmulatorStatus()
    statistics = StreamStatistics(StreamRequest("m", "us-east-1", "id"))
    stream = status.opened(statistics)
    for record in (
        SessionStart(1024, 0.9, 0.7),
        AudioStart("P", "A", 16_000),
        *[AudioInput("P", "A", bytes(32_000))] * 3,
    ):
        stream.received(encode_input(record))
    stream.received(b"rubbish")
    for effect in (
        *spoken("1", "FINAL", "hello", "USER"),
        *spoken("2", "SPECULATIVE", EVIL),
        *spoken("3", "FINAL", EVIL),
        Fail("validationException", "RequestId=id : No events to transform were found."),
    ):
        stream.answered(effect)
    (shown,) = status.document("https://localhost:1")["streams"]
    assert shown["heard_s"] == 3.0
    assert "→ audioInput ×3" in shown["events"]
    assert shown["events"][-1] == "← validationException"
    assert shown["transcript"] == [
        {"role": "USER", "stage": "FINAL", "text": "hello"},
        {"role": "ASSISTANT", "stage": "FINAL", "text": EVIL},
    ]
    assert any(line.startswith("one-event (1.4)") for line in shown["mistakes"])


def test_the_board_keeps_no_more_than_it_shows() -> None:
    status = EmulatorStatus()
    for number in range(40):
        stream = status.opened(StreamStatistics(StreamRequest("m", "r", str(number))))
        for _ in range(50):
            for effect in spoken("1", "SPECULATIVE", "x" * 2000):
                stream.answered(effect)
    document = status.document("")
    assert document["total"] == 40
    assert len(document["streams"]) == 30
    assert document["streams"][0]["request_id"] == "39"
    assert len(json.dumps(document)) < 30 * 40 * 700  # streams, lines, letters and what is around
