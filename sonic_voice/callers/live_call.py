"""A call that is driven from outside, turn by turn.

    call = LiveCall(voice, speaker)
    task = create_task(target.converse(call))
    turn = await call.say(ScriptedTurn("Hello."))      # the answer has been heard to its end
    call.hang_up()
    await task

On virtual time no time passes between two turns: however long the next one is waited for, the
application hears it half a second after its answer.
"""

import asyncio
from collections import deque
from typing import Literal

from ..audio.ports import AudioSink
from ..events import Audio, Event
from ..transcript import Transcript
from ..virtual_time import VirtualTimeLoop
from .caller_source import CallerSource
from .conversation_log import ConversationLog
from .director import Director, Utterance
from .records import ScriptedTurn
from .results import ObservedTurn
from .speech import CallerVoice

EVENTS_KEPT = 10_000
"""Maximum number of events that are kept. When it is exceeded, the oldest are dropped."""


class LiveCall:
    """The caller's end of a conversation whose turns come from outside. See `runner.Caller`.

    Args:
        voice: Speaks the words of the turns.
        speaker: The voice of the service whose local counterpart speaks them.
        greeted: Whether the assistant speaks first.
    """

    def __init__(self, voice: CallerVoice, speaker: str, *, greeted: bool) -> None:
        self.source = CallerSource(voice.format, self._direct)
        self.events: deque[tuple[int, float, Event]] = deque(maxlen=EVENTS_KEPT)
        """Events but for sound, each with its number from 1 and its time in seconds."""
        self._voice = voice
        self._speaker = speaker
        self._greeted = greeted
        self._event_count = 0
        self._log: ConversationLog | None = None
        self._director: Director | None = None
        self._waiting: asyncio.Queue[Utterance | None] = asyncio.Queue(2)
        """The next turn, and None for the end after it."""
        self._hung_up = False
        self._answered: asyncio.Future[ObservedTurn] | None = None
        self._speaks = asyncio.Lock()
        self._ready = asyncio.Event()

    def begin(self, transcript: Transcript, sink: AudioSink) -> None:
        """See `Caller`."""
        self._log = ConversationLog(transcript, greeted=self._greeted)
        self._director = Director(self._log, sink, self._next, reads_ahead=False)

    def observe(self, event: Event, now: float) -> None:
        """See `Caller`."""
        if self._log is not None:
            self._log(event, now)
        if not isinstance(event, Audio):
            self._event_count += 1
            self.events.append((self._event_count, now, event))

    async def ready(self) -> ObservedTurn | None:
        """Wait until the conversation has begun, and the greeting was heard.

        Returns:
            What the assistant said first; None if it said nothing.
        """
        await self._ready.wait()
        assert self._log is not None
        first = self._log.observed()[:1]
        return first[0] if first and not first[0].number else None

    async def say(self, turn: ScriptedTurn) -> ObservedTurn:
        """Say something, and return what was observed once the answer was heard to its end.

        Turns that are said at the same time wait for each other. Cancelling it leaves the
        conversation as it is; the answer is then not reported.

        Args:
            turn: What is said.

        Raises:
            AudioError: There is nothing to speak, or the sound file cannot be read.
        """
        async with self._speaks:
            await self._ready.wait()
            pcm = await self._voice.speak(turn, self._speaker)
            self._answered = asyncio.get_running_loop().create_future()
            await self._waiting.put(Utterance(pcm, turn))
            return await self._answered

    def hang_up(self) -> None:
        """End the conversation with a goodbye, after an answer that sounds. May be repeated."""
        if not self._hung_up:
            self._hung_up = True
            self._waiting.put_nowait(None)

    async def _direct(self) -> None:
        if self._director is not None:
            await self._director.before_chunk(self.source)

    async def _next(self, number: int) -> Utterance | Literal["later"] | None:
        """Report the answer that is over, and return the next turn."""
        self._ready.set()
        if self._answered is not None and not self._answered.done() and self._waiting.empty():
            assert self._log is not None
            self._answered.set_result(self._log.observed()[-1])
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualTimeLoop):
            with loop.hold():
                return await self._waiting.get()
        return "later" if self._waiting.empty() else self._waiting.get_nowait()
