"""The service's side of the protocol, without I/O. A `SonicService` is one stream of the emulator.

`receive` decodes an input event, asks the order table whether it is legal now (`order`), checks its
values (`checks`), keeps the open content blocks (`blocks`), and passes the content to the
conversation (`turns`), which runs on the clock of the input audio. The results are effects; see
`effects` for what the host must do with them.

A mistake of the client ends the stream with the service's exception and text (section 6 of the
reference), at the moment at which the service sends it. Where real clients deviate and their
sessions work, the deviation is noted and tolerated; in strict mode it is refused, too.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...catalog import EXPERT_TOOL, VoiceModel
from ...errors import WireError
from ...wire import (
    AudioInput,
    AudioStart,
    ContentEnd,
    Input,
    NoEventError,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolResult,
    ToolResultStart,
    UnknownInput,
    decode_input,
)
from . import checks
from .answers import Timing
from .blocks import OpenBlock, OpenBlocks
from .brain import Brain, ConversationSetup
from .effects import Effect, Expiry, Fail, Finish, Note
from .endpointing import SpeechDetector
from .expert import sentence_of
from .order import (
    INVALID,
    NO_AUDIO,
    OPEN_CONTENT,
    Refused,
    StreamState,
    Tolerated,
    input_kind,
    verdict,
)
from .output import ServiceOutput
from .turns import PromptTurns
from .usage import UsageCounter

type DetectorFactory = Callable[[int], SpeechDetector]
"""A function `(rate_hz)` that returns a new voice activity detector for that sample rate."""

VALIDATION = "validationException"
"""Code of the exception that reports a mistake of the client."""


class _RefusedError(Exception):
    """A mistake of the client that ends the stream, with the service's text against it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class SonicService:
    """One stream of the service. Implements `effects.Service`.

    Input that cannot be decoded, or that is not legal, ends the stream with an exception of the
    service. The host must keep to the rules of `effects`.

    Args:
        model: The model of the stream.
        brain: Decides the answers.
        detector_factory: Makes the voice activity detector of each audio container.
        strict: Whether to refuse the mistakes of real clients that are otherwise noted.
        new_id: Returns a new id for a session, a completion, a content block or a tool call.
        request_id: The id of the HTTP request. It stands in the texts of exceptions.
        timing: The delays of the service. None: the typical ones.
        notes: Notes about the request, returned with the first effects.
        recognizes: Whether the host recognises words (`effects.Recognize`). Otherwise the brain
            must know them.
        idle_s: The host's limit for a pause of the client, in seconds. It is only used in the text
            of the exception. None: the model's limit.
    """

    def __init__(
        self,
        model: VoiceModel,
        brain: Brain,
        detector_factory: DetectorFactory,
        *,
        strict: bool = False,
        new_id: Callable[[], str],
        request_id: str,
        timing: Timing | None = None,
        notes: tuple[Note, ...] = (),
        recognizes: bool = False,
        idle_s: float | None = None,
    ) -> None:
        self._model = model
        self._brain = brain
        self._new_detector = detector_factory
        self._strict = strict
        self._timing = timing or Timing()
        self._recognizes = recognizes
        self._idle_s = idle_s or model.limits.idle_s
        self._out = ServiceOutput(new_id, request_id)
        self._counter = UsageCounter()
        self._state = StreamState.NEW
        self._session = SessionStart()
        self._prompt = ""
        self._turns: PromptTurns | None = None
        self._blocks = OpenBlocks()
        self._audio_received = False
        self._roles: set[str] = set()
        self._history = checks.HistoryCheck(model.limits)
        self._handlers: dict[type, Callable[[Any], None]] = {
            SessionStart: self._on_session_start,
            PromptStart: self._on_prompt_start,
            TextStart: self._on_text_start,
            AudioStart: self._on_audio_start,
            ToolResultStart: self._on_result_start,
            TextInput: self._on_text,
            AudioInput: self._on_audio,
            ToolResult: self._on_result,
            ContentEnd: self._on_content_end,
            PromptEnd: self._on_prompt_end,
            SessionEnd: self._on_session_end,
        }
        for note in notes:
            self._out.put(note)

    # Calls of the host.

    def receive(self, payload: bytes) -> list[Effect]:
        """See `Service`."""
        if self._out.closed:
            return self._out.take()
        try:
            self._receive_event(decode_input(payload))
        except NoEventError:
            self._out.put(Fail(VALIDATION, checks.NO_EVENTS))  # this text has no request id
        except WireError:
            self._out.fail(VALIDATION, checks.UNREADABLE)
        except _RefusedError as refused:
            self._out.fail(VALIDATION, refused.text)
        return self._out.take()

    def speech(self, key: int, pcm: bytes) -> list[Effect]:
        """See `Service`."""
        if self._turns is not None:
            self._turns.sound(key, pcm)
        return self._out.take()

    def words(self, key: int, text: str | None) -> list[Effect]:
        """See `Service`."""
        if self._turns is not None:
            self._turns.words(key, text)
        return self._out.take()

    def chat_piece(self, key: int, piece: str | None) -> list[Effect]:
        """See `Service`."""
        if self._turns is not None:
            self._turns.chat_piece(key, piece)
        return self._out.take()

    def end_of_input(self) -> list[Effect]:
        """See `Service`. An end without `sessionEnd` before it is noted."""
        if self._state is not StreamState.OVER:
            self._out.note("no-goodbye", f"the input ended in state {self._state.name}")
            self._end_prompt()
            self._state = StreamState.OVER
            self._out.put(Finish())
        return self._out.take()

    def stalled(self) -> list[Effect]:
        """See `Service`. Generation goes on without the clock; FINAL texts are not sent."""
        if self._turns is not None:
            self._turns.flush()
        return self._out.take()

    def expire(self, which: Expiry) -> list[Effect]:
        """See `Service` (reference 1.9)."""
        if which == "life":
            self._out.fail("modelTimeoutException", checks.LIFE)
        else:
            self._out.fail(VALIDATION, checks.IDLE.format(seconds=f"{self._idle_s:g}"))
        return self._out.take()

    # Order.

    def _receive_event(self, record: Input) -> None:
        what = input_kind(record, self._blocks.audio)
        self._check_content(record)
        match verdict(self._state, what):
            case Refused(text):
                raise _RefusedError(text.format(prompt=self._prompt))
            case Tolerated(state, rule, text):
                name = record.name if isinstance(record, UnknownInput) else what.name
                self._tolerate(rule, f"{name} in state {self._state.name}", text)
                if state is self._state:
                    return  # the event is ignored: it came too late, or its name is unknown
            case state:
                pass
        self._handle(record)
        self._state = state

    def _check_content(self, record: Input) -> None:
        """Refuse `promptEnd` while blocks are open. Only an open audio container is tolerated."""
        if isinstance(record, PromptEnd) and self._blocks.any_but_audio():
            raise _RefusedError(OPEN_CONTENT)

    def _tolerate(self, rule: str, what: str, text: str) -> None:
        if self._strict:
            raise _RefusedError(text)
        self._out.note(rule, what)

    def _handle(self, record: Input) -> None:
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)

    # Beginnings.

    def _on_session_start(self, record: SessionStart) -> None:
        _refuse(checks.session_start(record, self._model))
        if record.max_tokens is None:
            self._out.note("no-inference", "sessionStart without inferenceConfiguration")
        self._session = record
        if record.endpointing is not None and not self._model.turn_detection:
            self._tolerate("endpointing", f"{self._model.name} has no endpointing", INVALID)
            self._session = replace(record, endpointing=None)

    def _on_prompt_start(self, record: PromptStart) -> None:
        _refuse(checks.prompt_start(record, self._model))
        self._prompt = record.prompt
        self._out.prompt(record.prompt)
        for tool in record.tools:
            self._counter.prompt(tool.name + tool.description + tool.schema_json)
        self._turns = PromptTurns(
            self._model,
            self._brain,
            self._out,
            self._counter,
            self._timing,
            prompt=record,
            setup=ConversationSetup(
                self._locale(record.voice), record.tools, record.tool_choice, self._session
            ),
            recognizes=self._recognizes,
        )
        self._out.usage(self._counter.opening())

    def _locale(self, voice: str) -> str:
        voice = self._brain.voice or voice
        return next((v.locale for v in self._model.voices if v.id == voice), "en-US")

    def _on_text_start(self, record: TextStart) -> None:
        _refuse(checks.text_start(record, self._model))
        if record.role in ("SYSTEM", "SYSTEM_SPEECH"):
            self._on_system_start(record.role)
            self._open(record.prompt, record.content, OpenBlock(record.role))
            return
        live = self._state is not StreamState.PROMPT
        if not live:
            self._check_alternation(record.role)
        interactive = live and record.interactive and record.role == "USER"
        self._open(record.prompt, record.content, OpenBlock(record.role, not live, interactive))

    def _on_system_start(self, role: str) -> None:
        if role in self._roles:
            _refuse(checks.DUPLICATE_SYSTEM if role == "SYSTEM" else INVALID)
        self._roles.add(role)
        if self._history.messages or self._state is not StreamState.PROMPT:
            self._tolerate("late-system", f"{role} came after the history", INVALID)

    def _check_alternation(self, role: str) -> None:
        _refuse(self._history.first(role))
        if role == self._history.last_role:
            self._tolerate("history-order", f"two messages of {role} in a row", INVALID)
        if self._history.messages >= self._model.limits.history_messages:
            self._tolerate("history-messages", "too many messages", checks.HISTORY_LIMIT)
        self._history.begin(role)

    def _on_audio_start(self, record: AudioStart) -> None:
        if self._blocks.any_history():
            raise _RefusedError(checks.HISTORY_OPEN)
        _refuse(checks.audio_start(record, self._model))
        self._open(record.prompt, record.content, OpenBlock("AUDIO"))
        self._prompt_turns.open_audio(record.rate_hz, self._new_detector(record.rate_hz))

    def _on_result_start(self, record: ToolResultStart) -> None:
        _refuse(checks.tool_result_start(record))
        taken = self._blocks.answers(record.tool_use)
        if taken or not self._prompt_turns.expects(record.tool_use):
            raise _RefusedError(INVALID)  # the id is unknown, or answered already (reference 8.4)
        self._open(record.prompt, record.content, OpenBlock("TOOL", call=record.tool_use))

    # Content.

    def _on_audio(self, record: AudioInput) -> None:
        block = self._block(record.prompt, record.content)
        if block.role != "AUDIO":
            raise _RefusedError(INVALID)
        block.filled = self._audio_received = True
        self._prompt_turns.audio(record.pcm)

    def _on_text(self, record: TextInput) -> None:
        block = self._block(record.prompt, record.content)
        if block.role in ("AUDIO", "TOOL"):
            raise _RefusedError(INVALID)
        block.filled = True
        block.parts.append(record.text)
        if block.history:
            _refuse(self._history.add(_size(record.text)))
        elif block.role == "SYSTEM" and _size(block.text) > self._model.limits.system_bytes:
            raise _RefusedError(INVALID)
        if block.history or block.role == "SYSTEM":
            self._counter.prompt(record.text)

    def _on_result(self, record: ToolResult) -> None:
        block = self._block(record.prompt, record.content)
        spoken = block.role == "TOOL" and self._prompt_turns.speaks_result(block.call)
        if block.role != "TOOL" or (block.filled and not spoken):
            raise _RefusedError(INVALID)
        result = checks.tool_result(record.result_json)
        if result is None:
            raise _RefusedError(checks.TOOL_PARSE)
        block.filled = True
        if not spoken:
            self._prompt_turns.result(block.call, result)
        elif (sentence := sentence_of(result)) is not None:
            self._prompt_turns.result_sentence(block.call, sentence)
        else:
            what = f"{EXPERT_TOOL} got {record.result_json[:60]}"
            self._tolerate("expert-sentence", what, checks.TOOL_PARSE)

    def _on_content_end(self, record: ContentEnd) -> None:
        block = self._block(record.prompt, record.content)
        if not block.filled:
            raise _RefusedError(checks.EMPTY_CONTENT.format(content=record.content))
        self._blocks.close(record.content)
        if block.live:
            self._on_typed(block.text)
        elif block.role == "TOOL" and self._prompt_turns.speaks_result(block.call):
            self._prompt_turns.end_result(block.call)
        elif block.role not in ("AUDIO", "TOOL"):
            self._prompt_turns.add_context(block.role, block.text)

    def _on_typed(self, text: str) -> None:
        if self._model.text_input:
            self._prompt_turns.typed(text)
        else:
            self._out.note("text-ignored", f"{self._model.name} does not answer text")

    # Ends.

    def _on_prompt_end(self, record: PromptEnd) -> None:
        self._check_prompt(record.prompt)
        if not self._audio_received:
            raise _RefusedError(NO_AUDIO.format(prompt=self._prompt))
        self._end_prompt()

    def _on_session_end(self, _: SessionEnd) -> None:
        self._end_prompt()
        self._out.put(Finish())

    def _end_prompt(self) -> None:
        """End the prompt, at `promptEnd` or at the end of the stream without one."""
        if self._turns is None:
            return
        if not self._out.closed:
            self._turns.stop()
            self._out.completion_end()
        self._turns = None
        self._blocks.close_all()

    # Content blocks.

    @property
    def _prompt_turns(self) -> PromptTurns:
        if self._turns is None:
            raise _RefusedError(INVALID)
        return self._turns

    def _open(self, prompt: str, content: str, block: OpenBlock) -> None:
        self._check_prompt(prompt)
        if self._blocks.known(content) and not self._blocks.find(content):
            self._tolerate("content-name", f"contentName {content} was used before", INVALID)
        if not self._blocks.open(content, block):
            raise _RefusedError(INVALID)

    def _block(self, prompt: str, content: str) -> OpenBlock:
        self._check_prompt(prompt)
        block = self._blocks.find(content)
        if block is None:
            raise _RefusedError(INVALID)
        return block

    def _check_prompt(self, prompt: str) -> None:
        if prompt != self._prompt:
            raise _RefusedError(INVALID)


def _refuse(text: str | None) -> None:
    if text is not None:
        raise _RefusedError(text)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
