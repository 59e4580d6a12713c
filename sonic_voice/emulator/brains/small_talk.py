"""Small talk: a deterministic partner with which every feature can be tried by voice.

An utterance passes through these steps, and the first that answers ends it:

    1  tools that must be called (`toolChoice`)
    2  rules for the story, while a part of it is left to tell (`story`)
    3  rules that come before the tools
    4  the client's tools, or the answer to a question about one (`intent_matching`)
    5  all other rules (`small_talk_rules.RULES`)
    6  an echo: the words that were understood, and that there is no answer to them

While a question for a tool is open, a rule of step 5 comes before step 4 if the utterance begins
like a question of its own ("what time is it"). The first answer after an interrupted story offers
to tell the rest.

With a voice whose language is not English the tools work, and everything else is answered with one
sentence in that language. A system prompt is not followed: there is no model here. Nothing reads
a clock: `now` is an argument, and a fixed one always gives the same answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..language.words import Word, said, word_set, words_of
from ..scenario import Recording
from ..service.brain import NO_WORDS, BrainSession, ConversationSetup, Reply, Resample, ToolRequest
from .intent_matching import MatchedCalls, Question, ToolMatcher
from .readback import read_back
from .resumption import stage_direction
from .small_talk_rules import RulePhase, TalkState, find_answer, remember_name
from .story import StoryState

MAX_ECHO_WORDS = 30
"""Maximum number of words that an echo repeats."""
MAX_ECHO_LETTERS = 300
"""Maximum length of what an echo repeats, in characters."""

NOT_CAUGHT = "Sorry, I did not catch that."
"""Answer to an utterance without words."""
MEANWHILE = "One moment, please."
"""Sentence spoken while a tool runs."""

CUT_OFF = "Sorry, I was cut off. Please ask me that again."
"""Answer to a client that asks to continue an answer of an earlier stream."""

OTHER_LANGUAGES = {
    "fr": (
        "Je suis un émulateur local et je ne converse qu'en anglais. J'ai entendu : {words}",
        "Je suis un émulateur local et je n'ai pas compris les mots.",
    ),
    "de": (
        "Ich bin ein lokaler Emulator und spreche nur Englisch. Ich habe gehört: {words}",
        "Ich bin ein lokaler Emulator und habe die Worte nicht verstanden.",
    ),
    "it": (
        "Sono un emulatore locale e converso solo in inglese. Ho sentito: {words}",
        "Sono un emulatore locale e non ho capito le parole.",
    ),
    "es": (
        "Soy un emulador local y solo converso en inglés. He oído: {words}",
        "Soy un emulador local y no he entendido las palabras.",
    ),
    "pt": (
        "Sou um emulador local e só converso em inglês. Eu ouvi: {words}",
        "Sou um emulador local e não entendi as palavras.",
    ),
    "hi": (
        "मैं एक स्थानीय एमुलेटर हूँ और केवल अंग्रेज़ी में बात करता हूँ। मैंने सुना: {words}",
        "मैं एक स्थानीय एमुलेटर हूँ और शब्द समझ नहीं पाया।",
    ),
}
"""Two answers for each other language: to speech with words, and to speech without."""

_NEW_QUESTION = word_set("what who how why when can could tell help goodbye bye")
"""First words of an utterance that is a new question, not an answer to ours, if a rule matches."""


@dataclass(slots=True)
class _CallBatch:
    """The tool calls of one utterance, whose results are read back together and in order."""

    tools: dict[int, str]
    """Name of the tool of each call, by the number of the call."""
    results: dict[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])
    """Results that have arrived, by the number of the call."""


class SmallTalkSession:
    """The small-talk session of one stream. Implements `BrainSession`."""

    def __init__(self, opening: ConversationSetup, now: Callable[[], datetime]) -> None:
        self._now = now
        self._tools = ToolMatcher(opening.tools, opening.tool_choice)
        self._talk = TalkState(now, tuple(tool.spoken for tool in self._tools.tools))
        self._other_language = OTHER_LANGUAGES.get(opening.locale.partition("-")[0].lower())
        self._asked: dict[int, _CallBatch] = {}
        self._numbered = 0

    def told(self, role: str, text: str) -> None:
        """See `BrainSession`. Only the user's name is remembered from the history."""
        if role == "USER":
            remember_name(self._talk, words_of(text))

    def played(self, sentence: str) -> None:
        """See `BrainSession`. A sentence of the story moves the position in it."""
        self._talk.story.played(sentence.strip())

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """See `BrainSession`."""
        if typed and stage_direction(words or "") is not None:
            return Reply((CUT_OFF,))
        story, heard = self._talk.story, words_of(words or "")
        offered = story.state is StoryState.OFFERED
        story.interrupt()
        reply = self._answer(words or "", heard)
        self._remember_answer(reply.say)
        if offered and story.state is StoryState.OFFERED:
            story.set_aside()
        elif not reply.calls:
            reply = replace(reply, say=self._with_offer(reply.say))
        return reply if words is not None else replace(reply, words=NO_WORDS)

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """See `BrainSession`. Results are read back when all calls of an utterance have one."""
        asked = self._asked.pop(number, None)
        if asked is None:
            return Reply()
        asked.results[number] = result
        if len(asked.results) < len(asked.tools):
            return Reply()
        say = tuple(
            line for n, tool in asked.tools.items() for line in read_back(tool, asked.results[n])
        )
        self._remember_answer(say)
        return Reply(self._with_offer(say))

    def thought(self, piece: str | None) -> Reply:
        """See `BrainSession`. Small talk asks the host for nothing."""
        return Reply()

    def _answer(self, text: str, heard: Sequence[Word]) -> Reply:
        if self._tools.forced and (reply := self._by_tools(text)):
            return reply
        if not heard:
            return Reply((self._other_language[1] if self._other_language else NOT_CAUGHT,))
        if self._other_language:
            echo = self._other_language[0].format(words=_echoed(heard))
            return self._by_tools(text) or Reply((echo,))
        if say := self._before_tools(heard):
            self._tools.drop_question()
            return Reply(say)
        if reply := self._by_tools(text):
            return reply
        return Reply(find_answer(self._talk, heard, RulePhase.LATER) or self._echo(text, heard))

    def _before_tools(self, heard: Sequence[Word]) -> tuple[str, ...] | None:
        say = None
        if self._talk.story.state is not None:
            say = find_answer(self._talk, heard, RulePhase.STORY)
        say = say or find_answer(self._talk, heard, RulePhase.FIRST)
        if say is None and self._tools.asking and heard[0].plain in _NEW_QUESTION:
            say = find_answer(self._talk, heard, RulePhase.LATER)
        return say

    def _by_tools(self, text: str) -> Reply | None:
        match self._tools.match(text, self._now().date()):
            case Question(sentence):
                return Reply((sentence,))
            case MatchedCalls(calls):
                numbers = range(self._numbered, self._numbered + len(calls))
                self._numbered = numbers.stop
                asked = _CallBatch(dict(zip(numbers, (call.tool for call in calls), strict=True)))
                self._asked.update(dict.fromkeys(numbers, asked))
                requests = (
                    ToolRequest(number, call.tool, call.arguments)
                    for number, call in zip(numbers, calls, strict=True)
                )
                return Reply(calls=tuple(requests), meanwhile=(MEANWHILE,))
            case None:
                return None

    def _echo(self, text: str, heard: Sequence[Word]) -> tuple[str, ...]:
        echo = f"I understood: {_echoed(heard)}."
        tool = self._tools.nearest(text, self._now().date())
        if tool is not None:
            return (echo, f"If you mean the tool {tool.spoken}, tell me more.")
        return (echo, "I am only an emulator and have no answer to that. Ask me what I can do.")

    def _with_offer(self, say: tuple[str, ...]) -> tuple[str, ...]:
        """Add the question about the story to the first answer after an interruption."""
        story = self._talk.story
        return (*say, story.offer()) if story.state is StoryState.CUT_OFF else say

    def _remember_answer(self, say: tuple[str, ...]) -> None:
        """Remember the answer, unless it ends with the previous one, which it then repeated."""
        last = self._talk.last
        if say and not (last and say[-len(last) :] == last):
            self._talk.last = say


class SmallTalkBrain:
    """Small talk for any number of streams. Implements `Brain`."""

    endpoint_ms: int | None = None
    voice: str | None = None

    def __init__(self, now: Callable[[], datetime], resample: Resample) -> None:
        self._now = now
        self._resample = resample

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """See `Brain`. The session starts with an empty memory."""
        return SmallTalkSession(opening, self._now)

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """See `Brain`."""
        return self._resample(recording.pcm, recording.rate_hz, rate_hz)


def _echoed(heard: Sequence[Word]) -> str:
    text = said(heard)
    short = " ".join(text.split()[:MAX_ECHO_WORDS])[:MAX_ECHO_LETTERS]
    return short.rstrip(".") if short == text else f"{short}, and so on"
