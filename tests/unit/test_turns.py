"""What the service's events mean: turns, barge-in in every form, FINAL texts, who owes what."""

from collections.abc import Iterable

import pytest

from sonic_voice import wire
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    ToolCall,
    TurnEnded,
    UserText,
)
from sonic_voice.transcript import Transcript
from sonic_voice.turn_progress import AudioStart, Playback
from sonic_voice.turns import Turns

IDS = wire.Ids("s", "p", "c")
SECOND = bytes(2 * 24_000)
MARKER = '{ "interrupted" : true }'


def user(text: str, id: str = "u") -> list[wire.Output]:
    return text_block(id, "USER", "FINAL", text)


def plan(text: str, id: str = "a") -> list[wire.Output]:
    return text_block(id, "ASSISTANT", "SPECULATIVE", text)


def final(text: str, id: str = "f") -> list[wire.Output]:
    return text_block(id, "ASSISTANT", "FINAL", text)


def text_block(
    id: str, role: str, stage: wire.Stage, text: str, stop: str = "PARTIAL_TURN"
) -> list[wire.Output]:
    return [
        wire.TextBlock(IDS, id, role, stage),
        wire.TextOutput(IDS, id, text),
        wire.BlockEnd(IDS, id, "TEXT", stop),
    ]


def sound(seconds: int = 1, id: str = "s", stop: str | None = "END_TURN") -> list[wire.Output]:
    block: list[wire.Output] = [wire.AudioBlock(IDS, id, 24_000)]
    block += [wire.AudioOutput(IDS, id, SECOND)] * seconds
    return block + ([wire.BlockEnd(IDS, id, "AUDIO", stop)] if stop else [])


def call(id: str = "t") -> list[wire.Output]:
    return [
        wire.ToolBlock(IDS, id),
        wire.ToolUse(IDS, id, "use", "go", "{}"),
        wire.BlockEnd(IDS, id, "TOOL", "TOOL_USE"),
    ]


class Told:
    """Turns, and all that it told."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.turns = Turns(self.transcript)
        self.events: list[Event] = []

    def hear(self, *parts: Iterable[wire.Output] | wire.Output, now: float = 0.0) -> list[Event]:
        new: list[Event] = []
        for part in parts:
            for record in part if isinstance(part, list) else [part]:
                new += self.turns.receive(record, now)  # pyright: ignore[reportArgumentType]
        self.events += new
        return new

    def kinds(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def lines(self) -> list[tuple[int, str, str]]:
        return [(line.turn, line.role, line.text) for line in self.transcript.lines]


def test_a_turn_is_the_users_words_and_the_answer_to_them() -> None:
    told = Told()
    told.hear(user("hi"), plan("Hello."), sound(), user("bye"), plan("Goodbye."), sound())
    assert told.kinds(TurnEnded) == [TurnEnded(1), TurnEnded(2)]
    assert told.lines == [
        (1, "USER", "hi"), (1, "ASSISTANT", "Hello."),
        (2, "USER", "bye"), (2, "ASSISTANT", "Goodbye."),
    ]  # fmt: skip


def test_several_user_blocks_before_any_sound_are_one_turn_and_drop_what_was_planned() -> None:
    told = Told()
    told.hear(user("hi can you look"), plan("Yes?"), user("about linkedin"), plan("Sure."), sound())
    assert told.lines == [(1, "USER", "hi can you look about linkedin"), (1, "ASSISTANT", "Sure.")]


def test_an_empty_user_text_is_no_turn() -> None:
    told = Told()
    assert told.hear(user("  ")) == []


def test_an_answer_nobody_asked_for_is_a_turn_of_its_own() -> None:
    told = Told()
    told.hear(user("find it"), call(), plan("Looking."), sound(), plan("Found it."), sound())
    assert told.kinds(TurnEnded) == [TurnEnded(1), TurnEnded(2)]


def test_blocks_of_one_turn_join_without_separators() -> None:
    told = Told()
    told.hear(user("hi"), plan("One."), sound(stop="PARTIAL_TURN"), plan("  Two."), sound())
    assert told.transcript.heard(1) == "One.  Two."


@pytest.mark.parametrize(
    ("sign", "records"),
    [
        ("userSpeechStart", [wire.UserSpeechStart(IDS, 500)]),
        ("marker", text_block("m", "ASSISTANT", "FINAL", MARKER, "INTERRUPTED")[:2]),
        ("marker", text_block("m", "ASSISTANT", "FINAL", '{"interrupted":true}')),
        ("contentEnd", [wire.BlockEnd(IDS, "s", "AUDIO", "INTERRUPTED")]),
        ("contentEnd", [wire.BlockEnd(IDS, "other", "TEXT", "INTERRUPTED")]),
    ],
)
def test_every_form_of_barge_in_stops_the_answer_that_sounds(
    sign: str, records: list[wire.Output]
) -> None:
    told = Told()
    told.hear(user("story"), plan("Once upon a time."), sound(3, stop=None))
    assert told.hear(records, now=1.0)[-1] == Interrupted(1, sign)
    late = told.hear(wire.AudioOutput(IDS, "s", SECOND), now=1.1)
    assert not [event for event in late if isinstance(event, Audio)]


def test_a_barge_in_told_in_all_forms_is_one() -> None:
    told = Told()
    told.hear(user("story"), plan("Once upon a time."), sound(3, stop=None))
    told.hear(
        wire.UserSpeechStart(IDS, 500),
        wire.BlockEnd(IDS, "s", "AUDIO", "INTERRUPTED"),
        text_block("m", "ASSISTANT", "FINAL", MARKER, "INTERRUPTED"),
        now=1.0,
    )
    assert told.kinds(Interrupted) == [Interrupted(1, "userSpeechStart")]


def test_the_marker_is_never_shown_nor_kept() -> None:
    told = Told()
    told.hear(user("story"), plan("Once."), sound(3), final(MARKER, "m"))
    assert not [e for e in told.events if isinstance(e, AssistantText) and "inter" in e.text]
    assert "interrupted" not in str(told.lines)


def test_speech_after_the_answer_has_played_is_no_barge_in() -> None:
    told = Told()
    told.hear(user("hi"), plan("Hello."), sound(2), now=0.0)
    told.hear(wire.UserSpeechStart(IDS, 3000), now=2.1)
    assert told.kinds(Interrupted) == []


def test_speech_while_all_sound_has_come_but_still_plays_is_barge_in() -> None:
    told = Told()
    told.hear(user("hi"), plan("Hello."), sound(2), now=0.0)
    told.hear(wire.UserSpeechStart(IDS, 1000), now=1.9)
    assert told.kinds(Interrupted) == [Interrupted(1, "userSpeechStart")]


def test_a_marker_before_any_sound_interrupts_the_turn_that_was_being_answered() -> None:
    told = Told()
    told.hear(user("hi"), plan("Hello."), sound(), user("and"), plan("Well."), final(MARKER, "m"))
    assert told.kinds(Interrupted) == [Interrupted(2, "marker")]


def test_the_answer_after_a_barge_in_sounds() -> None:
    told = Told()
    told.hear(user("story"), plan("Once."), sound(3, stop=None), wire.UserSpeechStart(IDS, 1))
    new = told.hear(user("stop", "u2"), plan("Sure.", "a2"), sound(1, "s2"))
    assert [event.turn for event in new if isinstance(event, Audio)] == [2]


def test_a_final_text_goes_to_its_plan_even_after_the_next_turn_began() -> None:
    told = Told()
    told.hear(user("hi"), plan("Hello."), sound(), user("bye"), plan("Goodbye."), sound())
    assert told.hear(final("Hello.")) == [AssistantText(1, 0, "Hello.", "FINAL")]
    assert told.hear(final("Goodbye.")) == [AssistantText(2, 0, "Goodbye.", "FINAL")]


def test_a_final_text_of_an_interrupted_turn_says_what_was_spoken() -> None:
    told = Told()
    told.hear(user("story"), plan("Once upon a time."), sound(3), final(MARKER, "m"))
    told.hear(final("Once upon"), user("stop"), plan("Sure."), sound(1, "s2"))
    assert told.lines[1] == (1, "ASSISTANT", "Once upon")


def test_without_final_texts_the_plan_stands() -> None:
    told = Told()
    told.hear(user("hi"), plan("Hello."), sound())
    assert told.lines[-1] == (1, "ASSISTANT", "Hello.")


def test_an_echo_of_typed_text_is_told_once() -> None:
    told = Told()
    assert told.turns.typed("What time is it?") == UserText(1, "What time is it?", typed=True)
    assert told.hear(user("what time is it")) == []
    told.hear(plan("Noon."), sound())
    assert told.lines == [(1, "USER", "What time is it?"), (1, "ASSISTANT", "Noon.")]


def test_settled_means_nobody_speaks_and_nobody_owes() -> None:
    told = Told()
    turns = told.turns
    assert turns.is_settled(0.0)
    told.hear(wire.UserSpeechStart(IDS, 0))
    assert not turns.is_settled(0.0)
    told.hear(wire.UserSpeechEnd(IDS, 1, 2), user("hi"))
    assert not turns.is_settled(0.0)
    told.hear(call())
    told.hear(plan("Hello."), sound(2))
    assert not turns.is_settled(5.0), "the tool has not answered"
    assert turns.answer_call("use") == ToolCall(1, "use", "go", "{}")
    assert not turns.is_settled(5.0), "the answer to the tool is owed"
    told.hear(plan("Done.", "a2"), sound(1, "s2"), now=5.0)
    assert not turns.is_settled(5.5), "it is still playing"
    assert turns.is_settled(6.1)


def test_speech_whose_end_was_not_reported_is_owed_an_answer() -> None:
    turns = Turns(Transcript())
    assert not turns.owes_answer
    turns.receive(wire.UserSpeechStart(IDS, 500), 1.0)
    assert turns.owes_answer
    turns.receive(wire.UserSpeechEnd(IDS, 900, 1300), 2.0)
    assert not turns.owes_answer


def test_a_retired_stream_that_may_not_finish_changes_nothing_of_its_turn() -> None:
    """Another stream answers the turn: an end of the old answer is no interruption of the new."""
    playback = Playback()
    transcript = Transcript()
    old = Turns(transcript, playback)
    for record in [*user("hello"), *plan("Good day.")]:
        old.receive(record, 0.0)
    old.retire(finishing=False)
    transcript.drop_plans(1)
    new = Turns(transcript, playback)
    new.carry_on(AudioStart(turn=1))
    late = [
        wire.BlockEnd(IDS, "a", "TEXT", "INTERRUPTED"),
        *sound(id="late"),
        *final("Good", "late final"),
    ]
    assert [event for record in late for event in old.receive(record, 0.0)] == []
    events = [event for record in [*plan("Hi."), *sound()] for event in new.receive(record, 0.0)]
    assert [type(event).__name__ for event in events] == ["AssistantText", "Audio", "TurnEnded"]
    assert [line.text for line in transcript.lines] == ["hello", "Hi."]


def playing(until_s: float = 10.0) -> Playback:
    """An answer of another stream of the session is playing."""
    return Playback(newest_turn=1, sounding=1, until_s=until_s)


def test_words_over_another_stream_s_answer_are_owed_one() -> None:
    turns = Turns(Transcript(), playing())
    names = [type(e).__name__ for record in user("stop") for e in turns.receive(record, 5.0)]
    assert names == ["Interrupted", "UserText"]
    assert turns.owes_answer


def test_a_typed_turn_interrupts_the_answer_of_another_stream_when_it_is_answered() -> None:
    turns = Turns(Transcript(), playing())
    turns.typed("stop")
    events = [e for record in plan("Fine.") for e in turns.receive(record, 5.0)]
    assert [type(event).__name__ for event in events] == ["Interrupted", "AssistantText"]
    assert turns.owes_answer


def test_spoken_words_are_no_echo_of_typed_ones() -> None:
    turns = Turns(Transcript())
    turns.typed("yes")
    for record in [*plan("Good."), *sound()]:
        turns.receive(record, 0.0)
    turns.receive(wire.UserSpeechStart(IDS, 5_000), 9.0)
    turns.receive(wire.UserSpeechEnd(IDS, 5_400, 5_800), 9.0)
    events = [e for record in user("yes") for e in turns.receive(record, 9.0)]
    assert [type(event).__name__ for event in events] == ["UserText"]


def test_a_retired_stream_that_finishes_may_call_a_tool_and_is_then_done() -> None:
    turns = Turns(Transcript(), Playback())
    for record in [*user("weather"), *plan("Let me look."), *sound(stop="PARTIAL_TURN")]:
        turns.receive(record, 0.0)
    turns.retire(finishing=True)
    events = [e for record in call() for e in turns.receive(record, 0.0)]
    assert [type(event).__name__ for event in events] == ["ToolCall"]
    assert not turns.owes_answer
