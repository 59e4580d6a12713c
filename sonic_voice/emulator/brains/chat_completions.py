"""A chat endpoint as the partner: its requests, and how its answer becomes sentences and tool
calls.

Pure: a request leaves as `Reply.ask`, and the answer comes back through `thought`, piece by piece,
as the endpoint streams it (`chat.completion.chunk` objects). Each sentence is spoken as soon as it
is complete. Unlike all other partners this one is not deterministic: the endpoint decides what the
answers are and when they come.

The conversation is kept here and sent as a whole with each request:

- one system message: how to speak, followed by the client's own system prompt;
- of an interrupted answer, only the part that the user heard, as soon as the user speaks again;
- tool calls with their results. A call without a result is given a placeholder result, because
  endpoints refuse a call without one. A result that arrives after the conversation has moved on
  is reported in a message of its own.

A client's tool choice `any` or `tool:` applies to the first request of a turn only. The requests
that follow a result use `auto`: otherwise the model would call tools for ever. After `ROUNDS`
requests of one turn the tools are no longer offered.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ...chat.calls import ChatToolCall, parse_arguments, resolve_tool
from ...chat.json_values import parse_object
from ...chat.messages import AnswerSentence, ChatMessage, IncomingAnswer
from ...chat.pieces import error_of, read_piece
from ...chat.speakable import Speakable
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
"""System message that asks the model for text that is fit to be spoken."""
MEANWHILE = "One moment, please."
"""Sentence spoken while a tool runs, if the model said nothing before its call."""
NO_RECOGNISER = "I cannot make out words here. Please type."
"""Answer to speech when no recogniser is installed."""
NOT_CAUGHT = "Sorry, I did not catch that."
"""Answer to an utterance without words."""
UNREACHABLE = "Sorry, the model behind me did not answer."
"""Answer when the endpoint failed before its first sentence."""
BROKEN_OFF = "Sorry, the rest of my answer did not come."
"""Sentence spoken when the endpoint failed after its first sentence."""
NO_ANSWER = "Sorry, the model behind me had nothing to say."
"""Answer when the endpoint returned neither text nor a tool call."""
UNOPENED_THOUGHTS = (
    "the model's thoughts were spoken: they end with a tag but begin without one; "
    "--brain-thinks-first keeps them silent"
)
"""Note on an answer that began with thoughts, which showed only at their end."""

STILL_RUNNING = '{"status":"still running"}'
"""Placeholder result, as JSON, of a tool call whose result has not arrived."""

ROUNDS = 8
"""Maximum number of requests for one turn that offer tools."""


class ChatSession:
    """The chat session of one stream. Implements `BrainSession`."""

    def __init__(
        self, model: str, opening: ConversationSetup, *, thinks_first: bool = False
    ) -> None:
        self._opening = opening
        self._thinks_first = thinks_first
        self._thoughts_noted = False
        self._parameters = {"model": model, "stream": True} | _inference_parameters(opening)
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
        self._messages: list[ChatMessage] = []
        self._calls: dict[int, tuple[ChatToolCall, ChatMessage]] = {}
        self._numbered = 0
        self._incoming: IncomingAnswer | None = None
        self._request_due = False
        self._round = 0

    def told(self, role: str, text: str) -> None:
        """See `BrainSession`. System prompts join our own; everything else becomes history."""
        if role in ("SYSTEM", "SYSTEM_SPEECH"):
            self._system.append(text)
        else:
            self._add("assistant" if role == "ASSISTANT" else "user", text)

    def hear(self, words: str | None, *, typed: bool = False) -> Reply:
        """See `BrainSession`. The endpoint is asked, and an unfinished answer is dropped."""
        self._incoming = None
        self._request_due = False
        self._forget_unheard()
        if not (words or "").strip():
            return Reply((NO_RECOGNISER if words is None else NOT_CAUGHT,), words=words or NO_WORDS)
        self._add("user", words or "")
        self._round = 0
        return Reply(ask=self._ask(), more=True)

    def played(self, sentence: str) -> None:
        """See `BrainSession`. The sentence stays in the conversation."""
        for message in self._messages:
            for said in message.sentences:
                if not said.heard and said.text.startswith(sentence):
                    said.heard = sentence
                    return

    def result(self, number: int, result: Mapping[str, Any]) -> Reply:
        """See `BrainSession`. The endpoint is asked again when all calls have a result."""
        call, message = self._calls.pop(number)
        text = json.dumps(result, ensure_ascii=False)
        # A result that came after the conversation moved on cannot be put into the older message:
        # the endpoint has already been told that the tool is still running.
        if message is self._messages[-1]:
            call.result_json = text
        else:
            self._add("user", f"(The tool {call.tool} has now given its result: {text})")
        if any(asked is message for _, asked in self._calls.values()):
            return Reply()
        if self._incoming is not None:
            self._request_due = True  # asked for as soon as this answer is complete
            return Reply()
        return Reply(ask=self._ask(), more=True)

    def thought(self, piece: str | None) -> Reply:
        """See `BrainSession`. Returns the sentences that `piece` completes, or the calls."""
        incoming = self._incoming
        if incoming is None:
            return Reply()
        if piece is None:
            return self._finish(incoming)
        incoming.size += len(piece)
        read = parse_object(piece)
        error = "unreadable" if read is None else error_of(read)
        if read is None or error:
            return self._give_up(incoming, error)
        said = self._say(incoming, incoming.add(read_piece(read)))
        if incoming.too_long:
            incoming.finished = True
            return self._finish(incoming, said)
        return Reply(tuple(said), more=True, notes=self._thoughts_note(incoming))

    # What comes in.

    def _say(self, incoming: IncomingAnswer, said: list[str]) -> list[str]:
        incoming.message.sentences += map(AnswerSentence, said)
        return said

    def _thoughts_note(self, incoming: IncomingAnswer) -> tuple[tuple[str, str], ...]:
        """Return a note when thoughts were spoken, the first time only."""
        if self._thoughts_noted or not incoming.speakable.spoke_thoughts:
            return ()
        self._thoughts_noted = True
        return (("chat-endpoint", UNOPENED_THOUGHTS),)

    def _give_up(self, incoming: IncomingAnswer, error: str) -> Reply:
        """End the answer: keep the sentences so far, and tell the user that no more will come."""
        self._incoming = None
        sorry = BROKEN_OFF if incoming.message.sentences else UNREACHABLE
        return Reply((sorry,), notes=(("chat-endpoint", error),))

    def _finish(self, incoming: IncomingAnswer, said: list[str] | None = None) -> Reply:
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
        if self._request_due or message.calls:  # a result came meanwhile, or no call could be made
            self._request_due = False
            return Reply(tuple(said), ask=self._ask(), more=True)
        if not message.sentences:
            said = [NO_ANSWER]
        return Reply(tuple(said))

    def _requests(self, incoming: IncomingAnswer) -> tuple[ToolRequest, ...]:
        """Return the calls that can be made. All others get an error as their result."""
        requests: list[ToolRequest] = []
        if self._round > ROUNDS:
            return ()
        for call in incoming.calls:
            self._numbered += 1
            call.id = call.id or f"call_{self._numbered}"
            arguments = parse_arguments(call.arguments_json)
            tool = resolve_tool(call.tool, self._names)
            if tool is None:
                call.result_json = json.dumps({"error": f"There is no tool {call.tool}."})
            elif arguments is None:
                call.result_json = json.dumps({"error": "The arguments are no JSON object."})
                call.arguments_json = "{}"
            else:
                call.tool = tool
                if parse_object(call.arguments_json) is None:
                    call.arguments_json = json.dumps(arguments, ensure_ascii=False)
                requests.append(ToolRequest(self._numbered, tool, arguments))
                self._calls[self._numbered] = (call, incoming.message)
        incoming.message.calls = incoming.calls
        return tuple(requests)

    # The conversation, and what goes out of it.

    def _add(self, role: Literal["user", "assistant"], text: str) -> None:
        self._messages.append(ChatMessage(role, [AnswerSentence(text, text)]))

    def _forget_unheard(self) -> None:
        for message in self._messages:
            heard = [said.heard for said in message.sentences if said.heard]
            message.sentences = [AnswerSentence(text, text) for text in heard]
        self._messages = [m for m in self._messages if m.sentences or m.calls]

    def _ask(self) -> ChatRequest:
        """Return a request for the conversation so far, whose answer becomes its next message."""
        self._round += 1
        body = self._parameters | {"messages": list(self._encoded_messages())} | self._tool_offer()
        speakable = Speakable(thinks_first=self._thinks_first)
        self._incoming = IncomingAnswer(ChatMessage("assistant"), speakable)
        self._messages.append(self._incoming.message)
        return ChatRequest(json.dumps(body))

    def _tool_offer(self) -> dict[str, Any]:
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

    def _encoded_messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages as the endpoint reads them, with neighbours of one role joined."""
        yield {"role": "system", "content": "\n\n".join(self._system)}
        open_one: dict[str, Any] = {}
        for message in self._messages:
            if not message.sentences and not message.calls:
                continue
            # Endpoints refuse two messages of one role in a row.
            if open_one.get("role") == message.role and not message.calls:
                open_one["content"] += f"\n{message.text}"
                continue
            if open_one:
                yield open_one
            open_one = {"role": message.role, "content": message.text}
            if message.calls:
                yield open_one | {"tool_calls": [_encoded_call(call) for call in message.calls]}
                yield from map(_encoded_result, message.calls)
                open_one = {}
        if open_one:
            yield open_one


class ChatBrain:
    """A model behind a chat endpoint, for any number of streams. Implements `Brain`.

    Args:
        model: Name of the model at the endpoint.
        resample: Converts recordings to the output rate.
        thinks_first: Whether every answer begins with thoughts that have no opening tag.
    """

    endpoint_ms: int | None = None
    voice: str | None = None

    def __init__(self, model: str, resample: Resample, *, thinks_first: bool = False) -> None:
        self._model = model
        self._resample = resample
        self._thinks_first = thinks_first

    def begin(self, opening: ConversationSetup) -> BrainSession:
        """See `Brain`. The session starts with an empty conversation."""
        return ChatSession(self._model, opening, thinks_first=self._thinks_first)

    def sound(self, recording: Recording, rate_hz: int) -> bytes:
        """See `Brain`."""
        return self._resample(recording.pcm, recording.rate_hz, rate_hz)


def _inference_parameters(opening: ConversationSetup) -> dict[str, Any]:
    """Return the inference parameters that the client gave."""
    session = opening.session
    numbers = {
        "max_tokens": session.max_tokens,
        "temperature": session.temperature,
        "top_p": session.top_p,
    }
    return {name: value for name, value in numbers.items() if value is not None}


def _encoded_call(call: ChatToolCall) -> dict[str, Any]:
    function = {"name": call.tool, "arguments": call.arguments_json or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _encoded_result(call: ChatToolCall) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call.id, "content": call.result_json or STILL_RUNNING}
