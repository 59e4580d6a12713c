"""Snapshots: a conversation as a value, from which another session can continue it.

A snapshot has what the service does not keep and the next process needs: how the session was
configured, what was said and heard, which tool calls wait for a result, and what was counted.

    session.snapshot() ──► SessionSnapshot ── to_json ──► a file, a database
    Session.open(config, transport, resume=snapshot) ◄── from_json ──┘

- The *lines* are those of the transcript. Only the newest are kept, as many as can influence the
  history that the service accepts, so that a snapshot of hours is no larger than one of minutes.
- *Secrets* are no part of it: neither credentials nor tokens. It does contain what people said.
- *Audio* of the user that was not answered is included on request only.
- *Words without a complete answer* (`owed`) are asked again when the conversation continues, if the
  model takes text. If a part of the answer has sounded, the model is asked to continue it.

A snapshot is checked twice. `from_json` checks that it is one, and of a version that is known.
`resumed_config` checks that the new session's model accepts it.
"""

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from .config import AudioFormat, SessionConfig, ToolChoice, ToolSpec
from .errors import ConfigError
from .events import ToolCall
from .handover import CONTINUE_TEXT, Handover, conversation_history
from .history import Message, normalise
from .masking import mask, mask_json
from .transcript import Line, Transcript
from .turns import AudioStart, TurnProgress
from .uplink_ring import RING_S, UplinkRing
from .wire import Tokens

VERSION = 1
"""Version of the form of a snapshot. It changes when a reader of the old form would fail."""

_CONFIG_FIELDS = (
    *("model", "voice", "system", "script", "max_tokens", "top_p", "temperature", "endpointing"),
)
"""Fields of the configuration that are written as they are."""

TURNS_TRIED = 2
"""Ratio of the number of turns that are read first to the maximum number of messages. Reading all
turns takes 12 ms for 1,000 of them, in the time of the event loop. More are read only if many turns
have words of one side only, which are merged into one message."""

_NEW_CONVERSATION = "Start a new conversation instead."


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool, as a text for the history."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """A conversation as a value. `Session.snapshot` takes it, `Session.open` continues from it."""

    config: SessionConfig
    """Configuration of the session: model, voice, system prompt, tools, formats and numbers. Its
    history is what was said before the first line. Region, deadlines and policies are not part of
    a snapshot, and have their defaults."""
    lines: tuple[Line, ...] = ()
    """The newest lines of the transcript, as they were heard."""
    turn: int = 0
    """Number of the newest turn, 0 before any."""
    tokens: Tokens = field(default_factory=Tokens)
    """Tokens used so far."""
    calls: tuple[ToolCall, ...] = ()
    """Tool calls whose result is owed."""
    results: tuple[ToolResult, ...] = ()
    """Results of the tools that were called in the turns of `lines`."""
    owed: bool = False
    """True if the user's words of the newest turn have no complete answer yet."""
    audio: bytes = b""
    """Audio of the user that was not answered, as s16le mono PCM in the format `config.input`."""

    @property
    def history(self) -> tuple[Message, ...]:
        """The conversation as it was heard, merged and within the limits of the model."""
        transcript = Transcript()
        transcript.restore(self.lines)
        return conversation_history(self.config, transcript, results_by_turn(self))

    def masked(self) -> "SessionSnapshot":
        """Return the snapshot with personal data masked, and without audio.

        A conversation that continues from it knows as much as the snapshot has.
        """
        history = tuple(replace(one, text=mask(one.text)) for one in self.config.history)
        return replace(
            self,
            config=replace(self.config, system=mask(self.config.system), history=history),
            lines=tuple(
                replace(line, text=mask(line.text), planned=mask(line.planned))
                for line in self.lines
            ),
            calls=tuple(
                replace(call, arguments_json=mask_json(call.arguments_json)) for call in self.calls
            ),
            results=tuple(replace(result, text=mask(result.text)) for result in self.results),
            audio=b"",
        )

    def to_json(self) -> str:
        """Return the snapshot as a JSON object. `from_json` returns the same snapshot."""
        config = self.config
        document: dict[str, Any] = {
            "version": VERSION,
            "config": {
                **{name: getattr(config, name) for name in _CONFIG_FIELDS},
                "input_hz": config.input.rate_hz,
                "output_hz": config.output.rate_hz,
                "tools": [asdict(tool) for tool in config.tools],
                "tool_choice": asdict(config.tool_choice),
            },
            "history": [asdict(message) for message in config.history],
            "lines": [asdict(line) for line in self.lines],
            "turn": self.turn,
            "tokens": asdict(self.tokens),
            "calls": [asdict(call) for call in self.calls],
            "results": [asdict(result) for result in self.results],
            "owed": self.owed,
            "audio": b64encode(self.audio).decode(),
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "SessionSnapshot":
        """Return the snapshot that `to_json` has written.

        Args:
            text: The JSON object.

        Raises:
            ConfigError: It is not a snapshot, is one of another version, or its model, its voice
                or another setting is not known here.
        """
        try:
            document: object = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _unreadable("it is not JSON") from error
        top = _Fields(document)
        version = top.whole("version")
        if version != VERSION:
            raise ConfigError(
                f"The saved conversation has version {version}; this program reads {VERSION}.",
                hint=f"Use the program that wrote it. {_NEW_CONVERSATION}",
            )
        return cls(
            config=_read_config(top),
            lines=tuple(map(_read_line, top.array("lines"))),
            turn=top.whole("turn"),
            tokens=Tokens(**_counts(top.object("tokens"))),
            calls=tuple(map(_read_call, top.array("calls"))),
            results=tuple(map(_read_result, top.array("results"))),
            owed=top.flag("owed"),
            audio=_read_audio(top.text("audio")),
        )


def take_snapshot(
    config: SessionConfig,
    transcript: Transcript,
    *,
    turn: int,
    tokens: Tokens,
    calls: Iterable[ToolCall],
    results: Mapping[int, Sequence[str]],
    progress: TurnProgress | None,
    still_owed: bool,
    audio: bytes,
) -> SessionSnapshot:
    """Return the snapshot of a session.

    Args:
        config: Its configuration.
        transcript: Its transcript. An answer that is still coming is cut at what has come.
        turn: Number of its newest turn.
        tokens: Tokens used so far.
        calls: Tool calls whose result is owed.
        results: For each turn the results of its tools, as texts for the history.
        progress: The progress of the stream that was live last; None if none ever was.
        still_owed: Whether the snapshot from which the session continued owed an answer that has
            not come.
        audio: Audio of the user that was not answered, as PCM; empty if it is not wanted.
    """
    limit = config.voice_model.limits.history_messages
    for turns in (TURNS_TRIED * limit, max(1, transcript.turn_count)):
        lines = transcript.received_lines(turns)
        kept = _newest(lines, config, results)
        if len(kept) < len(lines):  # else older turns may influence the history, too
            break
    unanswered = turn if still_owed else _unanswered_turn(progress)
    kept_turns = {line.turn for line in kept}
    return SessionSnapshot(
        config=_plain(config, with_history=len(kept) == len(lines)),
        lines=kept,
        turn=turn,
        tokens=tokens,
        calls=tuple(calls),
        results=tuple(
            ToolResult(number, text)
            for number, texts in sorted(results.items())
            for text in texts
            if number in kept_turns
        ),
        owed=not transcript.stopped and any(_is_user(line, unanswered) for line in kept),
        audio=audio[-config.input.size(RING_S) :],
    )


def resumed_config(config: SessionConfig, snapshot: SessionSnapshot) -> SessionConfig:
    """Return the configuration with which a session continues from a snapshot.

    Args:
        config: The configuration of the new session. The snapshot replaces its history.
        snapshot: The snapshot.

    Raises:
        ConfigError: The history is over the limits of the model and may not be shortened, the
            audio has another rate or is too long, or the numbers of the turns contradict each
            other.
    """
    audio_s = snapshot.config.input.seconds(len(snapshot.audio))
    if snapshot.audio and snapshot.config.input != config.input:
        raise ConfigError(
            f"The audio of the saved conversation has {snapshot.config.input.rate_hz} Hz, and the "
            f"session {config.input.rate_hz} Hz.",
            hint="Use the same rate, or take the snapshot without audio.",
        )
    if audio_s > RING_S:
        raise ConfigError(
            f"The saved conversation has {audio_s:.1f} s of audio; {RING_S:g} s are the limit.",
            hint="Take the snapshot with `audio=True`, which keeps the newest.",
        )
    numbers = [line.turn for line in snapshot.lines] + [call.turn for call in snapshot.calls]
    if numbers and not 0 <= min(numbers) <= max(numbers) <= snapshot.turn:
        raise _unreadable(f"its newest turn is {snapshot.turn}, and it has turn {max(numbers)}")
    # The history is tried as a whole, because the lines are added to it for each stream.
    normalise(snapshot.history, config.voice_model.limits, config.history_policy)
    return replace(config, history=snapshot.config.history)


def resume_handover(
    config: SessionConfig,
    transcript: Transcript,
    ring: UplinkRing,
    snapshot: SessionSnapshot,
    *,
    results: Mapping[int, Sequence[str]],
) -> Handover:
    """Return the beginning of the first stream of a conversation that continues.

    An answer that is owed is asked for again, in a new turn, unless the user's audio goes on.

    Args:
        config: The configuration, from `resumed_config`.
        transcript: The transcript, with the lines of the snapshot.
        ring: The audio of the user: that of the snapshot, then what came while the stream opened.
        snapshot: The snapshot.
        results: For each turn the results of its tools, as texts for the history.
    """
    prompt, left_out = "", None
    quiet = ring.voice_begins(ring.begin) is None
    newest = [line for line in snapshot.lines if line.turn == snapshot.turn and line.text]
    if not snapshot.owed or not quiet or not config.voice_model.text_input:
        pass
    elif any(line.role == "ASSISTANT" for line in newest):
        prompt = CONTINUE_TEXT
    else:
        said = [line.text for line in newest]
        prompt = "\n".join([*said, *results.get(snapshot.turn, ())])
        left_out = snapshot.turn if prompt else None
    return Handover(
        history=conversation_history(config, transcript, results, without_user_of=left_out),
        start=AudioStart(),
        replay_from=ring.begin,
        prompt=prompt,
        expects_events=bool(prompt),
    )


def results_by_turn(snapshot: SessionSnapshot) -> dict[int, list[str]]:
    """Return the results of tools as texts for the history, by turn.

    Args:
        snapshot: The snapshot.
    """
    results: dict[int, list[str]] = {}
    for result in snapshot.results:
        results.setdefault(result.turn, []).append(result.text)
    return results


def _unanswered_turn(progress: TurnProgress | None) -> int:
    """Return the number of the newest turn if its answer has not come to its end, else 0."""
    if progress is None or progress.calls or (progress.over and not progress.owes):
        return 0
    return progress.turn


def _is_user(line: Line, turn: int) -> bool:
    return (line.turn, line.role) == (turn, "USER")


def _plain(config: SessionConfig, *, with_history: bool) -> SessionConfig:
    """Return the part of a configuration that a snapshot has."""
    return SessionConfig(
        **{name: getattr(config, name) for name in _CONFIG_FIELDS},
        tools=tuple(replace(t, schema=json.loads(json.dumps(t.schema))) for t in config.tools),
        tool_choice=config.tool_choice,
        input=config.input,
        output=config.output,
        history=config.history if with_history else (),
    )


def _newest(
    lines: Sequence[Line], config: SessionConfig, results: Mapping[int, Sequence[str]]
) -> tuple[Line, ...]:
    """Return the newest lines that can influence the history, which `normalise` shortens.

    They are cut between two merged messages, before one of the user, and are more than the limits
    allow: what `normalise` makes of them is then what it makes of all lines.
    """
    limits = config.voice_model.limits
    kept_bytes = message_bytes = messages = 0
    role = ""
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index]
        if not line.text.strip():
            continue
        if line.role != role:
            # How much of a message over its limit is left is not known here.
            kept_bytes += message_bytes if message_bytes <= limits.history_message_bytes else 0
            over = messages > limits.history_messages or kept_bytes > limits.history_bytes
            if over and role == "USER":
                return tuple(lines[index + 1 :])
            role, message_bytes = line.role, 0
            messages += 1
        notes = results.get(line.turn, ()) if line.role == "USER" else ()
        message_bytes += sum(len(text.encode(errors="replace")) for text in (line.text, *notes))
    return tuple(lines)


# -- reading -----------------------------------------------------------------------------------


class _Fields:
    """A JSON object whose members are checked when they are read."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise _unreadable("a part of it is not an object")
        self._members = cast(dict[str, Any], value)

    def text(self, name: str) -> str:
        return self._read(name, lambda value: isinstance(value, str))

    def optional_text(self, name: str) -> str | None:
        return self._read(name, lambda value: value is None or isinstance(value, str))

    def whole(self, name: str) -> int:
        return self._read(name, lambda value: type(value) is int and value >= 0)

    def number(self, name: str) -> float:
        return self._read(name, lambda value: type(value) in (int, float))

    def flag(self, name: str) -> bool:
        return self._read(name, lambda value: isinstance(value, bool))

    def members(self, name: str) -> dict[str, Any]:
        return self._read(name, lambda value: isinstance(value, dict))

    def object(self, name: str) -> "_Fields":
        return _Fields(self.members(name))

    def array(self, name: str) -> "list[_Fields]":
        entries: list[Any] = self._read(name, lambda value: isinstance(value, list))
        return [_Fields(entry) for entry in entries]

    def _read(self, name: str, is_valid: Callable[[Any], bool]) -> Any:
        if name not in self._members:
            raise _unreadable(f"{name!r} is missing")
        if not is_valid(self._members[name]):
            raise _unreadable(f"{name!r} has no valid value")
        return self._members[name]


def _read_config(top: _Fields) -> SessionConfig:
    config = top.object("config")
    choice = config.object("tool_choice")
    script, endpointing = config.optional_text("script"), config.optional_text("endpointing")
    return SessionConfig(
        model=config.text("model"),
        voice=config.text("voice"),
        system=config.text("system"),
        script=cast(Any, script),  # these three are checked when the configuration is built
        endpointing=cast(Any, endpointing),
        tool_choice=ToolChoice(cast(Any, choice.text("mode")), choice.text("name")),
        max_tokens=config.whole("max_tokens"),
        top_p=config.number("top_p"),
        temperature=config.number("temperature"),
        tools=tuple(
            ToolSpec(tool.text("name"), tool.text("description"), tool.members("schema"))
            for tool in config.array("tools")
        ),
        input=AudioFormat(config.whole("input_hz")),
        output=AudioFormat(config.whole("output_hz")),
        history=tuple(
            Message(cast(Any, message.text("role")), message.text("text"))
            for message in top.array("history")
        ),
    )


def _read_line(line: _Fields) -> Line:
    if line.text("role") not in ("USER", "ASSISTANT"):
        raise _unreadable("a line is of neither side")
    return Line(
        line.whole("turn"),
        line.text("role"),
        line.text("text"),
        line.text("planned"),
        line.flag("interrupted"),
    )


def _read_call(call: _Fields) -> ToolCall:
    return ToolCall(
        call.whole("turn"), call.text("tool_use"), call.text("name"), call.text("arguments_json")
    )


def _read_result(result: _Fields) -> ToolResult:
    return ToolResult(result.whole("turn"), result.text("text"))


def _counts(tokens: _Fields) -> dict[str, int]:
    return {name: tokens.whole(name) for name in asdict(Tokens())}


def _read_audio(text: str) -> bytes:
    try:
        audio = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unreadable("its audio is not base64") from error
    if len(audio) % 2:
        raise _unreadable("its audio is not a whole number of samples")
    return audio


def _unreadable(why: str) -> ConfigError:
    return ConfigError(f"The saved conversation cannot be read: {why}.", hint=_NEW_CONVERSATION)
