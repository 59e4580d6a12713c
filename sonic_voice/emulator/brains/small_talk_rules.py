"""Rules of small talk: a table of what is said, what is answered, and when each rule is tried.

The patterns are those of `patterns`; several patterns of one rule are divided by ` / `. An answer
is one line, several lines, or a function of the words that the pattern kept; a function returns
None if the rule does not apply after all, and the next rule is tried. The first rule that answers
ends the search, so the order matters: particular rules come before general ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from ..language.dates import MONTHS, WEEKDAYS
from ..language.numerals import in_words, numbers
from ..language.patterns import Pattern, pattern, prepare_utterance, vocabulary
from ..language.sums import evaluate
from ..language.words import Word, said, word_set
from .story import STORY, Story, StoryState

MAX_COUNT = 100
"""Maximum number of numbers counted in one answer."""
COUNT_LINE = 10
"""Number of numbers in one sentence of a count."""
MAX_SPELLED = 40
"""Maximum number of letters spelled in one answer."""
MAX_REPEATED = 200
"""Maximum number of words repeated in one answer."""
MAX_REPEATED_LETTERS = 2000
"""Maximum length of words repeated in one answer, in characters."""
MAX_NAME_WORDS = 4
"""Maximum length of the user's name, in words."""
MAX_NAME_LETTERS = 60
"""Maximum length of the user's name, in characters."""


@dataclass(slots=True)
class TalkState:
    """The memory of one conversation."""

    now: Callable[[], datetime]
    """Returns the present local time."""
    tools: tuple[str, ...] = ()
    """Names of the client's tools, as they are spoken."""
    name: str | None = None
    """Name of the user; None until it is known."""
    last: tuple[str, ...] = ()
    """The last answer, for repeating it."""
    story: Story = field(default_factory=Story)


type Kept = tuple[Sequence[Word], ...]
"""Words that a pattern kept, one sequence for each `*` and `+`."""
type AnswerFunction = Callable[[TalkState, Kept], tuple[str, ...] | None]
"""Returns the sentences of an answer, or None if the rule does not apply."""


class RulePhase(Enum):
    """The phase of a search in which a rule is tried."""

    STORY = auto()
    """First phase, while a part of the story is left."""
    FIRST = auto()
    """Phase before the tools, for words that must not become a call because they are repeated or
    spelled."""
    LATER = auto()
    """Phase after the tools."""


@dataclass(frozen=True, slots=True)
class TalkRule:
    """A rule: the patterns of an utterance, and its answer."""

    patterns: tuple[Pattern, ...]
    answer: AnswerFunction
    when: RulePhase


# Answers that are more than a line.


def _greet(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    name = f", {talk.name}" if talk.name else ""
    return (f"Hello{name}! I am a local emulator of Nova Sonic.", "What can I do for you?")


def _tell_time(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    now = talk.now()
    part = "morning" if now.hour < 12 else "afternoon" if now.hour < 18 else "evening"
    return (f"It is {(now.hour - 1) % 12 + 1}:{now.minute:02d} in the {part}.",)


def _tell_date(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    day = talk.now().date()
    weekday, month = WEEKDAYS[day.weekday()].capitalize(), MONTHS[day.month - 1].capitalize()
    return (f"Today is {weekday}, {month} {day.day}, {day.year}.",)


def _repeat(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    words = said(kept[0]).split()[:MAX_REPEATED]
    return (" ".join(words)[:MAX_REPEATED_LETTERS],) if words else None


def _say_again(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    if talk.story.state is StoryState.CUT_OFF:
        return talk.story.again()
    if talk.last == STORY:
        return talk.story.begin()
    return talk.last or ("I have not said anything yet.",)


def _explain(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    return ("No problem, let me say it again.", *_say_again(talk, kept))


def _count(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    found = [n.value for words in kept for n in numbers(words)]
    bounds = [value for value in found if isinstance(value, int)]
    if not bounds or len(bounds) != len(found) or len(bounds) > 2:
        return None
    start, stop = bounds if len(bounds) == 2 else (1, bounds[0])
    return _counted(start, stop)


def _count_down(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    bounds = [n.value for words in kept for n in numbers(words) if isinstance(n.value, int)]
    if not 1 <= len(bounds) <= 2:
        return None
    low = bounds[1] if len(bounds) == 2 else 0 if bounds[0] < 1 else 1
    return _counted(max(bounds[0], low), min(bounds[0], low))


def _counted(start: int, stop: int) -> tuple[str, ...]:
    step = 1 if stop >= start else -1
    if abs(stop - start) >= MAX_COUNT:
        far = in_words(MAX_COUNT)
        return (f"That is a long way: I count at most {far} numbers at a time.",)
    row = [in_words(n) for n in range(start, stop + step, step)]
    lines = [row[at : at + COUNT_LINE] for at in range(0, len(row), COUNT_LINE)]
    return tuple(f"{', '.join(line).capitalize()}." for line in lines)


def _spell(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    courtesy = (at for at, word in enumerate(kept[0]) if word.plain in ("for", "please"))
    words = said(kept[0][: next(courtesy, None)]).split()
    letters = [letter.upper() for letter in "".join(words) if letter.isalnum()][:MAX_SPELLED]
    word = " ".join(words)[:MAX_REPEATED_LETTERS]
    return (f"{word}: {', '.join(letters)}.",) if letters else None


def _add_up(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    try:
        total = evaluate(kept[0])
    except ZeroDivisionError:
        return ("Nobody can divide by zero, and neither can I.",)
    if total is None:
        return None
    if total.denominator == 1:
        return (f"That makes {in_words(int(total))}.",)
    near = round(float(total), 4)
    about = "" if total == round(total, 4) else "about "
    return (f"That makes {about}{in_words(near)}.",)


_NO_NAMES = word_set("not so very just a an the fine good well here sorry")
"""First words after "I am" that are no name."""


def _remember(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    words = kept[0][:MAX_NAME_WORDS]
    if not words or words[0].plain in _NO_NAMES:
        return None
    ends = (at for at, word in enumerate(words, 1) if word.ends or word.plain == "and")
    end = next(ends, MAX_NAME_WORDS)
    names = [word.said for word in words[:end] if word.said and word.plain not in ("and", "please")]
    if not names:
        return None
    talk.name = " ".join(name[0].upper() + name[1:] for name in names)[:MAX_NAME_LETTERS]
    return (f"Nice to meet you, {talk.name}.",)


def _recall(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    if talk.name is None:
        return ("You have not told me your name yet.",)
    return (f"Your name is {talk.name}.",)


def _bye(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    return (f"Goodbye{f', {talk.name}' if talk.name else ''}! It was nice to talk to you.",)


def _tell_story(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    return talk.story.begin()


def _go_on(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    return talk.story.rest()


def _yes(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    return None if talk.story.state is StoryState.ASIDE else talk.story.rest()


def _no(talk: TalkState, kept: Kept) -> tuple[str, ...] | None:
    return None if talk.story.state is StoryState.ASIDE else _enough(talk, kept)


def _enough(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    talk.story.set_aside()
    return ("All right. Say go on when you want the rest of the story.",)


def _help(talk: TalkState, kept: Kept) -> tuple[str, ...]:
    can = (
        "I can tell the time, count, spell, do sums, repeat after you, and remember your name.",
        "Ask me for a story, and interrupt me whenever you like.",
    )
    if not talk.tools:
        return (*can, "Give me tools, and I will call them when you ask for what they do.")
    return (*can, f"I have these tools too: {', '.join(talk.tools[:5])}.")


# The table.


def _rule(
    forms: str, answer: str | tuple[str, ...] | AnswerFunction, when: RulePhase = RulePhase.LATER
) -> TalkRule:
    patterns = tuple(pattern(form) for form in forms.split(" / "))
    if callable(answer):
        return TalkRule(patterns, answer, when)
    lines = (answer,) if isinstance(answer, str) else answer
    return TalkRule(patterns, lambda talk, kept: lines, when)


RULES: tuple[TalkRule, ...] = (
    # The rest of a story.
    _rule(
        "go on / continue / carry on / keep going / go ahead / "
        "[yes] go on [with] [the] [story] / continue [with] [the] [story] / "
        "the rest|end [of] [the] [story] / tell me the rest *",
        _go_on,
        RulePhase.STORY,
    ),
    _rule("yes|yeah|yep|sure|of_course|please|yes_please|please_do|why_not", _yes, RulePhase.STORY),
    _rule("no|nope|no_thanks|no_thank_you|not_now|later|maybe_later", _no, RulePhase.STORY),
    _rule(
        "stop|enough|quiet|shut_up|be_quiet|that_is_enough|stop_it|stop_the_story|stop_talking",
        _enough,
        RulePhase.STORY,
    ),
    _rule(
        "wait|hold_on|wait_a_moment|just_a_moment|one_moment|excuse_me",
        "I am listening.",
        RulePhase.STORY,
    ),
    # What must not become a tool call.
    _rule("repeat after me + / repeat the words + / say after me +", _repeat, RulePhase.FIRST),
    _rule(
        "spell [the] [word] + / how do you spell [the] [word] + / how is + spelled",
        _spell,
        RulePhase.FIRST,
    ),
    _rule(
        "count down|backwards|backward|back from + / count from + down to +",
        _count_down,
        RulePhase.FIRST,
    ),
    _rule("count from + to + / count [up] to + / count to +", _count, RulePhase.FIRST),
    _rule(
        "my name is + / call me + / you can call me + / hello|hi|hey [there] my name is + / "
        "hello|hi|hey [there] i am +",
        _remember,
        RulePhase.FIRST,
    ),
    _rule(
        "what is my name / do you know|remember my name / who am i / say my name",
        _recall,
        RulePhase.FIRST,
    ),
    # About the other one.
    _rule(
        "what|who are you * / who is this|that|there / are you a|an|the + / are you real|human|"
        "alive / what is your name / what do|should i call you / introduce yourself / "
        "* are you nova sonic|amazon",
        (
            "I am a local emulator of Amazon Nova Sonic.",
            "There is no model behind me, only a table, and nothing you say leaves this machine.",
        ),
    ),
    _rule(
        "help [me] / what can|do you do * / what can i ask|say|do * / what else can you do / "
        "what do you know / how does this work",
        _help,
    ),
    _rule(
        "how are|is you|it|things [doing|going] [today] / how do you do / how are you *",
        "Thank you, every frame is in order.",
    ),
    _rule(
        "[can] [you] hear me [now] / are you there / anybody there / testing * / test * / "
        "one two three [four] / microphone test",
        "I hear you.",
    ),
    # Time.
    _rule(
        "what time is it * / what is the time * / tell [me] the time / [the] time / "
        "do you have|know the time / do you know what time it is",
        _tell_time,
    ),
    _rule(
        "what day|date is it|today * / what is the date|day * / what is today|today's date|day / "
        "what is today / tell [me] the date|day / which day is it *",
        _tell_date,
    ),
    # Stories and jokes.
    _rule(
        "[tell|read] [me] a|another|the|your [long|short|little|good] story * / story / "
        "i want|would|like [to] [like] [to] [hear] a story * / tell [me] something * / "
        "talk to me",
        _tell_story,
    ),
    _rule(
        "[tell|make] [me] a|another joke *",
        ("Why did the packet cross the network?", "To get to the other side, in order."),
    ),
    _rule("sing * / [sing] [me] a song", "La la la. That is all the music in me."),
    # Courtesies.
    _rule(
        "please|try again|repeat [again|that] / say|repeat that|it again / say again / "
        "please try again / repeat that [please] / what did you say / what was that / pardon / "
        "can you repeat that / once more / again",
        _say_again,
    ),
    _rule("* i did|do|could|can not understand|hear|get|catch * / * not understood *", _explain),
    _rule(
        "[hello|hi] [good] goodbye|bye|bye_bye|farewell|see_you|good_night|so_long * / "
        "[thank] [you] [and] goodbye|bye / that is all [thank] [you] / have a nice|good day|"
        "evening|night",
        _bye,
    ),
    _rule("[no|yes|great|good|ok] thank you * / thanks * / thank you", "You are welcome."),
    _rule(
        "hello|hi|hey|greetings|good_morning|good_afternoon|good_evening|good_day|welcome * ",
        _greet,
    ),
    _rule("[i] [am] sorry * / excuse me / my apologies / i apologize *", "No harm done."),
    _rule(
        "please hold * / hold on * / wait * / one|just moment|second * / just a|one "
        "moment|second|minute *",
        "All right, I am waiting.",
    ),
    _rule(
        "stop / enough / be quiet / shut up / quiet / never mind / forget it / cancel", "All right."
    ),
    _rule(
        "yes|yeah|yep|sure|of_course|right|exactly|okay|ok|fine|great|good|nice|cool|wonderful",
        "Good.",
    ),
    _rule("no|nope|not_really|no_way|wrong", "All right."),
    _rule("i am fine|good|well|great|okay * / very well *", "I am glad to hear it."),
    _rule("i love|like you * / you are nice|great|good|funny|clever *", "That is kind of you."),
    _rule(
        "what is [the] weather * / how is the weather *",
        "I cannot see the weather from here. Give me a tool for it, and I will ask.",
    ),
    # Sums come last: any row of numbers may be one.
    _rule(
        "[and] what is|are + / how much is|are + / calculate + / compute + / what does + make / "
        "add up + / +",
        _add_up,
    ),
)
"""All rules, in the order in which they are tried."""

_VOCABULARY = vocabulary(form for rule in RULES for form in rule.patterns)


def find_answer(talk: TalkState, heard: Sequence[Word], when: RulePhase) -> tuple[str, ...] | None:
    """Return the answer of the first rule that has one.

    Args:
        talk: The memory of the conversation, which an answer may change.
        heard: The words of the utterance.
        when: Only rules of this phase are tried.

    Returns:
        The sentences, or None if no rule applies.
    """
    spoken = prepare_utterance(heard, _VOCABULARY)
    for rule in RULES:
        if rule.when is not when:
            continue
        for form in rule.patterns:
            kept = spoken.kept(form)
            say = None if kept is None else rule.answer(talk, kept)
            if say is not None:
                return say
    return None


def remember_name(talk: TalkState, heard: Sequence[Word]) -> None:
    """Remember the user's name from a text that is not answered.

    Args:
        talk: The memory of the conversation.
        heard: The words of the text.
    """
    spoken = prepare_utterance(heard, _VOCABULARY)
    forms = (form for rule in RULES if rule.answer is _remember for form in rule.patterns)
    kept = next(filter(None, map(spoken.kept, forms)), None)
    if kept is not None:
        _remember(talk, kept)
