"""The configuration of a tape's conversation, for another conversation.

A tape comes from anywhere, so that everything in it is checked as if a person had written it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from ..config import AudioFormat, Deadlines, SessionConfig, ToolChoice, ToolSpec
from ..errors import ConfigError, SonicError, WireError
from ..history import Message
from ..policies import IdlePrompt, RecoveryPolicy, RenewalPolicy
from ..wire import PromptStart, SessionStart, TextInput, TextStart, decode_input
from .records import Sent, Tape

_SINGLE: dict[str, Any] = {
    "tool_choice": ToolChoice,
    "input": AudioFormat,
    "output": AudioFormat,
    "deadlines": Deadlines,
    "renewal": RenewalPolicy,
    "recovery": RecoveryPolicy,
}
"""Fields of the configuration that are objects, and their classes."""

_SEVERAL: dict[str, Any] = {"history": Message, "tools": ToolSpec, "idle_prompts": IdlePrompt}
"""Fields of the configuration that are lists of objects, and their classes."""

_NOT_TAKEN = frozenset({"region"})
"""Fields that belong to the place where the tape was recorded."""


def recorded_config(tape: Tape) -> SessionConfig:
    """Return the configuration of a tape's conversation.

    If the header has none, it is read from what was sent on the first stream.

    Args:
        tape: The tape.

    Raises:
        ConfigError: The tape does not have a configuration that can be used.
    """
    try:
        if tape.header.config:
            return _from_json(tape.header.config)
        return _from_input(tape)
    except SonicError as error:
        raise ConfigError(
            f"The configuration on the tape cannot be used: {error.message}", hint=error.hint
        ) from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"The configuration on the tape cannot be read: {type(error).__name__}: {error}."
        ) from error


def _from_json(config: Mapping[str, Any]) -> SessionConfig:
    known = {field.name for field in fields(SessionConfig)} - _NOT_TAKEN
    arguments: dict[str, Any] = {}
    for name, value in config.items():
        if name not in known or value is None:
            continue
        if name in _SINGLE:
            arguments[name] = _built(_SINGLE[name], value)
        elif name in _SEVERAL:
            arguments[name] = tuple(_built(_SEVERAL[name], item) for item in value)
        else:
            arguments[name] = value
    return SessionConfig(**arguments)


def _built(kind: Any, value: Any) -> Any:
    """Return an object of a dataclass from its JSON. Fields of later versions are left out."""
    assert is_dataclass(kind)
    if not isinstance(value, dict):
        raise TypeError(f"{getattr(kind, '__name__', kind)} is not an object")
    known = {field.name for field in fields(kind)}
    arguments = {name: item for name, item in cast(dict[str, Any], value).items() if name in known}
    return cast(Any, kind)(**arguments)


def _from_input(tape: Tape) -> SessionConfig:
    sent = [record for record in tape.records if isinstance(record, Sent)]
    first = min((record.stream for record in sent), default=0)
    arguments: dict[str, Any] = {"model": tape.header.model}
    roles: dict[str, str] = {}
    texts: dict[str, str] = {}
    for record in sent:
        if record.stream != first or b'"audioInput"' in record.payload:
            continue
        try:
            event = decode_input(record.payload)
        except WireError:
            continue
        match event:
            case SessionStart():
                arguments |= _inference(event)
            case PromptStart():
                arguments |= _prompt(event)
            case TextStart(content=content, role=role, interactive=False):
                roles[content] = role
            case TextInput(content=content, text=text) if content in roles:
                texts[content] = texts.get(content, "") + text
            case _:
                pass
    system = [text for name, text in texts.items() if roles[name] == "SYSTEM"]
    if system:
        arguments["system"] = system[0]
    arguments["history"] = _history(roles, texts)
    return SessionConfig(**arguments)


def _inference(start: SessionStart) -> dict[str, Any]:
    found = {
        "max_tokens": start.max_tokens,
        "top_p": start.top_p,
        "temperature": start.temperature,
        "endpointing": start.endpointing,
    }
    return {name: value for name, value in found.items() if value is not None}


def _prompt(start: PromptStart) -> dict[str, Any]:
    mode, _, name = start.tool_choice.partition(":")
    tools = [ToolSpec(t.name, t.description, json.loads(t.schema_json)) for t in start.tools]
    choice = {"tool_choice": ToolChoice(cast(Any, mode), name)} if mode else {}
    return {
        "voice": start.voice,
        "output": AudioFormat(start.rate_hz),
        "tools": tuple(tools),
    } | choice


def _history(roles: Mapping[str, str], texts: Mapping[str, str]) -> Sequence[Message]:
    return [
        Message(cast(Any, roles[name]), text)
        for name, text in texts.items()
        if roles[name] in ("USER", "ASSISTANT")
    ]
