"""Conversations of the command line that are saved at their end, for `talk --continue`."""

import os
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from ..catalog import DEFAULT_MODEL
from ..config import DEFAULT_SYSTEM, SessionConfig, ToolChoice
from ..errors import ConfigError, FileError
from ..languages import voice_for
from ..policies import IdlePrompt, RecoveryPolicy
from ..private_files import write_private
from ..session import Session
from ..snapshot import SessionSnapshot
from ..text_files import decode_text
from ..tools.toolbox import Toolbox
from .ending import print_notice

FILE_NAME = "conversation.json"
"""Name of the file of the last conversation, in the folder of the user's state."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """The conversation that another one continues, and the file in which it is saved."""

    resume: SessionSnapshot | None = None
    """The conversation that is continued; None for a new one."""
    line: str = ""
    """A line for the user that says what is continued; empty for a new conversation."""
    file: Path | None = None
    """File in which the conversation is saved at its end; None if it is not saved."""

    def save(self, session: Session, *, mask_pii: bool) -> None:
        """Save a conversation that had any turns. A failure is reported on standard error.

        Args:
            session: The session, which was entered.
            mask_pii: Whether personal data is masked.
        """
        if self.file is None or not session.transcript.lines:
            return
        try:
            snapshot = session.snapshot()
            snapshot = snapshot.masked() if mask_pii else snapshot
            write_private(self.file, snapshot.to_json().encode())
        except OSError as error:
            print_notice(
                f"The conversation could not be saved in {self.file}: {error.strerror}. "
                "--no-save turns saving off."
            )


NEW_CONVERSATION = Continuation()
"""A conversation that continues no other and is not saved."""


def prepare_continuation(named: str | None, *, save: bool) -> Continuation:
    """Return what a conversation continues, and where it is saved.

    Args:
        named: Value of `--continue`: a file, or empty for the last conversation; None for a new
            conversation.
        save: Whether the conversation is saved at its end.

    Raises:
        FileError: The file is missing, cannot be read, or is no saved conversation.
        ConfigError: No file is named, and there is no folder for them.
    """
    file = Path(named) if named else default_file()
    if named is None:
        return Continuation(file=file if save else None)
    if file is None:
        raise ConfigError(
            "There is no folder for saved conversations.",
            hint="Set HOME or XDG_STATE_HOME, or name the file: --continue FILE.",
        )
    try:
        content, written_s = file.read_bytes(), file.stat().st_mtime
    except FileNotFoundError as error:
        raise FileError(
            f"There is no saved conversation: {file} does not exist.",
            hint="Leave --continue out. Conversations are saved at their end, without --no-save.",
        ) from error
    except OSError as error:
        raise FileError(
            f"Cannot read the saved conversation {file}: {error.strerror}.",
            hint="Name another file with --continue FILE, or leave --continue out.",
        ) from error
    text = decode_text(content, str(file))
    try:
        snapshot = SessionSnapshot.from_json(text)
    except ConfigError as error:
        raise FileError(f"{file}: {error.message}", hint=error.hint) from error
    line = continuing_line(snapshot.turn, time.time() - written_s)
    return Continuation(snapshot, line, file if save else None)


def conversation_config(
    continuation: Continuation,
    *,
    model: str | None,
    voice: str | None,
    language: str | None,
    region: str | None,
    system: str | None,
    tools: Toolbox,
    greeting: str,
    idle_prompts: tuple[IdlePrompt, ...],
    stream_s: float | None,
    recovery: RecoveryPolicy,
) -> SessionConfig:
    """Return the configuration of a conversation: what is given, else what it had, else defaults.

    A voice belongs to a model: with another model, the voice that the conversation had is not used.

    Args:
        continuation: What the conversation continues.
        model: The model; None for that of the conversation.
        voice: The voice; None for that of the conversation or the model.
        language: Language that the voice has to speak; None for any.
        region: The region; None for that of the AWS settings.
        system: The system prompt; None for that of the conversation.
        tools: The tools.
        greeting: See `SessionConfig`.
        idle_prompts: See `SessionConfig`.
        stream_s: See `SessionConfig`.
        recovery: See `SessionConfig`.

    Raises:
        ConfigError: The model or the voice is unknown, or no voice speaks the language.
    """
    if continuation.resume is None:
        had = SessionConfig(
            model=model or DEFAULT_MODEL, system=DEFAULT_SYSTEM if system is None else system
        )
    else:
        had = continuation.resume.config
        if model is not None and model != had.model:
            had = SessionConfig(model=model, system=had.system)
        had = replace(had, history_policy="trim", tool_choice=ToolChoice())
    config = replace(
        had,
        region=region,
        voice=voice or had.voice,
        system=had.system if system is None else system,
        tools=tools.specs,
        greeting=greeting,
        idle_prompts=idle_prompts,
        stream_s=stream_s,
        recovery=recovery,
    )
    if language is None:
        return config
    return replace(config, voice=voice_for(config.voice_model, language, voice).id)


def default_file() -> Path | None:
    """Return the file of the last conversation, in `XDG_STATE_HOME` or its default.

    Returns:
        The file; None if the user has no home.
    """
    named = os.environ.get("XDG_STATE_HOME", "")
    if named and Path(named).is_absolute():  # others must be ignored, by the specification
        return Path(named) / "sonic-voice" / FILE_NAME
    try:
        return Path.home() / ".local" / "state" / "sonic-voice" / FILE_NAME
    except RuntimeError:
        return None


def continuing_line(turns: int, ago_s: float) -> str:
    """Return the line that says what is continued.

    Args:
        turns: Number of turns so far.
        ago_s: Time since the conversation was saved, in seconds.
    """
    age = timedelta(seconds=max(0.0, ago_s))
    minutes = age // timedelta(minutes=1)
    if minutes < 1:
        ago = "less than a minute"
    elif minutes < 60:
        ago = _counted(minutes, "minute")
    elif minutes < 48 * 60:
        ago = _counted(minutes // 60, "hour")
    else:
        ago = _counted(age.days, "day")
    return f"Continuing after {_counted(turns, 'turn')}, {ago} ago."


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
