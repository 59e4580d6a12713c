"""The gate: which words and which sound of an answer wait for which verdict.

    events ──► receive ──► [queue of the answers, in order] ──► events that may be shown and played
                  │                      ▲
                  └──► StartCheck        └── decide, fail, expire

Each sentence of an answer (the SPECULATIVE text of a block) is checked, and so are the words of the
user. An event leaves the queue when all verdicts that it needs are there, and all events before it
have left:

- the text of a sentence needs its own verdict and those on the user's words of its turn;
- sound needs the verdicts on all sentences that it may belong to, and on the user's words;
- FINAL texts and ends of turns need none, but keep their place;
- a tool call needs the verdicts on the user's words alone, and overtakes the answer.

Words that the model was asked to say in place of others are heard, also where the user's words
were flagged. All other events pass at once, a barge-in among them, which drops what waits of its
turn. What is clean and has its verdict before its sound comes is therefore not delayed at all.

*Which sound belongs to which sentence.* The service sends for each sentence its text, then one
block of sound (reference 3.11). If it breaks this order, sound counts as that of every sentence
that has not been followed by its block of sound yet, and a flag on one of them drops it. Sound that
comes before any text waits for the next one. Nothing of a flagged sentence can therefore pass, in
any of these orders. (A service that left out the sound of one sentence *and* sent the sound of the
next before its text could not be understood. No recording shows either.)

A sentence without a verdict counts, when its time is over or its check fails, as passed or as
flagged (`FailurePolicy`).

Pure: time is an argument, in monotonic seconds.
"""

from collections import deque
from dataclasses import dataclass, field

from ..events import (
    AssistantText,
    Audio,
    Closed,
    Ended,
    Event,
    Guarded,
    GuardFailed,
    Interrupted,
    Reconnecting,
    ToolCall,
    TurnEnded,
    UserText,
)
from .actions import Action, RefuseCall, StartCheck, StopCheck, Withhold
from .verdicts import PASSED, Role, Verdict

EVENTS_HELD = 1024
"""Number of waiting events at which the owner stops to deliver more: 20 s of sound, as the event
queue of a session holds. Verdicts come within their deadline, so that it is hardly ever reached."""

TURNS_REMEMBERED = 64
"""Number of turns, the newest ones, of which the gate keeps the state. Nothing comes for older
ones."""


@dataclass(slots=True, eq=False)
class _Checked:
    """Words that are checked."""

    id: int
    role: Role
    turn: int
    due_s: float
    """Time at which a verdict is no longer waited for."""
    block: int = -1
    """Number of the sentence's block in its turn; -1 for words of the user, and for a sentence
    whose sound has come before its text."""
    text: str = ""
    verdict: Verdict | None = None
    withheld: bool = False
    """True once the sentence was taken out of the transcript."""
    is_own: bool = False
    """True for words that the model was asked to say in place of others."""

    @property
    def flagged(self) -> bool:
        return self.verdict is not None and self.verdict.flagged


@dataclass(slots=True)
class _Turn:
    """The state of a turn."""

    user: list[_Checked] = field(default_factory=list[_Checked])
    """Words of the user."""
    sentences: list[_Checked] = field(default_factory=list[_Checked])
    """Sentences whose sound may still come."""
    blocks_of_sound: int = 0
    """Number of blocks of sound that came for these sentences."""
    sound_block: int | None = None
    """Number of the newest block of sound."""
    sound_of: tuple[_Checked, ...] = ()
    """Sentences that this sound may belong to."""
    textless: deque[_Checked] = field(default_factory=deque[_Checked])
    """Sentences of which sound has come and no text."""
    withheld: set[int] = field(default_factory=set[int])
    """Numbers of the blocks that were withheld."""
    replaced: bool = False
    """True once the replacement was given."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """An event that waits for verdicts."""

    event: Event
    turn: int
    needs: tuple[_Checked, ...] = ()
    sentence: _Checked | None = None
    """The sentence of which the event is the text."""

    @property
    def ready(self) -> bool:
        return all(checked.verdict is not None for checked in self.needs)

    @property
    def flagged(self) -> bool:
        return any(checked.flagged for checked in self.needs)


class Gate:
    """The decisions of one conversation.

    Args:
        replacement: Words in place of a flagged sentence; empty for none.
        fails_open: Whether words without a verdict pass.
        deadline_s: Time for a verdict, in seconds.
        own_words: Words that the model is asked to say; a sentence with them is not checked. If
            there is no `replacement`, it is heard whatever the user has said.
    """

    def __init__(
        self, replacement: str, *, fails_open: bool, deadline_s: float, own_words: str = ""
    ) -> None:
        self._replacement = replacement
        self._own_words = {_comparable(replacement), _comparable(own_words)}
        self._fails_open = fails_open
        self._deadline_s = deadline_s
        self._turns: dict[int, _Turn] = {}
        self._queue: deque[_Waiting] = deque()
        self._calls: list[_Waiting] = []
        self._pending: dict[int, _Checked] = {}
        """Words without a verdict, by the number of their check."""
        self._last_id = 0

    def receive(self, event: Event, now: float) -> list[Action]:
        """Return what an event of the session leads to.

        Args:
            event: The event.
            now: Monotonic seconds; they never run backwards.
        """
        match event:
            case UserText(turn, text):
                return self._user_text(event, turn, text, now)
            case AssistantText(turn, block, text, "SPECULATIVE"):
                return self._sentence(event, turn, block, text, now)
            case Audio(turn):
                return self._sound(event, turn, now)
            case AssistantText(turn) | TurnEnded(turn):
                return self._enqueue(_Waiting(event, turn))
            case ToolCall(turn):
                self._calls.append(_Waiting(event, turn, tuple(self._turn(turn).user)))
                return self._ready_calls()
            case Interrupted(turn):
                return [*self._drop(turn), event, *self._ready_events()]
            case Reconnecting():  # of a lost stream no more sound comes
                for state in self._turns.values():
                    state.sentences.clear()
                return [event]
            case Closed() | Ended():
                return [*self._drop(None), event]
            case _:
                return [event]

    def decide(self, id: int, verdict: Verdict) -> list[Action]:
        """Return what a verdict leads to.

        Args:
            id: Number of the check. One that was stopped is ignored.
            verdict: The verdict.
        """
        checked = self._pending.pop(id, None)
        if checked is None:
            return []
        checked.verdict = verdict
        actions: list[Action] = []
        if checked.role == "USER" and verdict.flagged:
            actions.append(Guarded(checked.turn, "USER", checked.text.strip(), verdict.reason))
        return [*actions, *self._ready_calls(), *self._ready_events()]

    def fail(self, id: int, reason: str) -> list[Action]:
        """Return what a failed check leads to, by the policy.

        Args:
            id: Number of the check. One that was stopped is ignored.
            reason: The failure, in a sentence.
        """
        checked = self._pending.get(id)
        if checked is None:
            return []
        failed = GuardFailed(checked.turn, checked.role, reason, withheld=not self._fails_open)
        verdict = PASSED if self._fails_open else Verdict(flagged=True, reason="no verdict")
        return [failed, *self.decide(id, verdict)]

    def expire(self, now: float) -> list[Action]:
        """Return what the passing of time leads to. To be called at `next_deadline_s`.

        Args:
            now: Monotonic seconds.
        """
        actions: list[Action] = []
        for id, checked in list(self._pending.items()):
            if checked.due_s > now:
                continue
            reason = f"It took more than {self._deadline_s:g} s."
            if checked.text:
                actions.append(StopCheck(id))
            else:
                reason = f"Sound came, and no text within {self._deadline_s:g} s."
            actions += self.fail(id, reason)
        return actions

    @property
    def next_deadline_s(self) -> float | None:
        """Time of the next deadline, in monotonic seconds; None if nothing is waited for."""
        return min((checked.due_s for checked in self._pending.values()), default=None)

    @property
    def held(self) -> int:
        """Number of events that wait for verdicts."""
        return len(self._queue) + len(self._calls)

    @property
    def held_audio(self) -> tuple[Audio, ...]:
        """The sound that waits for verdicts."""
        return tuple(w.event for w in self._queue if isinstance(w.event, Audio))

    # ------------------------------------------------------------------------------------------

    def _user_text(self, event: UserText, turn: int, text: str, now: float) -> list[Action]:
        # Words that belong to a turn of which nothing has sounded replace what was planned.
        # The transcript has dropped it, too, and may have a new plan with the same words.
        dropped = self._drop(turn) if turn in self._turns else []
        actions = [action for action in dropped if not isinstance(action, Withhold)]
        state = self._turn(turn)
        state.withheld.clear()
        state.replaced = False
        checked, start = self._check("USER", turn, -1, text, now)
        state.user.append(checked)
        return [*actions, event, *start, *self._ready_events()]

    def _sentence(
        self, event: AssistantText, turn: int, block: int, text: str, now: float
    ) -> list[Action]:
        state = self._turn(turn)
        if state.textless:
            checked = state.textless.popleft()
            checked.block, checked.text = block, text
            start: list[Action] = []
            if not checked.flagged:  # it may have been let through without its text
                checked.verdict, checked.due_s = None, now + self._deadline_s
                self._pending[checked.id] = checked
                start.append(StartCheck(checked.id, "ASSISTANT", text.strip()))
        else:
            checked, start = self._check("ASSISTANT", turn, block, text, now)
            self._forget_sounded(state)
            state.sentences.append(checked)
        needs = (checked,) if checked.is_own else (*state.user, checked)
        return [*start, *self._enqueue(_Waiting(event, turn, needs, checked))]

    def _sound(self, event: Audio, turn: int, now: float) -> list[Action]:
        state = self._turn(turn)
        if event.sound_block != state.sound_block:
            self._forget_sounded(state)
            state.sound_block = event.sound_block
            state.blocks_of_sound += 1
            if not state.sentences:
                unknown = self._new_check("ASSISTANT", turn, now)
                state.sentences.append(unknown)
                state.textless.append(unknown)
            state.sound_of = tuple(state.sentences)
        is_own = all(checked.is_own for checked in state.sound_of)
        needs = state.sound_of if is_own else (*state.user, *state.sound_of)
        return self._enqueue(_Waiting(event, turn, needs))

    def _forget_sounded(self, state: _Turn) -> None:
        """Forget the sentences if a block of sound has come for each of them."""
        if state.blocks_of_sound >= len(state.sentences):
            state.sentences.clear()
            state.blocks_of_sound = 0

    def _check(
        self, role: Role, turn: int, block: int, text: str, now: float
    ) -> tuple[_Checked, list[Action]]:
        """Return words to be checked, and the request to do so. Blank and own words pass."""
        checked = self._new_check(role, turn, now)
        checked.block, checked.text = block, text
        comparable = _comparable(text)
        if not comparable or (role == "ASSISTANT" and comparable in self._own_words):
            del self._pending[checked.id]
            checked.verdict = PASSED
            checked.is_own = bool(comparable) and not self._replacement
            return checked, []
        return checked, [StartCheck(checked.id, role, text.strip())]

    def _new_check(self, role: Role, turn: int, now: float) -> _Checked:
        self._last_id += 1
        checked = _Checked(self._last_id, role, turn, now + self._deadline_s)
        self._pending[checked.id] = checked
        return checked

    def _enqueue(self, waiting: _Waiting) -> list[Action]:
        self._queue.append(waiting)
        return self._ready_events() if len(self._queue) == 1 else []

    def _ready_events(self) -> list[Action]:
        actions: list[Action] = []
        while self._queue and self._queue[0].ready:
            actions += self._leave(self._queue.popleft())
        return actions

    def _ready_calls(self) -> list[Action]:
        ready = [waiting for waiting in self._calls if waiting.ready]
        self._calls = [waiting for waiting in self._calls if not waiting.ready]
        actions: list[Action] = []
        for waiting in ready:
            actions.append(waiting.event)
            if waiting.flagged and isinstance(waiting.event, ToolCall):
                actions[-1] = RefuseCall(waiting.event)
        return actions

    def _leave(self, waiting: _Waiting) -> list[Action]:
        """Return what an event leads to for which all verdicts are there."""
        state = self._turn(waiting.turn)
        match waiting.event:
            case AssistantText() if waiting.sentence is not None and waiting.flagged:
                return self._withhold(state, waiting.sentence, waiting.event)
            case AssistantText(_, block, _, "FINAL") if block in state.withheld:
                return []
            case Audio() if waiting.flagged:
                # Clean sentences whose sound cannot be told from that of a flagged one.
                lost = [c for c in waiting.needs if c.role == "ASSISTANT" and not c.flagged]
                return [self._take_out(state, c, "") for c in lost if c.text and not c.withheld]
            case _:
                return [waiting.event]

    def _withhold(self, state: _Turn, sentence: _Checked, event: AssistantText) -> list[Action]:
        words = "" if state.replaced else _spaced(self._replacement, sentence.text)
        actions: list[Action] = []
        if sentence.flagged and sentence.verdict is not None:
            reason = sentence.verdict.reason
            words_flagged = sentence.text.strip()
            actions.append(Guarded(sentence.turn, "ASSISTANT", words_flagged, reason))
        actions.append(self._take_out(state, sentence, words, is_replaced=not state.replaced))
        state.replaced = True
        if words:
            actions.append(AssistantText(event.turn, event.block, words, "SPECULATIVE"))
        return actions

    def _take_out(
        self, state: _Turn, sentence: _Checked, words: str, *, is_replaced: bool = False
    ) -> Action:
        sentence.withheld = True
        state.withheld.add(sentence.block)
        return Withhold(sentence.turn, sentence.block, sentence.text, words, is_replaced)

    def _drop(self, turn: int | None) -> list[Action]:
        """Drop what waits of a turn, or of all turns. A tool call stays, because it is answered."""
        actions: list[Action] = []
        dropped = [w for w in self._queue if turn is None or w.turn == turn]
        self._queue = deque(w for w in self._queue if turn is not None and w.turn != turn)
        for waiting in dropped:
            sentence = waiting.sentence
            if sentence is not None and (sentence.verdict is None or waiting.flagged):
                actions.append(self._take_out(self._turn(waiting.turn), sentence, ""))
        for id, checked in list(self._pending.items()):
            if turn is None or (checked.turn == turn and checked.role == "ASSISTANT"):
                del self._pending[id]
                if checked.text:
                    actions.append(StopCheck(id))
        for number, state in self._turns.items():
            if turn is None or number == turn:
                state.sentences.clear()
                state.textless.clear()
                state.blocks_of_sound = 0
        if turn is None:
            self._calls.clear()
        return actions

    def _turn(self, number: int) -> _Turn:
        state = self._turns.get(number)
        if state is None:
            state = self._turns[number] = _Turn()
            if len(self._turns) > TURNS_REMEMBERED:
                del self._turns[min(self._turns)]
        return state


def _comparable(text: str) -> str:
    return " ".join(text.casefold().replace('"', "'").split()).strip(" .,!?")


def _spaced(words: str, original: str) -> str:
    """Return words with the blanks that the original has around it: texts are joined as they are.

    Args:
        words: The words.
        original: The text in whose place they stand.
    """
    if not words:
        return ""
    before = original[: len(original) - len(original.lstrip())]
    after = original[len(original.rstrip()) :]
    return f"{before}{words}{after}"
