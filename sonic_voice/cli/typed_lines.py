"""A conversation that is held in typed lines, as far as the user types it.

    LineInput ─► parse_lines ─► LineCommands ─► Controls

At a terminal each line is sent at once: a person who types into an answer wants to interrupt it.
The lines of a pipe were written by a program, or beforehand. A turn or `/quit` of them therefore
waits until the answer before was heard; other commands do not wait.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from ..controls import Controls
from ..conversation import OWED_ANSWER_TIMEOUT_S
from ..events import Event, Interrupted, TurnEnded, UserText
from ..turns import PLAYBACK_MARGIN_S
from .answers import NotAnswered
from .line_commands import QUIT, LineCommands, TypedTurn, parse_lines
from .line_input import LineInput


class TypedLines:
    """An observer of the conversation that reads the user's lines and executes them.

    Args:
        lines: The input.
        controls: Controls of the conversation.
        show: Called with each sentence for the user.
        ends: Whether the end of a pipe ends the conversation. The end of a terminal (Ctrl-D) always
            does.
    """

    def __init__(
        self,
        lines: LineInput,
        controls: Controls,
        show: Callable[[str], None],
        *,
        ends: bool,
    ) -> None:
        self.unanswered: NotAnswered | None = None
        """Error that says that an answer did not come; None while none is missing."""
        self._lines = lines
        self._commands = LineCommands(controls, show)
        self._controls = controls
        self._ends = ends
        self._show = show
        self._sent = False
        self._unsent = 0
        """Number of turns that wait for the connection."""
        self._owed = 0
        """The newest typed turn, while its answer has not come to its end; else 0."""
        self._happened = asyncio.Event()

    def __call__(self, event: Event, now: float) -> None:
        """Note that something has happened.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds; not used.
        """
        match event:
            case UserText(turn, typed=True):
                self._unsent -= 1
                self._owed = turn
            case TurnEnded(turn) | Interrupted(turn) if turn >= self._owed:
                self._owed = 0
            case _:
                pass
        self._happened.set()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[None]:
        """Read and execute lines until the end of the block."""
        task = asyncio.create_task(self._run(), name="sonic typed lines")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _run(self) -> None:
        while (text := await self._lines.read()) is not None:
            for line in parse_lines(text):
                if not self._lines.is_terminal and (isinstance(line, TypedTurn) or line == QUIT):
                    await self._answered()
                if self._commands.execute(line):
                    self._unsent += 1
                    self._sent = True
                if self._controls.session.finished:
                    return
        if self._lines.is_terminal:
            self._controls.leave()
        elif self._ends:
            if not self._sent:
                self._show("Standard input has ended, and nothing was typed.")
            await self._answered()
            self._controls.leave()

    async def _answered(self) -> None:
        """Wait until the answer to the last turn was heard, or is overdue."""
        session, sink = self._controls.session, self._controls.sink
        while True:
            self._happened.clear()
            if self._unsent > 0 or self._owed or session.owes_answer:
                try:
                    async with asyncio.timeout(OWED_ANSWER_TIMEOUT_S):
                        await self._happened.wait()
                except TimeoutError:
                    self.unanswered = NotAnswered(
                        "The service did not answer a typed turn within "
                        f"{OWED_ANSWER_TIMEOUT_S:g} s.",
                        waited_s=OWED_ANSWER_TIMEOUT_S,
                        hint="Try again in a moment: the service may be overloaded.",
                    )
                    return
            elif sink.pending_s > 0:
                await asyncio.sleep(sink.pending_s + PLAYBACK_MARGIN_S)
            else:
                return
