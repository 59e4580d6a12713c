"""SonicProtocol: the client's side of one stream, without any I/O.

Requests of the owner become payloads, in the legal order (`order`). Payloads of the service become
events (`turns`). A session has three phases: `begin` and `go_live`; then `audio`, `text` and
`tool_result`, with `receive` for the answers; then `finish`.

    protocol = SonicProtocol(config, Transcript())
    for payload in protocol.begin() + protocol.go_live(config.history): ...   # send it
    protocol.audio(pcm)                              # send what it returns, for the whole session
    protocol.receive(payload, now)                   # act on the events it returns
    for payload in protocol.finish(): ...            # then read to the end of the stream

`begin` and `go_live` are separate, so that the next stream of a renewed session can be prepared
with its prompt, and receive the history and the microphone at the last moment (reference 7.1).

Payloads must reach the wire in the order in which they were returned, with one exception: the
payloads of one `text`, `tool_result` or `result_sentence` may together overtake audio.
"""

import json
from collections.abc import Callable, Iterable
from uuid import uuid4

from . import wire
from .config import AudioFormat, Script, SessionConfig
from .errors import AudioError, OrderError, WireError
from .events import Event, Ignored, ToolCall, UserText
from .history import Message, chunks
from .order import InputState, InputStep, next_state
from .transcript import Transcript
from .turn_progress import Playback, TurnProgress
from .turns import Turns

# The three texts of the documentation, which must be sent unchanged (reference 2.4).
_SCRIPT: dict[Script, str] = {
    "latin": (
        "If the input audio/speech contains hindi, then the transcription and response should be "
        "in All Latin script (romanized Hindi)."
    ),
    "devanagari": (
        "If the input audio/speech contains hindi, then the transcription and response should be "
        "in All Devanagari script (Hindi)."
    ),
    "mixed": (
        "If the input audio/speech contains hindi, then the transcription and response can mix "
        "Latin and Devanagari scripts naturally for code-switching."
    ),
}

GOODBYE_SILENCE_S = 0.1
"""Silence sent before a goodbye when no audio was sent, in seconds. A prompt must have had audio
before it may end (reference 6); 68 ms are enough for the service to notice it (reference 2.10)."""


def _uuid() -> str:
    return str(uuid4())


class SonicProtocol:
    """The protocol of one stream. It is thrown away with its stream, never reset."""

    def __init__(
        self,
        config: SessionConfig,
        transcript: Transcript,
        *,
        playback: Playback | None = None,
        new_id: Callable[[], str] = _uuid,
    ) -> None:
        """Build the protocol of a new stream.

        Args:
            config: What the session is asked to be.
            transcript: The transcript of the session. It outlives the stream.
            playback: What this stream shares with the other streams of its session; None for the
                only stream of a session.
            new_id: Returns unique names for the prompt and its content blocks.
        """
        self._config = config
        self._new_id = new_id
        self._prompt = new_id()
        self._audio = new_id()
        self._audio_input = wire.AudioInputEncoder(self._prompt, self._audio)
        self._open_results: dict[str, str] = {}
        """Content ids of the results whose sentences are being sent, by the ids of the calls."""
        self.turns = Turns(transcript, playback)
        """The interpreter of the service's events."""
        self.state = InputState.NEW
        self._bytes_per_ms = config.input.size(1) / 1000
        self.audio_bytes = 0
        """PCM encoded so far, in bytes. It is the clock of the service, which counts samples."""

    @property
    def input_format(self) -> AudioFormat:
        """The format of the user's audio."""
        return self._config.input

    # -- phase 1: initialization ---------------------------------------------------------------

    def begin(self) -> list[bytes]:
        """Return the payloads of the session, the prompt and the system prompt."""
        c = self._config
        payloads = [
            self._step(
                InputStep.SESSION_START,
                wire.SessionStart(c.max_tokens, c.top_p, c.temperature, c.endpointing),
            ),
            self._step(InputStep.PROMPT_START, self._prompt_start()),
            *self._text_block(InputStep.SYSTEM, "SYSTEM", c.system),
        ]
        if c.script is not None:
            payloads += self._text_block(
                InputStep.SYSTEM_SPEECH, "SYSTEM_SPEECH", _SCRIPT[c.script]
            )
        return payloads

    def go_live(self, history: Iterable[Message] = ()) -> list[bytes]:
        """Return the payloads of the whole history, then of the audio block that stays open.

        Args:
            history: Earlier messages, normalised (`history.normalise`).
        """
        payloads: list[bytes] = []
        for message in history:
            payloads += self._text_block(InputStep.HISTORY, message.role, message.text)
        start = wire.AudioStart(self._prompt, self._audio, self._config.input.rate_hz)
        return [*payloads, self._step(InputStep.AUDIO_START, start)]

    # -- phase 2: the conversation -------------------------------------------------------------

    def audio(self, pcm: bytes) -> bytes:
        """Return the payload of one chunk of the user's audio.

        Args:
            pcm: s16le mono PCM in the config's input format.

        Raises:
            AudioError: `pcm` is not a whole number of samples.
            OrderError: The audio block is not open.
        """
        if len(pcm) % 2:
            raise AudioError(
                f"{len(pcm)} bytes are not a whole number of samples.", hint="Send s16le mono PCM."
            )
        if self.state is not InputState.LIVE:  # where it stays with each chunk
            self.state = next_state(self.state, InputStep.AUDIO)
        self.audio_bytes += len(pcm)
        self.turns.sent_ms = round(self.audio_bytes / self._bytes_per_ms)
        return self._audio_input.encode(pcm)

    def silence(self, seconds: float) -> bytes:
        """Return the payload of one chunk of digital silence.

        Args:
            seconds: Its length, in seconds.

        Raises:
            OrderError: The audio block is not open.
        """
        return self.audio(bytes(self._config.input.size(seconds)))

    def text(self, text: str) -> tuple[list[bytes], UserText]:
        """Return the payloads of a typed turn of the user, which the model answers by voice.

        Args:
            text: The words of the turn.

        Returns:
            The payloads, and the event that reports the turn.

        Raises:
            OrderError: The model takes no text (v2 and later do), `text` is blank, or the audio
                block is not open.
        """
        check_text(self._config, text)
        payloads = self._text_block(InputStep.TEXT, "USER", text, interactive=True)
        return payloads, self.turns.typed(text)

    def prompt(self, text: str) -> list[bytes]:
        """Return the payloads of a text that the service answers and that is no turn of the user.

        Args:
            text: The text.

        Raises:
            OrderError: The audio block is not open.
        """
        payloads = self._text_block(InputStep.TEXT, "USER", text, interactive=True)
        self.turns.prompted(text)
        return payloads

    def tool_result(
        self, tool_use: str, result_json: str, *, is_spoken: bool = True
    ) -> tuple[list[bytes], ToolCall]:
        """Return the payloads of the result of a tool call. Each call is answered exactly once.

        Args:
            tool_use: The id of the call.
            result_json: A JSON object as a string.
            is_spoken: Whether the model is to speak about the result.

        Returns:
            The payloads, and the call that they answer.

        Raises:
            OrderError: No such call waits for a result, `result_json` is not a JSON object, or the
                audio block is not open.
        """
        check_result(result_json)
        next_state(self.state, InputStep.TOOL_RESULT)
        if tool_use in self._open_results:
            raise OrderError(f"The tool call {tool_use!r} is being answered in sentences.")
        call = self.turns.answer_call(tool_use, is_spoken=is_spoken)
        if call is None:
            raise no_open_call(tool_use)
        content = self._new_id()
        payloads = [
            self._step(
                InputStep.TOOL_RESULT, wire.ToolResultStart(self._prompt, content, tool_use)
            ),
            wire.encode_input(wire.ToolResult(self._prompt, content, result_json)),
            wire.encode_input(wire.ContentEnd(self._prompt, content)),
        ]
        return payloads, call

    def result_sentence(self, tool_use: str, sentence: str) -> list[bytes]:
        """Return the payloads of the next sentence with which an `ExpertTool` call is answered.

        The first sentence opens the block of the result, and `end_result` closes it
        (reference 8.6).

        Args:
            tool_use: The id of the call.
            sentence: The sentence, which the service speaks.

        Raises:
            OrderError: No such call waits for a result, `sentence` is blank, or the audio block is
                not open.
        """
        if not sentence.strip():
            raise OrderError("There is no sentence to send.")
        next_state(self.state, InputStep.RESULT_SENTENCE)
        if not self.turns.expect_spoken_result(tool_use):
            raise no_open_call(tool_use)
        payloads: list[bytes] = []
        content = self._open_results.get(tool_use)
        if content is None:
            content = self._open_results[tool_use] = self._new_id()
            payloads.append(
                wire.encode_input(wire.ToolResultStart(self._prompt, content, tool_use))
            )
        text = json.dumps({"text": sentence, "type": "TEXT"}, ensure_ascii=False)
        payloads.append(wire.encode_input(wire.ToolResult(self._prompt, content, text)))
        return payloads

    def end_result(self, tool_use: str) -> tuple[list[bytes], ToolCall]:
        """Return the payload that ends an answer in sentences, if it has any.

        Without a sentence nothing is sent, and the call stays without a result: an empty block is
        illegal, and the service has given the call up where another one follows (reference 8.6).

        Args:
            tool_use: The id of the call.

        Returns:
            The payloads, and the call.

        Raises:
            OrderError: No such call waits for a result, or the audio block is not open.
        """
        next_state(self.state, InputStep.RESULT_END)
        call = self.turns.end_spoken_result(tool_use)
        if call is None:
            raise no_open_call(tool_use)
        return self._close_result(tool_use), call

    def _close_result(self, tool_use: str) -> list[bytes]:
        content = self._open_results.pop(tool_use, None)
        return (
            [] if content is None else [wire.encode_input(wire.ContentEnd(self._prompt, content))]
        )

    # -- phase 3: goodbye ----------------------------------------------------------------------

    def finish(self) -> list[bytes]:
        """Return the payloads that end results, audio, prompt and session (reference 1.8).

        Raises:
            OrderError: The audio block is not open.
        """
        payloads: list[bytes] = []
        if not self.audio_bytes:
            payloads.append(self.silence(GOODBYE_SILENCE_S))
        for tool_use in tuple(self._open_results):  # no block may be open when the prompt ends
            payloads += self._close_result(tool_use)
        return [
            *payloads,
            self._step(InputStep.AUDIO_END, wire.ContentEnd(self._prompt, self._audio)),
            self._step(InputStep.PROMPT_END, wire.PromptEnd(self._prompt)),
            self._step(InputStep.SESSION_END, wire.SessionEnd()),
        ]

    @property
    def finished(self) -> bool:
        """True once `finish` was called: `sessionEnd` is encoded."""
        return self.state is InputState.ENDED

    # -- response output -----------------------------------------------------------------------

    def receive(self, payload: bytes, now: float) -> list[Event]:
        """Return the events that one payload of the service causes.

        A payload that cannot be read becomes `Ignored`, because one bad event is no reason to end
        a conversation.

        Args:
            payload: The UTF-8 JSON of one output event.
            now: Monotonic seconds; it never runs backwards.
        """
        try:
            record = wire.decode_output(payload)
        except WireError as error:
            return [Ignored(error.message)]
        return self.turns.receive(record, now)

    @property
    def progress(self) -> TurnProgress:
        """The progress of the newest turn, for the stream that replaces this one."""
        return self.turns.progress

    @property
    def owes_answer(self) -> bool:
        """True if an owed answer has not come to its end, or a tool result is owed.

        Speech whose end the service has not reported yet is owed an answer, too.
        """
        return self.turns.owes_answer

    def is_settled(self, now: float) -> bool:
        """Return whether nobody speaks, no tool runs, and no answer is owed.

        Args:
            now: Monotonic seconds; it never runs backwards.
        """
        return self.turns.is_settled(now)

    def nobody_speaks(self, now: float) -> bool:
        """Return whether neither side speaks, also while a tool runs. See `Turns`.

        Args:
            now: Monotonic seconds; it never runs backwards.
        """
        return self.turns.nobody_speaks(now)

    # ------------------------------------------------------------------------------------------

    def _step(self, step: InputStep, record: wire.Input) -> bytes:
        self.state = next_state(self.state, step)
        return wire.encode_input(record)

    def _text_block(
        self, step: InputStep, role: str, text: str, *, interactive: bool = False
    ) -> list[bytes]:
        content = self._new_id()
        return [
            self._step(step, wire.TextStart(self._prompt, content, role, interactive)),
            *(
                wire.encode_input(wire.TextInput(self._prompt, content, piece))
                for piece in chunks(text)
            ),
            wire.encode_input(wire.ContentEnd(self._prompt, content)),
        ]

    def _prompt_start(self) -> wire.PromptStart:
        c = self._config
        mode, name = c.tool_choice.mode, c.tool_choice.name
        return wire.PromptStart(
            prompt=self._prompt,
            voice=c.voice or "",
            rate_hz=c.output.rate_hz,
            tools=tuple(
                wire.ToolDefinition(tool.name, tool.description, json.dumps(tool.schema))
                for tool in c.tools
            ),
            tool_choice=f"{mode}:{name}" if name else mode,
        )


def no_open_call(tool_use: str) -> OrderError:
    """Return the error of a result for a call that is unknown, or was answered before.

    Args:
        tool_use: The id of the call.
    """
    return OrderError(
        f"No tool call {tool_use!r} waits for a result.",
        hint="Answer each call once, with the id it came with.",
    )


def check_text(config: SessionConfig, text: str) -> None:
    """Check that a typed turn can be sent.

    Args:
        config: The configuration of the session.
        text: The words of the turn.

    Raises:
        OrderError: The model takes no text (v2 and later do), or `text` is blank.
    """
    if not config.voice_model.text_input:
        raise OrderError(
            f"{config.model} takes no text once the conversation runs.",
            hint="Nova 2 Sonic and later do; v1 answers only speech.",
        )
    if not text.strip():
        raise OrderError("There is no text to send.")


def check_result(result_json: str) -> None:
    """Check that a tool result can be sent.

    Args:
        result_json: The result.

    Raises:
        OrderError: It is not a JSON object.
    """
    if not isinstance(_parsed(result_json), dict):
        raise OrderError("A tool result must be a JSON object.", hint='Wrap it: {"result": ...}.')


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
