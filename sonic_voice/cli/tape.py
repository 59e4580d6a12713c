"""The commands `sonic-voice tape`: what is in a tape, and what can be made of it."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ..audio.sound_file import FLAC_SUFFIX, create
from ..config import AudioFormat
from ..devices import Speaker
from ..errors import TapeError
from ..printable import printable, printable_json
from ..private_files import write_private
from ..recording import (
    Damage,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeLine,
    read_tape,
    redacted_tape,
    tape_lines,
    write_tape,
)
from ..recording.stereo import CHANNELS, mixed_down, stereo_frames, stereo_rate_hz
from ..recording.transcripts import INTERRUPTED, as_json, as_srt, as_text, as_vtt
from .base import errors, run_until_done
from .device_choice import selected_device
from .options import AudioBackend, DeviceName
from .printing import echo

SOUND_SUFFIXES = (".wav", FLAC_SUFFIX)
"""Ends of names, in lower case, of files that receive the sound."""

TRANSCRIPT_SUFFIXES = (".txt", ".json", ".srt", ".vtt")
"""Ends of names, in lower case, of files that receive the transcript."""

QUEUED_S = 1.0
"""Sound that is given to the loudspeaker ahead of time, in seconds."""

LOOK_S = 0.1
"""Interval at which it is looked how far the loudspeaker is, in seconds."""

DAMAGE_LINES = 20
"""Maximum number of damaged places that are printed."""

TapeFile = Annotated[Path, typer.Argument(metavar="TAPE", help="File that --record has written.")]
"""Argument of the commands that read a tape."""

app = typer.Typer(
    help="Inspect, export, redact and play recorded conversations.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.command()
def info(
    context: typer.Context,
    tape: TapeFile,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Show what is in a tape, and what of it is damaged.

    [bold]sonic-voice tape info talk.tape[/bold]
    """
    with errors(context):
        read = read_tape(tape)
        facts = _facts(read)
        if json:
            echo(printable_json(facts))
            return
        for name, value in facts.items():
            if name != "damage":
                echo(f"{name.replace('_', ' ').capitalize():<14}{_shown(value)}")
        _print_damage(read.damage)


@app.command()
def export(
    context: typer.Context,
    tape: TapeFile,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Files to write: .wav or .flac with the sound, you left and what you heard right; "
            ".txt, .json, .srt or .vtt with the transcript as it was heard. They must not exist.",
        ),
    ],
) -> None:
    """Write the sound or the transcript of a tape to files, by their names.

    [bold]sonic-voice tape export talk.tape talk.wav talk.srt[/bold]
    """
    with errors(context):
        for path in files:
            _check_export(path)
        read = read_tape(tape)
        for path in files:
            _export(read, path)
            echo(f"Wrote {printable(str(path))}")
        _warn_of_damage(read)


@app.command()
def redact(
    context: typer.Context,
    tape: TapeFile,
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Tape to write. It must not exist.")
    ],
) -> None:
    """Write a copy without anybody's voice, words and ids, that can be published.

    Sound becomes silence of the same length; prompts, transcripts, arguments
    and results of tools become filler of the same length; ids become others.
    Kept are the order and the times of everything, names of tools and models,
    and numbers of tokens. The copy can be replayed.

    [bold]sonic-voice tape redact talk.tape public.tape[/bold]
    """
    with errors(context):
        read = read_tape(tape)
        write_tape(output, redacted_tape(read))
        echo(f"Wrote {printable(str(output))}")
        _warn_of_damage(read)


@app.command()
def play(
    context: typer.Context,
    tape: TapeFile,
    begin: Annotated[
        float, typer.Option("--from", min=0, help="Where to begin, in seconds.")
    ] = 0.0,
    speaker: DeviceName = None,
    audio_backend: AudioBackend = "sounddevice",
) -> None:
    """Play a tape, with its words as they are spoken. Ctrl-C ends it.

    [bold]sonic-voice tape play talk.tape --from 60[/bold]
    """
    with errors(context):
        read = read_tape(tape)
        if begin >= read.duration_s:
            raise typer.BadParameter(f"The tape ends after {read.duration_s:.1f} s.")
        _warn_of_damage(read)
        device = selected_device(speaker, "output", audio_backend)
        run_until_done(_play(read, begin, device, audio_backend))


async def _play(tape: Tape, begin_s: float, device: int | str | None, backend: Any) -> None:
    format = AudioFormat(stereo_rate_hz(tape))
    skipped = format.size(begin_s)
    lines = [line for line in tape_lines(tape) if line.ends_s >= begin_s]
    sound = b"".join(map(mixed_down, stereo_frames(tape)))[skipped:]
    step = format.size(LOOK_S)
    async with Speaker(device, format, backend=backend) as sink:
        position = 0
        while position < len(sound) or sink.pending_s > 0:
            while position < len(sound) and sink.pending_s < QUEUED_S:
                sink.play(1, sound[position : position + step])
                position += step
            played_s = begin_s + sink.played_ms(1) / 1000
            while lines and lines[0].begins_s <= played_s:
                echo(_line(lines.pop(0)))
            await asyncio.sleep(LOOK_S)


def _line(line: TapeLine) -> str:
    mark = f" {INTERRUPTED}" if line.interrupted else ""
    speaker = "you" if line.role == "USER" else "nova"
    return f"[{line.begins_s:7.1f}] {speaker}: {printable(line.text)}{mark}"


def _facts(tape: Tape) -> dict[str, Any]:
    """Return the facts about a tape as a JSON object."""
    header, lines = tape.header, tape_lines(tape)
    names = Counter(r.name for r in tape.records if isinstance(r, SessionEvent))
    faults = [r.error for r in tape.records if isinstance(r, StreamEnded) and r.error]
    return {
        "model": header.model,
        "voice": str(header.config.get("voice") or ""),
        "began_at": header.began_at.isoformat(),
        "duration_s": round(tape.duration_s, 3),
        "format": header.version,
        "redacted": header.redacted,
        "streams": sum(isinstance(r, StreamOpened) for r in tape.records),
        "faults": faults,
        "turns": len({line.turn for line in lines}),
        "interruptions": names["Interrupted"],
        "tool_calls": names["ToolCall"],
        "renewals": names["Renewed"],
        "records": len(tape.records),
        "missing": tape.missing,
        "software": dict(header.software),
        "damage": [
            {"offset": part.offset, "length": part.length, "reason": part.reason}
            for part in tape.damage
        ],
    }


def _shown(value: Any) -> str:
    match value:
        case dict():
            pairs: list[str] = [f"{key} {member}" for key, member in value.items()]  # pyright: ignore[reportUnknownVariableType]
            return printable(", ".join(pairs))
        case list():
            texts: list[str] = [str(member) for member in value]  # pyright: ignore
            return printable("; ".join(texts)) or "none"
        case bool():
            return "yes" if value else "no"
        case _:
            return printable(str(value))


def _print_damage(damage: tuple[Damage, ...]) -> None:
    for part in damage[:DAMAGE_LINES]:
        echo(f"Damage        {part.length} bytes at {part.offset}: {printable(part.reason)}")
    if len(damage) > DAMAGE_LINES:
        echo(f"Damage        and {len(damage) - DAMAGE_LINES} further places")


def _warn_of_damage(tape: Tape) -> None:
    if tape.damage or tape.missing:
        echo(
            f"The tape is damaged in {len(tape.damage)} places, and {tape.missing} records are "
            "missing; `sonic-voice tape info` names them.",
            err=True,
        )


def _check_export(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix not in SOUND_SUFFIXES + TRANSCRIPT_SUFFIXES:
        raise typer.BadParameter(
            f"{path} must end in {', '.join(SOUND_SUFFIXES + TRANSCRIPT_SUFFIXES)}."
        )
    if path.exists():
        raise TapeError(f"{path} exists, and is not overwritten.", hint="Name another file.")
    if not path.parent.is_dir():
        raise TapeError(f"The folder {path.parent} does not exist.", hint="Create it first.")


def _export(tape: Tape, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in SOUND_SUFFIXES:
        file = create(path, stereo_rate_hz(tape), CHANNELS)
        path.chmod(0o600)
        try:
            for frames in stereo_frames(tape):
                file.write(frames)
        finally:
            file.close()
        return
    lines = tape_lines(tape)
    make = {".txt": as_text, ".srt": as_srt, ".vtt": as_vtt}.get(suffix)
    text = as_json(tape, lines) if make is None else make(lines, printable)
    write_private(path, text.encode("utf-8", "replace"))
