"""A chat endpoint of the tests, in a thread with an event loop of its own."""

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

type Answer = Callable[[list[dict[str, str]]], str]
"""Returns the answer to the messages of a request."""


@contextmanager
def chat_server(answer: Answer) -> Generator[str]:
    """Serve the answers of a function, and yield `openai:URL#MODEL`.

    Args:
        answer: Called in the server's thread with the messages of each request.
    """
    loop = asyncio.new_event_loop()
    ready: list[str] = []
    started = threading.Event()
    stopped = asyncio.Event()

    async def respond(request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        message = {"role": "assistant", "content": answer(body["messages"])}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return web.Response(text=json.dumps({"choices": [choice]}), content_type="application/json")

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", respond)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        ready.append(f"openai:http://{host}:{port}/v1#scripted")
        started.set()
        await stopped.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()
