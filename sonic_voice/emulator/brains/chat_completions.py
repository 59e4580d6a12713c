"""A chat endpoint as the partner: what it is asked, and how its answer becomes sentences and calls.

Pure: the request leaves as `Reply.ask`, the answer comes back by `thought`, piece by piece, as the
endpoint streams it (`chat.completion.chunk` objects). Each sentence is said as soon as it is
complete. Unlike all other partners this one is not deterministic: its answers, and when they come,
are the endpoint's.

The conversation is kept here and sent whole each time:

- one system message: how to speak, then the client's own;
- of an answer what the user heard of it, once the user speaks again; the rest was never said;
- calls with their results. One that has none yet says so, since endpoints refuse a call without;
  a result that comes after the talk went on is told in a message of its own.

A client's `any` or `tool:` binds the first request of a turn. Those that follow a result are free
to speak: bound, they would call for ever. After `ROUNDS` requests the tools are taken away.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ..language.speakable import Speakable
from ..scenario import Recording
from ..service.brain import (
    NO_WORDS,
    BrainSession,
    ChatRequest,
    ConversationSetup,
    Reply,
    Resample,
    ToolRequest,
)

SPEAK = (
    "This is a spoken conversation: your words are heard, not read. Answer in a few short, plain "
    "sentences, without lists, headings, code, links or emoji."
)
MEANWHILE = "One moment, please."
DEAF = "I cannot make out words here. Please type."
NOT_CAUGHT = "Sorry, I did not catch that."
UNREACHED = "Sorry, the model behind me did not answer."
BROKEN_OFF = "Sorry, the rest of my answer did not come."
NO_ANSWER = "Sorry, the model behind me had nothing to say."

STILL_RUNNING = '{"status":"still running"}'

ROUNDS = 8
"""Requests for one turn."""
MAX_TEXT = 20_000
"""Characters of an answer and its calls: more than is spoken in the eight minutes of a stream."""
MAX_PIECES = 5_000_000
"""Characters of all pieces of an answer: what they are wrapped in, and what is thought unseen."""

type Json = Mapping[str, Any]


@dataclass(slots=True)
class Sentence:
    """A sentence of a message, and what of it was heard."""

    text: str
    heard: str = ""


@dataclass(slots=True)
class Call:
    """A tool call of the endpoint's."""

    id: str
    tool: str
    arguments_json: str
    result_json: str | None = None


@dataclass(slots=True)
class Message:
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    sentences: list[Sentence] = field(default_factory=list[Sentence])
    calls: list[Call] = field(default_factory=list[Call])

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(sentence.text for sentence in self.sentences)


@dataclass(slots=True)
class Incoming:
    """An answer while it comes in."""

    message: Message
    speakable: Speakable = field(default_factory=Speakable)
    calls: list[Call] = field(default_factory=list[Call])
    indices: dict[int, Call] = field(default_factory=dict[int, Call])
    """The latest call of each index; some servers give them all the same."""
    finished: bool = False
    """The endpoint said why it ended."""
    text_size: int = 0
    size: int = 0

    @property
    def too_long(self) -> bool:
        """Whether it may well have no end."""
        return self.text_size > MAX_TEXT or self.size > MAX_PIECES

    def take(self, choice: Json) -> list[str]:
        """The next of it; returns the sentences that are complete now."""
        self.finished = self.finished or bool(choice.get("finish_reason"))
        delta = _object(choice.get("delta") or choice.get("message"))  # not streamed: all at once
        text = _text(delta.get("content"))
        self.text_size += len(text)
        for call in _list(delta.get("tool_calls")):
            self._take_call(_object(call))
        return self.speakable.add(text)

    def _take_call(self, delta: Json) -> None:
        index, id = delta.get("index"), _text(delta.get("id"))
        index = index if isinstance(index, int) else len(self.calls)
        call = self.indices.get(index)
        if call is None or (id and call.id not in ("", id)):
            call = self.indices[index] = Call("", "", "")
            self.calls.append(call)
        function = _object(delta.get("function"))
        arguments = function.get("arguments") or ""
        arguments = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call.id = call.id or id
        call.tool += _text(function.get("name"))
        call.arguments_json += arguments
        self.text_size += len(arguments)


class ChatPartner:
    """The partner of one stream. Satisfies `partner.BrainSession`."""

    def __init__(self, model: str, opening: ConversationSetup) -> None:
        self._opening = opening
        self._fixed = {"model": model, "stream": True} | _numbers(opening)
        self._tools = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": json.loads(tool.schema_json),
                },
            }
            for tool in opening.tools
        ]
        self._names = {tool.name for tool in opening.tools}
        self._system = [SPEAK]
        self._messages: list[Message] = []
        self._calls: dict[int, tuple[Call, Message]] = {}
        self._numbered = 0
        self._incoming: Incoming | None = None
        self._owed = False
        self._round = 0

    def told(self, role: str, text: str) -> None:
        """System prompts join ours; all else is history."""
        if role in ("SYSTEM", "SYSTEM_SPEECH"):
            self._system.append(text)
        else:
            self._add("assistant" if role == "ASSISTANT" else "user", text)

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """The endpoint is asked, whatever was asked before."""
        self._incoming = None
        self._owed = False
        self._forget_unheard()
        if not (words or "").strip():
            return Reply((DEAF if words is None else NOT_CAUGHT,), words=words or NO_WORDS)
        self._add("user", words or "")
        self._round = 0
        return Reply(ask=self._ask(), more=True)

    def played(self, sentence: str) -> None:
        """It stays in the conversation."""
        for message in self._messages:
            for said in message.sentences:
                if not said.heard and said.text.startswith(sentence):
                    said.heard = sentence
                    return

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """When all calls of an answer have theirs, the endpoint is asked again."""
        call, message = self._calls.pop(number)
        text = json.dumps(result, ensure_ascii=False)
        if message is self._messages[-1]:
            call.result_json = text
        else:
            self._add("user", f"(The tool {call.tool} has now given its result: {text})")
        if any(asked is message for _, asked in self._calls.values()):
            return Reply()
        if self._incoming is not None:
            self._owed = True  # asked for as soon as this answer is complete
            return Reply()
        return Reply(ask=self._ask(), more=True)

    def thought(self, piece: str | None) -> Reply:
        """The sentences that `piece` completes; at the end the calls."""
        incoming = self._incoming
        if incoming is None:
            return Reply()
        if piece is None:
            return self._finish(incoming)
        incoming.size += len(piece)
        read = _read(piece)
        if read is None or read.get("error"):
            return self._give_up(incoming, "unreadable" if read is None else read["error"])
        said: list[str] = []
        for choice in _list(read.get("choices"))[:1]:
            said = self._say(incoming, incoming.take(_object(choice)))
        if incoming.too_long:
            incoming.finished = True
            return self._finish(incoming, said)
        return Reply(tuple(said), more=True)

    # What comes in.

    def _say(self, incoming: Incoming, said: list[str]) -> list[str]:
        incoming.message.sentences += map(Sentence, said)
        return said

    def _give_up(self, incoming: Incoming, error: object) -> Reply:
        """The sentences so far stand; the user is told that no more will come."""
        self._incoming = None
        sorry = BROKEN_OFF if incoming.message.sentences else UNREACHED
        text = str(_object(error).get("message") or error)
        return Reply((sorry,), notes=(("chat-endpoint", text),))

    def _finish(self, incoming: Incoming, said: list[str] | None = None) -> Reply:
        said = (said or []) + self._say(incoming, incoming.speakable.rest())
        if not incoming.finished:
            reply = self._give_up(incoming, "the answer ended without a finish_reason")
            return Reply((*said, *reply.say), notes=reply.notes)
        self._incoming = None
        message = incoming.message
        requests = self._requests(incoming)
        if requests:
            meanwhile = () if message.sentences else (MEANWHILE,)
            return Reply(tuple(said), calls=requests, meanwhile=meanwhile)
        if self._owed or message.calls:  # a result came meanwhile, or no call could be made
            self._owed = False
            return Reply(tuple(said), ask=self._ask(), more=True)
        if not message.sentences:
            said = [NO_ANSWER]
        return Reply(tuple(said))

    def _requests(self, incoming: Incoming) -> tuple[ToolRequest, ...]:
        """The calls that can be made; what is wrong with others is their result."""
        requests: list[ToolRequest] = []
        if self._round > ROUNDS:
            return ()
        for call in incoming.calls:
            self._numbered += 1
            call.id = call.id or f"call_{self._numbered}"
            arguments = _read(call.arguments_json or "{}")
            if call.tool not in self._names:
                call.result_json = json.dumps({"error": f"There is no tool {call.tool}."})
            elif arguments is None:
                call.result_json = json.dumps({"error": "The arguments are no JSON object."})
                call.arguments_json = "{}"
            else:
                requests.append(ToolRequest(self._numbered, call.tool, arguments))
                self._calls[self._numbered] = (call, incoming.message)
        incoming.message.calls = incoming.calls
        return tuple(requests)

    # The conversation, and what goes out of it.

    def _add(self, role: Literal["user", "assistant"], text: str) -> None:
        self._messages.append(Message(role, [Sentence(text, text)]))

    def _forget_unheard(self) -> None:
        for message in self._messages:
            heard = [said.heard for said in message.sentences if said.heard]
            message.sentences = [Sentence(text, text) for text in heard]
        self._messages = [m for m in self._messages if m.sentences or m.calls]

    def _ask(self) -> ChatRequest:
        """A request for the conversation so far, whose answer is its next message."""
        self._round += 1
        body = self._fixed | {"messages": list(self._written())} | self._offered()
        self._incoming = Incoming(Message("assistant"))
        self._messages.append(self._incoming.message)
        return ChatRequest(json.dumps(body))

    def _offered(self) -> dict[str, Any]:
        if not self._tools or self._round > ROUNDS:
            return {}
        mode, _, name = self._opening.tool_choice.partition(":")
        choice: Any = mode
        if mode and self._round > 1:
            choice = "auto"
        elif mode == "any":
            choice = "required"
        elif mode == "tool":
            choice = {"type": "function", "function": {"name": name}}
        return {"tools": self._tools} | ({"tool_choice": choice} if choice else {})

    def _written(self) -> Iterator[dict[str, Any]]:
        """The messages as the endpoint reads them: neighbours of one role are one."""
        yield {"role": "system", "content": "\n\n".join(self._system)}
        open_one: dict[str, Any] = {}
        for message in self._messages:
            if not message.sentences and not message.calls:
                continue
            if open_one.get("role") == message.role and not message.calls:
                open_one["content"] += f"\n{message.text}"
                continue
            if open_one:
                yield open_one
            open_one = {"role": message.role, "content": message.text}
            if message.calls:
                yield open_one | {"tool_calls": [_written_call(call) for call in message.calls]}
                yield from map(_written_result, message.calls)
                open_one = {}
        if open_one:
            yield open_one


class ChatBrain:
    """A model behind a chat endpoint, for any number of streams. Satisfies `partner.Brain`."""

    endpoint_ms: int | None = None
    voice: str | None = None

    def __init__(self, model: str, resample: Resample) -> None:
        self._model = model
        self._resample = resample

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """A partner with an empty conversation."""
        return ChatPartner(self._model, opening)

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """`recording` as s16le PCM at `rate_hz`."""
        return self._resample(recording.pcm, recording.rate_hz, rate_hz)


def _numbers(opening: ConversationSetup) -> dict[str, Any]:
    """Those that the client gave."""
    session = opening.session
    numbers = {
        "max_tokens": session.max_tokens,
        "temperature": session.temperature,
        "top_p": session.top_p,
    }
    return {name: value for name, value in numbers.items() if value is not None}


def _written_call(call: Call) -> dict[str, Any]:
    function = {"name": call.tool, "arguments": call.arguments_json or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _written_result(call: Call) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call.id, "content": call.result_json or STILL_RUNNING}


def _read(text: str) -> Json | None:
    """The JSON object in `text`; None if it holds anything else."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast(Json, read) if isinstance(read, dict) else None


def _object(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
