"""Recordings of what clients do: one folder for each stream, readable by its owner only.

    20261122T141809Z-1f0c2a9e/
        stream.json      model, region, request id, when it began and ended, how, and the counts
        events.jsonl     one line for each event, as it was received or sent
        user.wav         all the sound that the client sent, end to end
        assistant.wav    all the sound that was sent to it, end to end

A line is `{"t_ms": 1204, "direction": "in", "event": {...}}`, with the time since the stream was
opened. Sound is in the WAV files alone: in its place in the event, `"content"` names the WAV and
the samples, the last one not included, `{"wav": "user.wav", "samples": [16000, 16512]}`; so a line
leads to its sound. `t_ms` is the time when those samples passed, which is neither when they were
spoken nor when they were played. Content that no WAV can hold stays in the line as it came: content
that is not base64 of whole samples, or has another rate than the WAV's first block. A payload that
is not an event is recorded as text, under `payload`. Besides events there are lines with
`exception`, `broken` (a fault that was requested), `note` (a mistake that was tolerated) and
`ended`.

Data stays in memory for a second at most while events come, and what is on the disk can be read at
any moment: an emulator that is killed leaves whole lines, playable WAVs, and a `stream.json` whose
`end` is "open". Writing is done on the event loop. If it fails, this is logged once for each
stream, which goes on unrecorded. Requests that were refused are not recorded, and neither are
headers, signatures and keys.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from ...audio.riff import header
from ...config import BYTES_PER_SAMPLE
from ...errors import ConfigError, WireError
from ...printable import exact_json
from ...wire import (
    AudioBlock,
    AudioInput,
    AudioOutput,
    AudioStart,
    Input,
    Output,
    decode_input,
    decode_output,
)
from ..service.effects import Break, Effect, Emit, Fail, Finish, Note, StreamRefusal
from . import StreamStatistics

_log = logging.getLogger(__name__)

FLUSH_S = 1.0
"""Maximum time that recorded data stays in memory while the stream goes on, in seconds."""
FLUSH_BYTES = 256 * 1024
"""Maximum size of recorded data in memory, in bytes."""

_MAX_HZ = 192_000
"""Highest sample rate that a WAV is written with, in Hz; a higher one in an event is not
plausible."""


class Recorder:
    """An `EmulatorObserver` that records streams."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """Make the folder of the recordings.

        Args:
            folder: The folder, which is made if it does not exist.
            now: Returns monotonic seconds.

        Raises:
            ConfigError: Nothing can be written to the folder.
        """
        self._folder = folder
        self._now = now
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"Cannot record below {folder}: {error.strerror or error}.",
                hint="Name a folder that you may write to.",
            ) from error

    def opened(self, statistics: StreamStatistics) -> "StreamRecorder":
        """See `EmulatorObserver`."""
        return StreamRecorder(statistics, self._folder, self._now)

    def refused(self, request_id: str, model_id: str, refusal: StreamRefusal) -> None:
        """See `EmulatorObserver`. Refused requests are not recorded."""


class StreamRecorder:
    """A `StreamObserver` that records one stream in its folder."""

    def __init__(self, statistics: StreamStatistics, below: Path, now: Callable[[], float]) -> None:
        began = datetime.now(UTC)
        name = f"{began:%Y%m%dT%H%M%SZ}-{statistics.request.request_id[:8]}"
        self.folder = below / name
        self._statistics = statistics
        self._began = began
        self._now = now
        self._began_s = self._flushed_s = now()
        self._user = _Track(self.folder / "user.wav")
        self._assistant = _Track(self.folder / "assistant.wav")
        self._waiting = bytearray()
        self._lines: BinaryIO | None = None
        try:
            self.folder.mkdir(mode=0o700)
            self._lines = _create(self.folder / "events.jsonl")
            self._describe(ended=None)
        except OSError as error:
            self._give_up(error)

    def received(self, payload: bytes) -> None:
        """See `StreamObserver`."""
        self._event("in", payload, decode_input, self._user)

    def input_ended(self) -> None:
        """See `StreamObserver`."""
        self._line("in", {"ended": "by the client"})

    def answered(self, effect: Effect) -> None:
        """See `StreamObserver`."""
        match effect:
            case Emit(payload):
                self._event("out", payload, decode_output, self._assistant)
            case Fail(code, message):
                self._line("out", {"exception": {"code": code, "message": message}})
            case Break(how):
                self._line("out", {"broken": how})
            case Note(text, rule):
                self._line("in", {"note": {"rule": rule, "text": text}})
            case Finish():
                self._line("out", {"ended": "by the service"})
            case _:
                pass

    def over(self) -> None:
        """See `StreamObserver`."""
        if self._lines is None:
            return
        try:
            self._flush(self._lines)
            self._describe(ended=datetime.now(UTC))
            self._close()
        except OSError as error:
            self._give_up(error)

    def _event(
        self,
        direction: str,
        payload: bytes,
        decode: Callable[[bytes], Input | Output],
        track: "_Track",
    ) -> None:
        if self._lines is None:
            return
        try:
            event = json.loads(payload)["event"]
        except (ValueError, KeyError, TypeError, RecursionError):
            self._line(direction, {"payload": payload.decode(errors="backslashreplace")})
            return
        with suppress(WireError):  # an event that cannot be decoded is kept as it came
            match decode(payload):
                case AudioStart(rate_hz=rate_hz) | AudioBlock(rate_hz=rate_hz):
                    track.begin(rate_hz)
                case AudioInput(pcm=pcm) | AudioOutput(pcm=pcm):
                    if (samples := track.append(pcm)) is not None:
                        (body,) = event.values()
                        body["content"] = {"wav": track.path.name, "samples": samples}
                case _:
                    pass
        self._line(direction, {"event": event})

    def _line(self, direction: str, what: dict[str, Any]) -> None:
        if self._lines is None:
            return
        now_s = self._now()
        line = {"t_ms": round((now_s - self._began_s) * 1000), "direction": direction, **what}
        self._waiting += _json(line) + b"\n"
        if now_s - self._flushed_s < FLUSH_S and self._waiting_bytes < FLUSH_BYTES:
            return
        self._flushed_s = now_s
        try:
            self._flush(self._lines)
        except OSError as error:
            self._give_up(error)

    @property
    def _waiting_bytes(self) -> int:
        return len(self._waiting) + len(self._user.waiting) + len(self._assistant.waiting)

    def _flush(self, lines: BinaryIO) -> None:
        """Write what waits, sound first: no line is on the disk before its samples."""
        self._user.flush()
        self._assistant.flush()
        lines.write(self._waiting)
        lines.flush()
        self._waiting.clear()

    def _describe(self, *, ended: datetime | None) -> None:
        """Replace `stream.json` by a new one."""
        statistics = self._statistics
        request = statistics.request
        text = json.dumps(
            {
                "request_id": request.request_id,
                "model": request.model_id,
                "region": request.region,
                "started": self._began.isoformat(timespec="milliseconds"),
                "ended": ended.isoformat(timespec="milliseconds") if ended else None,
                "end": statistics.end or "open",
                "error": statistics.error,
                "received_events": statistics.received_events,
                "sent_events": statistics.sent_events,
                "notes": statistics.notes,
                "heard_s": self._user.duration_s,
                "said_s": self._assistant.duration_s,
            },
            indent=2,
        )
        new = self.folder / ".stream.json"
        with _create(new) as file:
            file.write(f"{text}\n".encode())
        new.replace(self.folder / "stream.json")

    def _give_up(self, error: OSError) -> None:
        _log.warning(
            "stream %s goes on unrecorded: writing %s failed: %s",
            self._statistics.request.request_id,
            error.filename or self.folder,
            error.strerror or error,
        )
        self._close()

    def _close(self) -> None:
        for file in (self._lines, self._user.file, self._assistant.file):
            if file is not None:
                with suppress(OSError):  # the failure to write was logged
                    file.close()
        self._lines = None


class _Track:
    """A WAV file of one rate, made when its first samples are written. Samples wait for `flush`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: BinaryIO | None = None
        self.waiting = bytearray()
        self._rate_hz = 0
        self._accepts = False
        self._size_bytes = 0

    @property
    def duration_s(self) -> float:
        if not self._rate_hz:
            return 0.0
        return round(self._size_bytes / BYTES_PER_SAMPLE / self._rate_hz, 3)

    def begin(self, rate_hz: int) -> None:
        """Begin a block of sound; the first one sets the rate of the file."""
        if not self._rate_hz and 0 < rate_hz <= _MAX_HZ:
            self._rate_hz = rate_hz
        self._accepts = 0 < rate_hz == self._rate_hz

    def append(self, pcm: bytes) -> list[int] | None:
        """Add samples.

        Returns:
            The index of the first sample and of the one after the last; None if they do not fit.
        """
        if not self._accepts or len(pcm) % BYTES_PER_SAMPLE:
            return None
        first = self._size_bytes // BYTES_PER_SAMPLE
        self._size_bytes += len(pcm)
        self.waiting += pcm
        return [first, self._size_bytes // BYTES_PER_SAMPLE]

    def flush(self) -> None:
        """Write the waiting samples, and then the header that counts them."""
        if not self.waiting:
            return
        if self.file is None:
            self.file = _create(self.path)
            self.file.write(header(self._rate_hz, 0))
        self.file.write(self.waiting)
        self.waiting.clear()
        self.file.seek(0)
        self.file.write(header(self._rate_hz, self._size_bytes))
        self.file.seek(0, os.SEEK_END)
        self.file.flush()


def _create(path: Path) -> BinaryIO:
    """Make a new file that only its owner can read."""
    path.touch(mode=0o600, exist_ok=False)
    return path.open("wb")


def _json(line: dict[str, Any]) -> bytes:
    return exact_json(line).encode()
