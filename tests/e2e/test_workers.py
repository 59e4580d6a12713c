"""Two workers behind one port with a real Redis server, and HAProxy in front: nothing is lost."""

import asyncio
import hashlib
import json
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import ConnectionClosed

from sonic_voice.bridge.tokens import issue_token

from ..support.page import Page, close_of, socket
from ..support.real_haproxy import free_port, haproxy
from ..support.real_nginx import deployed, need_nginx, running
from ..support.real_redis import real_redis
from ..support.worker_service import PATIENCE_S, Place, ReturningPage, place, serve_process

HERE = Path(__file__).parent
SCENARIO = ("--scenario", str(HERE / "workers.yaml"))
"""A scenario whose texts are known needs no recogniser, which takes seconds to load."""

NAMES = ("Ada", "Ben", "Cleo", "Dan")
QUESTION = "what is my name?"
BACK_S = 10.0
"""Maximum time from the death of a worker until a page has its conversation back, in seconds. It
takes less than 2 s on a machine that does nothing else; the test prints it."""

STARTED = ("conversation started", "conversation continued")
ENDED_AND_BROKEN = {4020, 4022}
"""Codes of a full server, and of too many connections at once that have not said hello."""


def id_of(page: ReturningPage) -> str:
    """Return the id of a conversation in the log."""
    return hashlib.sha256(f"sonic-voice id {page.resume}".encode()).hexdigest()[:12]


def holders(here: Place) -> dict[str, int]:
    """Return the process that holds each conversation, by its id."""
    lines = [line for line in here.server.lines if line["message"] in STARTED]
    return {line["conversation"]: line["process"] for line in lines}


@asynccontextmanager
async def acquainted(here: Place, *names: str) -> AsyncGenerator[dict[str, ReturningPage]]:
    """Open pages whose users have said their names."""
    async with AsyncExitStack() as stack:
        pages: dict[str, ReturningPage] = {}
        for name in names:
            pages[name] = await stack.enter_async_context(ReturningPage(here.url))
        await asyncio.gather(*(page.ask(f"my name is {name}.") for name, page in pages.items()))
        yield pages


async def said_by_user(here: Place, page: ReturningPage) -> list[str]:
    """Return the user's words as they are stored."""
    record = await here.record(page.resume)
    assert record is not None
    return [line.text for line in record.snapshot.lines if line.role == "USER"]


def fetched(url: str) -> str:
    """Return what is at a URL."""
    with urllib.request.urlopen(url, timeout=20) as response:
        return response.read().decode()


@pytest.mark.alone
async def test_a_worker_is_killed_and_its_pages_go_on_at_another_with_every_word(
    tmp_path: Path,
) -> None:
    async with place(tmp_path, *SCENARIO) as here, acquainted(here, *NAMES) as pages:
        victim, _ = Counter(holders(here).values()).most_common(1)[0]
        held = {name for name, page in pages.items() if holders(here)[id_of(page)] == victim}
        await asyncio.gather(*(page.say(QUESTION) for page in pages.values()))
        for page in pages.values():
            await here.until_stored(page.resume, QUESTION)
        here.server.kill_worker(victim)
        for name in held:
            await pages[name].until_back()
        slowest_s = max(gap for name in held for gap in pages[name].gaps_s)
        print(f"\n{len(held)} of {len(NAMES)} pages were back {slowest_s:.2f} s after the kill")
        await asyncio.gather(*(page.ask("and again?") for page in pages.values()))
        assert {name for name, page in pages.items() if page.closes == [1006]} == held
        assert all(not page.closes for name, page in pages.items() if name not in held)
        for name, page in pages.items():
            await page.bye()
            assert await said_by_user(here, page) == [
                f"my name is {name}.",
                QUESTION,
                "and again?",
            ]
        await here.server.until(lambda: f"worker {victim} has ended" in str(here.server.lines))
        started = len([line for line in here.server.lines if line["message"] in STARTED])
        # The dead worker's conversations have begun, and are not counted among those of now.
        expected = (
            f"sonic_voice_conversations_started_total {float(started)}",
            "sonic_voice_conversations 0.0",
        )
        async with asyncio.timeout(PATIENCE_S):  # each worker writes its counts from time to time
            while True:
                counts = await asyncio.to_thread(fetched, f"{here.url}metrics")
                if all(line in counts for line in expected):
                    break
                await asyncio.sleep(0.2)
    assert slowest_s < BACK_S


async def test_a_worker_that_is_asked_to_stop_cuts_no_sentence(tmp_path: Path) -> None:
    """The drain has 20 s, in which each page moves as soon as its answer has sounded."""
    async with (
        place(tmp_path, *SCENARIO, "--drain-s", "20") as here,
        acquainted(here, "Ada", "Ben") as pages,
    ):
        leaving = holders(here)[id_of(pages["Ada"])]
        # It may interrupt the first answer, which is still playing.
        asked = await asyncio.gather(*(page.say(QUESTION) for page in pages.values()))
        turns = dict(zip(pages, (message["turn"] for message in asked), strict=True))
        here.server.stop_worker(leaving)
        await here.server.until(lambda: bool(here.server.of("draining")))
        moving = [page for page in pages.values() if holders(here)[id_of(page)] == leaving]
        for page in moving:
            await page.until_back()
            assert page.closes == [1012]
            assert page.unplayed_s == [0.0], "it was heard to its end"
            turn = page.of("user_text")[-1]["turn"]
            assert [m for m in page.of("turn_ended") if m["turn"] == turn]
        for name, page in pages.items():
            assert [m for m in page.of("interrupted") if m["turn"] >= turns[name]] == []
            await page.ask("and again?")
            words = [f"my name is {name}.", QUESTION, "and again?"]
            await here.until_stored(page.resume, words[-1])
            assert await said_by_user(here, page) == words
        assert leaving not in {holders(here)[id_of(page)] for page in pages.values()}


async def test_a_server_that_stops_hands_its_conversations_to_another_machine(
    tmp_path: Path,
) -> None:
    ports, public = (free_port(), free_port()), free_port()
    origin = ("--allow-origin", f"http://localhost:{public}")
    async with real_redis(tmp_path) as redis:
        shared = (*SCENARIO, "--redis", redis.url, *origin, "--drain-s", "20")
        async with (
            serve_process(*shared, port=ports[0]) as first,
            serve_process(*shared, port=ports[1]) as second,
            haproxy(tmp_path, *ports, port=public) as url,
            ReturningPage(url) as page,
        ):
            await page.say("my name is Ada.")
            holder, other = (first, second) if first.of(STARTED[0]) else (second, first)
            port = ports[(first, second).index(holder)]
            holder.process.send_signal(signal.SIGTERM)
            await holder.until(lambda: bool(holder.of("draining")))
            with pytest.raises(urllib.error.HTTPError) as refused:
                await asyncio.to_thread(fetched, f"http://localhost:{port}/healthz")
            assert refused.value.code == 503
            refused.value.close()
            async with socket(f"http://localhost:{port}/") as visitor:
                await visitor.send(json.dumps({"type": "hello", "version": 1}))
                assert (await close_of(visitor))[0] == 1012
            await page.until_back()
            assert page.closes == [1012]
            assert page.unplayed_s == [0.0]
            await page.ask(QUESTION)
            async with asyncio.timeout(60):
                assert await holder.process.wait() == 128 + signal.SIGTERM
            assert len(other.of(STARTED[1])) == 1


async def test_nginx_passes_new_pages_by_a_bridge_that_drains(tmp_path: Path) -> None:
    need_nginx()
    ports, public = (free_port(), free_port()), free_port()
    secret = tmp_path / "secret"
    secret.write_text("s" * 32)
    rules = ("--allow-origin", f"http://localhost:{public}", "--trusted-proxy", "127.0.0.1")
    tokens = [issue_token(b"s" * 32, f"user {n}", now_s=time.time()) for n in range(5)]
    async with real_redis(tmp_path) as redis:
        shared = ("--redis", redis.url, *rules, "--token-secret-file", str(secret))
        async with (
            serve_process(*SCENARIO, *shared, "--drain-s", "60", port=ports[0]) as first,
            serve_process(*SCENARIO, *shared, port=ports[1]) as second,
            running(tmp_path, deployed(tmp_path, *ports, port=public), public),
            socket(f"http://localhost:{ports[0]}/") as direct,
            Page(direct, {"token": tokens.pop()}) as page,
        ):
            await page.until("listening")
            first.process.send_signal(signal.SIGTERM)
            await first.until(lambda: bool(first.of("draining")))
            for token in tokens:
                async with socket(f"http://localhost:{public}/") as visitor:
                    hello = {"type": "hello", "version": 1, "token": token}
                    await visitor.send(json.dumps(hello))
                    assert json.loads(await visitor.recv())["type"] == "ready"
                    await visitor.send('{"type": "bye"}')
                    assert (await close_of(visitor))[0] == 1000
            assert len(second.of(STARTED[0])) == 4
            await page.say("bye")


def processes(here: Place) -> list[int]:
    """Return the processes of the workers that have listened, those that are gone included."""
    words = [line["message"].split() for line in here.server.lines]
    return [int(said[1]) for said in words if said[0] == "worker" and said[2] == "listens"]


async def until_gone(*workers: int) -> None:
    """Wait until processes have ended."""
    async with asyncio.timeout(PATIENCE_S):
        while any(Path(f"/proc/{worker}").exists() for worker in workers):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_workers_are_added_replaced_and_removed_while_a_page_talks(tmp_path: Path) -> None:
    async with place(tmp_path, *SCENARIO, "--drain-s", "20") as here, acquainted(here, "Ada") as of:
        page, supervisor = of["Ada"], here.server.process
        await here.server.until_listening(2)
        supervisor.send_signal(signal.SIGTTIN)
        await here.server.until_listening(3)
        before = processes(here)
        supervisor.send_signal(signal.SIGHUP)
        await here.server.until_listening(6)
        await until_gone(*before)
        await page.until_back()
        assert await page.ask(QUESTION)
        supervisor.send_signal(signal.SIGTTOU)
        leaving = processes(here)[-1]
        await until_gone(leaving)
        if holders(here)[id_of(page)] == leaving:
            await page.until_back(2)
        assert await page.ask("and again?")
        assert set(page.closes) == {1012}
        assert set(page.unplayed_s) == {0.0}, "each answer was heard to its end"
        await page.bye()
        assert await said_by_user(here, page) == ["my name is Ada.", QUESTION, "and again?"]
        assert len(set(processes(here))) == 6, "no other worker was started"


async def test_workers_whose_supervisor_was_killed_end_by_themselves(tmp_path: Path) -> None:
    async with (
        place(tmp_path, *SCENARIO, "--drain-s", "5") as here,
        acquainted(here, "Ada") as pages,
    ):
        workers = processes(here)
        here.server.process.kill()
        await until_gone(*workers)
        assert pages["Ada"].closes == [1012]
        assert await said_by_user(here, pages["Ada"]) == ["my name is Ada."]


async def test_workers_serve_tls_without_a_redis_server(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, trust = authority.issue_cert("localhost"), ssl.create_default_context()
    authority.configure_trust(trust)  # pyright: ignore[reportUnknownMemberType]
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    port = free_port()
    async with (
        serve_process("--workers", "2", *files, *SCENARIO, port=port),
        socket(f"https://localhost:{port}/", tls=trust) as connection,
    ):
        page = Page(connection, {})
        async with page:
            await page.say("say", text="my name is Ada.")
            await page.until("turn_ended")
            await page.say("bye")
            await connection.wait_closed()
        assert connection.close_code == 1000


async def outcome(url: str, stack: AsyncExitStack) -> int:
    """Return the code with which a new conversation is refused; 0 if it is accepted."""
    connection = await stack.enter_async_context(socket(url))
    try:
        await connection.send(json.dumps({"type": "hello", "version": 1}))
        if json.loads(await connection.recv())["type"] == "ready":
            return 0
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006
    return (await close_of(connection))[0]


async def test_limits_hold_under_a_flood_and_redis_may_stop(tmp_path: Path) -> None:
    async with place(tmp_path, *SCENARIO, "--max-sessions", "3") as here:
        async with AsyncExitStack() as stack:
            flood = (outcome(here.url, stack) for _ in range(40))
            outcomes = Counter(await asyncio.gather(*flood))
            assert outcomes.pop(0) == 3
            assert outcomes.keys() <= ENDED_AND_BROKEN
        async with AsyncExitStack() as stack:
            await here.server.until(lambda: len(here.server.of("conversation ended")) == 3)
            page = await stack.enter_async_context(ReturningPage(here.url))
            await page.ask("my name is Ada.")
            await here.redis.stop()
            await page.ask(QUESTION)
            visitor = await stack.enter_async_context(ReturningPage(here.url))
            await visitor.ask("my name is Ben.")
            await here.redis.start()
            await here.until_stored(page.resume, QUESTION)
            await here.until_stored(visitor.resume, "my name is Ben.")
            here.server.kill_worker(holders(here)[id_of(page)])
            await page.until_back()
            await page.ask("and again?")
            await here.until_stored(page.resume, "and again?")
            assert await said_by_user(here, page) == ["my name is Ada.", QUESTION, "and again?"]
            assert page.closes == [1006]
        told = Counter(
            (line["process"], line["message"].split(" (")[0])
            for line in here.server.lines
            if line["message"].startswith("Redis")
        )
        assert set(told.values()) == {1}, "once for each process"
