"""The user of a tape as the user of a new conversation: audio, tools, and the reasoner's words."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress

from ..catalog import EXPERT_TOOL
from ..config import AudioFormat
from ..errors import SonicError
from ..events import Event, Opened
from ..history import Message
from ..reasoning.expert_tool import expert_messages
from ..tools.results import error_result
from ..tools.toolbox import DEFAULT_TIMEOUT_S, Toolbox
from .recorded_user import RecordedCall, RecordedUser
from .user_audio import CHUNK_S

SETTLING_S = 0.001
"""Time between a chunk and a typed turn at the same place, in seconds: a user who types in reaction
to an event has seen it, so what the chunk causes comes first."""


class TapeSource:
    """An `AudioSource` that says and types what the user of a tape said and typed.

    It begins when the service has taken the conversation (`start_when_opened`), and is the clock of
    its conversation.
    """

    def __init__(
        self, user: RecordedUser, *, speed: float | None = None, hangs_up: bool = False
    ) -> None:
        """Prepare the audio.

        Args:
            user: The user's side of the tape.
            speed: How many times faster than real time the chunks come; None if they come at the
                times at which they were sent on the tape.
            hangs_up: Whether the conversation ends with the audio, as it did on the tape. Otherwise
                silence follows, until the last answer has come.
        """
        self.format = AudioFormat(user.rate_hz)
        self.type_text: Callable[[str], object] = _ignore
        """Called with each typed turn when its place in the audio has come."""
        self._chunks = iter(user.chunks)
        self._next = next(self._chunks, None)
        self._typed = list(user.typed)
        self._speed = speed
        self._hangs_up = hangs_up
        self._position = 0
        self._due_s = 0.0
        first = user.chunks[0] if user.chunks else None
        # The clock of a recording has passed its first chunk when the chunk is sent.
        self._zero_s = min(first.at_s, self.format.seconds(len(first.pcm))) if first else 0.0
        self._due_s = self._next_due_s()
        self._began_s: float | None = None
        self._opened = asyncio.Event()
        self._closed = False

    def start_when_opened(self, event: Event, now: float) -> None:
        """Begin when the service has taken the conversation. An observer.

        Args:
            event: An event of the conversation.
            now: Its time on the session's clock, in seconds; not used.
        """
        if isinstance(event, Opened):
            self._opened.set()

    def start(self) -> None:
        """Begin at once."""
        self._opened.set()

    @property
    def done(self) -> bool:
        """True if all audio of the tape has been delivered."""
        return self._next is None and not self._typed

    def now(self) -> float:
        """Return the length of the audio delivered so far, in seconds."""
        return self.format.seconds(self._position)

    async def read(self) -> bytes:
        """Wait until the next chunk is due, and return it. See `AudioSource`."""
        await self._opened.wait()
        if self._began_s is None:
            self._began_s = asyncio.get_running_loop().time()
        while self._types_first():
            await self._wait_until(self._typed_due_s + SETTLING_S)
            if not self._closed:
                with suppress(SonicError):  # the conversation may be over; its events say why
                    self.type_text(self._typed[0].text)
            del self._typed[0]
        await self._wait_until(self._due_s)
        if self._closed:
            return b""
        chunk, self._next = self._next, next(self._chunks, None)
        if chunk is None and self._hangs_up:
            return b""  # typed turns that come later were typed after the goodbye, and not sent
        pcm = chunk.pcm if chunk else bytes(self.format.size(CHUNK_S))
        self._position += len(pcm)
        self._due_s = self._next_due_s()
        return pcm

    async def aclose(self) -> None:
        """End the audio. May be called again."""
        self._closed = True
        self._opened.set()

    def _next_due_s(self) -> float:
        """Return the time from the beginning until the next chunk is due, in seconds."""
        if self._speed is not None:
            return self.now() / self._speed
        return self._next.at_s - self._zero_s if self._next else self._due_s + CHUNK_S

    def _types_first(self) -> bool:
        """Return whether a typed turn comes before the next chunk."""
        if not self._typed:
            return False
        placed = self._next is None or self._typed[0].at_bytes <= self._position
        return placed and self._typed_due_s <= self._due_s

    @property
    def _typed_due_s(self) -> float:
        """Time from the beginning until the next typed turn is due, in seconds."""
        typed = self._typed[0]
        if self._speed is not None:
            return self.format.seconds(typed.at_bytes) / self._speed
        return max(0.0, typed.at_s - self._zero_s)

    async def _wait_until(self, due_s: float) -> None:
        assert self._began_s is not None
        await asyncio.sleep(max(0.0, self._began_s + due_s - asyncio.get_running_loop().time()))


class RecordedTools(Toolbox):
    """A toolbox whose tools return what they returned on a tape, after the same time.

    A call is found by name and arguments; of several, each is used once, in order. A call with
    other arguments gets the next result of the tool that was not used. What the tape does not have
    is answered with an error.
    """

    def __init__(self, calls: Iterable[RecordedCall], *, speed: float = 1.0) -> None:
        """Prepare the results.

        Args:
            calls: The calls of the tape.
            speed: How many times faster than on the tape results come.
        """
        super().__init__()
        self._calls = [call for call in calls if call.result_json]
        self._speed = speed

    async def run(self, name: str, arguments: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> str:
        """Return the result of a call. See `Toolbox`.

        Args:
            name: The name of the tool.
            arguments: The arguments, as JSON.
            timeout_s: Not used.
        """
        call = self._find(name, arguments)
        if call is None:
            return error_result(f"The tape has no further result of {name}.")
        self._calls.remove(call)
        await asyncio.sleep(call.delay_s / self._speed)
        return call.result_json

    def _find(self, name: str, arguments: str) -> RecordedCall | None:
        named = [call for call in self._calls if call.name == name]
        wanted = _parsed(arguments)
        same = (call for call in named if _parsed(call.arguments_json) == wanted)
        return next(same, named[0] if named else None)


class RecordedReasoner:
    """A reasoner that says what was said on a tape, after the same times.

    A call is found by its conversation; of several, each is used once, in order. A call that got
    no sentence on the tape gets none: there the user went on before there was one.
    """

    def __init__(self, calls: Iterable[RecordedCall], *, speed: float = 1.0) -> None:
        """Prepare the answers.

        Args:
            calls: The calls of the tape.
            speed: How many times faster than on the tape sentences come.
        """
        self._calls = [
            (expert_messages(call.arguments_json), call)
            for call in calls
            if call.name == EXPERT_TOOL
        ]
        self._speed = speed

    async def __call__(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Yield the sentences of the answer to a conversation.

        Args:
            messages: The conversation.
        """
        same = (found for found in self._calls if found[0] == tuple(messages))
        found = next(same, self._calls[0] if self._calls else None)
        if found is None:
            return
        self._calls.remove(found)
        call = found[1]
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        for after_s, sentence in call.sentences:
            await asyncio.sleep(max(0.0, began_s + after_s / self._speed - now_s()))
            yield sentence
        if not call.sentences:
            await asyncio.Event().wait()
        await asyncio.sleep(max(0.0, began_s + call.delay_s / self._speed - now_s()))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _ignore(text: str) -> None:
    """Ignore a typed turn."""
