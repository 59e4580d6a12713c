"""A page whose server is killed continues in the next process, from a folder."""

import asyncio
import signal
import socket as sockets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sonic_voice.bridge.saving import Record
from sonic_voice.snapshot import SessionSnapshot

from ..support.page import Page, close_of, socket
from .test_web_client import page, text

CONTINUED_S = 5.0
"""Time from the kill within which the page must have its conversation back."""


def free_port() -> int:
    with sockets.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@asynccontextmanager
async def serving(port: int, store: Path) -> AsyncGenerator[tuple[Process, str]]:
    """`serve` on the emulator, which makes small talk and remembers names from the history."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sonic_voice", "serve", "--local", "--port", str(port)),
        *("--store", str(store)),
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = (await process.stdout.readline()).decode().split()
        assert said[:1] == ["Open"], (await process.communicate())[1].decode()
        yield process, said[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def stored(store: Path) -> list[SessionSnapshot]:
    return [Record.from_bytes(file.read_bytes()).snapshot for file in store.iterdir()]


async def until_stored(store: Path, words: str) -> None:
    async with asyncio.timeout(10):
        while not any(  # noqa: ASYNC110 (another process writes it)
            words in line.text for kept in stored(store) for line in kept.lines
        ):
            await asyncio.sleep(0.02)


@pytest.mark.alone
async def test_a_page_continues_within_five_seconds_of_a_kill_and_is_known(tmp_path: Path) -> None:
    port, store = free_port(), tmp_path / "store"
    async with serving(port, store) as (first, url), page(url) as (client, _):
        client.call("connect")
        await client.told("done", method="connect")
        client.call("sendText", "my name is Ada.")
        await client.over(1)
        client.call("sendText", "how are you?")
        await client.over(2)
        first.kill()
        killed_s = time.monotonic()
        await first.wait()
        assert first.returncode == -signal.SIGKILL
        async with serving(port, store):
            await client.told("notice", text="Connected again. The conversation goes on.")
            took_s = time.monotonic() - killed_s
            client.call("sendText", "what is my name?")
            assert "Ada" in text(await client.over(3))
            client.call("transcript")
            transcript = (await client.told("done", method="transcript"))["result"]
            client.call("close")
            assert (await client.told("ended"))["code"] == 1000
    print(f"\nthe page had its conversation back {took_s:.1f} s after the kill")
    assert took_s < CONTINUED_S
    assert transcript.startswith("Conversation of ")
    assert "You, typed: my name is Ada.\n" in transcript
    assert transcript.rstrip().splitlines()[-2].endswith(" You, typed: what is my name?")
    assert not client.of("gap")


async def test_a_question_without_an_answer_is_answered_by_the_next_process(
    tmp_path: Path,
) -> None:
    port, store = free_port(), tmp_path / "store"
    async with serving(port, store) as (first, url):
        async with socket(url) as connection, Page(connection) as old:
            await old.until("listening")
            await old.say("say", text="my name is Ada.")
            await old.until("turn_ended", turn=1)
            await old.say("say", text="what is my name?")
            await until_stored(store, "what is my name?")
            first.kill()
            await first.wait()
            token = old.ready["resume"]
            received = {"turn": 1, "samples": 24_000}
        async with serving(port, store) as (_, again), socket(again) as connection:
            hello = {"resume": token, "seen": old.seen, "received": received}
            async with Page(connection, hello) as new:
                assert new.ready["resumed"]
                assert new.ready["resume"] == token
                await new.until("turn_ended")
                answer = "".join(m["text"] for m in new.told if m["type"] == "assistant_text")
                assert "Ada" in answer
                assert all(message["seq"] > old.seen for message in new.told if "seq" in message)


async def test_a_page_continues_after_its_server_was_stopped_in_good_order(tmp_path: Path) -> None:
    port, store = free_port(), tmp_path / "store"
    async with serving(port, store) as (first, url), page(url) as (client, _):
        client.call("connect")
        await client.told("done", method="connect")
        client.call("sendText", "my name is Ada.")
        await client.over(1)
        first.terminate()
        await first.wait()
        async with serving(port, store):
            await client.told("notice", text="Connected again. The conversation goes on.")
            client.call("sendText", "what is my name?")
            assert "Ada" in text(await client.over(2))
            client.call("close")
            assert (await client.told("ended"))["code"] == 1000


async def test_an_ended_conversation_and_an_unknown_token_are_not_continued(
    tmp_path: Path,
) -> None:
    port, store = free_port(), tmp_path / "store"
    async with serving(port, store) as (first, url):
        async with socket(url) as connection, Page(connection) as old:
            token = old.ready["resume"]
            await old.say("bye")
            assert await close_of(connection) == (1000, "The conversation is over.")
        first.send_signal(signal.SIGTERM)
        await first.wait()
    async with serving(port, store) as (_, url):
        for resume in (token, "another token"):
            async with socket(url) as connection:
                await Page(connection).say("hello", version=1, resume=resume)
                assert (await close_of(connection))[0] == 4014
    names = [file.name for file in store.iterdir()]
    contents = [file.read_text() for file in store.iterdir()]
    assert len(names) == 1
    assert token not in names[0] + contents[0]
