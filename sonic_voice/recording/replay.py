"""Replay: a transport whose service is a tape.

    tape = read_tape(Path("conversation.tape"))
    async with Replay(tape, strict=True) as transport:
        async with Session.open(config, transport) as session: ...

The n-th stream that is opened is the n-th stream of the tape. Each answer of the tape's service
comes at its place in the input: once the client has sent as many steps and as much audio as the
client of the tape had (`stream_scripts`). Once the client has ended its input, the rest comes. With
a `speed`, an answer comes as long after its place as on the tape, divided by the speed.

A client that sends more audio than `PATIENCE_S` beyond such a place without the steps gets the
answer all the same, as it would from a service.

In strict mode, what the client sends is compared with the tape (`step_comparison`). The first
difference ends every stream with a `ReplayDifference`, which `Session` raises. Words are not
compared with those of a redacted tape, which are filler.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self

from ..config import BYTES_PER_SAMPLE
from ..errors import ConfigError, ConnectionLost, SonicError
from ..transport import Sink
from .client_steps import CallLabels, ClientStep, StepReader
from .records import Tape
from .step_comparison import Difference, StreamComparison, read_input
from .stream_scripts import ScriptedAnswer, StreamScript, recorded_error, stream_scripts

PATIENCE_S = 20.0
"""Audio beyond the place of an answer after which it comes although steps are missing, in seconds.
It is as long as a tool may run."""


class ReplayDifference(SonicError):
    """A client that does not send what the client of a tape sent."""

    def __init__(self, difference: Difference) -> None:
        """Build the error.

        Args:
            difference: The first difference.
        """
        super().__init__(f"The conversation differs from the tape. {difference.text}")
        self.difference = difference


class ReplayEnded(SonicError):
    """A stream that the tape does not have."""


class Replay:
    """A `Transport` whose streams come from a tape. One replay serves one conversation."""

    def __init__(self, tape: Tape, *, strict: bool = False, speed: float = math.inf) -> None:
        """Prepare the streams of a tape.

        Args:
            tape: The tape.
            strict: Whether the client must send what the client of the tape sent.
            speed: How many times faster than on the tape the service reacts; `inf` if answers come
                as soon as the client has sent what they answer.

        Raises:
            ConfigError: The tape has no stream, or `speed` is not above 0.
        """
        if not speed > 0:
            raise ConfigError(f"The speed of a replay must be above 0, not {speed}.")
        self._scripts, self._labels = stream_scripts(tape)
        if not self._scripts:
            raise ConfigError("The tape has no stream to replay.")
        self.difference: Difference | None = None
        """The first difference between the client and the tape; None if none was found, or outside
        of strict mode."""
        self._strict = strict
        self._words = not tape.header.redacted
        self._speed = speed
        self._streams: list[ReplayStream] = []

    @property
    def streams_left(self) -> int:
        """Number of streams of the tape that were not opened."""
        return len(self._scripts) - len(self._streams)

    async def open(self, model: str) -> "ReplayStream":
        """See `Transport`.

        Raises:
            ReplayEnded: All streams of the tape were opened.
            ReplayDifference: The client differs from that of the tape.
        """
        if self.difference is not None:
            raise ReplayDifference(self.difference)
        if not self.streams_left:
            if self._strict:
                self._report(self._extra_stream())
            raise ReplayEnded(
                f"The tape has {len(self._scripts)} streams, and the client opens one more."
            )
        script = self._scripts[len(self._streams)]
        comparison = self._comparison(script) if self._strict else None
        stream = ReplayStream(script, self._labels, comparison, self._report, speed=self._speed)
        self._streams.append(stream)
        if self._strict and model != script.model:
            self._report(self._other_model(script, model))
        return stream

    def forget_credentials(self) -> None:
        """See `Transport`. A tape needs none."""

    async def aclose(self) -> None:
        """See `Transport`."""
        for stream in self._streams:
            await stream.aclose()

    def check(self) -> None:
        """Check that the client has sent what the client of the tape sent, to the end.

        Outside of strict mode it does nothing.

        Raises:
            ReplayDifference: It has not.
        """
        if not self._strict:
            return
        if self.difference is None and self.streams_left:
            number = self._scripts[len(self._streams)].number
            self.difference = Difference(number, 1, f"The client did not open stream {number}.", "")
        if self.difference is not None:
            raise ReplayDifference(self.difference)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the streams, and check the client if the block has raised nothing."""
        await self.aclose()
        if error is None:
            self.check()

    def _comparison(self, script: StreamScript) -> StreamComparison:
        return StreamComparison(
            read_input(script.sent, self._labels, words=self._words),
            self._labels,
            stream=script.number,
            last=script is self._scripts[-1],
            words=self._words,
        )

    def _report(self, difference: Difference) -> None:
        """Keep the first difference, and end every stream with it."""
        if self.difference is not None:
            return
        self.difference = difference
        for stream in self._streams:
            stream.abort(ReplayDifference(difference))
        raise ReplayDifference(difference)

    def _extra_stream(self) -> Difference:
        number = len(self._scripts) + 1
        return Difference(
            number, 1, f"The client opened stream {number}, which the tape does not have.", ""
        )

    def _other_model(self, script: StreamScript, model: str) -> Difference:
        sentence = f"The client opened stream {script.number} to another model."
        return Difference(script.number, 1, sentence, f"-{script.model}\n+{model}")


class ReplayStream:
    """A `Stream` of a tape."""

    def __init__(
        self,
        script: StreamScript,
        labels: CallLabels,
        comparison: StreamComparison | None,
        report: Callable[[Difference], None],
        *,
        speed: float,
    ) -> None:
        """Begin the stream.

        Args:
            script: The stream of the tape.
            labels: Labels of the tool calls of the tape.
            comparison: The comparison of what the client sends; None for none.
            report: Called with the first difference; it raises the error of the stream.
            speed: How many times faster than on the tape the service reacts.
        """
        self.credentials_expire_at: datetime | None = None
        self._script = script
        self._comparison = comparison
        self._report = report
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._reached_s: list[float] = []
        """Times at which the places of the first answers were reached, in seconds of the loop."""
        self._reader = StepReader(labels)
        self._steps = 0
        self._next = 0
        self._input_ended = False
        self._over: SonicError | None = None
        self._ended = False
        self._changed = asyncio.Event()
        self._note_reached()

    async def send(self, payload: bytes) -> None:
        """See `Stream`."""
        self._raise_if_over()
        self._steps += isinstance(self._reader.read(payload), ClientStep)
        self._note_reached()
        if self._comparison is not None and (difference := self._comparison.feed(payload)):
            self._report(difference)

    def offer(self, payload: bytes) -> bool:
        """Send nothing; see `Stream`. All payloads go through `send`."""
        return False

    async def accepted(self) -> None:
        """See `Stream`."""
        if self._script.refused:
            await self.receive()

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """Return the next payload; see `Stream`. The sink is never called."""
        while True:
            self._raise_if_over()
            answer = self._next_answer()
            if self._ended or (answer is None and self._input_ended):
                return None
            wait_s = self._wait_s(answer)
            if answer is not None and wait_s <= 0:
                self._next += 1
                if answer.payload is not None:
                    return answer.payload
                return self._end(answer.error)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(wait_s) else wait_s):
                    await self._changed.wait()

    async def end_input(self) -> None:
        """See `Stream`."""
        self._raise_if_over()
        self._input_ended = True
        self._note_reached()
        self._finish_comparison()

    def abort(self, error: SonicError) -> None:
        """See `Stream`."""
        if self._over is None:
            self._over = error
        self._changed.set()

    async def aclose(self) -> None:
        """See `Stream`."""
        if self._over is None:
            self._over = ConnectionLost("The stream was closed.", reason="ended")
            if not self._ended:
                with suppress(ReplayDifference):  # `Replay.check` raises it
                    self._finish_comparison()
        self._changed.set()

    def _finish_comparison(self) -> None:
        if self._comparison is not None and (difference := self._comparison.finish()):
            self._report(difference)

    def _raise_if_over(self) -> None:
        if self._over is not None:
            raise self._over

    def _next_answer(self) -> ScriptedAnswer | None:
        answers = self._script.answers
        return answers[self._next] if self._next < len(answers) else None

    def _note_reached(self) -> None:
        """Note which places of answers the client has reached, and wake the receiver."""
        answers = self._script.answers
        while (at := len(self._reached_s)) < len(answers) and (
            self._input_ended or self._is_at(answers[at])
        ):
            self._reached_s.append(self._loop.time())
        self._changed.set()

    def _wait_s(self, answer: ScriptedAnswer | None) -> float:
        """Return the time until an answer is due, in seconds; `inf` if input is missing."""
        if answer is None or self._next >= len(self._reached_s):
            return math.inf
        due_s = self._reached_s[self._next] + answer.after_s / self._speed
        return due_s - self._loop.time()

    def _is_at(self, answer: ScriptedAnswer) -> bool:
        """Return whether the client has sent what an answer answers."""
        beyond_bytes = self._reader.audio_bytes - answer.audio_bytes
        patience_bytes = PATIENCE_S * self._reader.rate_hz * BYTES_PER_SAMPLE
        return beyond_bytes >= 0 and (self._steps >= answer.steps or beyond_bytes > patience_bytes)

    def _end(self, error: str) -> None:
        """End the stream as the service did on the tape."""
        self._ended = True
        if error:
            self._over = recorded_error(error)
            raise self._over
