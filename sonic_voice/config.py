"""The configuration of a session, frozen and validated when it is built.

A `SessionConfig` that could be built is one that the service will accept, as far as its rules are
known: the model speaks, the voice is one of its voices, rates and numbers are in range, tools have
names and schemas that the service accepts, and the history has the right order and is within the
limits.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from .catalog import DEFAULT_MODEL, VoiceModel, voice_model
from .errors import ConfigError
from .history import HistoryPolicy, Message, encoded, normalise
from .policies import IdlePrompt, RecoveryPolicy, RenewalPolicy

Endpointing = Literal["HIGH", "MEDIUM", "LOW"]
"""Sensitivity of the service's endpointing: how soon it decides that the user has finished (v2 and
later; reference 2.2)."""

Script = Literal["latin", "devanagari", "mixed"]
"""Script of transcripts and replies when Hindi is spoken (reference 2.4, `SYSTEM_SPEECH`)."""

DEFAULT_SYSTEM = "You are a friendly assistant in a spoken conversation. Keep answers short."
"""System prompt of a session that is given none."""

BYTES_PER_SAMPLE = 2
"""Size of a sample, in bytes: all PCM here is signed 16-bit little-endian with one channel."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A format of audio: signed 16-bit little-endian mono PCM at a sample rate."""

    rate_hz: int

    def seconds(self, pcm_bytes: int) -> float:
        """Return the length of audio, in seconds.

        Args:
            pcm_bytes: Its size, in bytes.
        """
        return pcm_bytes / (self.rate_hz * BYTES_PER_SAMPLE)

    def size(self, seconds: float) -> int:
        """Return the size of audio, in bytes, rounded to whole samples.

        Args:
            seconds: Its length, in seconds.
        """
        return round(seconds * self.rate_hz) * BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as it is declared to the model: name, description, JSON schema (reference 8.1)."""

    name: str
    description: str
    schema: dict[str, Any]
    """JSON schema of the arguments. `$schema` at its top, which generators of schemas write, is
    removed."""

    def __post_init__(self) -> None:
        if "$schema" in self.schema:
            plain = {key: value for key, value in self.schema.items() if key != "$schema"}
            object.__setattr__(self, "schema", plain)


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """A rule for the use of tools."""

    mode: Literal["auto", "any", "tool"] = "auto"
    """`auto`: the model may use a tool; `any`: it must use one; `tool`: it must use the one called
    `name`."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Maximum durations of the steps of a session, in seconds of wall-clock time."""

    open_s: float = 20.0
    """Maximum time from the first byte of the connection to the service's response headers, in
    seconds; a cold model needs up to 10 s (reference 3.12)."""
    send_s: float = 10.0
    """Maximum time to put one payload onto the wire, back-pressure included, in seconds."""
    close_s: float = 10.0
    """Maximum time from our `sessionEnd` to the service's end of stream, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """The configuration of one session: model, voice, audio formats, tools and history.

    Building it raises `ConfigError` if the service would refuse a part of it.
    """

    model: str = DEFAULT_MODEL
    """Bare id of a voice model."""
    region: str | None = None
    """AWS region, which must offer the model; None if it is not known here. `BedrockTransport`
    checks the region to which it connects."""
    voice: str | None = None
    """Id of a voice of the model; None for the model's first voice."""
    system: str = DEFAULT_SYSTEM
    """System prompt."""
    history: tuple[Message, ...] = ()
    """Earlier conversation, the oldest message first. It is brought into the service's order when
    the configuration is built; the module `history` says how, also for a history in which the
    assistant speaks first."""
    history_policy: HistoryPolicy = "error"
    """Treatment of a history over the limits: `error` raises, `trim` drops the oldest messages."""
    script: Script | None = None
    """Script of transcripts and replies in Hindi; None leaves the choice to the model."""
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    max_tokens: int = 1024
    """Maximum length of an answer, in tokens."""
    top_p: float = 0.9
    """Nucleus sampling threshold, 0 to 1."""
    temperature: float = 0.7
    """Sampling temperature, 0 to 1."""
    endpointing: Endpointing | None = None
    """Sensitivity of endpointing. None stands for MEDIUM if the model has the setting; otherwise
    the setting is not sent."""
    input: AudioFormat = AudioFormat(16_000)
    """Format of the user's audio."""
    output: AudioFormat = AudioFormat(24_000)
    """Format of the model's audio."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    stream_s: float | None = None
    """Wall-clock life of a stream, in seconds. None stands for the model's 8 minutes, after which
    the service ends the stream (reference 0.4). It changes only when a stream is renewed, or its
    end is announced: set it for an emulator that ends streams earlier."""
    renewal: RenewalPolicy = field(default_factory=RenewalPolicy)
    """Moments at which the session moves on to its next stream; `NO_RENEWAL` ends it with its
    first one."""
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    """Limits of the recovery from faults; `NO_RECOVERY` ends the session at the first one."""
    greeting: str = ""
    """Request with which the assistant speaks first, such as "Welcome the caller to Example Bank.";
    empty if the user does. The module `first_words` says how it is sent."""
    idle_prompts: tuple[IdlePrompt, ...] = ()
    """Prompts that address a silent user, in order. The module `idle` says when."""

    def __post_init__(self) -> None:
        model = voice_model(self.model)
        model.check_region(self.region)
        settle = object.__setattr__  # the only way to fill in a default of a frozen dataclass
        settle(self, "tools", tuple(self.tools))
        settle(self, "voice", model.voice(self.voice).id)
        settle(self, "endpointing", _endpointing(model, self.endpointing))
        settle(self, "history", normalise(self.history, model.limits, self.history_policy))
        _check_numbers(self)
        _check_rates(self, model)
        _check_system(self, model)
        _check_tools(self)
        settle(self, "idle_prompts", tuple(self.idle_prompts))
        _check_prompts(self, model)

    @property
    def greeting_system(self) -> str:
        """System prompt with the greeting, for a model that takes no text."""
        return f"{self.system}\n\nWhen the user first says hello: {self.greeting}"

    @property
    def stream_life_s(self) -> float:
        """Wall-clock life of a stream, in seconds."""
        return self.stream_s or self.voice_model.limits.stream_s

    @property
    def voice_model(self) -> VoiceModel:
        """Entry of the catalog for `model`."""
        return voice_model(self.model)


TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_REFUSED_IN_SCHEMAS = ("$ref", "$schema", "$defs", "anyOf", "oneOf", "allOf")


def _endpointing(model: VoiceModel, asked: Endpointing | None) -> Endpointing | None:
    if not model.turn_detection:
        if asked is not None:
            raise ConfigError(
                f"{model.id} has no endpointing setting.", hint="Leave `endpointing` out."
            )
        return None
    if asked is not None and asked not in get_args(Endpointing):
        raise ConfigError(f"Endpointing is HIGH, MEDIUM or LOW, not {asked!r}.")
    return asked or "MEDIUM"


def _check_numbers(config: SessionConfig) -> None:
    limit = config.voice_model.limits.max_output_tokens
    if type(config.max_tokens) is not int or not 1 <= config.max_tokens <= limit:
        raise ConfigError(f"max_tokens must be 1 to {limit}, not {config.max_tokens!r}.")
    deadlines = config.deadlines
    if min(deadlines.open_s, deadlines.send_s, deadlines.close_s) <= 0:
        raise ConfigError("Deadlines must be more than 0 s.")
    if config.stream_s is not None and config.stream_s <= 0:
        raise ConfigError(f"stream_s must be more than 0 s, not {config.stream_s}.")
    for name, value in (("top_p", config.top_p), ("temperature", config.temperature)):
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"{name} must be 0 to 1, not {value}.")


def _check_rates(config: SessionConfig, model: VoiceModel) -> None:
    for name, audio in (("input", config.input), ("output", config.output)):
        if audio.rate_hz not in model.rates_hz:
            rates = ", ".join(str(rate) for rate in model.rates_hz)
            raise ConfigError(
                f"{name} rate must be one of {rates} Hz, not {audio.rate_hz}.",
                hint="Files and devices of other rates are resampled by their source or sink.",
            )


def _check_system(config: SessionConfig, model: VoiceModel) -> None:
    size = len(encoded(config.system, "The system prompt"))
    if not config.system.strip():
        raise ConfigError(
            "The system prompt is empty.", hint="Describe the assistant in a sentence."
        )
    if size > model.limits.system_bytes:
        raise ConfigError(
            f"The system prompt has {size} bytes; {model.limits.system_bytes} are the limit.",
            hint="Shorten it, or move reference material into a tool.",
        )
    if config.script is not None and (
        not model.system_speech or config.script not in get_args(Script)
    ):
        raise ConfigError(
            f"{model.id} cannot be asked for the script {config.script!r}.",
            hint="latin, devanagari or mixed, on Nova 2 Sonic and later.",
        )


def _check_prompts(config: SessionConfig, model: VoiceModel) -> None:
    if config.greeting:
        size = len(encoded(config.greeting_system, "The greeting"))
        if not config.greeting.strip():
            raise ConfigError("The greeting is blank.", hint="Say how to begin, or leave it out.")
        if size > model.limits.system_bytes:
            raise ConfigError(
                f"The system prompt and the greeting have {size} bytes; "
                f"{model.limits.system_bytes} are the limit.",
                hint="Shorten them.",
            )
    for prompt in config.idle_prompts:
        if prompt.text and not model.text_input:
            raise ConfigError(
                f"{model.id} takes no text once the conversation runs, and no idle prompts.",
                hint="Nova 2 Sonic and later do. An idle prompt without text may end it.",
            )
        if prompt.then == "end" and prompt is not config.idle_prompts[-1]:
            raise ConfigError("Only the last idle prompt may end the conversation.")


def _check_tools(config: SessionConfig) -> None:
    names = [tool.name for tool in config.tools]
    for tool in config.tools:
        if not TOOL_NAME.fullmatch(tool.name):
            raise ConfigError(
                f"{tool.name!r} is no name for a tool.",
                hint="Letters, digits, _ and -, at most 64 of them.",
            )
        if names.count(tool.name) > 1:
            raise ConfigError(f"Two tools are named {tool.name!r}.", hint="Rename one.")
        check_schema(tool.name, tool.schema)
    choice = config.tool_choice
    if choice.mode not in ("auto", "any", "tool"):
        raise ConfigError(f"tool_choice is auto, any or tool, not {choice.mode!r}.")
    if choice.mode != "auto" and not config.tools:
        raise ConfigError(f"tool_choice {choice.mode!r} needs tools.", hint="Give some tools.")
    if choice.mode == "tool" and choice.name not in names:
        raise ConfigError(
            f"tool_choice names {choice.name!r}, which is not among the tools.",
            hint=f"The tools are: {', '.join(names)}.",
        )


def check_schema(tool: str, schema: dict[str, Any]) -> None:
    """Check that the service accepts a schema; it refuses others with "Invalid input request".

    `$schema` at the top passes, as it does at the service. Source: protocol reference 8.1.

    Args:
        tool: Name of the tool, for the message.
        schema: JSON schema of its arguments.

    Raises:
        ConfigError: The service would refuse the schema, or it is not JSON.
    """
    if schema.get("type") != "object":
        raise ConfigError(f"The schema of tool {tool!r} must be an object at its top.")
    _check_schema_part(tool, schema, "", names=False)
    try:
        json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The schema of tool {tool!r} is not JSON: {error}.") from error


def _check_schema_part(tool: str, part: Any, path: str, *, names: bool) -> None:
    """Check one part of a schema and everything below it.

    Args:
        tool: Name of the tool, for the message.
        part: Any JSON value.
        path: JSON pointer of `part` within the schema.
        names: Whether the keys of `part` are names of the application, as below `properties`.

    Raises:
        ConfigError: The service would refuse the part.
    """
    if isinstance(part, list):
        for index, item in enumerate(cast(list[Any], part)):
            _check_schema_part(tool, item, f"{path}/{index}", names=False)
    if not isinstance(part, dict):
        return
    for key, value in cast(dict[str, Any], part).items():
        here = f"{path}/{key}"
        if not names and key in _REFUSED_IN_SCHEMAS and here != "/$schema":
            raise ConfigError(
                f"The schema of tool {tool!r} uses {key} at {here}; the service refuses it.",
                hint="Write the type out, without alternatives and references.",
            )
        if not names and key == "type" and (value == "null" or isinstance(value, list)):
            raise ConfigError(
                f"The schema of tool {tool!r} allows null or several types at {here}; "
                "the service refuses it.",
                hint="Leave an optional property out of `required` instead.",
            )
        _check_schema_part(tool, value, here, names=not names and key == "properties")
