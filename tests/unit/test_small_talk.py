"""Small talk: what is answered, what is remembered, and what becomes of an interrupted story."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.catalog import VOICE_MODELS
from sonic_voice.emulator.brains.small_talk import (
    NOT_CAUGHT,
    OTHER_LANGUAGES,
    SmallTalkBrain,
    SmallTalkSession,
)
from sonic_voice.emulator.brains.small_talk_rules import RULES
from sonic_voice.emulator.brains.story import SHALL_I, STORY
from sonic_voice.emulator.language.patterns import pattern, prepare_utterance
from sonic_voice.emulator.language.sums import evaluate
from sonic_voice.emulator.language.words import words_of
from sonic_voice.emulator.scenario import Recording
from sonic_voice.emulator.service.brain import (
    NO_WORDS,
    Brain,
    BrainSession,
    ConversationSetup,
    Reply,
)
from sonic_voice.wire import ToolDefinition

SPEECH = Path(__file__).parent.parent / "speech"
NOW = datetime(2026, 11, 22, 14, 5, tzinfo=UTC)
GO = ToolDefinition(
    "go",
    "Drives the robot.",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "direction": {"type": "string", "enum": ["forward", "backward"]},
                "meters": {"type": "integer"},
            },
            "required": ["direction", "meters"],
        }
    ),
)
WEATHER = ToolDefinition(
    "get_weather",
    "Forecast for a city.",
    '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
)


def talk(*tools: ToolDefinition, locale: str = "en-US", choice: str = "") -> BrainSession:
    return SmallTalkSession(ConversationSetup(locale, tools, choice), lambda: NOW)


def said(words: str, *before: str, partner: BrainSession | None = None) -> str:
    """The answer to `words`, after what was said before."""
    partner = partner or talk()
    for earlier in before:
        partner.hear(earlier)
    return " ".join(partner.hear(words).say)


ANSWERS = [
    ("hello", "Hello! I am a local emulator of Nova Sonic."),
    ("Helo!", "Hello!"),
    ("good morning emulator", "Hello!"),
    ("how are you today", "every frame is in order"),
    ("what time is it", "It is 2:05 in the afternoon."),
    ("Can you tell me the time, please?", "It is 2:05 in the afternoon."),
    ("whats the time", "It is 2:05 in the afternoon."),
    ("what's today's date", "Today is Sunday, November 22, 2026."),
    ("what day is it today", "Today is Sunday, November 22, 2026."),
    ("repeat after me I'm a little Teapot", "I'm a little Teapot"),
    ("repeat after me what's the weather in paris", "what's the weather in paris"),
    ("count to ten", "One, two, three, four, five, six, seven, eight, nine, ten."),
    ("please count from 3 to seven", "Three, four, five, six, seven."),
    ("count from seven to 5", "Seven, six, five."),
    ("count backwards from three", "Three, two, one."),
    ("count to a thousand", "at most one hundred numbers"),
    ("spell lighthouse", "lighthouse: L, I, G, H, T, H, O, U, S, E."),
    ("how do you spell the word Rhythm", "Rhythm: R, H, Y, T, H, M."),
    ("can you spell cat for me please", "cat: C, A, T."),
    ("what is two plus two", "That makes four."),
    ("what's 12*3.5", "That makes forty two."),
    ("how much is ten divided by four", "That makes two point five."),
    ("two plus three times four", "That makes fourteen."),
    ("what is ten divided by three", "That makes about three point three three three three."),
    ("ten percent of fifty", "That makes five."),
    ("what is one divided by zero", "Nobody can divide by zero"),
    ("what are you", "I am a local emulator of Amazon Nova Sonic."),
    ("who are you?", "I am a local emulator of Amazon Nova Sonic."),
    ("are you a robot", "I am a local emulator of Amazon Nova Sonic."),
    ("what can you do", "I can tell the time, count, spell"),
    ("help", "I can tell the time, count, spell"),
    ("what is my name", "You have not told me your name yet."),
    ("tell me a story", "Once upon a time"),
    ("tell me a joke", "Why did the packet"),
    ("thank you very much", "You are welcome."),
    ("goodbye", "Goodbye! It was nice to talk to you."),
    ("see you later", "Goodbye!"),
    ("I'm sorry.", "No harm done."),
    ("can you hear me", "I hear you."),
    ("wait a moment", "I am waiting."),
    ("what's the weather in paris", "Give me a tool for it"),
    ("say that again", "I have not said anything yet."),
    ("the moon is a balloon", "I understood: the moon is a balloon. I am only an emulator"),
    ("", NOT_CAUGHT),
    (" ?! ", NOT_CAUGHT),
]


@pytest.mark.parametrize(("words", "answer"), ANSWERS)
def test_small_talk_answers(words: str, answer: str) -> None:
    assert answer in said(words)


RECORDED = {
    "agent-newlocation": "I understood: Please enter a new extension",
    "cards-001": "I understood: ten of clubs",
    "cards-003": "I understood: seven of clubs",
    "cards-004": "I understood: five five",
    "cards-005": "I understood: eight of spades four of clubs seven of hearts",
    "demo-thanks": "Goodbye!",
    "goforward": "I understood: go forward ten meters",
    "goodbye": "Goodbye!",
    "hello": "Hello!",
    "jfk": "I understood: And so my fellow Americans ask not",
    "please-try-again": "I have not said anything yet.",
    "something": "I understood: go somewhere and do something",
    "transfer": "All right, I am waiting.",
    "tt-weasels": "I understood: Weasels have eaten our phone system",
    "vm-sorry": "No problem, let me say it again.",
}


@pytest.mark.parametrize("name", sorted(path.stem for path in SPEECH.glob("*.txt")))
def test_recorded_speech_is_answered_with_and_without_its_punctuation(name: str) -> None:
    text = " ".join((SPEECH / f"{name}.txt").read_text(encoding="utf-8").split())
    heard = "".join(letter for letter in text.lower() if letter not in ".,!?")
    assert RECORDED[name] in said(text)
    assert _bare(RECORDED[name]) in _bare(said(heard))


def _bare(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter not in ".,!?")


def test_a_name_is_remembered() -> None:
    assert said("my name is ada") == "Nice to meet you, Ada."
    assert said("what's my name?", "hi there, I'm Ada") == "Your name is Ada."
    assert said("hello", "call me ishmael please").startswith("Hello, Ishmael!")


def test_a_name_is_remembered_from_the_history() -> None:
    partner = talk()
    partner.told("SYSTEM", "Your name is Bob. My name is Eve.")
    partner.told("USER", "My name is Ada.")
    partner.told("ASSISTANT", "My name is Bob.")
    assert said("who am i", partner=partner) == "Your name is Ada."


def test_two_streams_know_nothing_of_each_other() -> None:
    brain: Brain = SmallTalkBrain(lambda: NOW, lambda pcm, from_hz, to_hz: pcm + pcm)
    one, other = brain.begin(ConversationSetup()), brain.begin(ConversationSetup())
    one.hear("my name is ada")
    assert said("who am i", partner=other) == "You have not told me your name yet."
    assert brain.sound(Recording(b"ab", 8000), 16000) == b"abab"
    assert (brain.voice, brain.endpoint_ms) == (None, None)


def test_the_last_answer_is_said_again_however_often() -> None:
    once = said("please try again", "count to three")
    assert once == "One, two, three."
    assert said("try again", "count to three", "try again") == once
    again = said("i did not understand you", "count to three", "sorry i didn't understand")
    assert again == f"No problem, let me say it again. {once}"


def test_speech_without_words_has_a_transcript_that_says_so() -> None:
    assert talk().hear(None) == Reply((NOT_CAUGHT,), NO_WORDS)


# The story.


def told_story(heard: int) -> BrainSession:
    """A partner who was interrupted after so many sentences of the story."""
    partner = talk(GO)
    assert partner.hear("tell me a story").say == STORY
    for sentence in STORY[:heard]:
        partner.played(sentence)
    partner.played(STORY[heard][:10] if heard < len(STORY) else "")
    return partner


def test_the_story_is_long_enough_to_interrupt() -> None:
    words = sum(len(sentence.split()) for sentence in STORY)
    assert words / 3 > 30, "seconds at three words a second, which is fast"
    assert len(STORY) > 10


@pytest.mark.parametrize("yes", ["yes", "Yes, please!", "go on", "continue", "of course"])
def test_an_interrupted_story_is_offered_and_goes_on_where_it_was_cut(yes: str) -> None:
    partner = told_story(3)
    assert partner.hear("what time is it").say == ("It is 2:05 in the afternoon.", SHALL_I)
    assert partner.hear(yes).say == ("Where was I?", *STORY[3:])


def test_it_is_offered_once_and_goes_on_when_asked_for_later() -> None:
    partner = told_story(3)
    assert partner.hear("thank you").say[-1] == SHALL_I
    assert SHALL_I not in partner.hear("count to three").say
    assert partner.hear("yes").say == ("Good.",)
    assert partner.hear("go on with the story").say == ("Where was I?", *STORY[3:])


@pytest.mark.parametrize("words", ["stop", "no", "that's enough"])
def test_it_stops_when_told_to(words: str) -> None:
    partner = told_story(3)
    assert partner.hear(words).say[0].startswith("All right.")
    assert partner.hear("go on").say[1] == STORY[3]


def test_it_can_be_interrupted_again() -> None:
    partner = told_story(3)
    assert partner.hear("wait").say == ("I am listening.", SHALL_I)
    partner.hear("yes")
    partner.played("Where was I?")
    partner.played(STORY[3])
    assert partner.hear("hello").say[-1] == SHALL_I
    assert partner.hear("go on").say == ("Where was I?", *STORY[4:])


def test_a_sentence_that_was_not_understood_is_told_again() -> None:
    assert told_story(3).hear("what did you say").say == STORY[2:]


def test_a_story_that_was_heard_to_its_end_is_over() -> None:
    partner = told_story(len(STORY))
    assert SHALL_I not in partner.hear("thank you").say
    assert "I understood" in said("go on", partner=talk())


def test_with_a_tool_of_that_name_go_on_is_the_storys_while_there_is_one() -> None:
    partner = told_story(2)
    assert partner.hear("go on").say[0] == "Where was I?"
    partner = talk(GO)
    assert partner.hear("go on").say == ("Which direction: forward or backward?",)


def test_a_tool_call_in_the_middle_offers_the_story_with_its_result() -> None:
    partner = told_story(2)
    reply = partner.hear("go forward ten meters")
    assert reply.say == ()
    after = partner.result(reply.calls[0].number, {"result": "Done."})
    assert after.say == ("Done.", SHALL_I)
    assert partner.hear("yes").say[1] == STORY[2]


# Tools.


def test_a_request_is_a_call_and_its_result_is_read_back() -> None:
    partner = talk(GO)
    reply = partner.hear("go forward ten meter")
    assert [(c.tool, c.arguments) for c in reply.calls] == [
        ("go", {"direction": "forward", "meters": 10})
    ]
    assert reply.meanwhile
    assert not reply.say
    result = partner.result(reply.calls[0].number, {"meters": 9.5})
    assert result == Reply(("Go: meters is 9.5.",))
    assert partner.result(reply.calls[0].number, {}) == Reply()


def test_parallel_results_are_read_back_together_in_the_order_of_the_calls() -> None:
    partner = talk(GO, WEATHER)
    calls = partner.hear("go forward one meter and what's the weather in rome").calls
    assert [call.tool for call in calls] == ["go", "get_weather"]
    assert len({call.number for call in calls}) == 2
    assert partner.result(calls[1].number, {"result": "Sunny."}) == Reply()
    assert partner.result(calls[0].number, {"error": "stuck"}) == Reply(
        ("Go did not work: stuck.", "Sunny.")
    )


def test_numbers_of_calls_are_never_used_again() -> None:
    partner = talk(GO)
    numbers = [partner.hear("go forward one meter").calls[0].number for _ in range(3)]
    assert len(set(numbers)) == 3


def test_a_question_of_the_users_own_is_no_answer_to_ours() -> None:
    partner = talk(WEATHER)
    assert partner.hear("what's the weather").say == ("Which city?",)
    assert partner.hear("what time is it").say == ("It is 2:05 in the afternoon.",)
    assert not partner.hear("paris").calls


def test_an_answer_makes_the_call() -> None:
    partner = talk(WEATHER)
    partner.hear("what's the weather")
    assert partner.hear("in paris").calls[0].arguments == {"city": "paris"}


@pytest.mark.parametrize("words", ["spell go forward", "repeat after me go forward ten meters"])
def test_what_is_only_repeated_or_spelled_is_no_call(words: str) -> None:
    assert not talk(GO).hear(words).calls


def test_with_the_tool_choice_any_everything_is_a_call() -> None:
    partner = talk(GO, choice="any")
    assert all(partner.hear(words).calls for words in ("hello", "tell me a story", ""))


def test_help_names_the_tools_and_an_echo_the_one_that_is_near() -> None:
    assert "go, get weather" in said("what can you do", partner=talk(GO, WEATHER))
    near = said("my robot has gone forward since the morning", partner=talk(GO))
    assert "If you mean the tool go, tell me more." in near


# Languages.


def test_every_language_of_a_voice_has_its_sentence() -> None:
    languages = {code for model in VOICE_MODELS for code in model.languages}
    assert languages == {"en", *OTHER_LANGUAGES}


@pytest.mark.parametrize("language", sorted(OTHER_LANGUAGES))
def test_another_language_gets_one_honest_sentence(language: str) -> None:
    partner = talk(locale=f"{language}-XX")
    assert "comment ça va" in said("comment ça va ?", partner=partner)
    assert partner.hear("").say == (OTHER_LANGUAGES[language][1],)
    assert not set(partner.hear("tell me a story").say) & set(STORY)


def test_another_language_has_its_tools() -> None:
    assert talk(GO, locale="fr-FR").hear("go forward ten meters").calls


# Any words.


@given(
    st.lists(
        st.one_of(
            st.text(max_size=80),
            st.sampled_from([words for words, _ in ANSWERS]),
            st.sampled_from(["yes", "no", "go on", "stop", "go forward", "ten", "tell me a story"]),
        ),
        max_size=8,
    ),
    st.integers(0, 3),
)
def test_any_words_are_answered_the_same_every_time(heard: list[str], played: int) -> None:
    one, other = talk(GO, WEATHER), talk(GO, WEATHER)
    for words in heard:
        reply = one.hear(words)
        assert reply == other.hear(words)
        assert bool(reply.say) != bool(reply.calls)
        assert all(sentence.strip() for sentence in reply.say)
        for sentence in reply.say[:played]:
            one.played(sentence)
            other.played(sentence)


def test_very_long_texts_are_answered() -> None:
    assert talk(GO).hear("go and " * 50_000).say
    assert len(said("x" * 1_000_000)) < 500
    assert len(said("my name is " + "x" * 1_000_000)) < 500
    words = "repeat after me " + "la " * 150
    assert said(words) == ("la " * 150).strip()


# The pieces.


@pytest.mark.parametrize(
    ("form", "text", "kept"),
    [
        ("hello|hi [there] *", "Hi there, my Friend", ["my Friend"]),
        ("count to +", "well count to ten", ["ten"]),
        ("count to +", "count to", None),
        ("from + to +", "from one hundred to two", ["one hundred", "two"]),
        ("good_morning", "good morning", []),
        ("story", "could you please story now", []),
        ("story", "a story", None),
    ],
)
def test_a_pattern_keeps_what_was_said(form: str, text: str, kept: list[str] | None) -> None:
    wanted = pattern(form)
    found = prepare_utterance(words_of(text), wanted.vocabulary).kept(wanted)
    spoken = found and [" ".join(word.said for word in words) for words in found]
    assert (None if spoken is None else list(spoken)) == kept


def test_an_option_of_several_words_must_be_joined() -> None:
    with pytest.raises(ValueError, match="joined by _"):
        pattern("[can you] spell +")


def test_every_rule_has_patterns_that_are_all_different() -> None:
    forms = [form.expression.pattern for rule in RULES for form in rule.patterns]
    assert all(rule.patterns for rule in RULES)
    for rule in RULES:
        own = [form.expression.pattern for form in rule.patterns]
        assert len(own) == len(set(own))
    assert len(forms) > 100


@given(st.integers(-999, 999), st.integers(-999, 999))
def test_sums_are_right(one: int, other: int) -> None:
    assert evaluate(words_of(f"{one} plus {other}")) == one + other
    assert evaluate(words_of(f"{one} minus {other}")) == one - other
    assert evaluate(words_of(f"{one} times {other}")) == one * other


def test_the_tools_day_is_the_day_given_from_outside() -> None:
    schema = '{"type":"object","properties":{"day":{"type":"string","format":"date"}}}'
    partner = talk(ToolDefinition("plan", "Plans a day.", schema))
    assert partner.hear("plan tomorrow").calls[0].arguments == {
        "day": date(2026, 11, 23).isoformat()
    }
