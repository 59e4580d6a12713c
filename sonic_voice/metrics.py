"""The latency and the cost of a conversation, measured by an observer of its events.

*Response latency* is the time from the end of the user's speech to the first audible sample of the
answer. The end of speech is the position that the service reports (`UserSpeechEnded.offset_ms`,
counted from the first audio sent). The latency therefore includes endpointing, as it does for the
user who waits. For models that do not report the end of speech (v1), and for typed turns, it counts
from the user's text, and `TurnMetrics.since_speech_end` is false. It has three parts:

    end of speech ── endpointing ──► the service notices it  UserSpeechEnded.detected_ms
                  ── answering ────► the first sound comes   the model, and the network both ways
                  ── playout ──────► it becomes audible      from `AudioSink.played_ms`

A sink does not report when a sound becomes audible. But a turn of which 300 ms have sounded, and
which is still sounding, began 300 ms ago. It is therefore enough to ask the sink while it plays.

Source of the prices: protocol reference 9.2.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from .audio.ports import AudioSink
from .conversation import Observer
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
    """The figures of one turn so far."""

    turn: int
    response_latency_s: float | None = None
    """Response latency, in seconds; None until the answer comes. It ends with the arrival of the
    first sound until `playout_s` is known, and it stays so without a sink, or if the answer is too
    short to be measured."""
    since_speech_end: bool = True
    """False if the response latency counts from the user's text."""
    endpointing_s: float | None = None
    """First part of the response latency, in seconds: until the service noticed the end of speech.
    None if the service did not report it."""
    answering_s: float | None = None
    """Second part of the response latency, in seconds: from there, or from the user's text, until
    the first sound came. None until it comes."""
    playout_s: float | None = None
    """Third part of the response latency, in seconds: from there until the first sample was
    audible. None until known."""
    sound_s: float = 0.0
    """Length of the answer's sound received so far, in seconds."""
    tool_calls: int = 0
    """Number of tool calls in this turn."""
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of a session so far."""

    turns: tuple[TurnMetrics, ...]
    """The turns, in order."""
    tokens: Tokens
    """Tokens used, those of the conversation that the session continues included."""
    cost_usd: float
    """Cost of `tokens`, in USD."""
    new_tokens: Tokens
    """Tokens used by the session alone."""
    new_cost_usd: float
    """Cost of `new_tokens`, in USD."""
    duration_s: float
    """Time from the first event to the last, in seconds of the session's clock."""


@dataclass(slots=True)
class Metrics:
    """An observer that measures a session. Pass it to `converse`, and read `snapshot` at any time.

    All times are in seconds of the session's clock.
    """

    session: Session
    sink: AudioSink | None = None
    """Sink in which the answer is played; None if playout is not measured. It must use the
    session's clock."""
    _turns: dict[int, TurnMetrics] = field(default_factory=dict[int, TurnMetrics])
    _speech_end_s: float | None = None
    _endpointing_s: float = 0.0
    _measured_from_s: float | None = None
    """Start of the response latency of the next answer; None if no answer is expected."""
    _awaiting_playout: TurnMetrics | None = None
    """The turn whose sound has come and is not known to be audible."""
    _answer_began_s: float = 0.0
    """Arrival of the first sound of that turn."""
    _first_event_s: float | None = None
    _last_event_s: float = 0.0
    _tokens_before: Tokens = field(init=False)
    """Tokens of the conversation that the session continues."""

    def __post_init__(self) -> None:
        self._tokens_before = self.session.tokens

    def __call__(self, event: Event, now: float) -> None:
        """Record one event.

        Args:
            event: The event.
            now: The time at which it came, in seconds of the session's clock.
        """
        if self._first_event_s is None:
            self._first_event_s = now
        self._last_event_s = now
        if self._awaiting_playout is not None:
            self._measure_playout(now)
        match event:
            case Audio(number, pcm, _):  # most events are
                turn = self._turn(number)
                if self._measured_from_s is not None and turn.response_latency_s is None:
                    self._measure_response(turn, self._measured_from_s, now)
                turn.sound_s += self.session.config.output.seconds(len(pcm))
            case UserSpeechStarted():
                self._speech_end_s = None
            case UserSpeechEnded(offset_ms, detected_ms):
                self._speech_end_s = self.session.audio_began_s + offset_ms / 1000
                self._endpointing_s = (detected_ms - offset_ms) / 1000
            case UserText(turn, _, typed):
                since_speech_end = self._speech_end_s is not None and not typed
                self._turn(turn).since_speech_end = since_speech_end
                self._measured_from_s = self._speech_end_s if since_speech_end else now
            case ToolCall(turn):
                self._turn(turn).tool_calls += 1
            case Interrupted(turn):
                self._turn(turn).interrupted = True
                self._awaiting_playout = None
            case _:
                pass

    def turn(self, number: int) -> TurnMetrics:
        """Return the figures of one turn; they go on changing while the turn lasts.

        Args:
            number: Number of the turn, from 1.
        """
        return self._turn(number)

    @property
    def snapshot(self) -> Snapshot:
        """The figures so far."""
        self._measure_playout(self.session.now())
        tokens, before = self.session.tokens, asdict(self._tokens_before)
        new = {kind: count - before[kind] for kind, count in asdict(tokens).items()}
        prices = self.session.config.voice_model.prices
        return Snapshot(
            turns=tuple(turn for _, turn in sorted(self._turns.items())),
            tokens=tokens,
            cost_usd=prices.cost(**asdict(tokens)),
            new_tokens=Tokens(**new),
            new_cost_usd=prices.cost(**new),
            duration_s=self._last_event_s - (self._first_event_s or 0.0),
        )

    def _turn(self, number: int) -> TurnMetrics:
        turn = self._turns.get(number)
        if turn is None:
            turn = self._turns[number] = TurnMetrics(number)
        return turn

    def _measure_response(self, turn: TurnMetrics, from_s: float, now: float) -> None:
        """Measure the response latency of a turn, whose first sound has come."""
        turn.response_latency_s = turn.answering_s = now - from_s
        if turn.since_speech_end:
            turn.endpointing_s = self._endpointing_s
            turn.answering_s -= self._endpointing_s
        self._measured_from_s = None
        self._awaiting_playout, self._answer_began_s = turn, now

    def _measure_playout(self, now: float) -> None:
        """Measure when the newest answer became audible, if it is sounding now."""
        turn = self._awaiting_playout
        if self.sink is None or turn is None or turn.response_latency_s is None:
            return
        played_s = self.sink.played_ms(turn.turn) / 1000
        if played_s > 0:
            self._awaiting_playout = None
            # Once all sound received has been played, the beginning can no longer be computed.
            if played_s < turn.sound_s:
                turn.playout_s = max(0.0, now - played_s - self._answer_began_s)
                turn.response_latency_s += turn.playout_s


type SessionObserver = Callable[[Session, Metrics, str | None], Observer]
"""A function that returns an observer of a session, as `Tracing` is one. It is given the session,
its metrics, and the id of the conversation; None for the id if the conversation has none."""
