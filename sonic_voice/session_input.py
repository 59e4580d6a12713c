"""The input of a session, on whichever stream is live.

The user's audio goes to the live stream and into the ring. While no stream is live, it only goes
into the ring; typed texts and the results of lost tool calls wait as well, and are sent when a
stream goes live. The owner of the audio waits while the live stream's outbox or the ring is full.

Each tool call gets exactly one result. The result of a call that was made on an earlier stream is
sent to the live one as text.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable

from .config import SessionConfig
from .errors import AudioError, OrderError
from .events import Event, ToolAnswered, ToolCall
from .handover import Handover, late_result_text, result_note
from .protocol import check_result, check_text, no_open_call
from .service_stream import MAX_AUDIO_CHUNK_BYTES, ServiceStream
from .snapshot import SessionSnapshot, results_by_turn
from .uplink_ring import RING_S, UplinkRing

RING_MARGIN_S = 1.0
"""Room that is left in the ring when a sender begins to wait, in seconds."""

UNANSWERED_S = 10.0
"""Maximum length of earlier speech for which the ring keeps room during an outage, in seconds."""

TEXTS_WAITING = 32
"""Maximum number of typed texts that wait for a stream; more are refused."""


TURNS_WITH_RESULTS = 32
"""Maximum number of turns whose tool results are kept for the history, the newest ones."""


class SessionInput:
    """The input of one session.

    Args:
        config: The configuration of the session; it may be replaced.
        over: The future that is done when the session is over.
        push: Called with the events of typed turns and answered calls.
        clock: Returns monotonic seconds on the time line of the conversation.
        on_audio: Called after each chunk of audio.
    """

    def __init__(
        self,
        config: SessionConfig,
        over: "asyncio.Future[None]",
        *,
        push: Callable[[Event], object],
        clock: Callable[[], float],
        on_audio: Callable[[], object],
    ) -> None:
        self.config = config
        self.ring = UplinkRing(config.input)
        self.results: dict[int, list[str]] = {}
        """Results of tools, for each turn, as texts for the history."""
        self._audio_began_s: float | None = None
        self.lost_calls: dict[str, ToolCall] = {}
        """Tool calls of earlier streams whose result is owed, by their ids."""
        self._sentences: dict[str, list[str]] = {}
        """Sentences of the results that are being sent, by the ids of the calls."""
        self.finished = False
        """True once the goodbye was said."""
        self._over = over
        self._push = push
        self._clock = clock
        self._on_audio = on_audio
        self.stream: ServiceStream | None = None
        """The stream that was attached last, which may be over; None if it was detached."""
        self._kept_from = 0
        self._waiting: deque[Callable[[ServiceStream], object]] = deque()
        self._changed = asyncio.Event()

    def restore(self, snapshot: SessionSnapshot) -> None:
        """Begin where a snapshot was taken. To be called before any audio.

        Args:
            snapshot: The snapshot, which has audio in the format of the session, if any.
        """
        self.lost_calls = {call.tool_use: call for call in snapshot.calls}
        self.results = results_by_turn(snapshot)
        self.ring.append(snapshot.audio)

    @property
    def live(self) -> ServiceStream | None:
        """The live stream; None while there is none, or if it is over."""
        stream = self.stream
        return None if stream is None or stream.over.done() else stream

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """Tool calls whose result is owed, of all streams."""
        calls = dict(self.lost_calls)
        if self.stream is not None:
            calls |= {call.tool_use: call for call in self.stream.progress.calls}
        return tuple(calls.values())

    @property
    def audio_began_s(self) -> float | None:
        """Time to which the offsets of the service's next events refer; None before any audio.

        In seconds of the clock of the conversation: when its audio began, less what the service's
        clock is ahead.
        """
        if self._audio_began_s is None:
            return None
        return self._audio_began_s - (self.stream.surplus_s if self.stream is not None else 0.0)

    def attach(self, stream: ServiceStream, handover: Handover) -> int:
        """Make a stream the live one, and send it what was kept.

        Args:
            stream: The stream, which has received the start of its audio.
            handover: What it begins with.

        Returns:
            The length of the audio that is replayed, in ms.
        """
        replay = self.ring.since(handover.replay_from)
        stream.go_live(handover.recording + replay)
        if handover.prompt:
            stream.prompt(handover.prompt)
        if handover.recording:
            stream.expect_recording(lambda: self.ring.voice_begins(0) is not None)
        if self.stream is None and self.ring.end:
            # Time went on without audio, if the source delivered none while no stream was live.
            self._audio_began_s = self._clock() - self.config.input.seconds(self.ring.end)
        self.stream = stream
        while self._waiting:
            self._waiting.popleft()(stream)
        self.wake()
        return round(1000 * self.config.input.seconds(len(replay)))

    def detach(self, unanswered: int) -> None:
        """Keep what comes from now on, because the live stream is over.

        Args:
            unanswered: Size of the audio before that was not answered, in bytes. The ring keeps it,
                up to `UNANSWERED_S`.
        """
        self.stream = None
        kept = min(unanswered, self.config.input.size(UNANSWERED_S))
        self._kept_from = self.ring.end - kept
        self.wake()  # a sender that came earlier measured the room from the detachment before

    def wake(self) -> None:
        """Wake a waiting sender, because a stream is live or the session is over."""
        self._changed.set()

    def add_silence(self, stream: ServiceStream, pcm: bytes) -> None:
        """Record silence that a stream has sent because no audio came.

        Args:
            stream: The stream.
            pcm: The silence, as PCM.
        """
        if stream is self.stream:
            self._record(pcm)

    async def send_audio(self, pcm: bytes) -> None:
        """Send or keep audio. Waits while neither is possible.

        Args:
            pcm: s16le mono PCM of any length.

        Raises:
            AudioError: `pcm` is not a whole number of samples.
            OrderError: The goodbye was said, or the session is over.
            SonicError: The error that ended the session.
        """
        if len(pcm) % 2:
            raise AudioError(
                f"{len(pcm)} bytes are not a whole number of samples.", hint="Send s16le mono PCM."
            )
        for begin in range(0, len(pcm), MAX_AUDIO_CHUNK_BYTES):
            chunk = pcm[begin : begin + MAX_AUDIO_CHUNK_BYTES]
            stream = await self._room()
            self._record(chunk if stream is None else stream.send_audio(chunk))
            if stream is not None and stream.rushed:
                await asyncio.sleep(0)

    def offer_audio(self, pcm: bytes) -> bool:
        """Send audio if that can be done without waiting, and return whether it was sent.

        Args:
            pcm: s16le mono PCM of any length.
        """
        size = len(pcm)
        if self.stream is None or self.finished or self._over.done():
            return False
        if size % 2 or not 0 < size <= MAX_AUDIO_CHUNK_BYTES:
            return False
        sent = self.stream.offer_audio(pcm)
        if sent is None:
            return False
        self._record(sent)
        return True

    def _record(self, pcm: bytes) -> None:
        """Add audio that was sent, or is only kept, to the ring."""
        if self._audio_began_s is None:
            self._audio_began_s = self._clock() - self.config.input.seconds(len(pcm))
        self.ring.append(pcm)
        self._on_audio()

    async def _room(self) -> ServiceStream | None:
        """Wait for room, and return the live stream; None if the audio is only kept."""
        while True:
            self._check_open("audio")
            stream = self.live
            if stream is None:
                kept_s = self.config.input.seconds(self.ring.end - self._kept_from)
                if kept_s < RING_S - RING_MARGIN_S:
                    return None
                self._changed.clear()
                await self._changed.wait()
            elif stream.has_room:
                return stream
            else:
                await stream.wait_for_room()

    def send_text(self, text: str) -> None:
        """Send a typed turn of the user, or keep it until a stream is live.

        Args:
            text: The words of the turn.

        Raises:
            OrderError: The model takes no text, `text` is blank, too many texts wait, or the
                goodbye was said.
            SonicError: The error that ended the session.
        """
        check_text(self.config, text)
        self._check_open("text")
        stream = self.live
        if stream is not None:
            self._push(stream.send_text(text))
        else:
            if len(self._waiting) >= TEXTS_WAITING:
                raise OrderError(
                    f"{TEXTS_WAITING} texts wait for the connection already.",
                    hint="Send more once the session is connected.",
                )
            self._waiting.append(lambda live: self._push(live.send_text(text)))

    def send_prompt(self, text: str) -> None:
        """Send a text that is no turn of the user, or keep it until a stream is live.

        Args:
            text: The text.
        """
        stream = self.live
        if stream is not None:
            stream.prompt(text)
        else:  # as many as there are lost calls and prompts of the session, which are few
            self._waiting.append(lambda live: live.prompt(text))

    def send_tool_result(self, tool_use: str, result_json: str, *, is_spoken: bool = True) -> None:
        """Answer a tool call, on whichever stream it was made.

        Args:
            tool_use: The id of the call.
            result_json: A JSON object as a string.
            is_spoken: Whether the model is to speak about the result.

        Raises:
            OrderError: No such call waits for a result, or `result_json` is not a JSON object.
            SonicError: The error that ended the session.
        """
        check_result(result_json)
        self._raise_if_over()
        call = self.lost_calls.pop(tool_use, None)
        if call is None:
            stream = self.stream
            if stream is None or not stream.has_call(tool_use):
                raise no_open_call(tool_use)
            call = stream.send_tool_result(tool_use, result_json, is_spoken=is_spoken)
        elif is_spoken and self.config.voice_model.text_input:
            self.send_prompt(late_result_text(call, result_json))
        # Without text, the result still stands in the history of the next stream.
        self.results.setdefault(call.turn, []).append(result_note(call, result_json))
        while len(self.results) > TURNS_WITH_RESULTS:
            del self.results[next(iter(self.results))]
        self._push(ToolAnswered(call.turn, tool_use, call.name, result_json))

    def send_result_sentence(self, tool_use: str, sentence: str) -> None:
        """Send a sentence of the result of an `ExpertTool` call on the stream that made the call.

        Args:
            tool_use: The id of the call.
            sentence: The sentence, which the service speaks.

        Raises:
            OrderError: No such call waits for a result, because it was answered or its stream is
                over; or `sentence` is blank.
            SonicError: The error that ended the session.
        """
        self._stream_of(tool_use).send_result_sentence(tool_use, sentence)
        self._sentences.setdefault(tool_use, []).append(sentence)

    def end_result(self, tool_use: str) -> None:
        """End the result of an `ExpertTool` call. Nothing is sent if it has no sentence.

        Args:
            tool_use: The id of the call.

        Raises:
            OrderError: No such call waits for a result.
            SonicError: The error that ended the session.
        """
        sentences = self._sentences.pop(tool_use, [])
        call = self._stream_of(tool_use).end_result(tool_use)
        text = json.dumps({"text": " ".join(sentences)}, ensure_ascii=False)
        self._push(ToolAnswered(call.turn, tool_use, call.name, text))

    def _stream_of(self, tool_use: str) -> ServiceStream:
        self._raise_if_over()
        stream = self.live
        if stream is None or not stream.has_call(tool_use):
            raise no_open_call(tool_use)
        return stream

    def _check_open(self, what: str) -> None:
        self._raise_if_over()
        if self.finished:
            raise OrderError(f"Cannot send {what} now: the session is closed.")

    def _raise_if_over(self) -> None:
        if self._over.done():
            self._over.result()
            raise OrderError("The session is over.", hint="Open a new one.")
