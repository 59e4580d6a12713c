"""The recorder of a conversation: a transport around a transport, an observer and a sink.

    recorder = Recorder(transport, Path("talk.tape"), config)
    async with recorder, Session.open(config, recorder) as session:
        sink = recorder.sink(speaker)
        await converse(session, microphone, sink, tools, [recorder.observer])

The transport alone records what is sent and received. The observer adds the events of the session,
and the sink what was really played. Recording never blocks the event loop and never fails: a disk
that does is reported, and the conversation goes on.
"""

import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..audio.ports import AudioSink
from ..config import SessionConfig
from ..errors import SonicError, fault_kind
from ..events import Audio, Ended, Event, PictureShown
from ..transport import Sink, Stream, Transport
from .masked_records import masked_header, masked_record
from .played_sound import PlayedSound
from .records import (
    VERSION,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    TapeHeader,
    TapeRecord,
)
from .writer import TapeWriter

PACKAGES = (
    *("sonic-voice", "aws-sdk-bedrock-runtime", "smithy-core", "smithy-http", "h2", "awscrt"),
    *("numpy", "soundfile", "sounddevice", "pywebrtc-audio", "websockets"),
)
"""Packages whose versions are in the header of a tape, where they are installed."""

_log = logging.getLogger(__name__)


class Recorder:
    """A transport that records the conversation which is held through it, in one tape.

    `aclose`, or leaving it as a context manager, completes the tape. It does not close the
    transport inside, which belongs to its owner. A tape without any record is removed.

    Args:
        transport: Where the streams are opened.
        path: The file, which must not exist.
        config: Configuration of the session, for the header; None if it is not known.
        clock: The clock of the conversation, as in `Session.open`.
        max_bytes: Size at which the recording stops, in bytes; None for no limit.
        on_notice: Called with a sentence when the tape is incomplete, from any thread. By default
            it is logged.
        mask_pii: Whether personal data in texts is masked and sound is replaced by silence; see
            `masking`.

    Raises:
        TapeError: The file exists, or cannot be created.
    """

    def __init__(
        self,
        transport: Transport,
        path: Path,
        config: SessionConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_bytes: int | None = None,
        on_notice: Callable[[str], None] = _log.warning,
        mask_pii: bool = False,
    ) -> None:
        self.path = path
        self._mask_pii = mask_pii
        self._transport = transport
        self._clock = clock
        self._began_s: float | None = None
        self._last_s = 0.0
        self._streams = 0
        self._sink: _RecordedSink | None = None
        self._closed = False
        header = tape_header(config, datetime.now(UTC))
        if mask_pii:
            header = masked_header(header)
        self._writer = TapeWriter(path, header, max_bytes=max_bytes, on_notice=on_notice)

    async def open(self, model: str) -> Stream:
        """See `Transport`. An opening that fails is recorded, too."""
        self._streams += 1
        number = self._streams
        self.record(StreamOpened(self.now(), number, model))
        try:
            stream = await self._transport.open(model)
        except SonicError as error:
            self.record(StreamEnded(self.now(), number, error_text(error)))
            raise
        return _RecordedStream(self, number, stream)

    def forget_credentials(self) -> None:
        """See `Transport`."""
        self._transport.forget_credentials()

    def sink(self, sink: AudioSink) -> AudioSink:
        """Return a sink that is another one, and records what that one has played.

        Args:
            sink: Where the model's sound is played. Nothing may stand between it and the
                loudspeaker that leaves sound out.
        """
        self._sink = _RecordedSink(self, sink)
        return self._sink

    def observer(self, event: Event, now: float) -> None:
        """Record an event of the session. An observer of `converse`.

        Args:
            event: The event. Sound is left out: it is in the payloads.
            now: Its time; not used, because the recorder has the same clock.
        """
        self.note_played()
        if not isinstance(event, Audio):
            self.record(SessionEvent(self.now(), type(event).__name__, event_fields(event)))

    async def aclose(self) -> None:
        """Write the rest of the tape and close it. May be called again."""
        self._end()
        await self._writer.aclose()
        self._remove_if_empty()

    def close(self, timeout_s: float) -> None:
        """Do as `aclose`, for callers that cannot await.

        Args:
            timeout_s: Maximum time to wait for the disk, in seconds.
        """
        self._end()
        self._writer.close(timeout_s)
        self._remove_if_empty()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def now(self) -> float:
        """Return the time since the first stream was opened, in seconds. It never goes back."""
        now = self._clock()
        if self._began_s is None:
            self._began_s = now
        self._last_s = max(self._last_s, now - self._began_s)
        return self._last_s

    def record(self, record: TapeRecord) -> None:
        """Add a record to the tape, unless it is closed.

        Args:
            record: The record.
        """
        if not self._closed:
            self._writer.write(masked_record(record) if self._mask_pii else record)

    def note_played(self, *, all: bool = False) -> None:
        """Record what the sink has played since the last call.

        Args:
            all: Whether to record pieces of less than 100 ms, too.
        """
        if self._sink is not None and self._sink.is_playing and not self._closed:
            for played in self._sink.take(self.now(), all=all):
                self.record(played)

    def _end(self) -> None:
        self.note_played(all=True)
        self._closed = True
        self._sink = None  # which refers to this object: the two would stay in memory together

    def _remove_if_empty(self) -> None:
        if not self._writer.records:
            self.path.unlink(missing_ok=True)


class _RecordedStream:
    """A stream that passes everything on and records it."""

    def __init__(self, recorder: Recorder, number: int, stream: Stream) -> None:
        self._recorder = recorder
        self._number = number
        self._stream = stream
        self._ended = False

    @property
    def credentials_expire_at(self) -> datetime | None:
        """See `Stream`."""
        return self._stream.credentials_expire_at

    async def send(self, payload: bytes) -> None:
        """See `Stream`."""
        self._recorder.note_played()
        self._recorder.record(Sent(self._recorder.now(), self._number, payload))
        await self._stream.send(payload)

    def offer(self, payload: bytes) -> bool:
        """See `Stream`."""
        self._recorder.note_played()
        now = self._recorder.now()
        if not self._stream.offer(payload):
            return False
        self._recorder.record(Sent(now, self._number, payload))
        return True

    async def accepted(self) -> None:
        """See `Stream`."""
        try:
            await self._stream.accepted()
        except SonicError as error:
            self._note_end(error_text(error))
            raise

    async def receive(self, sink: Sink | None = None) -> bytes | None:
        """See `Stream`."""

        def recorded(payload: bytes) -> bool:
            if sink is None or not sink(payload):
                return False
            self._recorder.record(Received(self._recorder.now(), self._number, payload))
            return True

        try:
            payload = await self._stream.receive(None if sink is None else recorded)
        except SonicError as error:
            self._note_end(error_text(error))
            raise
        if payload is None:
            self._note_end("")
        else:
            self._recorder.record(Received(self._recorder.now(), self._number, payload))
        return payload

    async def end_input(self) -> None:
        """See `Stream`."""
        await self._stream.end_input()

    def abort(self, error: SonicError) -> None:
        """See `Stream`."""
        self._note_end(error_text(error))
        self._stream.abort(error)

    async def aclose(self) -> None:
        """See `Stream`."""
        try:
            await self._stream.aclose()
        finally:
            self._note_end("")

    def _note_end(self, error: str) -> None:
        if not self._ended:
            self._ended = True
            self._recorder.record(StreamEnded(self._recorder.now(), self._number, error))


class _RecordedSink:
    """A sink that passes everything on, and knows what was played of it."""

    def __init__(self, recorder: Recorder, sink: AudioSink) -> None:
        self.format = sink.format
        self._recorder = recorder
        self._sink = sink
        self._played = PlayedSound(sink.format)

    @property
    def is_playing(self) -> bool:
        """True if it was given sound of which it is not known that it was played."""
        return self._played.queued_bytes > 0

    def take(self, now: float, *, all: bool) -> list[TapeRecord]:
        """Return what was played since the last call; see `PlayedSound.take`."""
        return list(self._played.take(self._sink.played_ms, now, all=all))

    def play(self, turn: int, pcm: bytes) -> None:
        """See `AudioSink`."""
        self._sink.play(turn, pcm)
        self._played.play(turn, pcm)

    def flush(self) -> None:
        """See `AudioSink`."""
        self._sink.flush()
        self._recorder.note_played(all=True)
        self._played.drop()

    def played_ms(self, turn: int) -> int:
        """See `AudioSink`."""
        return self._sink.played_ms(turn)

    @property
    def pending_s(self) -> float:
        """See `AudioSink`."""
        return self._sink.pending_s

    async def aclose(self) -> None:
        """Close the sink, and record what it played at the end. May be called again."""
        await self._sink.aclose()
        self._recorder.note_played(all=True)


def tape_header(config: SessionConfig | None, began_at: datetime) -> TapeHeader:
    """Return the header of a new tape.

    Args:
        config: Configuration of the session; None if it is not known.
        began_at: The time, with its zone.
    """
    fields: dict[str, Any] = {} if config is None else asdict(config)
    return TapeHeader(
        VERSION, "" if config is None else config.model, fields, began_at, _software()
    )


def event_fields(event: Event) -> Mapping[str, Any]:
    """Return the fields of an event as JSON values.

    Args:
        event: The event, which has no sound.
    """
    if isinstance(event, Ended):
        return {"kind": fault_kind(event.error), "error": str(event.error)}
    return event.facts if isinstance(event, PictureShown) else asdict(event)


def error_text(error: SonicError) -> str:
    """Return kind and message of an error, as `kind: message`."""
    return f"{fault_kind(error)}: {error.message}"


@cache
def _software() -> dict[str, str]:
    """Return the versions of what takes part. Looking them up takes 20 ms, once."""
    from importlib import metadata

    versions = {"python": platform.python_version(), "system": platform.system()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
