"""The grammar of what the service emits, written once, as a checker of one stream's payloads.

An event is checked in three steps; each broken rule is reported in words.

1. *Shape*: one JSON event with exactly the fields of its name (`output_shapes`).
2. *Block*: texts and tool calls are whole, that is start, one content, end, with nothing between;
   sound is one open block at a time, during which other events may come. The user's speech may
   also begin or end between the parts of the user's text.
3. *Order*: a whole block, or an event of its own, is a `Token`, and every token must have a
   transition in each of the three small state machines that knows it (`output_tables`).

Along with the order, the texts (a FINAL one repeats what was said), the offsets, the sizes of
sound and the usage counts (`usage_counts`) are checked. `RULES` names every rule, with its section
of the protocol reference.

A stream may end anywhere, but is checked from its beginning; one without usage events from the
beginning is taken for a recording without them. It has one audio container, as the service asks of
its client, so offsets only grow. Accounts of barge-in differ (13): with a marker and FINAL texts,
with neither, and with both although nobody spoke. All of them are legal. So are the accounts of a
user who goes on speaking: the words come before the end of the speech, in several texts, and the
end may come inside of such a text.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sonic_voice.catalog import MS_PER_SPEECH_TOKEN, VoiceModel
from sonic_voice.config import TOOL_NAME
from sonic_voice.errors import WireError
from sonic_voice.wire import (
    AudioBlock,
    AudioOutput,
    BlockEnd,
    CompletionEnd,
    CompletionStart,
    Output,
    TextBlock,
    TextOutput,
    ToolBlock,
    ToolUse,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
    decode_output,
)

from .output_shapes import ChunkSizeChecker, holds_object, is_compact, misfits
from .output_tables import ANSWER, COMPLETION, SOUND_STOPS, STOPS, USER, T, Table, Token
from .usage_counts import UsageCountChecker, check_sums

RULES: Mapping[str, str] = {
    "json": "One event, compact, keys in alphabetical order (1.4).",
    "fields": "Every name has its fields, all of them and no other (3.1 to 3.10).",
    "ids": "Session, prompt and completion keep their ids; blocks and calls have new ones (3.1).",
    "block": "A block is begun, filled and ended; text and calls are whole (3.5 to 3.9).",
    "completion": "One completion holds all blocks of all turns; nothing follows it (3.3, 3.10).",
    "user": "The user begins, ends, is transcribed; nothing is said meanwhile (3.4, 3.11).",
    "answer": "Each text has its sound; a turn ends with one, a cut one with the marker (3.11).",
    "stop": "Every block ends for one of its reasons (3.9).",
    "final": "FINAL texts repeat in order what was said, or how much of it was heard (3.11).",
    "words": "The user's are in lower case; a later sentence begins with a space (3.6).",
    "offsets": "Positions are whole tokens of 40 ms and only grow (3.4).",
    "sound": "Samples come in chunks of the model's sizes, at one rate (4).",
    "model": "Only models with speech events send them (0.1).",
    "totals": "Totals are the sums of all that was reported (3.2).",
    "counted": "Input is counted in its order, and no more speech than was received (9.1).",
    "steps": "Output is counted as a first sentence, then twenties, then what is left (9.1).",
}
"""All rules of the output, by name."""


def is_marker(text: str) -> bool:
    """Return whether a text is the marker of a barge-in, in any spelling of its JSON.

    Args:
        text: A FINAL text of the assistant.
    """
    return re.fullmatch(r'\{\s*"interrupted"\s*:\s*true\s*\}', text) is not None


EITHER_STOP = ("END_TURN", "PARTIAL_TURN")
"""Stop reasons of the FINAL texts of a turn of which some may be missing."""
ONE_ENDS = ("PARTIAL_TURN", "END_TURN")
"""Stop reasons of the FINAL texts of a turn, of which one ends with END_TURN."""


class DueText(NamedTuple):
    """A FINAL text that is due."""

    text: str
    stops: tuple[str, ...]
    """Its legal stop reasons."""
    answer: int
    """Number of the answer that it belongs to."""


class OutputGrammar:
    """A checker of the output events of one stream."""

    def __init__(self, model: VoiceModel | None = None) -> None:
        """Start before the first event of a stream.

        Args:
            model: The model that sends the stream; None to allow what any model sends.
        """
        self._v1 = model is not None and not model.speech_events
        self._chunks = ChunkSizeChecker(model)
        self._usage_counts = UsageCountChecker()
        self._broken: list[str] = []
        self._tables: dict[str, Table] = {"completion": COMPLETION, "user": USER, "answer": ANSWER}
        self._states = {name: next(iter(table)) for name, table in self._tables.items()}
        self._ids: dict[str, str] = {}
        self._used: set[str] = set()
        self._whole: TextBlock | ToolBlock | None = None
        self._content: TextOutput | ToolUse | None = None
        self._sound: AudioBlock | None = None
        self._turn: list[str] = []  # sentences of the present answer
        self._finals: deque[DueText] = deque()
        self._answers = 0  # number of answers whose sound has ended
        self._answered = False  # the user's newest words have an answer, which may be interrupted
        self._cut = False  # `_finals` belong to an interrupted answer
        self._early = False  # a FINAL text came before the sound's end, so a marker must follow
        self._goes_on = False  # the answer goes on after a marker
        self._optional = 0  # number of `_finals`, the first ones, that may never come
        self._reached_ms = 0

    def check(self, payload: bytes) -> list[str]:
        """Check the next event of the stream.

        Args:
            payload: The event's bytes.

        Returns:
            The rules that it breaks: the name of each, and how.
        """
        self._broken = []
        record = self._record(payload)
        if record is not None:
            self._checker(record)
        return self._broken

    def end(self) -> list[str]:
        """Check what is left open by a stream that came to its end and was not broken off.

        Returns:
            The rules that are broken: the name of each, and how.
        """
        self._broken = []
        if self._whole is not None or self._sound is not None:
            self._break("block", "the stream ended in an open block")
        for machine, state in (("user", "heard"), ("answer", "cut")):
            if self._states[machine] == state:
                self._break(machine, f"the stream ended in the state {state!r}")
        if self._usage_counts.unfinished:
            self._break("counted", "the stream ended in the middle of a count")
        return self._broken

    def _break(self, rule: str, words: str) -> None:
        assert rule in RULES
        self._broken.append(f"{rule}: {words}")

    def _break_all(self, broken: Iterable[tuple[str, str]]) -> None:
        for rule, words in broken:
            self._break(rule, words)

    # 1. Shape.

    def _record(self, payload: bytes) -> Output | None:
        try:
            record = decode_output(payload)
        except WireError as error:
            self._break("json", str(error))
            return None
        event = json.loads(payload)
        ((name, body),) = event["event"].items()
        if not is_compact(payload, event):
            self._break("json", f"{name} is not compact, or its keys are not in order")
        found = misfits(name, body)
        self._break_all(("fields", words) for words in found)
        if found:
            return None
        self._check_ids(body)
        if isinstance(record, UsageEvent):
            self._break_all(check_sums(record, body))
        return record

    def _check_ids(self, body: Mapping[str, Any]) -> None:
        for key in ("sessionId", "promptName", "completionId"):
            if key in body and body[key] != self._ids.setdefault(key, body[key]):
                self._break("ids", f"{key} was {self._ids[key]} and is {body[key]}")

    def _new_id(self, id: str) -> None:
        if not id or id in self._used:
            self._break("ids", f"{id!r} is not new")
        self._used.add(id)

    # 2. Block.

    def _checker(self, record: Output) -> None:
        open_id = self._whole.content_id if self._whole is not None else None
        if (
            open_id is not None
            and getattr(record, "content_id", None) != open_id
            and not self._is_beside_user_text(record)
        ):
            self._break("block", f"{type(record).__name__} came into the block {open_id}")
        if isinstance(record, UsageEvent):
            self._token(T.USAGE)
            # A count of what is left also follows an answer that was cut off; that of a text may
            # follow the text.
            between_turns = self._states["answer"] in ("none", "interrupted", "shown") or (
                self._states["user"] == "speaking" and self._sound is None
            )
            self._break_all(self._usage_counts.check_usage(record, between_turns=between_turns))
        else:
            self._break_all(self._usage_counts.check_other_event())
            self._place(record)

    def _is_beside_user_text(self, record: Output) -> bool:
        """Return whether an event tells of the user's speech while the user's text is open."""
        speech = isinstance(record, UserSpeechStart | UserSpeechEnd)
        return speech and isinstance(self._whole, TextBlock) and self._whole.role == "USER"

    def _place(self, record: Output) -> None:
        match record:
            case TextBlock() | ToolBlock():
                self._new_id(record.content_id)
                self._whole, self._content = record, None
            case TextOutput():
                self._fill_text(record)
            case ToolUse():
                self._fill_call(record)
            case AudioBlock():
                self._begin_sound(record)
            case AudioOutput():
                self._add_sound(record)
            case BlockEnd():
                self._end_block(record)
            case CompletionStart():
                self._token(T.COMPLETION_START)
            case CompletionEnd():
                self._token(T.COMPLETION_END)
            case UserSpeechStart():
                self._speech(T.SPEECH_START, record.offset_ms)
            case UserSpeechEnd():
                self._speech(T.SPEECH_END, record.offset_ms, record.detected_ms)
                self._break_all(self._usage_counts.check_received_speech(record.detected_ms))
            case _:
                self._break("fields", f"{record} is no event of the service's")

    def _fill_text(self, record: TextOutput) -> None:
        begun = self._whole
        if not isinstance(begun, TextBlock) or begun.content_id != record.content_id:
            self._break("block", f"{record.content_id} is no open block of text")
        elif record.role and begun.role != record.role:
            self._break("block", f"{record.role} speaks in a block of {begun.role}")
        self._fill(record)

    def _fill_call(self, record: ToolUse) -> None:
        self._new_id(record.tool_use)
        begun = self._whole
        if not isinstance(begun, ToolBlock) or begun.content_id != record.content_id:
            self._break("block", f"{record.content_id} is no open block of a call")
        if not re.fullmatch(TOOL_NAME, record.name) or not holds_object(record.arguments_json):
            self._break("fields", f"{record.name!r} is called with {record.arguments_json!r}")
        self._fill(record)

    def _fill(self, record: TextOutput | ToolUse) -> None:
        if self._content is not None:
            self._break("block", f"{record.content_id} has content already")
        self._content = record

    def _end_block(self, record: BlockEnd) -> None:
        if self._sound is not None and record.content_id == self._sound.content_id:
            self._end_sound(record)
            return
        begun, content = self._whole, self._content
        self._whole = self._content = None
        kind = "TEXT" if isinstance(begun, TextBlock) else "TOOL"
        if begun is None or (begun.content_id, kind) != (record.content_id, record.kind):
            self._break("block", f"{record.kind} {record.content_id} is not open")
        elif content is None:
            self._break("block", f"{record.content_id} is empty")
        elif isinstance(begun, ToolBlock):
            self._token(T.CALL, record.stop)
        elif isinstance(content, TextOutput):
            self._text(begun, content.text, record.stop)

    # 3. Order, and what goes with it.

    def _token(self, token: Token, stop: str | None = None) -> None:
        """Apply `token` to every machine that knows it.

        Args:
            token: The token.
            stop: Stop reason, if it is a whole block.
        """
        for name, table in self._tables.items():
            if not any(token in ways for ways in table.values()):
                continue
            state = self._states[name]
            if token in table[state]:
                self._states[name] = table[state][token]
            else:
                self._break(name, f"{token.name} in the state {state!r}")
        if stop is not None and stop != STOPS[token]:
            self._break("stop", f"{token.name} ends with {stop}, not {STOPS[token]}")

    def _speech(self, token: Token, *offsets_ms: int) -> None:
        if self._v1:
            self._break("model", f"{token.name} of a model without it")
        self._token(token)
        for offset_ms in offsets_ms:
            if offset_ms % MS_PER_SPEECH_TOKEN or offset_ms < self._reached_ms:
                self._break("offsets", f"{offset_ms} ms after {self._reached_ms} ms")
            self._reached_ms = offset_ms
        if token is T.SPEECH_START and not self._cut:
            self._optional = len(self._finals)  # after a barge-in without a marker none comes

    def _text(self, block: TextBlock, text: str, stop: str) -> None:
        if block.role == "USER":
            self._transcript(block, text, stop)
        elif block.stage == "SPECULATIVE":
            self._sentence(text, stop)
        elif is_marker(text):
            self._interrupted(stop)
        else:
            self._final(text, stop)

    def _transcript(self, block: TextBlock, text: str, stop: str) -> None:
        self._token(T.TRANSCRIPT if text else T.NO_WORDS, stop)
        if text:
            self._supersede()
        if block.stage != "FINAL":
            self._break("user", "a transcript is never SPECULATIVE")
        if text != text.lower() or (self._v1 and set(text) & set(".,;:!?")):
            self._break("words", f"the user's words are {text!r}")

    def _supersede(self) -> None:
        """Forget the sentences of an answer that was cut without a marker."""
        self._check_marker()
        self._turn.clear()
        self._goes_on = self._answered = False

    def _sentence(self, text: str, stop: str) -> None:
        state = self._states["answer"]
        later = state == "unfinished"
        self._token(T.SPECULATIVE, stop)
        # After a marker the answer may go on, or another one begin.
        if text[:1].isspace() != later and state != "interrupted":
            self._break("words", f"{text!r} is {'a later' if later else 'the first'} sentence")
        self._check_marker()
        if self._cut:  # FINAL texts of the interrupted answer can no longer follow
            self._finals.clear()
            self._cut, self._optional = False, 0
        self._goes_on = self._goes_on or state == "interrupted"
        self._answered = True
        self._turn.append(text)

    def _check_marker(self) -> None:
        if self._early:
            self._break("final", "no marker followed a FINAL text that came during the sound")
            self._early = False

    def _interrupted(self, stop: str) -> None:
        """Allow FINAL texts of what was said and not repeated yet, as far as it was heard."""
        goes_on = self._states["answer"] == "sounding"
        self._token(T.MARKER, stop)
        if not (self._early or self._answered) and (self._cut or not self._finals):
            self._break("answer", "there is nothing left to interrupt")
        self._early = False
        if goes_on:
            self._goes_on = True
            return
        self._answered = False
        # Texts that were not repeated yet come first, then the sentences of the cut answer.
        said = [final.text for final in self._finals] + self._turn
        self._finals = deque(DueText(text, ("PARTIAL_TURN",), 0) for text in said)
        self._optional = 0
        self._turn, self._cut = [], True

    def _final(self, text: str, stop: str) -> None:
        self._token(T.FINAL)
        while self._finals and self._optional and self._finals[0].text != text:
            self._finals.popleft()
            self._optional -= 1
        if not self._finals and self._turn:
            self._early_final(text)
            return
        if not self._finals:
            self._break("final", f"{text!r} repeats nothing")
            return
        said, due, answer = self._finals.popleft()
        self._optional = max(0, self._optional - 1)
        if text != said:
            # Only the last FINAL text of an interrupted answer may be a part of its sentence.
            self._finals.clear()
            if not (self._cut and text and said.startswith(text)):
                self._break("final", f"{text!r} was said as {said!r}")
        if due is ONE_ENDS:
            due = self._settled_stops(stop, answer)
        if stop not in due:
            self._break("stop", f"FINAL ends with {stop}, not {' or '.join(due)}")

    def _settled_stops(self, stop: str, answer: int) -> tuple[str, ...]:
        """Return the legal stop reasons of a FINAL text of an answer of which one has END_TURN.

        Args:
            stop: Its own. If it is END_TURN, the other texts of its answer get PARTIAL_TURN.
            answer: Number of the answer.
        """
        others = [
            at
            for at, final in enumerate(self._finals)
            if final.answer == answer and final.stops is ONE_ENDS
        ]
        if stop == "END_TURN":
            for at in others:
                self._finals[at] = self._finals[at]._replace(stops=("PARTIAL_TURN",))
        return ONE_ENDS if others else ("END_TURN",)

    def _early_final(self, text: str) -> None:
        """Check a FINAL text before the end of the sound that it repeats: a marker must follow."""
        if not (text and any(said.startswith(text) for said in self._turn)):
            self._break("final", f"{text!r} was said as {' or '.join(self._turn)!r}")
        self._early = True

    # Sound.

    def _begin_sound(self, record: AudioBlock) -> None:
        self._new_id(record.content_id)
        self._token(T.SOUND_START)
        self._sound = record
        self._break_all(self._chunks.begin(record.rate_hz))

    def _add_sound(self, record: AudioOutput) -> None:
        self._token(T.SOUND)
        if self._sound is None or record.content_id != self._sound.content_id:
            self._break("block", f"{record.content_id} is no open block of sound")
        else:
            self._break_all(self._chunks.add(len(record.pcm)))

    def _end_sound(self, record: BlockEnd) -> None:
        self._sound = None
        if record.kind != "AUDIO" or not self._chunks.bytes:
            self._break("block", f"{record.kind} ends sound of {self._chunks.bytes} bytes")
        token = SOUND_STOPS.get(record.stop)
        if token is None:
            self._break("stop", f"sound ends with {record.stop}")
            return
        self._token(token)
        if token is T.SOUND_END:
            self._check_marker()
            stops = [("END_TURN",)]
            # Recordings differ in which of several ends with END_TURN. Those that came before a
            # marker are not known to be repeated.
            if self._goes_on:
                stops = [EITHER_STOP] * len(self._turn)
            elif len(self._turn) > 1:
                stops = [ONE_ENDS] * len(self._turn)
            self._answers += 1
            self._finals.extend(
                DueText(text, due, self._answers)
                for text, due in zip(self._turn, stops, strict=False)
            )
            if self._goes_on:
                self._optional = len(self._finals)
            self._turn, self._goes_on = [], False
