"""The conversation as it was heard."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.history import Message
from sonic_voice.transcript import Line, Transcript


def sound(ms: float, level: int = 8000) -> bytes:
    """At 1 kHz."""
    return level.to_bytes(2, "little") * round(ms)


def answered(*blocks: tuple[str, float], cut_off: bool = False) -> Transcript:
    """Turn 1 with blocks of (text, ms of sound); `cut_off`: the last one's sound is not whole."""
    transcript = Transcript()
    for text, ms in blocks:
        transcript.plan(1, text)
        transcript.sound(1, sound(ms), 1000)
        if not (cut_off and text == blocks[-1][0]):
            transcript.sound_ended(1)
    return transcript


def spoken(text: str, *runs: tuple[int, int]) -> Transcript:
    """Turn 1 with one whole block, whose sound has runs of (ms, level)."""
    transcript = Transcript()
    transcript.plan(1, text)
    for ms, level in runs:
        transcript.sound(1, sound(ms, level), 1000)
    transcript.sound_ended(1)
    return transcript


def heard(transcript: Transcript, ms: int) -> str:
    transcript.interrupt(1)
    transcript.hear(1, ms)
    return transcript.heard(1)


def test_nothing_heard_is_nothing() -> None:
    assert heard(answered(("One two three.", 1000)), 0) == ""


def test_all_heard_is_all() -> None:
    assert heard(answered(("One two three.", 1000)), 1000) == "One two three."


def test_a_word_that_was_cut_off_counts_from_its_middle_on() -> None:
    assert heard(answered(("One two three four.", 1000)), 550) == "One two"
    assert heard(answered(("One two three four.", 1000)), 560) == "One two three"


def test_words_are_spread_over_the_sound_without_its_pauses() -> None:
    runs = ((200, 0), (500, 8000), (400, 300), (500, 8000), (400, 0))
    transcript = spoken("One two three four.", *runs)
    assert heard(transcript, 200) == ""
    assert heard(transcript, 700) == heard(transcript, 1100) == "One two"
    assert heard(transcript, 1600) == "One two three four."


def test_a_clause_ends_where_the_nearest_pause_is() -> None:
    """Here the first is said faster than the second, which has a pause in it."""
    runs = ((300, 8000), (200, 0), (900, 8000), (300, 0), (300, 8000))
    transcript = spoken("One two three, four five seven.", *runs)
    assert heard(transcript, 280) == heard(transcript, 500) == "One two three,"
    assert heard(transcript, 1300) == "One two three, four five"


def test_a_pause_is_the_end_of_one_clause() -> None:
    transcript = spoken("Yes, no, and three more long words.", (300, 8000), (200, 0), (2200, 8000))
    assert heard(transcript, 300) == heard(transcript, 510) == "Yes,"


def test_the_silence_after_an_answer_ends_no_clause() -> None:
    transcript = spoken("One two three, four.", (1000, 8000), (400, 0))
    assert heard(transcript, 600) == "One two three,"
    assert heard(transcript, 950) == "One two three, four."


def test_whole_blocks_count_by_their_sound_not_by_their_length() -> None:
    transcript = answered(("A very long sentence that was said fast.", 200), (" Slow.", 5000))
    assert heard(transcript, 300) == "A very long sentence that was said fast."


def test_a_block_whose_sound_was_cut_off_is_taken_to_be_as_long_as_its_words() -> None:
    """Its 500 ms are not the whole sentence, which the service never finished."""
    words = "Once upon a time there was a house with a red roof."
    assert heard(answered((words, 500), cut_off=True), 500) == "Once upon"


def test_nobody_told_what_was_heard_leaves_what_the_service_says_was_spoken() -> None:
    transcript = answered(("One. ", 500), ("Two.", 500))
    transcript.final("One. ", 1)
    transcript.interrupt(1)
    assert transcript.heard(1) == "One."


def test_a_final_text_unlike_any_plan_is_kept_in_the_turn_that_sounds() -> None:
    transcript = answered(("One.", 500))
    assert transcript.final("Something else.", 1) == (1, 1)


def test_an_old_interrupted_turn_takes_no_final_text_of_a_later_one() -> None:
    transcript = Transcript()
    transcript.plan(1, "Sure.")
    transcript.interrupt(1)
    transcript.plan(2, "Sure.")
    assert transcript.final("Sure.", 2) == (2, 0)


def test_lines_and_messages_hold_what_was_heard() -> None:
    transcript = answered(("One two three four.", 1000))
    transcript.user(1, "count")
    transcript.user(1, " please ")
    heard(transcript, 500)
    assert transcript.lines == (
        Line(1, "USER", "count please", "count please"),
        Line(1, "ASSISTANT", "One two", "One two three four.", interrupted=True),
    )
    assert transcript.messages == (
        Message("USER", "count please"),
        Message("ASSISTANT", "One two"),
    )


def test_an_answer_nobody_heard_is_no_message() -> None:
    transcript = answered(("One.", 1000))
    heard(transcript, 0)
    assert transcript.messages == ()


@given(
    st.lists(
        st.tuples(st.text(max_size=30), st.integers(1, 5000), st.sampled_from([0, 8000])),
        max_size=5,
    ),
    st.integers(0, 30_000),
)
def test_what_was_heard_begins_what_was_planned_and_grows_with_time(
    blocks: list[tuple[str, int, int]], ms: int
) -> None:
    transcript = Transcript()
    for text, sound_ms, level in blocks:
        transcript.plan(1, text)
        transcript.sound(1, sound(sound_ms, level), 1000)
        transcript.sound_ended(1)
    transcript.interrupt(1)
    transcript.hear(1, ms)
    first = transcript.heard(1)
    assert transcript.planned(1).startswith(first)
    transcript.hear(1, ms + 100)
    assert transcript.heard(1).startswith(first)


def stopped(transcript: Transcript, **played_ms: int) -> dict[int, int]:
    """Playback stops: of turn 1 `t1` milliseconds were played, and so on."""
    return transcript.stop_playback(lambda turn: played_ms.get(f"t{turn}", 0))


def test_an_answer_that_playback_did_not_finish_is_cut_there() -> None:
    transcript = answered(("One two three four.", 1000))
    transcript.answer_ended(1)
    assert stopped(transcript, t1=550) == {1: 550}
    assert transcript.lines == (Line(1, "ASSISTANT", "One two", "One two three four.", True),)
    assert transcript.messages == (Message("ASSISTANT", "One two"),)


def test_an_answer_that_was_heard_stays_whole_though_a_resampler_keeps_its_tail() -> None:
    transcript = answered(("One two three four.", 1000))
    transcript.answer_ended(1)
    assert stopped(transcript, t1=985) == {}
    assert transcript.lines == (Line(1, "ASSISTANT", "One two three four.", "One two three four."),)


def test_of_an_answer_without_any_sound_nothing_is_left() -> None:
    transcript = Transcript()
    transcript.user(1, "hello")
    transcript.plan(1, "Hi there.")
    assert stopped(transcript) == {1: 0}
    assert [line.role for line in transcript.lines] == ["USER"]
    assert transcript.messages == (Message("USER", "hello"),)


def test_blocks_whose_sound_never_came_are_not_heard() -> None:
    transcript = answered(("One two. ", 500))
    transcript.plan(1, "Three four.")
    assert stopped(transcript, t1=500) == {1: 500}
    assert transcript.heard(1) == "One two."


def test_a_spoken_text_that_came_early_is_cut_too() -> None:
    transcript = answered(("One two three four.", 1000))
    transcript.final("One two three four.", 1)
    assert stopped(transcript, t1=550) == {1: 550}
    assert transcript.heard(1) == "One two"


def test_each_of_several_unfinished_answers_is_cut() -> None:
    transcript = answered(("One two.", 1000))
    transcript.plan(2, "Three four.")
    transcript.sound(2, sound(1000), 1000)
    transcript.plan(3, "Five six.")
    assert stopped(transcript, t1=1000, t2=600) == {1: 1000, 2: 600, 3: 0}
    assert [(line.turn, line.text) for line in transcript.lines] == [(1, "One two."), (2, "Three")]


def test_an_interruption_that_was_told_is_left_as_it_is() -> None:
    transcript = answered(("One two three four.", 1000))
    heard(transcript, 550)
    assert stopped(transcript, t1=1000) == {}
    assert transcript.heard(1) == "One two"


def test_an_interruption_of_which_nobody_told_what_was_heard_is_cut_where_playback_was() -> None:
    transcript = answered(("One two three four.", 1000))
    transcript.answer_ended(1)
    transcript.interrupt(1)
    assert stopped(transcript, t1=550) == {1: 550}
    assert transcript.heard(1) == "One two"


def test_what_the_service_tells_after_playback_stopped_was_not_heard() -> None:
    transcript = answered(("One two.", 1000))
    assert stopped(transcript, t1=1000) == {1: 1000}
    transcript.plan(1, " Three.")
    transcript.plan(2, "Four.")
    transcript.sound(2, sound(500), 1000)
    transcript.sound_ended(2)
    transcript.answer_ended(2)
    transcript.final("Something else.", 2)
    transcript.user(2, "goodbye")
    assert [line.text for line in transcript.lines] == ["One two.", "goodbye"]
    assert stopped(transcript, t2=500) == {}


def test_old_answers_stay_whole_when_a_sink_has_forgotten_them() -> None:
    transcript = Transcript()
    for turn in range(1, 101):
        transcript.plan(turn, "One two.")
        transcript.sound(turn, sound(500), 1000)
        transcript.sound_ended(turn)
        transcript.answer_ended(turn)
        transcript.follow_playback(lambda asked, newest=turn: 500 if asked >= newest - 3 else 0)
    assert transcript.stop_playback(lambda turn: 0) == {}
    assert len(transcript.lines) == 100
    assert not any(line.interrupted for line in transcript.lines)


def test_plans_that_the_user_talked_over_are_nobody_s_answer() -> None:
    transcript = Transcript()
    transcript.user(1, "go")
    transcript.plan(1, "Where to?")
    transcript.drop_plans(1)
    assert stopped(transcript) == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1500)), min_size=1, max_size=4))
def test_no_word_is_kept_that_was_not_played(turns: list[tuple[int, int]]) -> None:
    """Each turn: how many blocks of 10 words and 1 s have sound, and how much was played."""
    transcript = Transcript()
    words = "aa bb cc dd ee ff gg hh ii jj "
    for turn, (blocks, _) in enumerate(turns, 1):
        for block in range(3):
            transcript.plan(turn, words)
            if block < blocks:
                transcript.sound(turn, sound(1000), 1000)
                transcript.sound_ended(turn)
        if blocks == 3:
            transcript.answer_ended(turn)
    played = {turn: min(1000 * n, ms * 2) for turn, (n, ms) in enumerate(turns, 1)}
    transcript.stop_playback(played.__getitem__)
    for line in transcript.lines:
        assert len(line.text.split()) <= played[line.turn] / 100 + 1


def test_the_pauses_of_an_answer_that_was_heard_to_its_end_are_forgotten() -> None:
    """An hour of conversation has thousands of pauses."""
    transcript = Transcript()
    syllable = b"\x00\x20" * 2400 + bytes(4800)
    for turn in range(1, 101):
        transcript.plan(turn, "one two three")
        for _ in range(50):
            transcript.sound(turn, syllable, 24_000)
        transcript.sound_ended(turn)
        transcript.answer_ended(turn)
        transcript.follow_playback(lambda _: 10_000)
    assert len(pickle.dumps(transcript)) < 100 * 250
    assert transcript.heard(100) == "one two three"


def test_an_answer_that_is_resumed_on_another_stream_has_a_space_before_the_rest() -> None:
    transcript = answered(("Moving forward 10 meters.", 1500), cut_off=True)
    transcript.end_at_received(1)
    transcript.plan(1, "10 meters.")
    transcript.sound(1, sound(700), 1000)
    transcript.sound_ended(1)
    assert transcript.planned(1) == transcript.heard(1) == "Moving forward 10 meters."
    transcript.final("Moving forward", 1)
    transcript.final("10 meters.", 1)
    assert transcript.heard(1) == "Moving forward 10 meters."
    assert heard(transcript, 2200) == "Moving forward 10 meters."
