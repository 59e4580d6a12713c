"""The entries of a transcript file: each turn once, as it was heard, in any order of events."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.audio.mute import HushableSink
from sonic_voice.audio.ports import NullSink
from sonic_voice.cli.heard_turns import Answered, Called, Entry, HeardTurns, Noted, Said
from sonic_voice.config import AudioFormat
from sonic_voice.errors import ConnectionLost
from sonic_voice.events import (
    AssistantText,
    Audio,
    Ended,
    Event,
    Heard,
    Interrupted,
    NetworkSlow,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
    UserText,
)
from sonic_voice.transcript import Transcript
from sonic_voice.turns import Turns

RATE = 24_000
IDS = wire.Ids()


@dataclass
class Conversation:
    """The transcript of a conversation and its loudspeaker, with a clock that is set by hand.

    Events reach the entries as they reach the observers of `converse`.
    """

    transcript: Transcript = field(default_factory=Transcript)
    now_s: float = 0.0
    taken: list[Entry] = field(default_factory=list[Entry])

    def __post_init__(self) -> None:
        self.sink = HushableSink(NullSink(AudioFormat(RATE), now=lambda: self.now_s))
        self.entries = HeardTurns(self.transcript.turn_lines)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.taken += self.entries.observe(event, self.now_s)
            self.take()
            match event:
                case Audio(turn, pcm):
                    self.sink.play(turn, pcm)
                case Interrupted(turn):
                    self.sink.flush()
                    self.hear(turn, self.sink.played_ms(turn))
                case TurnEnded():
                    self.transcript.follow_playback(self.sink.played_ms)
                case _:
                    pass

    def hear(self, turn: int, heard_ms: int) -> None:
        self.transcript.hear(turn, heard_ms)
        heard, planned = self.transcript.heard(turn), self.transcript.planned(turn)
        self.tell(Heard(turn, heard_ms, heard, planned))

    def play(self, seconds: float) -> list[Entry]:
        self.now_s += seconds
        return self.take()

    def take(self) -> list[Entry]:
        new = self.entries.take(self.sink.played_ms, sounding=self.sink.pending_s > 0)
        self.taken += new
        return new

    def end(self) -> None:
        for turn, ms in self.transcript.stop_playback(self.sink.played_ms).items():
            heard, planned = self.transcript.heard(turn), self.transcript.planned(turn)
            self.tell(Heard(turn, ms, heard, planned))
        self.taken += self.entries.take_all()

    # What the service does, for tests without `Turns`.

    def user(self, turn: int, text: str, *, typed: bool = False) -> None:
        self.transcript.user(turn, text)
        self.tell(UserText(turn, text, typed))

    def answer(self, turn: int, text: str, seconds: float, *, ends: bool = True) -> None:
        block = self.transcript.plan(turn, text)
        self.tell(AssistantText(turn, block, text, "SPECULATIVE"))
        pcm = bytes(round(seconds * RATE) * 2)
        self.transcript.sound(turn, pcm, RATE)
        self.tell(Audio(turn, pcm, RATE))
        self.transcript.sound_ended(turn)
        if ends:
            self.transcript.answer_ended(turn)
            self.tell(TurnEnded(turn))


def test_a_turn_is_taken_when_it_was_heard_to_its_end() -> None:
    talk = Conversation()
    talk.user(1, "hello")
    talk.answer(1, "Good morning.", 2.0)
    assert talk.play(1.5) == []
    assert talk.entries.awaits_playback()
    assert talk.play(0.6) == [Said(0.0, "hello", False), Answered(0.0, "Good morning.", False)]
    assert not talk.entries.awaits_playback()
    talk.end()
    assert len(talk.taken) == 2


def test_an_answer_without_a_question_and_a_question_without_an_answer_are_entries() -> None:
    talk = Conversation()
    talk.answer(1, "Welcome.", 1.0)
    talk.play(1.1)
    talk.user(2, "anyone there", typed=True)
    talk.user(3, "well")
    talk.end()
    assert talk.taken == [
        Answered(0.0, "Welcome.", False), Said(1.1, "anyone there", True), Said(1.1, "well", False),
    ]  # fmt: skip


def test_an_interrupted_answer_has_the_words_that_were_heard() -> None:
    talk = Conversation()
    talk.user(1, "count")
    talk.answer(1, "One two three four.", 4.0, ends=False)
    talk.now_s = 2.0
    talk.transcript.interrupt(1)
    talk.tell(Interrupted(1, "marker"))
    [_, answer] = talk.taken
    assert isinstance(answer, Answered)
    assert answer.text == talk.transcript.heard(1) != "One two three four."
    assert answer.interrupted
    assert abs((answer.heard_ms or 0) - 2000) < 10
    talk.tell(AssistantText(1, 1, " Five.", "SPECULATIVE"))  # it goes on arriving
    talk.end()
    assert len(talk.taken) == 2


def test_an_answer_of_which_nothing_was_heard_says_so_once() -> None:
    talk = Conversation()
    talk.user(1, "count")
    talk.answer(1, "One two three four.", 4.0)
    talk.transcript.interrupt(1)
    talk.tell(Interrupted(1, "marker"))
    talk.end()
    assert talk.taken == [Said(0.0, "count", False), Answered(0.0, "", True, 0)]


def test_a_tool_call_stands_between_question_and_answer() -> None:
    talk = Conversation()
    talk.user(1, "go")
    talk.now_s = 1.0
    talk.tell(ToolCall(1, "a", "go", '{"m":1}'))
    talk.now_s = 2.0
    talk.tell(ToolAnswered(1, "a", "go", '{"ok":true}'))
    talk.answer(1, "Done.", 1.0)
    talk.play(1.1)
    assert talk.taken == [
        Said(0.0, "go", False), Called(1.0, "go", '{"m":1}', '{"ok":true}'),
        Answered(2.0, "Done.", False),
    ]  # fmt: skip


def test_the_result_of_a_slow_tool_is_an_entry_of_its_own() -> None:
    talk = Conversation()
    talk.user(1, "go")
    talk.tell(ToolCall(1, "a", "go", "{}"))
    talk.answer(1, "On my way.", 1.0)
    assert talk.play(1.1) == []  # the tool still runs
    talk.user(2, "hurry")
    assert [type(entry) for entry in talk.taken] == [Said, Called, Answered]
    talk.now_s = 9.0
    talk.tell(ToolAnswered(1, "a", "go", '{"ok":true}'))
    assert talk.taken[3:] == [Called(9.0, "go", None, '{"ok":true}')]


def test_words_that_come_late_are_added_and_none_are_repeated() -> None:
    talk = Conversation()
    talk.user(1, "hello")
    talk.answer(1, "Good morning.", 1.0)
    talk.play(1.1)
    talk.transcript.final("And welcome.", 1)
    talk.tell(AssistantText(1, 1, "And welcome.", "FINAL"))
    assert talk.taken[2:] == [Answered(1.1, "And welcome.", False)]


def test_notes_stand_in_the_turn_in_which_they_came_or_alone() -> None:
    talk = Conversation()
    lost = Reconnecting("The connection was cut.", 1, 0.0, "cut")
    talk.tell(lost, Renewed(600, 0, "cut"))
    assert all(isinstance(entry, Noted) for entry in talk.taken)
    assert len(talk.taken) == 2
    talk.user(1, "hello")
    talk.now_s = 1.0
    talk.tell(NetworkSlow(3.0, 0.5))
    talk.tell(NetworkSlow(3.5, 0.5))  # it is told as long as it lasts
    talk.tell(Renewed(0, 0, "age"), Reconnecting("again", 2, 1.0, "cut"))  # nobody notices these
    assert len(talk.taken) == 2
    talk.tell(Ended(ConnectionLost("The connection was reset.", reason="reset")))
    talk.end()
    assert [type(entry) for entry in talk.taken[2:]] == [Said, Noted, Noted]
    assert talk.taken[-1] == Noted(1.0, "The connection was reset.")


ACTIONS = st.one_of(
    st.sampled_from(["user", "typed", "speech", "plan", "final", "late final", "hush", "tool"]),
    st.sampled_from(["result", "marker", "take"]),
    st.tuples(st.just("sound"), st.integers(1, 30), st.booleans()),
    st.tuples(st.just("play"), st.integers(1, 30)),
)


class Service:
    """A service that does anything at any time; the real rules of turns make events of it."""

    def __init__(self, talk: Conversation) -> None:
        self.talk = talk
        self.turns = Turns(talk.transcript)
        self._number = count(1)
        self._planned: list[str] = []

    def act(self, action: str | tuple[str, int] | tuple[str, int, bool]) -> None:
        match action:
            case "user":
                self.text("USER", None, self.words("said"))
            case "typed":
                self.talk.tell(self.turns.typed(self.words("typed")))
            case "speech":
                self.receive(wire.UserSpeechStart(IDS, 0))
            case "plan":
                self._planned.append(self.words("planned"))
                self.text("ASSISTANT", "SPECULATIVE", self._planned[-1])
            case "final" if self._planned:
                self.text("ASSISTANT", "FINAL", self._planned.pop(0))
            case "late final":
                self.text("ASSISTANT", "FINAL", self.words("unplanned"))
            case "hush":
                self.hush()
            case "tool" | "result":
                self.tool(action)
            case "marker":
                self.text("ASSISTANT", "SPECULATIVE", '{"interrupted": true}')
            case ("sound", tenths, bool(last)):
                self.sound(int(tenths), "END_TURN" if last else "PARTIAL_TURN")
            case ("play", tenths):
                self.talk.play(int(tenths) / 10)
            case _:
                self.talk.take()

    def hush(self) -> None:
        for turn, played_ms in self.talk.sink.hush().items():
            self.talk.transcript.interrupt(turn)
            self.talk.hear(turn, played_ms)

    def tool(self, action: str) -> None:
        if action == "tool":
            name = self.words("tool")
            self.receive(wire.ToolUse(IDS, name, name, name, "{}"))
            return
        for call in self.turns.open_calls[:1]:
            self.turns.answer_call(call.tool_use)
            self.talk.tell(ToolAnswered(call.turn, call.tool_use, call.name, '{"a":1}'))

    def sound(self, tenths: int, stop: str) -> None:
        block = self.words("sound")
        self.receive(wire.AudioBlock(IDS, block, RATE))
        loud = (b"\x00\x20" * 60 + b"\x00\xe0" * 60) * (20 * tenths)
        self.receive(wire.AudioOutput(IDS, block, loud))
        self.receive(wire.BlockEnd(IDS, block, "AUDIO", stop))

    def text(self, role: str, stage: wire.Stage | None, text: str) -> None:
        block = self.words("block")
        self.receive(wire.TextBlock(IDS, block, role, stage))
        self.receive(wire.TextOutput(IDS, block, text, role))
        self.receive(wire.BlockEnd(IDS, block, "TEXT", "PARTIAL_TURN"))

    def receive(self, record: wire.Output) -> None:
        self.talk.tell(*self.turns.receive(record, self.talk.now_s))

    def words(self, kind: str) -> str:
        """Return words that come once: a doubled one is found by counting."""
        number = next(self._number)
        return f" {kind}{number}a {kind}{number}b {kind}{number}c."


@settings(max_examples=400)
@given(st.lists(ACTIONS, max_size=40))
def test_no_order_of_events_loses_or_doubles_a_heard_turn(
    actions: list[str | tuple[str, int] | tuple[str, int, bool]],
) -> None:
    talk = Conversation()
    service = Service(talk)
    for action in actions:
        service.act(action)
    talk.end()
    said = words(talk.taken, Said, lambda entry: entry.text)
    assert sorted(said) == sorted(
        word for line in talk.transcript.lines if line.role == "USER" for word in line.text.split()
    )
    answered = words(talk.taken, Answered, lambda entry: entry.text)
    assert len(answered) == len(set(answered))
    heard = [line for line in talk.transcript.lines if line.role == "ASSISTANT"]
    assert set(answered) == {word for line in heard for word in line.text.split()}
    calls = [entry.name for entry in talk.taken if isinstance(entry, Called)]
    results = [entry for entry in talk.taken if isinstance(entry, Called) and entry.result_json]
    assert len(results) == len({entry.name for entry in results})
    assert all(calls.count(name) <= 2 for name in calls)


def words[E: (Said, Answered)](
    entries: list[Entry], kind: type[E], text: Callable[[E], str]
) -> list[str]:
    return [word for entry in entries if isinstance(entry, kind) for word in text(entry).split()]
