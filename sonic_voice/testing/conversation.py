"""A conversation under test: a caller that the test directs, and the turns that follow.

    async with conversation(config, tools) as call:
        turn = await call.say("What is the weather in Paris?")
        turn.called("weather", city="Paris")
        turn.assistant_said("18 degrees")

Time passes only within the methods that are awaited here, and stands still between them. `Line`
says how.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..audio.pcm import Resampler
from ..errors import ConfigError
from ..session import Session
from .application import Application
from .exchange import ServiceTurn, TimedEvent
from .known_speech import KnownSpeech, Utterance
from .line import Line
from .transcript_text import StableText, turn_lines
from .turn import Turn, Words, plain_words, words_position
from .wire_text import WireText

if TYPE_CHECKING:
    from .emulator_thread import ClientMistake

ANSWER_WITHIN_S = 60.0
"""Default of the maximum time that an answer may take to its end, in seconds of the conversation's
clock: the longest answers of voice agents last less than a minute."""

FINAL_TEXTS_S = 0.32
"""Time for which the conversation goes on after an answer was heard to its end, in seconds, so that
its FINAL texts have come. The service sends them when the sentence was played."""

GOODBYE_S = 20.0
"""Maximum time that the application has to end after the caller has hung up, in seconds of the
wall clock: twice the default deadline of a session's goodbye."""

HANG_UP_S = 1.0
"""Maximum time that the application has to end after the test has failed, in seconds of the wall
clock. It may be hanging, and its goodbye does not matter any more."""

type Say = Utterance | str
"""Something that the caller says: an utterance, or a text that is spoken by the local voice."""


class Conversation:
    """One conversation with an application. An async context manager, which may be entered once.

    Leaving it hangs up, and waits until the application has said goodbye and returned. It then
    raises the error with which the application ended, unless the body raised one.
    """

    def __init__(
        self,
        application: Application,
        new_line: Callable[[], Line],
        *,
        utterance: Callable[[Say, int], Utterance],
        known_speech: KnownSpeech | None = None,
        unmet: Callable[[], "Sequence[ClientMistake]"] = tuple,
        on_closed: Callable[[bool], None] = lambda good: None,
    ) -> None:
        """Prepare a conversation.

        Args:
            application: The application.
            new_line: Connects the line. It is called when the conversation is entered.
            utterance: Returns what is said at a sample rate in Hz.
            known_speech: Where the words of the caller are left for the emulator's recogniser.
            unmet: Returns the expectations of the scenario that did not hold.
            on_closed: Called at the end, with whether the conversation has ended well. What it
                raises ends the conversation with an error.
        """
        self.turns: list[Turn] = []
        """The turns so far, in their order."""
        self.session: Session | None = None
        """The session, if the test kit has opened it (`conversation(config, tools)`)."""
        self._application = application
        self._new_line = new_line
        self._utterance = utterance
        self._known_speech = known_speech
        self._unmet = unmet
        self._on_closed = on_closed
        self._open_line: Line | None = None
        self._running: asyncio.Task[object] | None = None

    # -- the caller ----------------------------------------------------------------------------

    async def say(self, what: Say, *, within_s: float = ANSWER_WITHIN_S) -> Turn:
        """Say something, and listen to the answer to its end. It interrupts an answer in progress.

        Args:
            what: What is said.
            within_s: Maximum time from the end of the words to the end of the answer, in seconds.

        Returns:
            The turn.

        Raises:
            AssertionError: There was no answer in time.
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        turn = await self.ask(what)
        await self.listen(turn, within_s=within_s)
        return turn

    async def ask(self, what: Say) -> Turn:
        """Say something, and return when the last word was said. It interrupts an answer.

        Args:
            what: What is said.

        Returns:
            The turn, of which nothing is known yet.

        Raises:
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        line = self._line
        utterance = self._utterance(what, line.source.format.rate_hz)
        pcm = _resampled(utterance, line.source.format.rate_hz)
        if self._known_speech is not None and utterance.text is not None:
            self._known_speech.add(pcm, utterance.text)
        turn = self._new_turn()
        line.queue_speech(pcm)
        await self._pass_until(lambda: not line.speaking, utterance.seconds + 1)
        return turn

    async def send_text(self, text: str, *, within_s: float = ANSWER_WITHIN_S) -> Turn:
        """Send a typed turn, and listen to the answer to its end.

        Args:
            text: The words.
            within_s: Maximum time to the end of the answer, in seconds.

        Returns:
            The turn.

        Raises:
            ConfigError: The application has opened the session itself.
            AssertionError: There was no answer in time.
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        if self.session is None:
            raise ConfigError(
                "The test kit cannot type into a session that the application has opened.",
                hint="Open the conversation with conversation(config, tools).",
            )
        turn = self._new_turn()
        self.session.send_text(text)
        await self.listen(turn, within_s=within_s)
        return turn

    async def greeting(self, *, within_s: float = ANSWER_WITHIN_S) -> Turn:
        """Say nothing, and listen to the assistant, which speaks first, to the end.

        Args:
            within_s: Maximum time to the end of the greeting, in seconds.

        Returns:
            The turn.

        Raises:
            AssertionError: There was no greeting in time.
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        turn = self._new_turn()
        await self.listen(turn, within_s=within_s)
        return turn

    async def listen(self, turn: Turn | None = None, *, within_s: float = ANSWER_WITHIN_S) -> None:
        """Listen until an answer was heard to its end.

        Args:
            turn: Its turn; None for the newest one.
            within_s: Maximum time to its end, in seconds.

        Raises:
            AssertionError: The answer did not come to its end in time.
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        line, waited_for = self._line, turn or self._newest_turn()

        def is_heard() -> bool:
            return waited_for.answered and line.sink.pending_s <= 0

        if not await self._pass_until(is_heard, within_s):
            raise self._failure(
                f"Turn {waited_for.position}: no answer was heard to its end within "
                f"{within_s:g} s of the conversation"
            )
        await self.wait(FINAL_TEXTS_S)

    async def heard_until(self, words: Words, *, within_s: float = ANSWER_WITHIN_S) -> Turn:
        """Listen until some words of the newest answer have been heard.

        Args:
            words: The words.
            within_s: Maximum time until then, in seconds.

        Returns:
            The turn that the words are in.

        Raises:
            AssertionError: The words were not heard in time.
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        turn = self._newest_turn()

        def is_heard() -> bool:
            heard = turn.heard
            text = plain_words(heard) if isinstance(words, str) else heard
            return words_position(words, text) is not None

        def is_settled() -> bool:  # an answer that was heard to its end has no more words
            return is_heard() or (turn.answered and self._line.sink.pending_s <= 0)

        await self._pass_until(is_settled, within_s)
        if not is_heard():
            wanted = words if isinstance(words, str) else words.pattern
            raise self._failure(
                f"Turn {turn.position}: {wanted!r} was not heard within {within_s:g} s.\n"
                f"The assistant said: {turn.heard or '(nothing)'}"
            )
        return turn

    async def wait(self, seconds: float) -> None:
        """Say nothing for some time.

        Args:
            seconds: The time, in seconds of the conversation's clock.

        Raises:
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        await self._pass_until(lambda: False, seconds)

    # -- what happened -------------------------------------------------------------------------

    @property
    def events(self) -> list[TimedEvent]:
        """All events but `Audio`, with their times, in their order."""
        return self._line.record.events

    @property
    def transcript(self) -> StableText:
        """The transcript as it was heard, without times: a text for snapshots."""
        heard = self._line.record.heard_so_far
        lines = (turn_lines(turn.position, turn.parts, heard, times=False) for turn in self.turns)
        return StableText("\n".join(line for turn in lines for line in turn))

    @property
    def timed_transcript(self) -> StableText:
        """The transcript as it was heard, with times: a text for snapshots."""
        return StableText("\n".join(map(repr, self.turns)))

    @property
    def wire(self) -> StableText:
        """The payloads in both directions, without ids and sound: a text for snapshots."""
        line = self._line
        writer = WireText(line.source.format.rate_hz, line.sink.format.rate_hz)
        return StableText("\n".join(writer.lines(line.payloads)))

    @property
    def now_ms(self) -> int:
        """Time since the conversation began, in ms of its clock."""
        return self._line.now_ms

    @property
    def line(self) -> Line:
        """The line over which the conversation is held."""
        return self._line

    def __repr__(self) -> str:
        # A `str` and no subclass of it: reports of failed tests are sent between processes.
        return (
            "Conversation, not entered" if self._open_line is None else str(self.timed_transcript)
        )

    # -- entering and leaving ------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._open_line is not None:
            raise ConfigError("A conversation is entered once.", hint="Make another one.")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError(
                "A conversation needs an event loop of asyncio.",
                hint="With anyio, have the fixture anyio_backend return 'asyncio'.",
            ) from None
        line = self._open_line = self._new_line()
        line.record.on_new_turn(self._bind)
        self._running = asyncio.ensure_future(self._application(line))
        try:
            await line.rest(self._running)
            self._raise_end()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        running = self._task
        already_over = running.done()
        self._line.hang_up()
        try:
            async with asyncio.timeout(GOODBYE_S if error is None else HANG_UP_S):
                await asyncio.wait([running])
        except TimeoutError:
            if error is None:
                raise self._failure(
                    f"The application did not end within {GOODBYE_S:g} s after the caller hung up"
                ) from None
        finally:
            await self._stop()
        good = False
        try:
            if error is None:
                self._check_end(already_over=already_over)
            good = error is None
        finally:
            self._on_closed(good)

    def _check_end(self, *, already_over: bool) -> None:
        """Raise the error with which the application ended, or what the scenario has missed."""
        if not already_over:
            self._raise_end()
        if unmet := self._unmet():
            raise self._failure(
                "The scenario expected something else:\n"
                + "\n".join(f"- {mistake.text}" for mistake in unmet)
            )

    async def _stop(self) -> None:
        """Cancel the application if it still runs, and close the line."""
        running = self._task
        running.cancel()
        await asyncio.wait([running])
        await self._line.aclose()
        if not running.cancelled():
            running.exception()  # it was raised, or the error of the body says more

    # ------------------------------------------------------------------------------------------

    @property
    def _line(self) -> Line:
        if self._open_line is None:
            raise ConfigError("The conversation is not open.", hint="Enter it with `async with`.")
        return self._open_line

    @property
    def _task(self) -> asyncio.Future[object]:
        assert self._running is not None
        return self._running

    def _raise_end(self) -> None:
        """Raise the error with which the application has ended, if it has."""
        if self._task.done():
            self._task.result()

    async def _pass_until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until something holds, and return whether it does.

        Raises:
            AssertionError: The application has ended the conversation before.
            SonicError: The error that ended the conversation.
        """
        __tracebackhide__ = True
        line, latest_ms = self._line, self._line.now_ms + round(1000 * within_s)
        if not self._task.done():
            await line.rest(self._task)  # the test may have changed something
        while not holds():
            if line.now_ms >= latest_ms:
                return False
            if not self._task.done():
                await line.step(self._task)
            if self._task.done():
                self._raise_end()
                if holds():
                    return True
                raise self._failure("The application ended the conversation")
        return True

    def _new_turn(self) -> Turn:
        turn = Turn(len(self.turns) + 1, self._line.record)
        turn.place_among(lambda: self.turns)
        self.turns.append(turn)
        return turn

    def _newest_turn(self) -> Turn:
        if not self.turns:
            raise ConfigError("Nothing was said yet.", hint="await call.say(...) first.")
        return self.turns[-1]

    def _bind(self, part: ServiceTurn) -> None:
        """Add a new turn of the service to the turn of the test that it belongs to: the oldest one
        that has none, else the newest one."""
        waiting = [turn for turn in self.turns if not turn.parts]
        if waiting:
            waiting[0].parts.append(part)
        elif self.turns:
            self.turns[-1].parts.append(part)
        else:
            self._new_turn().parts.append(part)

    def _failure(self, what: str) -> AssertionError:
        __tracebackhide__ = True
        transcript = self.timed_transcript or "(nothing was said)"
        return AssertionError(f"{what}.\n\nTranscript at {self.now_ms / 1000:.2f} s:\n{transcript}")


def _resampled(utterance: Utterance, rate_hz: int) -> bytes:
    if utterance.rate_hz == rate_hz:
        return utterance.pcm
    resampler = Resampler(utterance.rate_hz, rate_hz)
    return resampler.feed(utterance.pcm) + resampler.finish()
