"""What a conversation felt like and what it cost: an observer of its events.

*Response latency* is the time from the end of the user's speech to the first audible sample of the
answer. The end of speech is where the service heard it (`UserSpeechEnded.offset_ms`, counted from
the first audio sent), so endpointing is in it, as it is for the person who waits. Models that do
not tell (v1), and typed turns, are counted from the user's text, and say so. It has three parts:

    end of speech ── endpointing ──► the service notices     UserSpeechEnded.detected_ms
                  ── answering ────► the first sound comes   the model, and the network both ways
                  ── playout ──────► and is audible          from what the sink says it has played

Nobody is told when a sound becomes audible. But a turn of which 300 ms have sounded, and which goes
on sounding, began 300 ms ago; so it is enough to ask the sink while it plays.

Source of the prices: protocol reference 9.2.
"""

from dataclasses import dataclass, field

from .audio.ports import AudioSink
from .events import (
    Audio,
    Event,
    Interrupted,
    ToolCall,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from .session import Session
from .wire import Tokens


@dataclass(slots=True)
class TurnMetrics:
    """One turn, as far as it has come."""

    turn: int
    response_latency_s: float | None = None
    """None until the answer comes. Without a sink to ask, or an answer too short to be asked for,
    it ends there; else with the first audible sample."""
    since_speech_end: bool = True
    """False where the latency counts from the user's text."""
    endpointing_s: float | None = None
    """Part of the response latency until the service noticed the end of speech; None if untold."""
    answering_s: float | None = None
    """Of the response latency: from there, or from the user's text, to the first sound."""
    playout_s: float | None = None
    """Of the response latency: from there to the first audible sample. None until known."""
    sound_s: float = 0.0
    """Length of the answer's sound that came."""
    tool_calls: int = 0
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers so far."""

    turns: tuple[TurnMetrics, ...]
    tokens: Tokens
    cost_usd: float
    duration_s: float
    """On the session's clock, from the first event to the last."""


@dataclass(slots=True)
class Metrics:
    """Give it to `converse` as an observer; ask `snapshot` at any time.

    `sink`, where the answer is heard, must live on the session's clock.
    """

    session: Session
    sink: AudioSink | None = None
    _turns: dict[int, TurnMetrics] = field(default_factory=dict[int, TurnMetrics])
    _speech_end_s: float | None = None
    _endpointing_s: float = 0.0
    _measured_from_s: float | None = None
    _awaiting_playout: TurnMetrics | None = None
    _answer_began_s: float = 0.0
    _first_event_s: float | None = None
    _last_event_s: float = 0.0

    def __call__(self, event: Event, now: float) -> None:
        """Take note of `event`, which came at `now` of the session's clock."""
        self._first_event_s = now if self._first_event_s is None else self._first_event_s
        self._last_event_s = now
        self._measure_playout(now)
        match event:
            case UserSpeechStarted():
                self._speech_end_s = None
            case UserSpeechEnded(offset_ms, detected_ms):
                self._speech_end_s = self.session.audio_began_s + offset_ms / 1000
                self._endpointing_s = (detected_ms - offset_ms) / 1000
            case UserText(turn, _, typed):
                since_speech_end = self._speech_end_s is not None and not typed
                self._turn(turn).since_speech_end = since_speech_end
                self._measured_from_s = self._speech_end_s if since_speech_end else now
            case Audio(turn, pcm, _):
                self._add_sound(self._turn(turn), len(pcm), now)
            case ToolCall(turn):
                self._turn(turn).tool_calls += 1
            case Interrupted(turn):
                self._turn(turn).interrupted = True
                self._awaiting_playout = None
            case _:
                pass

    def turn(self, number: int) -> TurnMetrics:
        """The numbers of one turn."""
        return self._turn(number)

    @property
    def snapshot(self) -> Snapshot:
        """Everything so far."""
        self._measure_playout(self.session.now())
        tokens = self.session.tokens
        prices = self.session.config.voice_model.prices
        return Snapshot(
            turns=tuple(turn for _, turn in sorted(self._turns.items())),
            tokens=tokens,
            cost_usd=prices.cost(
                speech_in=tokens.speech_in,
                text_in=tokens.text_in,
                speech_out=tokens.speech_out,
                text_out=tokens.text_out,
            ),
            duration_s=self._last_event_s - (self._first_event_s or 0.0),
        )

    def _turn(self, number: int) -> TurnMetrics:
        return self._turns.setdefault(number, TurnMetrics(number))

    def _add_sound(self, turn: TurnMetrics, pcm_bytes: int, now: float) -> None:
        if turn.response_latency_s is None and self._measured_from_s is not None:
            turn.response_latency_s = turn.answering_s = now - self._measured_from_s
            if turn.since_speech_end:
                turn.endpointing_s = self._endpointing_s
                turn.answering_s -= self._endpointing_s
            self._measured_from_s = None
            self._awaiting_playout, self._answer_began_s = turn, now
        turn.sound_s += self.session.config.output.seconds(pcm_bytes)

    def _measure_playout(self, now: float) -> None:
        """Find out when the turn that came last became audible, if it has and still sounds."""
        turn = self._awaiting_playout
        if self.sink is None or turn is None or turn.response_latency_s is None:
            return
        played_s = self.sink.played_ms(turn.turn) / 1000
        if played_s > 0:
            self._awaiting_playout = None
            if played_s < turn.sound_s:
                turn.playout_s = max(0.0, now - played_s - self._answer_began_s)
                turn.response_latency_s += turn.playout_s
