"""Intent matching: which tool a request means, and the call it becomes.

There is no model: only words, weights and a threshold. The score of a tool for a request is a sum:

    4 x   the share of the significant words of the tool's name that was said. Verbs that many
          tools have (`WEAK`) count 0.4 of a word; `get` and the like count nothing, unless the
          name has nothing else. A synonym (`words.SYNONYMS`) counts 0.75 of the word. Of a name
          with "and" in it (`get_date_and_time`) the half that fits better counts.
    1     for each word of the description that was said and is not in the name; at most 2
    1     for each argument found that is a number, date, enum or boolean; at most 2
    0.4   if a free text was found
    1 x   the share of the significant words said that named the tool or became an argument

A word counts as said when `words.alike` holds. The best tool is called if its score is at least
`MATCH` and a word of its name, a synonym of one, or a word of its description was said; of equal
tools the one offered first is called. So "go forward ten meters" scores 7 for `go`, while "ten of
clubs" gives `draw_card` its arguments only, and no call.

Two requests in one sentence ("... and ...", or two sentences) become two calls if each half
matches alone; "in paris and london" becomes two as well, where a place was asked for. A required
property without a value is asked for, one at a time, and the next utterance is the answer, unless
it is a request of its own or cancels the request. After `ATTEMPTS` answers that do not fit, the
request is dropped.

With the tool choice `any` every utterance calls the best tool, and with `tool:<name>` that one,
however low its score; nothing is asked back, and `slot_filling.default_value` fills the gaps.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, cast

from ...wire import ToolDefinition
from ..language.words import STOP_WORDS, Word, alike, related, word_set, words_of
from .slot_filling import FilledSlots, default_value, fill_arguments, parse_answer
from .tool_schema import Property, name_words, properties

MATCH = 2.75
"""Minimum score at which a tool is called."""
NEAR = 1.5
"""Minimum score at which a tool that was not called is mentioned in a hint."""
ATTEMPTS = 2
"""Number of answers that do not fit after which a request is dropped."""
MAX_JOINTS = 4
"""Maximum number of places at which an utterance is tried as two requests."""
MAX_JOINED_WORDS = 60
"""Maximum length, in words, of an utterance that is tried as two requests; a longer one is one
request."""
SYNONYM = 0.75
"""Weight of a synonym, relative to the word itself."""
WEAK_WEIGHT = 0.4
"""Weight of a word of `WEAK` in a tool's name."""

WEAK = word_set(
    "set find search create check make add send show list update open read start play book "
    "tell look put run ask track"
)
"""Verbs that say little alone: half of all tools begin with one of them."""
EMPTY = word_set(
    "get do fetch tool function api call execute handle use new current query lookup retrieve "
    "info information data value returns return given"
)
"""Words of names and descriptions that users do not say."""

_CALLED_OFF = (
    *("never mind", "nevermind", "forget it", "forget about it", "cancel that", "cancel it"),
    *("cancel", "stop", "nothing", "leave it", "no thanks", "no thank you"),
)
"""Answers that cancel a request."""


@dataclass(frozen=True, slots=True)
class MatchedCall:
    """A tool call with its arguments."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MatchedCalls:
    """A request that is understood: these tools are to be called at the same time."""

    calls: tuple[MatchedCall, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A sentence that asks for a missing value, or says that the request is dropped."""

    sentence: str


class OfferedTool:
    """A tool, prepared for matching."""

    def __init__(self, definition: ToolDefinition) -> None:
        self.name = definition.name
        self.schema = _schema(definition.schema_json)
        self.properties = properties(self.schema)
        parts = name_words(definition.name)
        self.names = tuple(_word_weights(half) for half in _name_parts(parts))
        self.about = _significant(
            word.plain
            for word in words_of(definition.description)
            if not any(alike(word.plain, part) for part in parts)
        )

    @property
    def spoken(self) -> str:
        """Name of the tool as it is spoken: `get_weather` becomes "get weather"."""
        return " ".join(name_words(self.name))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tool with the arguments found for it, and how well the words fit."""

    tool: OfferedTool
    filled: FilledSlots
    """Arguments that the words hold for the tool."""
    score: float
    """Score as the module describes it."""
    meant: bool
    """True if a word of the name or the description was said."""


@dataclass(frozen=True, slots=True)
class _PendingRequest:
    """Calls that wait for an answer to a question."""

    candidates: tuple[Candidate, ...]
    words: tuple[Word, ...]
    attempts: int = 0
    """Number of answers that did not fit."""

    @property
    def wanted(self) -> tuple[int, Property]:
        return next(
            (at, candidate.filled.missing[0])
            for at, candidate in enumerate(self.candidates)
            if candidate.filled.missing
        )


class ToolMatcher:
    """A matcher of utterances to the tools of one stream.

    Its only state is the question that it asked last.
    """

    def __init__(self, tools: Sequence[ToolDefinition], choice: str = "") -> None:
        mode, _, name = choice.partition(":")
        offered = [OfferedTool(tool) for tool in tools]
        named = [tool for tool in offered if tool.name == name]
        self.tools = tuple(named if mode == "tool" and named else offered)
        self._forced = mode == "any" or (mode == "tool" and bool(named))
        self._pending: _PendingRequest | None = None

    @property
    def forced(self) -> bool:
        """True if every utterance must call a tool."""
        return self._forced and bool(self.tools)

    @property
    def asking(self) -> bool:
        """True if the next utterance is taken for an answer."""
        return self._pending is not None

    def drop_question(self) -> None:
        """Forget the open question."""
        self._pending = None

    def match(self, text: str, today: date) -> MatchedCalls | Question | None:
        """Return what an utterance means for the tools.

        Args:
            text: The utterance.
            today: Date that relative dates refer to.

        Returns:
            The calls to make or the question to ask; None if no tool is meant, which makes it small
            talk.
        """
        words = words_of(text)
        pending, self._pending = self._pending, None
        # A request of its own takes precedence over an answer to the open question.
        request = self._request(words, today)
        if request is None and pending is not None:
            return self._use_answer(pending, words, today)
        if request is None:
            return None
        return self._outcome(_PendingRequest(tuple(request), tuple(words)))

    def nearest(self, text: str, today: date) -> OfferedTool | None:
        """Return the tool that an utterance may have meant without being a call of it.

        Args:
            text: The utterance.
            today: Date that relative dates refer to.

        Returns:
            The tool with the best score, or None if the score is below `NEAR`.
        """
        best = self._best(words_of(text), today)
        return best.tool if best is not None and best.meant and best.score >= NEAR else None

    # Requests.

    def _request(self, words: Sequence[Word], today: date) -> list[Candidate] | None:
        """Return the tools that are meant, or None if there are none."""
        if self.forced:
            best = self._best(words, today)
            assert best is not None
            halves = self._halves(words, today)
            return [self._completed(c, words, today) for c in halves or _each_place(best)]
        halves = self._halves(words, today)
        if halves is not None:
            return halves
        best = self._best(words, today)
        return _each_place(best) if best is not None and _is_match(best) else None

    def _halves(self, words: Sequence[Word], today: date) -> list[Candidate] | None:
        """Return the requests of an utterance whose halves match alone, or None."""
        if len(words) > MAX_JOINED_WORDS:
            return None
        joints = [at for at, w in enumerate(words[1:-1], 1) if w.ends or w.plain == "and"]
        for at in joints[:MAX_JOINTS]:
            first, second = words[: at + words[at].ends], words[at + 1 :]
            halves = [self._best(first, today), self._best(second, today)]
            found = [half for half in halves if half is not None and _is_match(half)]
            if len(found) == 2:
                more = self._halves(second, today)  # "a and b and c"
                return [found[0], *(more or found[1:])]
        return None

    def _best(self, words: Sequence[Word], today: date) -> Candidate | None:
        candidates = [_score(tool, words, today) for tool in self.tools]
        return max(candidates, key=lambda c: (c.meant, c.score), default=None)

    def _completed(self, candidate: Candidate, words: Sequence[Word], today: date) -> Candidate:
        """Return `candidate` with a default for every required argument that is missing."""
        filled = candidate.filled
        rest = {p.name: default_value(p, words, today) for p in filled.missing}
        full = replace(filled, arguments=filled.arguments | rest, missing=())
        return replace(candidate, filled=full)

    # Questions.

    def _outcome(self, request: _PendingRequest) -> MatchedCalls | Question:
        if any(candidate.filled.missing for candidate in request.candidates):
            self._pending = request
            return Question(question(request.wanted[1]))
        return MatchedCalls(
            tuple(MatchedCall(c.tool.name, c.filled.arguments) for c in request.candidates)
        )

    def _use_answer(
        self, pending: _PendingRequest, words: Sequence[Word], today: date
    ) -> MatchedCalls | Question:
        if " ".join(word.plain for word in words) in _CALLED_OFF:
            return Question("All right, never mind.")
        at, wanted = pending.wanted
        value = parse_answer(wanted, words, today)
        if value is None:
            if pending.attempts + 1 >= ATTEMPTS:
                return Question(f"I still have no {wanted.spoken}, so let us leave it.")
            self._pending = replace(pending, attempts=pending.attempts + 1)
            return Question(f"Sorry, I did not get that. {question(wanted)}")
        candidates = list(pending.candidates)
        candidates[at] = _with_answer(candidates[at], wanted, value)
        return self._outcome(_PendingRequest(tuple(candidates), pending.words))


def _is_match(candidate: Candidate) -> bool:
    return candidate.meant and candidate.score >= MATCH


def _schema(text: str) -> Mapping[str, Any]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}


def _significant(words: Iterable[str]) -> tuple[str, ...]:
    found = dict.fromkeys(w for w in words if w not in STOP_WORDS and w not in EMPTY)
    return tuple(word for word in found if len(word) > 1)


def _word_weights(parts: Sequence[str]) -> dict[str, float]:
    """Return the weight of each word of a name; if all its words are weak they count in full."""
    telling = [part for part in parts if part not in EMPTY and part not in STOP_WORDS]
    if not telling:
        return dict.fromkeys(parts, 1.0)
    if all(part in WEAK for part in telling):
        return dict.fromkeys(telling, 1.0)
    return {part: WEAK_WEIGHT if part in WEAK else 1.0 for part in telling}


def _name_parts(parts: Sequence[str]) -> list[list[str]]:
    """Return the parts of a name around "and" and "or", without those of empty words only."""
    halves: list[list[str]] = [[]]
    for part in parts:
        if part in ("and", "or"):
            halves.append([])
        else:
            halves[-1].append(part)
    telling = [half for half in halves if any(part not in EMPTY for part in half)]
    return telling or [list(parts)]


def _score(tool: OfferedTool, words: Sequence[Word], today: date) -> Candidate:
    """Return how well `tool` fits the words."""
    spoken = [word.plain for word in words]
    named, share, exact = max(
        (_match_name(name, spoken) for name in tool.names), key=lambda found: found[1]
    )
    filled = fill_arguments(tool.schema, words, today, frozenset(named))
    about = {at for at, word in enumerate(spoken) for known in tool.about if alike(word, known)}
    about -= named  # a word counts once, as part of the name
    telling = [at for at, word in enumerate(spoken) if word not in STOP_WORDS and word]
    explained = named | about | filled.taken
    score = 4 * share
    score += min(2, len({spoken[at] for at in about}))
    score += min(2, filled.certain)
    score += 0.4 if len(filled.arguments) > filled.certain else 0.0
    score += sum(at in explained for at in telling) / len(telling) if telling else 0.0
    # Synonyms alone are weak evidence: they need the score of a match.
    meant = exact or bool(about) or (bool(named) and score >= MATCH)
    return Candidate(tool, filled, score, meant)


def _match_name(name: Mapping[str, float], spoken: Sequence[str]) -> tuple[set[int], float, bool]:
    """Match the words of a tool's name.

    Returns:
        The indices of the words said, the share of the name that was said, and whether a word was
        more than a synonym.
    """
    places: set[int] = set()
    weight, exact = 0.0, False
    for part, worth in name.items():
        same = [at for at, word in enumerate(spoken) if alike(word, part)]
        near = same or [at for at, word in enumerate(spoken) if related(word, part)]
        if near:
            places.add(near[0])
            weight += worth * (1.0 if same else SYNONYM)
            exact = exact or bool(same)
    # Weak words may be left out: the share is of the full-weight words.
    whole = sum(worth for worth in name.values() if worth == 1.0) or 1.0
    return places, min(1.0, weight / whole), exact


def _with_answer(candidate: Candidate, wanted: Property, value: Any) -> Candidate:
    """Return `candidate` with the answer for `wanted`."""
    filled = candidate.filled
    found = filled.arguments | {wanted.name: value}
    ordered = {p.name: found[p.name] for p in candidate.tool.properties if p.name in found}
    return replace(candidate, filled=replace(filled, arguments=ordered, missing=filled.missing[1:]))


_PLACES = frozenset({"city", "location", "place", "town"})
"""Words of a property's name that make it a place."""


def _each_place(candidate: Candidate) -> list[Candidate]:
    """Return one request for each of the places in "paris and london"."""
    filled = candidate.filled
    for prop in candidate.tool.properties:
        value = filled.arguments.get(prop.name)
        if prop.kind != "text" or not set(name_words(prop.name)) & _PLACES:
            continue
        places = str(value or "").split(" and ")
        if len(places) > 1:
            named = [place.removeprefix("in ").strip() for place in places]
            return [
                replace(candidate, filled=replace(filled, arguments=arguments))
                for place in named
                if (arguments := filled.arguments | {prop.name: place}) and place
            ]
    return [candidate]


def question(wanted: Property) -> str:
    """Return the sentence that asks for a value.

    Args:
        wanted: The property without a value.
    """
    name = wanted.spoken
    match wanted.kind:
        case "enum":
            values = [str(value) for value in wanted.values[:6]]
            return f"Which {name}: {_either(values)}?"
        case "integer" | "number":
            return f"How many {name}?" if name.endswith("s") else f"What number for {name}?"
        case "boolean":
            return f"Yes or no: {name}?"
        case "date" | "moment":
            return "On which day?"
        case "time":
            return "At what time?"
        case "array":
            return f"Which {name}?"
        case _:
            return f"What should the {name} be?" if wanted.verbatim else f"Which {name}?"


def _either(values: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(values[:-1]), values[-1])))
