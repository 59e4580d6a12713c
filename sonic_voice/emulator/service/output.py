"""What one stream of the emulator sends: output records with their ids, collected as effects.

Every output event carries the ids of session and prompt, all but `userSpeech*` that of the
completion, and blocks one of their own, given by the service (protocol reference 3.1).
"""

from collections.abc import Callable, Iterable

from ...wire import (
    AudioBlock,
    AudioOutput,
    BlockEnd,
    CompletionEnd,
    CompletionStart,
    Ids,
    Output,
    Stage,
    TextBlock,
    TextOutput,
    Tokens,
    ToolBlock,
    ToolUse,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
    encode_output,
)
from .effects import Break, Effect, Emit, Fail, Finish, Listen, Note, Recognize, Speak


class ServiceOutput:
    """Effects in their order, until the host takes them. Nothing follows a last effect."""

    def __init__(self, new_id: Callable[[], str], request_id: str) -> None:
        self.new_id = new_id
        self._request_id = request_id
        self._session = new_id()
        self._ids = Ids(self._session)
        self._effects: list[Effect] = []
        self._completed = False
        self.closed = False
        self._total = Tokens()

    def take(self) -> list[Effect]:
        """All effects since the last time."""
        effects, self._effects = self._effects, []
        return effects

    def put(self, effect: Effect) -> None:
        """Add `effect`, unless the stream is over. `Fail`, `Break` and `Finish` end it."""
        if not self.closed:
            self._effects.append(effect)
            self.closed = isinstance(effect, (Fail, Break, Finish))

    def note(self, rule: str, text: str) -> None:
        """A tolerated mistake of the client."""
        self.put(Note(text, rule))

    def fail(self, code: str, message: str) -> None:
        """An exception of the service, whose messages begin with the request's id (6)."""
        self.put(Fail(code, f"RequestId={self._request_id} : {message}"))

    def speak(self, key: int, text: str, voice: str, rate_hz: int) -> None:
        """Ask the host for the sound of `text`."""
        self.put(Speak(key, text, voice, rate_hz))

    def listen(self, key: int, pcm: bytes, rate_hz: int) -> None:
        """Give the host more of utterance `key`."""
        self.put(Listen(key, pcm, rate_hz))

    def recognize(self, key: int) -> None:
        """Ask the host for the words of utterance `key`."""
        self.put(Recognize(key))

    def prompt(self, name: str) -> None:
        """The prompt began. Its completion has an id before it starts (reference 3.2)."""
        self._ids = Ids(self._session, name, self.new_id())

    def usage(self, deltas: Iterable[Tokens]) -> None:
        """One usage event for each delta."""
        for delta in deltas:
            self._total += delta
            self._send(UsageEvent(self._ids, delta, self._total))

    def completion_start(self) -> None:
        """Once per prompt, at the first turn."""
        if not self._completed:
            self._completed = True
            self._send(CompletionStart(self._ids))

    def completion_end(self) -> None:
        """At the end of the prompt, if a completion ever started."""
        if self._completed:
            self._send(CompletionEnd(self._ids))

    def speech_start(self, offset_ms: int) -> None:
        self._send(UserSpeechStart(self._speech_ids(), offset_ms))

    def speech_end(self, offset_ms: int, detected_ms: int) -> None:
        self._send(UserSpeechEnd(self._speech_ids(), offset_ms, detected_ms))

    def text(self, role: str, stage: Stage, text: str, stop: str = "PARTIAL_TURN") -> None:
        """A whole text block: start, one `textOutput`, end."""
        content = self.new_id()
        self._send(TextBlock(self._ids, content, role, stage))
        self._send(TextOutput(self._ids, content, text, role))
        self.end(content, "TEXT", stop)

    def tool_use(self, name: str, arguments_json: str) -> str:
        """A whole tool block; returns the id that its result must carry."""
        content, call = self.new_id(), self.new_id()
        self._send(ToolBlock(self._ids, content))
        self._send(ToolUse(self._ids, content, call, name, arguments_json))
        self.end(content, "TOOL", "TOOL_USE")
        return call

    def audio_block(self, rate_hz: int) -> str:
        """Open a block of speech; returns its content id."""
        content = self.new_id()
        self._send(AudioBlock(self._ids, content, rate_hz))
        return content

    def audio(self, content: str, pcm: bytes) -> None:
        self._send(AudioOutput(self._ids, content, pcm))

    def end(self, content: str, kind: str, stop: str) -> None:
        self._send(BlockEnd(self._ids, content, kind, stop))

    def _speech_ids(self) -> Ids:
        return Ids(self._ids.session, self._ids.prompt)

    def _send(self, record: Output) -> None:
        self.put(Emit(encode_output(record)))
