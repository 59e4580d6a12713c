"""The ledger of a conversation in numbered words: what was said, and what became of it.

The user says numbered words (`tone_words`), the emulator's brain answers each one with another
number, and a tool is called for some. Everything can then be counted, in the sound itself:

- each word of the user must be transcribed exactly once, and in order;
- the answer to each word must reach the sink, unless the user interrupted it;
- each tool call must have exactly one result.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sonic_voice.config import AudioFormat
from sonic_voice.emulator.scenario import Recording
from sonic_voice.emulator.service.brain import ConversationSetup, Reply, ToolRequest
from sonic_voice.events import (
    Audio,
    Event,
    Interrupted,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserSpeechStarted,
    UserText,
)
from sonic_voice.handover import CONTINUE_TEXT

from . import tone_words

ANSWER_BASE = 5000
"""The answer to word n is the word n + 5000."""
NOTHING_MORE = "9999"
"""The answer of a stream that is to continue an answer of which everything was heard."""
TOOL_EVERY = 9
"""A tool is called for an utterance that contains a multiple of this number."""
TOOL = "look_up"
CHUNK_S = 0.032
NUMBER = re.compile(r"\b\d{1,4}\b")
RESULT_NOTE = re.compile(r"\[.*?\]")
"""The result of a tool in the history."""


# -- the emulator's side ---------------------------------------------------------------------------


class LevelDetector:
    """A voice activity detector that hears any sound, at no cost. Implements `SpeechDetector`."""

    def probability(self, window: bytes) -> float:
        samples = memoryview(window).cast("h")
        return float(max(samples, default=0) > tone_words.LOUD)


class ToneRecognizer:
    """A recogniser of numbered words. Implements `UtteranceRecognizer`."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._pcm = bytearray()

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm

    def finish(self) -> str:
        words = tone_words.decode(bytes(self._pcm), self._rate_hz)
        return " ".join("garbled" if word == tone_words.GARBLED else str(word) for word in words)

    def cancel(self) -> None:
        self._pcm.clear()


def speak(text: str, voice: str, rate_hz: int) -> bytes:
    """Return the sound of the numbers in a text: a `Synthesize`."""
    return tone_words.encode(map(int, NUMBER.findall(text)), rate_hz)


class LedgerBrain:
    """A brain that answers numbered words. Implements `Brain`."""

    endpoint_ms: int | None = None
    voice: str | None = None

    def begin(self, opening: ConversationSetup) -> "LedgerSession":
        return LedgerSession()

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        raise NotImplementedError


class LedgerSession:
    """One stream of the brain. Implements `BrainSession`."""

    def __init__(self) -> None:
        self._asked = ""
        self._answered = ""

    def told(self, role: str, text: str) -> None:
        if role == "USER":
            self._asked, self._answered = text, ""
        elif role == "ASSISTANT":
            self._answered = text

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        words = words or ""
        if typed and words == CONTINUE_TEXT:
            heard = set(NUMBER.findall(self._answered))
            rest = [word for word in _answers(self._asked) if word not in heard]
            return _answer(rest or [NOTHING_MORE])
        if typed and words.startswith("["):  # a late tool result
            result = words[words.index(": {") + 2 : words.rindex("}") + 1]
            return _answer(NUMBER.findall(json.loads(result)["words"]))
        self._asked, self._answered = words, ""
        said = [int(word) for word in NUMBER.findall(words)]
        if "[" not in words and any(word % TOOL_EVERY == 0 for word in said):
            arguments = {"words": " ".join(_answers(words))}
            return Reply(calls=(ToolRequest(1, TOOL, arguments),))
        return _answer(_answers(words))

    def played(self, sentence: str) -> None: ...

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        return _answer(NUMBER.findall(str(result.get("words", ""))))

    def thought(self, piece: str | None) -> Reply:
        return Reply()


def _answers(words: str) -> list[str]:
    """Return the answers to the words of an utterance, without those of tool results in it."""
    said = NUMBER.findall(RESULT_NOTE.sub("", words))
    return [str(int(word) + ANSWER_BASE) for word in said]


def _answer(words: list[str]) -> Reply:
    """Return a reply of one sentence for every three words."""
    sentences = [" ".join(words[i : i + 3]) for i in range(0, len(words), 3)]
    return Reply(say=tuple(f"{sentence}. " for sentence in sentences))


# -- the user's side -------------------------------------------------------------------------------


@dataclass
class Ledger:
    """What was counted in one conversation. What is in order is forgotten, so it does not grow."""

    said: int = 0
    """Number of words that the user said: 1 to `said`, in order."""
    heard: int = 0
    """The highest word in the transcripts."""
    lost: list[int] = field(default_factory=list[int])
    """Words that were said and not transcribed, or only after later ones."""
    doubled: list[int] = field(default_factory=list[int])
    """Words that were transcribed more than once, or out of order."""
    missing: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """The turn and the word of each answer that did not reach the sink."""
    interrupted: int = 0
    """Number of answers that the user interrupted."""
    false_interruptions: int = 0
    calls: int = 0
    """Number of tool calls."""
    wrong_results: list[str] = field(default_factory=list[str])
    """Tool calls that do not have exactly one result."""
    gaps_ms: list[float] = field(default_factory=list[float])
    """Gaps between the pieces of an answer near a switch, in ms."""
    planned: list[str] = field(default_factory=list[str])
    """Reasons of the planned renewals."""
    faults: list[str] = field(default_factory=list[str])
    """Faults that were recovered from."""
    attempts: int = 0
    unanswered: int = 0
    """Number of utterances that had no answer within a minute."""
    error: str = ""
    """The error that ended the conversation."""
    _turns: dict[int, "_TurnAccount"] = field(default_factory=dict[int, "_TurnAccount"])
    _open_calls: Counter[str] = field(default_factory=Counter[str])

    def hear(self, turn: int, words: list[int]) -> None:
        """Enter words of the user that were transcribed.

        Args:
            turn: Number of the turn.
            words: The words.
        """
        for word in words:
            if word <= self.heard:
                self.doubled.append(word)
            else:
                self.lost += range(self.heard + 1, word)
                self.heard = word
        self._account(turn).expected += [word + ANSWER_BASE for word in words]

    def answer(self, turn: int, words: list[int]) -> None:
        """Enter words of an answer that reached the sink.

        Args:
            turn: Number of the turn.
            words: The words.
        """
        self._account(turn).came += words

    def interrupt(self, turn: int) -> None:
        """Expect no more of an answer, because the user goes on.

        Args:
            turn: Number of the turn.
        """
        account = self._account(turn)
        self.interrupted += not account.interrupted
        account.interrupted = True

    def call(self, id: str) -> None:
        """Enter a tool call.

        Args:
            id: Its id.
        """
        self.calls += 1
        self._open_calls[id] += 1
        if self._open_calls[id] != 1:
            self.wrong_results.append(id)

    def result(self, id: str) -> None:
        """Enter the result of a tool call.

        Args:
            id: Its id.
        """
        if self._open_calls.pop(id, 0) != 1:
            self.wrong_results.append(id)

    def settle(self, before: int) -> None:
        """Judge the turns before one, and forget them.

        Args:
            before: Number of the turn.
        """
        for turn in [number for number in self._turns if number < before]:
            account = self._turns.pop(turn)
            if not account.interrupted:
                absent = [word for word in account.expected if word not in account.came]
                # A word that broke off was heard in part.
                spare = account.came.count(tone_words.GARBLED)
                self.missing += [(turn, word) for word in absent[spare:]]

    def close(self) -> None:
        """Judge what is left at the end of the conversation."""
        self.settle(1 << 60)
        self.lost += range(self.heard + 1, self.said + 1)
        self.wrong_results += self._open_calls

    def _account(self, turn: int) -> "_TurnAccount":
        return self._turns.setdefault(turn, _TurnAccount())


@dataclass
class _TurnAccount:
    expected: list[int] = field(default_factory=list[int])
    came: list[int] = field(default_factory=list[int])
    interrupted: bool = False


class LedgerUser:
    """A user who says numbered words and keeps the ledger. Implements `AudioSource`.

    Args:
        format: Format of the user's audio.
        out_hz: Sample rate of the answers, in Hz.
        speed: Speed of the conversation, as a multiple of real time.
        seconds: Length of the conversation, in seconds of its time.
        seed: Seed of what the user does.
        settled: Returns whether everything was answered and played.
        barge_ins: Probability with which the user interrupts an answer.
    """

    def __init__(
        self,
        format: AudioFormat,
        out_hz: int,
        *,
        speed: float,
        seconds: float,
        seed: int,
        settled: Callable[[], bool],
        barge_ins: float = 0.12,
    ) -> None:
        self.format = format
        self.ledger = Ledger()
        self._out_hz = out_hz
        self._speed = speed
        self._seconds = seconds
        self._random = random.Random(seed)
        self._settled = settled
        self._barge_ins = barge_ins
        self._sound = bytearray()
        self._chunk = format.size(CHUNK_S)
        self._position = 0
        self._began_s: float | None = None
        self._speak_at_s = 1.0
        self._interrupt_at_s: float | None = None
        self._spoke_until_s = 0.0
        self._asked_s: float | None = None
        self._answered = False
        self._closed = False
        self._pcm = bytearray()
        self._open_turn = 0
        self._sound_began_s: dict[int, float] = {}
        """Time at which the sound of the newest turn began, in seconds, by its number."""
        self._playing: tuple[int, float] = (0, 0.0)
        self._switched_s = -1e9

    # -- AudioSource

    @property
    def done(self) -> bool:
        return self.now() >= self._seconds and not self._sound

    def now(self) -> float:
        return self.format.seconds(self._position)

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self._began_s is None:
            self._began_s = loop.time()
        await asyncio.sleep(max(0.0, self._began_s + self.now() / self._speed - loop.time()))
        if self._closed:
            return b""
        self._decide()
        chunk = bytes(self._sound[: self._chunk])
        del self._sound[: self._chunk]
        self._position += self._chunk
        if chunk:
            self._spoke_until_s = self.now()
        return chunk.ljust(self._chunk, b"\0")

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self.read_sound(self._out_hz)
            self.ledger.close()

    def _decide(self) -> None:
        """Begin to speak if it is time."""
        now = self.now()
        if self._sound or now >= self._seconds:
            return
        if self._interrupt_at_s is not None and now >= self._interrupt_at_s:
            self._interrupt_at_s = None
            self._say()
        elif self._asked_s is not None:
            waited_s = now - self._asked_s
            if self._answered and self._settled():
                self._asked_s, self._speak_at_s = None, now + self._random.uniform(0.3, 2.5)
            elif waited_s > 60:
                self.ledger.unanswered += 1
                self._asked_s, self._speak_at_s = None, now
        elif now >= self._speak_at_s:
            self._say()

    def _say(self) -> None:
        count = self._random.randint(2, 6)
        words = range(self.ledger.said + 1, self.ledger.said + 1 + count)
        self.ledger.said += count
        self._sound += tone_words.encode(words, self.format.rate_hz)
        self._answered = False
        self._interrupt_at_s = None
        self._asked_s = self.now() + self.format.seconds(len(self._sound))

    # -- the observer

    def observe(self, event: Event, now: float) -> None:
        """Enter one event into the ledger."""
        ledger = self.ledger
        match event:
            case UserText(turn, text, False):
                words = [int(word) for word in NUMBER.findall(text)]
                ledger.hear(turn, words)
                ledger.settle(turn - 3)
                self._open_turn = turn
            case UserSpeechStarted() if self._open_turn:
                ledger.interrupt(self._open_turn)  # the user goes on before the answer ended
            case Audio(turn, pcm, rate_hz):
                self._add_sound(turn, pcm, rate_hz, now)
            case TurnEnded():
                self._answered = True
                self._open_turn = 0
            case Interrupted(turn):
                ledger.interrupt(turn)
                if self._spoke_until_s < self._sound_began_s.get(turn, 0.0):
                    ledger.false_interruptions += 1  # nobody has spoken since the answer began
                else:
                    self._answered = False
            case ToolCall(tool_use=call):
                ledger.call(call)
            case ToolAnswered(tool_use=call):
                ledger.result(call)
            case Renewed(gap_ms, _, reason):
                self._switched_s = now
                (ledger.faults if gap_ms else ledger.planned).append(reason)
            case Reconnecting():
                ledger.attempts += 1
            case _:
                pass

    def _add_sound(self, turn: int, pcm: bytes, rate_hz: int, now: float) -> None:
        ledger = self.ledger
        playing, until_s = self._playing
        near_switch = now - self._switched_s < 5
        if turn == playing and near_switch:
            ledger.gaps_ms.append(max(0.0, 1000 * (now - until_s)))
        if turn != playing or now > until_s:
            self.read_sound(rate_hz)
        if turn not in self._sound_began_s:
            self._sound_began_s = {turn: now}
            if self._random.random() < self._barge_ins:
                self._interrupt_at_s = now + self._random.uniform(0.4, 2.0)
        self._pcm += pcm
        self._playing = (turn, max(now, until_s) + len(pcm) / 2 / rate_hz)

    def read_sound(self, rate_hz: int) -> None:
        """Enter the words of the sound that came without a gap.

        Args:
            rate_hz: Its sample rate, in Hz.
        """
        if self._pcm:
            words = tone_words.decode(bytes(self._pcm), rate_hz)
            self.ledger.answer(self._playing[0], words)
            self._pcm.clear()
