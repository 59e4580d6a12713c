"""When the lines of a pipe or a terminal are carried out, and what the end of the input does."""

import asyncio
from typing import Any, cast

from sonic_voice.audio.mute import HushableSink, MutableSource
from sonic_voice.audio.ports import NullSink
from sonic_voice.cli.absent_devices import AbsentMicrophone
from sonic_voice.cli.line_input import LineInput
from sonic_voice.cli.typed_lines import TypedLines
from sonic_voice.config import SessionConfig
from sonic_voice.controls import Controls
from sonic_voice.conversation import OWED_ANSWER_TIMEOUT_S
from sonic_voice.events import AssistantText, Audio, Interrupted, TurnEnded, UserText
from sonic_voice.virtual_time import run_in_virtual_time

SECOND = bytes(48_000)


class FakeSession:
    """A session that owes nothing by itself."""

    owes_answer = False
    finished = False


class FakeLines:
    """An input that has all its lines at once."""

    def __init__(self, *lines: str, is_terminal: bool = False) -> None:
        self.is_terminal = is_terminal
        self._lines = list(lines)

    async def read(self) -> str | None:
        await asyncio.sleep(0.01)
        return self._lines.pop(0) if self._lines else None


class Talk(Controls):
    """A conversation that notes when each turn is sent, in seconds, and when the user leaves."""

    def __init__(self, lines: FakeLines) -> None:
        config = SessionConfig()
        self._time = asyncio.get_running_loop().time
        super().__init__(
            cast(Any, FakeSession()),
            MutableSource(AbsentMicrophone(config.input)),
            HushableSink(NullSink(now=self._time)),
        )
        self.sent: list[tuple[str, float]] = []
        self.left_s: float | None = None
        self.shown: list[str] = []
        self.typed = TypedLines(cast(LineInput, lines), self, self.shown.append, ends=True)

    def say(self, text: str) -> None:
        self.sent.append((text, round(self._time(), 1)))

    def leave(self) -> None:
        self.left_s = round(self._time(), 1)

    async def answer(self, turn: int, *, after_s: float, sound_s: int) -> None:
        """Answer a turn: its sound comes at once, and plays for `sound_s`."""
        self.typed(UserText(turn, "text", typed=True), 0.0)
        await asyncio.sleep(after_s)
        self.typed(AssistantText(turn, 0, "Answer.", "SPECULATIVE"), 0.0)
        for _ in range(sound_s):
            self.sink.play(turn, SECOND)
            self.typed(Audio(turn, SECOND, 24_000), 0.0)
        self.typed(TurnEnded(turn), 0.0)


def test_a_turn_of_a_pipe_waits_until_the_answer_before_was_heard() -> None:
    async def run() -> None:
        talk = Talk(FakeLines("one", "/help", "two"))
        async with talk.typed.reading():
            await asyncio.sleep(0.1)
            assert talk.shown  # a command does not wait
            await talk.answer(1, after_s=2.0, sound_s=5)
            await asyncio.sleep(10)
            await talk.answer(2, after_s=1.0, sound_s=3)
            await asyncio.sleep(20)
        assert [text for text, _ in talk.sent] == ["one", "two"]
        assert 7.0 <= talk.sent[1][1] <= 7.3
        assert talk.left_s is not None
        assert 16.0 <= talk.left_s <= 16.3
        assert talk.typed.unanswered is None

    run_in_virtual_time(run())


def test_an_interrupted_answer_is_not_waited_for() -> None:
    async def run() -> None:
        talk = Talk(FakeLines("one"))
        async with talk.typed.reading():
            await asyncio.sleep(0.1)
            talk.typed(UserText(1, "one", typed=True), 0.0)
            talk.typed(Interrupted(1, "marker"), 0.0)
            await asyncio.sleep(1)
        assert talk.left_s is not None
        assert talk.typed.unanswered is None

    run_in_virtual_time(run())


def test_an_answer_that_does_not_come_is_an_error_and_the_end() -> None:
    async def run() -> None:
        talk = Talk(FakeLines("one"))
        async with talk.typed.reading():
            await asyncio.sleep(0.1)
            talk.typed(UserText(1, "one", typed=True), 0.0)
            await asyncio.sleep(OWED_ANSWER_TIMEOUT_S + 1)
        assert talk.left_s is not None
        assert talk.typed.unanswered is not None

    run_in_virtual_time(run())


def test_lines_of_a_terminal_do_not_wait_and_its_end_leaves_at_once() -> None:
    async def run() -> None:
        talk = Talk(FakeLines("one", "two", is_terminal=True))
        async with talk.typed.reading():
            await asyncio.sleep(1)
        assert [at_s for _, at_s in talk.sent] == [0.0, 0.0]
        assert talk.left_s == 0.0

    run_in_virtual_time(run())


def test_leaving_the_block_ends_the_reading() -> None:
    async def run() -> None:
        talk = Talk(FakeLines(*["/help"] * 10_000))
        async with talk.typed.reading():
            await asyncio.sleep(0.1)
        shown = len(talk.shown)
        await asyncio.sleep(1)
        assert len(talk.shown) == shown

    run_in_virtual_time(run())
