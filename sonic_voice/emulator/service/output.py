"""The output of one stream: records with their ids, collected as effects for the host.

Every output event carries the ids of the session and the prompt; all but `userSpeech*` also carry
that of the completion. Content blocks have an id of their own, given by the service
(reference 3.1).
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
    """The effects of one stream in their order, until the host takes them.

    After a final effect (`Fail`, `Break` or `Finish`) nothing more is added.
    """

    def __init__(self, new_id: Callable[[], str], request_id: str) -> None:
        self.new_id = new_id
        self._request_id = request_id
        self._session = new_id()
        self._ids = Ids(self._session)
        self._effects: list[Effect] = []
        self._completed = False
        self.closed = False
        """True once a final effect was added."""
        self._total = Tokens()

    def take(self) -> list[Effect]:
        """Return all effects since the last call, and forget them."""
        effects, self._effects = self._effects, []
        return effects

    def put(self, effect: Effect) -> None:
        """Add an effect, unless the stream is over.

        Args:
            effect: The effect. `Fail`, `Break` and `Finish` end the stream.
        """
        if not self.closed:
            self._effects.append(effect)
            self.closed = isinstance(effect, (Fail, Break, Finish))

    def note(self, rule: str, text: str) -> None:
        """Report a mistake of the client that is tolerated.

        Args:
            rule: The name under which such mistakes are counted.
            text: What the client did.
        """
        self.put(Note(text, rule))

    def fail(self, code: str, message: str) -> None:
        """End the stream with an exception of the service.

        Args:
            code: A member of the output union, such as `validationException`.
            message: The text. It is sent behind the request's id, as the service does
                (reference 6).
        """
        self.put(Fail(code, f"RequestId={self._request_id} : {message}"))

    def speak(self, key: int, text: str, voice: str, rate_hz: int) -> None:
        """Ask the host to synthesise a text; see `Speak`.

        Args:
            key: Number of the request, which comes back with the sound.
            text: The text.
            voice: The id of the voice.
            rate_hz: The sample rate of the sound, in hertz.
        """
        self.put(Speak(key, text, voice, rate_hz))

    def listen(self, key: int, pcm: bytes, rate_hz: int, language: str) -> None:
        """Give the host the next samples of an utterance; see `Listen`.

        Args:
            key: Number of the utterance.
            pcm: Mono s16le samples.
            rate_hz: Their sample rate, in hertz.
            language: Code of the language that the user probably speaks.
        """
        self.put(Listen(key, pcm, rate_hz, language))

    def recognize(self, key: int) -> None:
        """Ask the host for the words of an utterance; see `Recognize`.

        Args:
            key: Number of the utterance.
        """
        self.put(Recognize(key))

    def prompt(self, name: str) -> None:
        """Begin a prompt. Its completion has an id before it starts (reference 3.2).

        Args:
            name: The client's name of the prompt.
        """
        self._ids = Ids(self._session, name, self.new_id())

    def usage(self, deltas: Iterable[Tokens]) -> None:
        """Send a usage event for each delta, with the running total.

        Args:
            deltas: Tokens used since the last event.
        """
        for delta in deltas:
            self._total += delta
            self._send(UsageEvent(self._ids, delta, self._total))

    def completion_start(self) -> None:
        """Send `completionStart`, once per prompt, at the first turn."""
        if not self._completed:
            self._completed = True
            self._send(CompletionStart(self._ids))

    def completion_end(self) -> None:
        """Send `completionEnd` at the end of the prompt, if a completion was ever started."""
        if self._completed:
            self._send(CompletionEnd(self._ids))

    def speech_start(self, offset_ms: int) -> None:
        """Send `userSpeechStart`.

        Args:
            offset_ms: The onset, in milliseconds of the input audio.
        """
        self._send(UserSpeechStart(self._speech_ids(), offset_ms))

    def speech_end(self, offset_ms: int, detected_ms: int) -> None:
        """Send `userSpeechEnd`.

        Args:
            offset_ms: The end of the speech, in milliseconds of the input audio.
            detected_ms: The position at which the end was detected.
        """
        self._send(UserSpeechEnd(self._speech_ids(), offset_ms, detected_ms))

    def text(self, role: str, stage: Stage, text: str, stop: str = "PARTIAL_TURN") -> None:
        """Send a whole text block: start, one `textOutput`, end.

        Args:
            role: USER or ASSISTANT.
            stage: SPECULATIVE or FINAL.
            text: The text.
            stop: The stop reason of the block's end.
        """
        content = self.new_id()
        self._send(TextBlock(self._ids, content, role, stage))
        self._send(TextOutput(self._ids, content, text, role))
        self.end(content, "TEXT", stop)

    def tool_use(self, name: str, arguments_json: str) -> str:
        """Send a whole tool block.

        Args:
            name: The name of the tool.
            arguments_json: The arguments, a JSON object.

        Returns:
            The id of the call, which its result must carry.
        """
        content, call = self.new_id(), self.new_id()
        self._send(ToolBlock(self._ids, content))
        self._send(ToolUse(self._ids, content, call, name, arguments_json))
        self.end(content, "TOOL", "TOOL_USE")
        return call

    def audio_block(self, rate_hz: int) -> str:
        """Open a block of speech.

        Args:
            rate_hz: The sample rate of the speech, in hertz.

        Returns:
            The content id of the block.
        """
        content = self.new_id()
        self._send(AudioBlock(self._ids, content, rate_hz))
        return content

    def audio(self, content: str, pcm: bytes) -> None:
        """Send the next chunk of a block of speech.

        Args:
            content: The content id of the block.
            pcm: Mono s16le samples.
        """
        self._send(AudioOutput(self._ids, content, pcm))

    def end(self, content: str, kind: str, stop: str) -> None:
        """End a block.

        Args:
            content: The content id of the block.
            kind: TEXT, AUDIO or TOOL.
            stop: The stop reason.
        """
        self._send(BlockEnd(self._ids, content, kind, stop))

    def _speech_ids(self) -> Ids:
        return Ids(self._ids.session, self._ids.prompt)

    def _send(self, record: Output) -> None:
        self.put(Emit(encode_output(record)))
