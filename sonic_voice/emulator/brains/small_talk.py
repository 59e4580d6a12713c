"""Small talk: an honest, deterministic partner, good enough to try every feature by voice.

An utterance goes through these, and the first to answer ends it:

    1  tools that must be called (`toolChoice`)
    2  rules for the story, while there is a rest of it to tell (`tale`)
    3  rules that come before the tools
    4  the client's tools, or the answer to what was asked for one (`matching`)
    5  all other rules (`rules.RULES`)
    6  an echo: what was understood, said to be not understood

While a question for a tool is open, a rule of 5 comes before 4 if the utterance begins like a
question of its own ("what time is it"). The first answer after an interrupted story offers the
rest of it.

With a voice whose language is not English the tools work, and everything else is answered by one
sentence in that language. A system prompt is not followed: there is no model here. Nothing reads
a clock: `now` is given from outside, and a fixed one gives the same answers for ever.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..language.words import Word, said, word_set, words_of
from ..scenario import Recording
from ..service.brain import NO_WORDS, BrainSession, ConversationSetup, Reply, Resample, ToolRequest
from .intent_matching import Calls, Question, ToolMatcher
from .readback import read_back
from .small_talk_rules import Talk, When, answered, remember_name
from .story import Telling

MAX_ECHO_WORDS = 30
MAX_ECHO_LETTERS = 300

NOT_CAUGHT = "Sorry, I did not catch that."
MEANWHILE = "One moment, please."

FOREIGN = {
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
"""By language of the voice: what is said to words, and to speech without words."""

_OTHERWISE = word_set("what who how why when can could tell help goodbye bye")
"""First words of an utterance that is no answer to a question of ours, if a rule knows it."""


@dataclass(slots=True)
class _Asked:
    """Tool calls made by one utterance, read back together and in their order."""

    tools: dict[int, str]
    results: dict[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])


class SmallTalk:
    """The partner of one stream. Satisfies `partner.BrainSession`."""

    def __init__(self, opening: ConversationSetup, now: Callable[[], datetime]) -> None:
        self._now = now
        self._tools = ToolMatcher(opening.tools, opening.tool_choice)
        self._talk = Talk(now, tuple(tool.spoken for tool in self._tools.tools))
        self._foreign = FOREIGN.get(opening.locale.partition("-")[0].lower())
        self._asked: dict[int, _Asked] = {}
        self._numbered = 0

    def told(self, role: str, text: str) -> None:
        """History: only a name is remembered from it."""
        if role == "USER":
            remember_name(self._talk, words_of(text))

    def played(self, sentence: str) -> None:
        """A sentence was heard; the story's move its rest."""
        self._talk.tale.played(sentence.strip())

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """The answer to an utterance."""
        tale, heard = self._talk.tale, words_of(words or "")
        offered = tale.telling is Telling.OFFERED
        tale.interrupt()
        reply = self._answer(words or "", heard)
        self._keep(reply.say)
        if offered and tale.telling is Telling.OFFERED:
            tale.set_aside()
        elif not reply.calls:
            reply = replace(reply, say=self._with_offer(reply.say))
        return reply if words is not None else replace(reply, words=NO_WORDS)

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """Results of one utterance's calls are read back when all of them are in."""
        asked = self._asked.pop(number, None)
        if asked is None:
            return Reply()
        asked.results[number] = result
        if len(asked.results) < len(asked.tools):
            return Reply()
        say = tuple(
            line for n, tool in asked.tools.items() for line in read_back(tool, asked.results[n])
        )
        self._keep(say)
        return Reply(self._with_offer(say))

    def thought(self, piece: str | None) -> Reply:
        """It asks nothing of the host."""
        return Reply()

    def _answer(self, text: str, heard: Sequence[Word]) -> Reply:
        if self._tools.forced and (reply := self._by_tools(text)):
            return reply
        if not heard:
            return Reply((self._foreign[1] if self._foreign else NOT_CAUGHT,))
        if self._foreign:
            echo = self._foreign[0].format(words=_echoed(heard))
            return self._by_tools(text) or Reply((echo,))
        if say := self._before_tools(heard):
            self._tools.drop()
            return Reply(say)
        if reply := self._by_tools(text):
            return reply
        return Reply(answered(self._talk, heard, When.LATER) or self._echo(text, heard))

    def _before_tools(self, heard: Sequence[Word]) -> tuple[str, ...] | None:
        say = None
        if self._talk.tale.telling is not None:
            say = answered(self._talk, heard, When.STORY)
        say = say or answered(self._talk, heard, When.FIRST)
        if say is None and self._tools.asking and heard[0].plain in _OTHERWISE:
            say = answered(self._talk, heard, When.LATER)
        return say

    def _by_tools(self, text: str) -> Reply | None:
        match self._tools.hear(text, self._now().date()):
            case Question(sentence):
                return Reply((sentence,))
            case Calls(calls):
                numbers = range(self._numbered, self._numbered + len(calls))
                self._numbered = numbers.stop
                asked = _Asked(dict(zip(numbers, (call.tool for call in calls), strict=True)))
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
        """`say`, and the question about the story if this is the first answer after it."""
        tale = self._talk.tale
        return (*say, tale.offer()) if tale.telling is Telling.CUT_OFF else say

    def _keep(self, say: tuple[str, ...]) -> None:
        """Remember the answer, unless it ends in the one before: then it said that again."""
        last = self._talk.last
        if say and not (last and say[-len(last) :] == last):
            self._talk.last = say


class SmallTalkBrain:
    """Small talk for any number of streams. Satisfies `partner.Brain`."""

    endpoint_ms: int | None = None
    voice: str | None = None

    def __init__(self, now: Callable[[], datetime], resample: Resample) -> None:
        self._now = now
        self._resample = resample

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """A partner who has met nobody yet."""
        return SmallTalk(opening, self._now)

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """`recording` as s16le PCM at `rate_hz`."""
        return self._resample(recording.pcm, recording.rate_hz, rate_hz)


def _echoed(heard: Sequence[Word]) -> str:
    text = said(heard)
    short = " ".join(text.split()[:MAX_ECHO_WORDS])[:MAX_ECHO_LETTERS]
    return short.rstrip(".") if short == text else f"{short}, and so on"
