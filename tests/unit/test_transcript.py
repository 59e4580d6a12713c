"""The conversation as it was heard."""

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
