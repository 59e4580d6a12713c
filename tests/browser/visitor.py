"""Somebody in front of the page: reads what it shows, and has its sound and frames on record."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast

from playwright.async_api import Browser, Locator, Page, WebSocket, expect

from sonic_voice.bridge.frames import ANSWER, AnswerFrame, read_answer

from .sounds import Chunk, Played, write_microphone

PATIENCE_MS = 20_000
TAP = Path(__file__).with_name("tap.js")

READ_TURNS = """(log) => [...log.querySelectorAll('.turn:not([hidden])')].map((turn) => ({
  who: turn.querySelector('.who').textContent,
  spoken: [...turn.querySelectorAll('.said .spoken')].map((n) => n.textContent).join(''),
  planned: [...turn.querySelectorAll('.said .planned')].map((n) => n.textContent).join(''),
  lost: [...turn.querySelectorAll('.said s')].map((n) => n.lastChild.textContent).join(''),
  tools: [...turn.querySelectorAll('.tool')].map((n) => n.textContent),
  margin: turn.querySelector('.margin').textContent,
}))"""


OUTSIDE = """() => {
  const { shadowRoot } = document.querySelector('sonic-voice');
  return [...shadowRoot.querySelectorAll('.controls button, .controls input, .launcher')]
    .filter((node) => node.checkVisibility())
    .filter((node) => {
      const { top, bottom, left, right } = node.getBoundingClientRect();
      return top < 0 || left < 0 || bottom > innerHeight + 1 || right > innerWidth + 1;
    })
    .map((node) => node.textContent || node.getAttribute('aria-label'));
}"""
"""Returns the names of the controls that are not in the window."""


class Shown(TypedDict):
    """One turn of the transcript, as it stands on the page."""

    who: str
    spoken: str
    planned: str
    lost: str
    """Struck through."""
    tools: list[str]
    margin: str


class Flush(TypedDict):
    """Of `tap.js`: when a flush came, in seconds of the AudioContext's clock."""

    epoch: int
    atS: float
    latencyS: float


@dataclass
class Visitor:
    """A page, and what has gone over its sockets."""

    page: Page
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """From the server."""
    answers: list[AnswerFrame] = field(default_factory=list[AnswerFrame])
    """Sound from the server."""
    voice: list[bytes] = field(default_factory=list[bytes])
    """Sound to the server."""
    complaints: list[str] = field(default_factory=list[str])
    """Errors that no code caught."""

    def __post_init__(self) -> None:
        self.page.on("websocket", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._receive)
        socket.on("framesent", self._send)

    def _receive(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            self.messages.append(json.loads(frame))
        elif frame[0] == ANSWER:
            self.answers.append(read_answer(frame))

    def _send(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self.voice.append(frame[2:])

    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == type]

    def sound_of(self, turn: int) -> bytes:
        """What came for a turn, in order, up to a gap if there is one."""
        pcm = b""
        for answer in self.answers:
            if answer.turn == turn and answer.start == len(pcm) // 2:
                pcm += answer.pcm
        return pcm

    # What is on the page. Roles and names, as one hears and sees them.

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log", name="Transcript")

    @property
    def typed(self) -> Locator:
        return self.page.get_by_role("textbox", name="Type a message")

    @property
    def trouble(self) -> Locator:
        return self.page.get_by_role("alert")

    async def is_(self, state: str) -> None:
        """Wait until the page says so."""
        await expect(self.page.locator(".state")).to_have_text(state, timeout=PATIENCE_MS)

    async def reads(self, *lines: str) -> None:
        """Wait until the transcript has these words, each somewhere."""
        for line in lines:
            await expect(self.log).to_contain_text(line, timeout=PATIENCE_MS)

    async def complains(self, words: str) -> None:
        """Wait until the page tells of a trouble in these words."""
        await expect(self.trouble).to_have_text(words, timeout=PATIENCE_MS)

    async def turns(self) -> list[Shown]:
        return cast(list[Shown], await self.log.evaluate(READ_TURNS))

    async def notices(self) -> list[str]:
        return await self.log.locator(".notice").all_text_contents()

    async def start(self) -> None:
        await self.button("Start talking").click()
        await self.is_("listening")

    async def says(self, text: str) -> None:
        """Type it and send it."""
        await self.typed.fill(text)
        await self.typed.press("Enter")

    async def saved(self, format: str) -> str:
        """The transcript as a file."""
        if not await self.button(format).is_visible():
            await self.button("Save transcript").click()
        async with self.page.expect_download() as saving:
            await self.button(format).click()
        return Path(await (await saving.value).path()).read_text()

    async def played(self) -> Played:
        rate_hz = cast(int, await self.page.evaluate("tap.rateHz"))
        chunks = cast(Sequence[Chunk], await self.page.evaluate("tap.chunks()"))
        return Played.of(rate_hz, chunks)

    async def flushes(self) -> list[Flush]:
        return cast(list[Flush], await self.page.evaluate("tap.flushes"))


@dataclass(frozen=True, slots=True)
class Chromium:
    """One browser; what its microphone hears is in a file."""

    browser: Browser
    microphone: Path

    @asynccontextmanager
    async def visitor(
        self, *, hears: bytes = bytes(3200), tapped: bool = False, **context: Any
    ) -> AsyncGenerator[Visitor]:
        """Somebody who says `hears` as soon as the microphone is open, then nothing more.

        Fails if the page threw what nobody caught. `tapped`: with `tap.js`, on a page that has
        `tap-worklet.js`. `context`: options of the browser's context.
        """
        write_microphone(self.microphone, hears)
        options: dict[str, Any] = {"permissions": ["microphone"], **context}
        opened = await self.browser.new_context(**options)
        try:
            if tapped:
                await opened.add_init_script(path=TAP)
            visitor = Visitor(await opened.new_page())
            yield visitor
            assert not visitor.complaints
        finally:
            await opened.close()
