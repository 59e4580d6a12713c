"""The gate of a guard: nothing of a flagged sentence passes, and a clean one is not held longer.

The property tests play a service that sends turns in any order, and a guard that is fast, slow,
silent or broken, and compare what leaves the gate with what is known of each sample.
"""

import heapq
import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.events import (
    AssistantText,
    Audio,
    Closed,
    Event,
    Guarded,
    GuardFailed,
    Interrupted,
    Reconnecting,
    ToolCall,
    TurnEnded,
    Usage,
    UserText,
)
from sonic_voice.guards.actions import Action, RefuseCall, StartCheck, StopCheck, Withhold
from sonic_voice.guards.gate import Gate
from sonic_voice.guards.verdicts import PASSED, Verdict
from sonic_voice.wire import Tokens

BAD = Verdict(flagged=True, reason="violence")
INSTEAD = "Let us talk of something else."
DEADLINE_S = 1.0
RATE_HZ = 24_000


def gate(*, fails_open: bool = False) -> Gate:
    return Gate(INSTEAD, fails_open=fails_open, deadline_s=DEADLINE_S)


def text(turn: int, block: int, words: str, stage: str = "SPECULATIVE") -> AssistantText:
    return AssistantText(turn, block, words, "FINAL" if stage == "FINAL" else "SPECULATIVE")


def sound(turn: int, block_of_sound: int, pcm: bytes = b"\1\0") -> Audio:
    return Audio(turn, pcm, RATE_HZ, block_of_sound)


def started(actions: list[Action]) -> list[StartCheck]:
    return [action for action in actions if isinstance(action, StartCheck)]


# -- one sentence after another --------------------------------------------------------------------


def test_the_text_and_the_sound_of_a_sentence_wait_for_its_verdict() -> None:
    door = gate()
    (check,) = started(door.receive(text(1, 0, "Hello."), 0.0))
    assert door.receive(sound(1, 1), 0.1) == []
    assert door.decide(check.id, PASSED) == [text(1, 0, "Hello."), sound(1, 1)]
    assert door.receive(sound(1, 1), 0.2) == [sound(1, 1)]


def test_a_flagged_sentence_is_replaced_and_its_sound_is_dropped() -> None:
    door = gate()
    (check,) = started(door.receive(text(1, 0, " Bad words. "), 0.0))
    door.receive(sound(1, 1), 0.1)
    assert door.decide(check.id, BAD) == [
        Guarded(1, "ASSISTANT", "Bad words.", "violence"),
        Withhold(1, 0, " Bad words. ", f" {INSTEAD} ", is_replaced=True),
        text(1, 0, f" {INSTEAD} "),
    ]
    assert door.receive(sound(1, 1), 0.2) == []
    assert door.receive(text(1, 0, " Bad words. ", "FINAL"), 0.3) == []
    assert door.receive(TurnEnded(1), 0.4) == [TurnEnded(1)]


def test_a_second_flagged_sentence_of_an_answer_is_withheld_without_a_replacement() -> None:
    door = gate()
    for block in (0, 1):
        (check,) = started(door.receive(text(1, block, f"Bad {block}."), 0.0))
        last = door.decide(check.id, BAD)
        door.receive(sound(1, block + 1), 0.1)
    assert last[1:] == [Withhold(1, 1, "Bad 1.", "", is_replaced=False)]


def test_a_sentence_with_its_verdict_does_not_overtake_one_that_waits() -> None:
    door = gate()
    (first,) = started(door.receive(text(1, 0, "One."), 0.0))
    door.receive(sound(1, 1), 0.1)
    (second,) = started(door.receive(text(1, 1, "Two."), 0.2))
    door.receive(sound(1, 2), 0.3)
    assert door.decide(second.id, PASSED) == []
    assert door.decide(first.id, PASSED) == [
        text(1, 0, "One."), sound(1, 1), text(1, 1, "Two."), sound(1, 2),
    ]  # fmt: skip


def test_flagged_words_of_the_user_withhold_the_answer_and_refuse_its_tools() -> None:
    door = gate()
    (check,) = started(door.receive(UserText(1, "Do harm."), 0.0))
    call = ToolCall(1, "t1", "harm", "{}")
    assert door.receive(call, 0.1) == []
    (sentence,) = started(door.receive(text(1, 0, "Gladly."), 0.1))
    door.receive(sound(1, 1), 0.2)
    assert door.decide(sentence.id, PASSED) == []
    assert door.decide(check.id, BAD) == [
        Guarded(1, "USER", "Do harm.", "violence"),
        RefuseCall(call),
        Withhold(1, 0, "Gladly.", INSTEAD, is_replaced=True),
        text(1, 0, INSTEAD),
    ]


def test_a_barge_in_passes_at_once_and_drops_what_waits() -> None:
    door = gate()
    (check,) = started(door.receive(text(1, 0, "Unknown."), 0.0))
    door.receive(sound(1, 1), 0.1)
    assert door.receive(Interrupted(1, "marker"), 0.2) == [
        Withhold(1, 0, "Unknown.", "", is_replaced=False),
        StopCheck(check.id),
        Interrupted(1, "marker"),
    ]
    assert door.decide(check.id, PASSED) == []
    assert (door.held, door.next_deadline_s) == (0, None)


def test_further_words_of_the_user_drop_the_plans_that_wait() -> None:
    door = gate()
    (words,) = started(door.receive(UserText(1, "First"), 0.0))
    door.decide(words.id, PASSED)
    (plan,) = started(door.receive(text(1, 0, "A plan."), 0.1))
    stopped, said, more = door.receive(UserText(1, "and more"), 0.2)
    assert (stopped, said) == (StopCheck(plan.id), UserText(1, "and more"))
    assert isinstance(more, StartCheck)


def test_sound_before_its_text_waits_for_it() -> None:
    door = gate()
    assert door.receive(sound(1, 1), 0.0) == []
    (check,) = started(door.receive(text(1, 0, "Late words."), 0.1))
    assert door.decide(check.id, BAD)[0] == Guarded(1, "ASSISTANT", "Late words.", "violence")
    assert door.receive(sound(1, 1), 0.2) == []


def test_sound_of_several_sentences_passes_only_if_all_of_them_do() -> None:
    door = gate()
    checks = [started(door.receive(text(1, block, f"{block}."), 0.0))[0] for block in range(2)]
    door.decide(checks[0].id, PASSED)
    door.receive(sound(1, 1), 0.1)
    door.decide(checks[1].id, BAD)
    assert door.receive(sound(1, 2), 0.2) == []
    (third,) = started(door.receive(text(1, 2, "2."), 0.3))
    door.decide(third.id, PASSED)
    assert door.receive(sound(1, 3), 0.4) == [sound(1, 3)]


@pytest.mark.parametrize("fails_open", [True, False])
def test_words_without_a_verdict_follow_the_policy(fails_open: bool) -> None:
    door = gate(fails_open=fails_open)
    (late, broken) = (
        started(door.receive(text(1, block, f"{block}."), 0.0))[0] for block in range(2)
    )
    door.fail(broken.id, "It broke.")
    assert door.expire(DEADLINE_S - 0.01) == []
    actions = door.expire(DEADLINE_S)
    reason = f"It took more than {DEADLINE_S:g} s."
    failed = GuardFailed(1, "ASSISTANT", reason, withheld=not fails_open)
    assert actions[:2] == [StopCheck(late.id), failed]
    assert (text(1, 0, "0.") in actions) == (text(1, 1, "1.") in actions) == fails_open


def test_blank_texts_and_the_replacement_itself_are_not_checked() -> None:
    door = gate()
    assert door.receive(text(1, 0, " "), 0.0) == [text(1, 0, " ")]
    assert door.receive(text(2, 0, INSTEAD.upper()), 0.0) == [text(2, 0, INSTEAD.upper())]


def test_words_that_the_model_was_asked_to_say_are_heard_whatever_the_user_has_said() -> None:
    door = Gate("", fails_open=False, deadline_s=DEADLINE_S, own_words=INSTEAD)
    (check,) = started(door.receive(UserText(1, "Do harm."), 0.0))
    door.decide(check.id, BAD)
    assert door.receive(text(1, 0, INSTEAD), 0.1) == [text(1, 0, INSTEAD)]
    assert door.receive(sound(1, 1), 0.2) == [sound(1, 1)]
    (sentence,) = started(door.receive(text(1, 1, "Gladly."), 0.3))
    assert door.receive(sound(1, 2), 0.4) == []
    assert door.decide(sentence.id, PASSED) == [
        Withhold(1, 1, "Gladly.", "", is_replaced=True),
    ]


def test_other_events_pass_at_once() -> None:
    door = gate()
    door.receive(text(1, 0, "Waits."), 0.0)
    usage = Usage(Tokens(), Tokens())
    assert door.receive(usage, 0.0) == [usage]


def test_the_end_drops_everything() -> None:
    door = gate()
    door.receive(text(1, 0, "Waits."), 0.0)
    assert door.receive(Closed(), 0.0)[-1] == Closed()
    assert (door.held, door.next_deadline_s) == (0, None)


# -- any order -------------------------------------------------------------------------------------


@dataclass
class Sentence:
    words: str
    flagged: bool
    verdict_after_s: float | None
    """None: the guard never answers."""
    breaks: bool
    chunks: int
    heard_at: list[float] = field(default_factory=list[float])


@dataclass
class Turn:
    user: Sentence
    sentences: list[Sentence]
    calls: int
    disorder: int
    cut_after: int | None
    """Number of events of the answer after which it is interrupted."""


NAMES = itertools.count()
OWN = "own words"
"""Words that the model was asked to say."""
delays = st.sampled_from([0.0, 0.001, 0.05, 0.3, 0.999, 1.5])

in_time = delays.filter(lambda delay_s: delay_s < DEADLINE_S)


def sentences(may_fail: bool) -> st.SearchStrategy[Sentence]:
    return st.builds(
        Sentence,
        words=st.builds(lambda: f"words {next(NAMES)}"),
        flagged=st.booleans(),
        verdict_after_s=st.one_of(delays, st.none())
        if may_fail
        else delays.filter(lambda d: d < 1),
        breaks=st.booleans() if may_fail else st.just(False),
        chunks=st.integers(0 if may_fail else 1, 3),
    )


own_words = st.builds(
    Sentence,
    words=st.just(OWN),
    flagged=st.just(False),
    verdict_after_s=st.just(0.0),
    breaks=st.just(False),
    chunks=st.integers(0, 3),
)


def turns(may_fail: bool, answers: st.SearchStrategy[Sentence]) -> st.SearchStrategy[list[Turn]]:
    return st.lists(
        st.builds(
            Turn,
            user=sentences(may_fail),
            sentences=st.lists(answers, max_size=5),
            calls=st.integers(0, 2),
            disorder=st.integers(0, 3) if may_fail else st.just(0),
            cut_after=st.one_of(st.none(), st.integers(0, 12)) if may_fail else st.none(),
        ),
        min_size=1,
        max_size=4,
    )


class Play:
    """A service and a guard on one time line, with the gate between them."""

    def __init__(self, told: list[Turn], gap_s: list[float], *, fails_open: bool) -> None:
        has_own = any(s.words == OWN for t in told for s in t.sentences)
        instead = "" if has_own else INSTEAD
        self.gate = Gate(instead, fails_open=fails_open, deadline_s=DEADLINE_S, own_words=OWN)
        self.told = told
        self.by_words = {s.words: s for t in told for s in (t.user, *t.sentences)}
        self.of_chunk: dict[bytes, tuple[Turn, Sentence]] = {}
        self.arrived_at: dict[bytes, float] = {}
        self.delivered: list[tuple[float, Event]] = []
        self.calls: list[str] = []
        self.checks: dict[str, float] = {}
        """Time at which each text was given to the guard."""
        self.verdict_at: dict[str, float] = {}
        self._soon: list[tuple[float, int, object]] = []
        self._order = itertools.count()
        self._blocks = itertools.count(1)
        self._gaps = itertools.cycle(gap_s)
        at = 0.0
        for event in self._events():
            at += next(self._gaps)
            self._at(at, event)

    def _at(self, at: float, what: object) -> None:
        heapq.heappush(self._soon, (at, next(self._order), what))

    def _events(self) -> list[Event]:
        events: list[Event] = []
        for number, turn in enumerate(self.told, 1):
            events.append(UserText(number, turn.user.words))
            events += [ToolCall(number, f"{number}.{n}", "x", "{}") for n in range(turn.calls)]
            answer = self._answer(number, turn)
            if turn.cut_after is not None:
                answer = answer[: turn.cut_after]
                events += [*answer, Interrupted(number, "marker")]
            else:
                events += [*answer, TurnEnded(number)]
        return events

    def _answer(self, number: int, turn: Turn) -> list[Event]:
        if turn.disorder == 2:  # a sentence without sound would take that of the next one
            for sentence in turn.sentences:
                sentence.chunks = max(1, sentence.chunks)
        texts: list[list[Event]] = []
        sounds: list[list[Event]] = []
        for block, sentence in enumerate(turn.sentences):
            texts.append([text(number, block, sentence.words)])
            of_sound, chunks = next(self._blocks), list[Event]()
            for _ in range(sentence.chunks):
                pcm = len(self.of_chunk).to_bytes(4, "little")
                self.of_chunk[pcm] = turn, sentence
                chunks.append(sound(number, of_sound, pcm))
            sounds.append(chunks)
        final = [[text(number, b, s.words, "FINAL")] for b, s in enumerate(turn.sentences)]
        pairs = list(zip(texts, sounds, strict=True))
        match turn.disorder:
            case 0:
                parts = [part for pair in pairs for part in pair]
            case 1:  # all texts first
                parts = [*texts, *sounds]
            case 2:  # sound before its text
                parts = [part for pair in pairs for part in reversed(pair)]
            case _:  # the text of the next sentence comes inside the sound of this one
                halves = [(chunks[:1], chunks[1:]) for chunks in sounds]
                parts = list[list[Event]]()
                for at, words in enumerate(texts):
                    parts += [words, halves[at - 1][1] if at else [], halves[at][0]]
                parts += [halves[-1][1]] if halves else []
        return [event for part in [*parts, *final] for event in part]

    def run(self) -> "Play":
        while True:
            due = self.gate.next_deadline_s
            if self._soon and (due is None or self._soon[0][0] <= due):
                at, _, what = heapq.heappop(self._soon)
                match what:
                    case StartCheck(id, _, words):
                        sentence = self.by_words[words]
                        if sentence.breaks:
                            actions = self.gate.fail(id, "It broke.")
                        else:
                            verdict = Verdict(sentence.flagged)
                            actions = self.gate.decide(id, verdict)
                    case Audio(_, pcm):
                        self.arrived_at[pcm] = at
                        actions = self.gate.receive(what, at)
                    case _:
                        actions = self.gate.receive(what, at)  # type: ignore[arg-type]
            elif due is not None:
                at, actions = due, self.gate.expire(due)
            else:
                return self
            self._carry_out(actions, at)

    def _carry_out(self, actions: list[Action], at: float) -> None:
        for action in actions:
            match action:
                case StartCheck(_, _, words):
                    assert words not in self.checks or words == OWN
                    self.checks[words] = at
                    after_s = self.by_words[words].verdict_after_s
                    if after_s is not None:
                        self.verdict_at[words] = at + after_s
                        self._at(at + after_s, action)
                case StopCheck() | Withhold():
                    pass
                case RefuseCall(call):
                    self.calls.append(call.tool_use)
                    owner = self.told[call.turn - 1].user
                    assert owner.flagged or not self.judged(owner)
                case ToolCall(_, tool_use):
                    self.calls.append(tool_use)
                    assert not self.is_bad(self.told[action.turn - 1].user)
                case _:
                    self.delivered.append((at, action))

    @staticmethod
    def judged(sentence: Sentence) -> bool:
        after_s = sentence.verdict_after_s
        return not sentence.breaks and after_s is not None and after_s <= DEADLINE_S

    def is_bad(self, sentence: Sentence) -> bool:
        """True if it is known to be flagged."""
        return sentence.flagged and self.judged(sentence)

    @property
    def heard(self) -> list[tuple[float, bytes]]:
        return [(at, e.pcm) for at, e in self.delivered if isinstance(e, Audio)]


gaps = st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.7]), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(turns(True, st.one_of(sentences(may_fail=True), own_words)), gaps, st.booleans())
def test_not_one_sample_of_a_flagged_sentence_leaves_the_gate(
    told: list[Turn], gap_s: list[float], fails_open: bool
) -> None:
    play = Play(told, gap_s, fails_open=fails_open).run()
    for at, pcm in play.heard:
        turn, sentence = play.of_chunk[pcm]
        for words in (sentence,) if sentence.words == OWN else (sentence, turn.user):
            if fails_open and turn.disorder == 2 and at <= play.checks.get(words.words, at):
                continue  # its text came later than its sound by more than the deadline
            assert not play.is_bad(words)
            assert fails_open or play.judged(words)
    shown = [e.text for _, e in play.delivered if isinstance(e, AssistantText)]
    assert not any(play.is_bad(play.by_words[words]) for words in shown if words in play.by_words)


@settings(max_examples=60, deadline=None)
@given(turns(True, sentences(may_fail=True)), gaps, st.booleans())
def test_nothing_is_held_for_ever_and_nothing_leaves_twice(
    told: list[Turn], gap_s: list[float], fails_open: bool
) -> None:
    play = Play(told, gap_s, fails_open=fails_open).run()
    assert (play.gate.held, play.gate.next_deadline_s) == (0, None)
    assert sorted(play.calls) == sorted(f"{n}.{c}" for n, t in enumerate(told, 1)
                                        for c in range(t.calls))  # fmt: skip
    pcms = [pcm for _, pcm in play.heard]
    assert len(pcms) == len(set(pcms))


@settings(max_examples=60, deadline=None)
@given(turns(False, sentences(may_fail=False)), gaps)
def test_clean_sound_leaves_in_order_as_soon_as_it_and_its_verdicts_are_there(
    told: list[Turn], gap_s: list[float]
) -> None:
    play = Play(told, gap_s, fails_open=False).run()
    clean = [
        pcm
        for pcm, (turn, sentence) in play.of_chunk.items()
        if not sentence.flagged and not turn.user.flagged
    ]
    assert [pcm for _, pcm in play.heard] == clean
    for at, pcm in play.heard:
        turn, sentence = play.of_chunk[pcm]
        before = told[: told.index(turn)]
        waits = [s for t in before for s in (t.user, *t.sentences) if t.sentences]
        waits += [turn.user, *turn.sentences[: turn.sentences.index(sentence) + 1]]
        assert at == max(play.arrived_at[pcm], *(play.verdict_at[s.words] for s in waits))


@given(st.integers(1, 3))
def test_a_lost_stream_does_not_leave_sentences_to_which_later_sound_could_belong(
    lost: int,
) -> None:
    door = gate()
    for block in range(lost):
        (check,) = started(door.receive(text(1, block, f"Lost {block}."), 0.0))
        door.decide(check.id, BAD)
    door.receive(Reconnecting("Cut.", 1, 0.0), 0.1)
    (check,) = started(door.receive(text(1, lost, "Answered anew."), 0.2))
    door.decide(check.id, PASSED)
    assert door.receive(sound(1, 1), 0.3) == [sound(1, 1)]
