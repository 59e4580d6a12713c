"""Messages of a page arrive completely and in their order, however it sends them."""

import json

from sonic_voice.bridge.frames import voice_frame

from ..support.page import close_of, socket
from ..support.quiet_bridge import hello, opened, running

VOICE = voice_frame(bytes(640))
VOICE_S = 0.02
BYE = json.dumps({"type": "bye"})


async def test_messages_that_follow_the_hello_at_once_are_kept() -> None:
    async with running() as (url, bridge), socket(url) as connection:
        for message in (hello(), *[VOICE] * 20, BYE):
            await connection.send(message)
        assert await close_of(connection) == (1000, "The conversation is over.")
        assert round(bridge.metrics.voice_s, 3) == 20 * VOICE_S


async def test_messages_in_fragments_are_read_between_others() -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await opened(connection)
        for _ in range(3):
            await connection.send(VOICE)
            await connection.send([VOICE[:100], b"", VOICE[100:]])
            await connection.ping()
        await connection.send([BYE[:5], BYE[5:]])
        assert (await close_of(connection))[0] == 1000
        assert round(bridge.metrics.voice_s, 3) == 6 * VOICE_S


async def test_nothing_is_read_after_the_goodbye() -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await opened(connection)
        for message in (VOICE, BYE, VOICE, "no JSON"):
            await connection.send(message)
        assert (await close_of(connection))[0] == 1000
        assert round(bridge.metrics.voice_s, 3) == VOICE_S


async def test_a_long_message_is_sent_in_fragments_before_what_follows() -> None:
    async with running() as (url, bridge), socket(url) as connection:
        await opened(connection)
        [(session, _)] = bridge._sessions.values()  # pyright: ignore[reportPrivateUsage]
        texts = ["short", "long" * 10_000, "short again"]
        for text in texts:
            session._writer.queue({"type": "notice", "text": text})  # pyright: ignore[reportPrivateUsage]
        received: list[str] = []
        while len(received) < len(texts):
            message = json.loads(await connection.recv())
            if message["type"] == "notice":
                received.append(message["text"])
        assert received == texts
