"""What of a language model's text is spoken, and where its sentences end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.chat.speakable import LONGEST, Speakable, cleaned


def said(*pieces: str) -> list[str]:
    speakable = Speakable()
    return [line for piece in pieces for line in speakable.add(piece)] + speakable.rest()


def test_a_sentence_is_complete_when_the_next_begins() -> None:
    speakable = Speakable()
    assert speakable.add("It is 3") == []
    assert speakable.add(".5 metres.") == []
    assert speakable.add(" And") == ["It is 3.5 metres."]
    assert speakable.rest() == ["And"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Ask Dr. Who. Or me!", ["Ask Dr. Who.", "Or me!"]),
        ("Really?! Yes… \u201cNo.\u201d Well", ["Really?!", "Yes…", "\u201cNo.\u201d", "Well"]),
        ("1. Eat.\n2. Sleep, e.g. now.\n- Wake", ["Eat.", "Sleep, e.g. now.", "Wake"]),
        ("# Title\n\n**Bold.** _So_ it is.", ["Title", "Bold.", "So it is."]),
        ("See [the page](http://x.y/z) or `run_it`.", ["See the page or run_it."]),
        ("Do this:\n```python\nx = 1. \nprint(x)\n```\nDone.", ["Do this:", "Done."]),
        ("Hi 👋🏽! It is 20 °C, 3 * 4. ❤️", ["Hi !", "It is 20 °C, 3 * 4."]),
        ("क्या यह ठीक है। हाँ।", ["क्या यह ठीक है।", "हाँ।"]),
        ("---\n***\n", []),
        ("<think>Let me. See.</think>\nYes.", ["Yes."]),
        ("<think>For ever. And", []),
    ],
)
def test_only_what_is_for_the_ear_is_said(text: str, sentences: list[str]) -> None:
    assert said(text) == sentences
    assert said(*text) == sentences


def test_what_never_ends_is_cut_between_words() -> None:
    lines = said("word " * 200)
    assert max(map(len, lines)) <= LONGEST
    assert " ".join(lines).split() == ["word"] * 200
    assert max(map(len, said("x" * 1000))) <= LONGEST


@given(st.lists(st.text(st.sampled_from("ab .!?\n*`<think>/#1-[]()")), max_size=20))
def test_how_the_text_comes_makes_no_difference(pieces: list[str]) -> None:
    assert said(*pieces) == said(*"".join(pieces))


def test_joined_words_keep_their_signs() -> None:
    assert cleaned("a*b snake_case 5*3 ~about") == "ab snake_case 53 about"
