"""The service's side of a `MemoryStream`: what it received, in words, and what it answers.

    service = await MemoryService.of(transport)      # the next stream that the session opens
    await service.receives("audio start")            # everything up to this step
    service.hears("hello"); service.answers("Hi.")

Nothing here decides anything: a test says what the service does, and when.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime

from sonic_voice import wire
from sonic_voice.errors import SonicError
from sonic_voice.events import Event
from sonic_voice.session import Session
from sonic_voice.transport import MemoryStream, MemoryTransport

IDS = wire.Ids("s", "p", "c")

LONGEST_S = 5.0
"""Time after which a test that waits fails, in seconds."""

SOUND_MS = 100
"""Length of one payload of an answer's sound, in ms."""


class MemoryService:
    """The far end of one stream.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.steps: list[str] = []
        """What was received so far: a word for each step, texts with their words."""
        self.heard = bytearray()
        """The audio that was received so far."""
        self.results_ended: list[str] = []
        """Ids of the tool calls whose result has ended."""
        self._open: dict[str, str] = {}
        self._results: set[str] = set()
        self._blocks = 0

    @classmethod
    async def of(cls, transport: MemoryTransport) -> "MemoryService":
        """Wait for the next stream that is opened, and return its far end."""
        return cls(await asyncio.wait_for(transport.opened.get(), LONGEST_S))

    # -- what was received ---------------------------------------------------------------------

    async def receives(self, step: str) -> list[str]:
        """Wait for a step, and return all steps of this stream up to it."""
        begin = len(self.steps)
        while step not in self.steps[begin:]:
            async with asyncio.timeout(LONGEST_S):
                self._read(await self.stream.sent.get())
        return self.steps

    async def receives_end_of_result(self, tool_use: str) -> None:
        """Wait for the end of the result of a tool call."""
        while tool_use not in self.results_ended:
            async with asyncio.timeout(LONGEST_S):
                self._read(await self.stream.sent.get())

    async def hears_audio(self, size: int) -> bytes:
        """Wait for this much audio in all, in bytes, and return all of it."""
        while len(self.heard) < size:
            async with asyncio.timeout(LONGEST_S):
                self._read(await self.stream.sent.get())
        return bytes(self.heard)

    def look(self) -> list[str]:
        """Return all steps that were received until now, without waiting."""
        while not self.stream.sent.empty():
            self._read(self.stream.sent.get_nowait())
        return self.steps

    @property
    def history(self) -> list[str]:
        """The messages of the history."""
        return [step.removeprefix("history ") for step in self.look() if step[:8] == "history "]

    @property
    def texts(self) -> list[str]:
        """The interactive texts."""
        return [step.removeprefix("text: ") for step in self.look() if step[:6] == "text: "]

    def _read(self, payload: bytes | None) -> None:  # noqa: C901 (a table)
        if payload is None:
            self.steps.append("end of input")
            return
        match wire.decode_input(payload):
            case wire.SessionStart():
                self.steps.append("session")
            case wire.PromptStart(voice=voice):
                self.steps.append(f"prompt {voice}")
            case wire.TextStart(content=content, role=role, interactive=interactive):
                system = role.startswith("SYSTEM")
                kind = role.lower() if system else f"history {role}"
                self._open[content] = "text" if interactive and not system else kind
            case wire.TextInput(content=content, text=text):
                kind = self._open[content]
                self.steps.append(kind if kind.startswith("system") else f"{kind}: {text}")
            case wire.ToolResultStart(content=content, tool_use=tool_use):
                self._open[content] = tool_use
                self._results.add(content)
            case wire.ToolResult(content=content, result_json=result_json):
                self.steps.append(f"result {self._open[content]}: {result_json}")
            case wire.AudioStart(content=content):
                self._open[content] = "audio"
                self.steps.append("audio start")
            case wire.AudioInput(pcm=pcm):
                self.heard += pcm
                if self.steps[-1] != "audio":
                    self.steps.append("audio")
            case wire.ContentEnd(content=content):
                kind = self._open.pop(content)
                if kind == "audio":
                    self.steps.append("audio end")
                elif content in self._results:
                    self.results_ended.append(kind)
            case wire.PromptEnd():
                self.steps.append("prompt end")
            case wire.SessionEnd():
                self.steps.append("session end")
            case other:
                self.steps.append(str(other))

    # -- what is answered ----------------------------------------------------------------------

    def deliver(self, *records: wire.Output) -> None:
        """Deliver records."""
        for record in records:
            self.stream.deliver(wire.encode_output(record))

    def counts_tokens(self, total: int) -> None:
        """Report tokens of text."""
        tokens = wire.Tokens(text_in=total)
        self.deliver(wire.UsageEvent(IDS, tokens, tokens))

    def speech_begins(self, at_ms: int) -> None:
        """Report the beginning of the user's speech."""
        self.deliver(wire.UserSpeechStart(IDS, at_ms))

    def speech_ends(self, at_ms: int) -> None:
        """Report the end of the user's speech."""
        self.deliver(wire.UserSpeechEnd(IDS, at_ms, at_ms))

    def hears(self, text: str) -> None:
        """Report words of the user."""
        self._text("USER", "FINAL", text)

    def plans(self, text: str) -> None:
        """Begin an answer with its planned text."""
        self._text("ASSISTANT", "SPECULATIVE", text)

    def confirms(self, text: str) -> None:
        """Report what was spoken."""
        self._text("ASSISTANT", "FINAL", text)

    def answers(self, text: str, *, payloads: int = 1, ends: bool = True) -> str:
        """Answer with text and sound; `goes_on` can deliver more if it does not end."""
        self.plans(text)
        id = self._new_id()
        self.deliver(wire.AudioBlock(IDS, id, 24_000))
        self.goes_on(id, payloads=payloads, ends=ends)
        return id

    def goes_on(self, id: str, *, payloads: int = 1, ends: bool = True) -> None:
        """Deliver more sound of an answer."""
        sound = wire.AudioOutput(IDS, id, b"\x00\x20" * (24 * SOUND_MS))
        self.deliver(*[sound] * payloads)
        if ends:
            self.deliver(wire.BlockEnd(IDS, id, "AUDIO", "END_TURN"))

    def calls(self, tool_use: str, name: str, arguments_json: str = "{}") -> None:
        """Call a tool."""
        id = self._new_id()
        self.deliver(
            wire.ToolBlock(IDS, id),
            wire.ToolUse(IDS, id, tool_use, name, arguments_json),
            wire.BlockEnd(IDS, id, "TOOL", "TOOL_USE"),
        )

    def says_goodbye(self) -> None:
        """End the stream as after a goodbye."""
        self.deliver(wire.CompletionEnd(IDS))
        self.stream.finish()

    def breaks(self, error: SonicError) -> None:
        """End the stream with a fault."""
        self.stream.finish(error)

    def _text(self, role: str, stage: wire.Stage, text: str) -> None:
        id = self._new_id()
        self.deliver(
            wire.TextBlock(IDS, id, role, stage),
            wire.TextOutput(IDS, id, text),
            wire.BlockEnd(IDS, id, "TEXT", "PARTIAL_TURN"),
        )

    def _new_id(self) -> str:
        self._blocks += 1
        return f"b{self._blocks}"


class RefusingTransport(MemoryTransport):
    """A transport that refuses streams with the errors of a list, one for each.

    Args:
        errors: The errors; None lets a stream be opened. Later streams are opened.
    """

    def __init__(self, errors: Iterable[SonicError | None] = ()) -> None:
        super().__init__(direct=True)
        self.errors: list[SonicError | None] = list(errors)
        self.attempts = 0
        """Number of streams that were asked for."""
        self.expire_at: datetime | None = None
        """Time at which the credentials of the streams expire."""
        self.gate = asyncio.Event()
        """Clearing it makes openings wait."""
        self.gate.set()

    async def open(self, model: str) -> MemoryStream:
        """See `Transport`."""
        self.attempts += 1
        await self.gate.wait()
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        stream = await super().open(model)
        stream.credentials_expire_at = self.expire_at
        return stream


class ManualClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.now


async def next_event[T: Event](session: Session, kind: type[T]) -> T:
    """Return the next event of a kind; others before it are dropped."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            event = await anext(session)
            if isinstance(event, kind):
                return event


async def rest_of(session: Session) -> list[Event]:
    """Return all events to the end."""
    async with asyncio.timeout(LONGEST_S):
        return [event async for event in session]
