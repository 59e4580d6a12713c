"""The process of a running conversation: it takes a request at a time, until it is stopped.

Its life is bounded: it ends by itself after `idle_s` without a request. That is real time, measured
by a thread, because the clock of its event loop may be a virtual one that stands still.
"""

import asyncio
import json
import os
import secrets
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from ..errors import SonicError
from .live_call import LiveCall
from .records import ScriptedTurn
from .report import turn_document
from .runner import Target
from .session_address import MAX_LINE_BYTES, SessionAddress, SessionFiles

type EventDocument = Callable[[Any], dict[str, Any]]
"""Returns an event as values of JSON."""


class SessionServer:
    """A server of one conversation, for requests of the same user.

    Args:
        files: The files of the session.
        call: The caller's end of the conversation.
        event_document: Returns an event as values of JSON.
        idle_s: Real time without a request after which the conversation ends, in seconds.
    """

    def __init__(
        self,
        files: SessionFiles,
        call: LiveCall,
        event_document: EventDocument,
        idle_s: float,
    ) -> None:
        self._files = files
        self._call = call
        self._event_document = event_document
        self._idle_s = idle_s
        self._token = secrets.token_hex(16)
        self._timer: threading.Timer | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._conversation: asyncio.Task[None] | None = None
        self._error = ""

    async def run(self, target: Target, on_ready: Callable[[dict[str, Any]], None]) -> None:
        """Hold the conversation and answer requests, until it is stopped, idle or broken.

        Args:
            target: The application that is called.
            on_ready: Called when the conversation has begun, with the first response.

        Raises:
            SonicError: The conversation could not begin.
        """
        self._conversation = asyncio.create_task(target.converse(self._call), name="conversation")
        server: asyncio.Server | None = None
        try:
            greeting = await self._unless_over(self._call.ready())
            server, address = await self._listen()
            self._files.publish(address)
            self._restart_timer()
            first = None if greeting is None else turn_document(greeting)
            on_ready({"session": self._files.name, "pid": os.getpid(), "greeting": first})
            await asyncio.wait({self._conversation})
            with suppress(SonicError):  # the next request has been told
                self._conversation.result()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if server is not None:
                server.close()
            self._files.remove()
            self._conversation.cancel()
            await asyncio.wait({self._conversation, *self._requests})

    async def _listen(self) -> tuple[asyncio.Server, SessionAddress]:
        pid, path = os.getpid(), self._files.socket_path
        if path:
            self._files.prepare_socket()
            server = await asyncio.start_unix_server(self._accept, path, limit=MAX_LINE_BYTES)
            self._files.protect_socket()
            return server, SessionAddress(pid, self._token, path=path)
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=MAX_LINE_BYTES)
        return server, SessionAddress(pid, self._token, port=server.sockets[0].getsockname()[1])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="request")
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            response = await self._respond(await reader.readline())
            writer.write(json.dumps(response).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            pass  # the command has gone
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _respond(self, line: bytes) -> dict[str, Any]:
        try:
            request: Any = json.loads(line)
        except ValueError:
            return {"error": "The request is no JSON."}
        if not isinstance(request, dict):
            return {"error": "The request is no JSON object."}
        asked = cast("dict[str, Any]", request)
        if not secrets.compare_digest(str(asked.get("token")).encode(), self._token.encode()):
            return {"error": "The token is wrong."}
        self._restart_timer()
        try:
            return await self._carry_out(asked)
        except SonicError as error:
            return {"error": error.message, "hint": error.hint}

    async def _carry_out(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request, and return the response.

        Raises:
            SonicError: It cannot be carried out, or the conversation broke off.
        """
        match asked:
            case {"do": "say", "text": str(text)}:
                turn = await self._unless_over(self._call.say(ScriptedTurn(text)))
                return turn_document(turn)
            case {"do": "play", "path": str(path)}:
                turn = await self._unless_over(self._call.say(ScriptedTurn(play=Path(path))))
                return turn_document(turn)
            case {"do": "events", "after": int(after)}:
                return {
                    "events": [
                        {"number": number, "at_s": round(at_s, 3), **self._event_document(event)}
                        for number, at_s, event in self._call.events
                        if number > after
                    ]
                }
            case {"do": "stop"}:
                self._call.hang_up()
                assert self._conversation is not None
                await asyncio.wait({self._conversation})
                if not self._conversation.cancelled():
                    self._conversation.result()
                return {"session": self._files.name, "stopped": True}
            case _:
                return {"error": "The request is not known."}

    async def _unless_over[T](self, work: Awaitable[T]) -> T:
        """Return the result of work that the end of the conversation ends, too.

        Raises:
            SonicError: The error that ended the conversation.
        """
        assert self._conversation is not None
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._conversation}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if not self._conversation.cancelled():
                self._conversation.result()
            raise SonicError("The conversation is over.", hint="Start another one: --start")
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def _restart_timer(self) -> None:
        """Begin to measure the time without a request anew."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = threading.Timer(self._idle_s, loop.call_soon_threadsafe, [self._call.hang_up])
        self._timer.daemon = True
        self._timer.start()
