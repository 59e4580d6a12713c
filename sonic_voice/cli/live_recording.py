"""The recording of a live conversation (`talk --output`): both sides, in stereo.

    source ─► what is sent to the service ─┐
                                           ├─► batches of a second ─► [queue] ─► thread: mix, file
    speaker ─► what the device has played ─┘

The left channel is the user as the service hears them: without echo, silent while muted. The right
channel is what the loudspeaker played: what an interruption cut off is not in it. Both are dated by
the devices' clocks.

The queue holds `QUEUE_BATCHES`. When the disk is that far behind, further batches are dropped, and
their time is silent in the recording. A disk that fails ends the recording; the conversation goes
on.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..audio.dated_track import DatedSound
from ..audio.ports import AudioSource
from ..audio.sound_file import create
from ..audio.stereo_mix import CHANNELS, StereoMix
from ..background_writer import BackgroundWriter
from ..config import SessionConfig
from ..echo import ReferenceBlock, TappedSink
from ..errors import SonicError
from .ending import Ending
from .signals import ending_signals

BATCH_S = 1.0
"""Length of the sound that is passed to the thread at a time, in seconds. It is what `kill -9` can
lose, besides the lag of one side behind the other."""

QUEUE_BATCHES = 30
"""Maximum number of batches that wait for the disk: half a minute, 4 MB."""

CLOSING_S = 5.0
"""Maximum time to wait for the disk at the end of the conversation, in seconds."""

FORCED_CLOSING_S = 0.2
"""Maximum time to wait for the disk when a second signal ends the process, in seconds."""


class _Batch(NamedTuple):
    """Sound of both sides of about the same time."""

    sent: list[DatedSound]
    heard: list[DatedSound]


class LiveRecording:
    """A recording that is being made. It belongs to the event loop.

    Args:
        path: The file, which is created: FLAC if its name ends in `.flac`, else WAV.
        config: Configuration of the session.
        notice: Called with a sentence when the disk fails or is too slow, from any thread.

    Raises:
        AudioError: The file exists, or cannot be written.
    """

    def __init__(self, path: Path, config: SessionConfig, notice: Callable[[str], None]) -> None:
        self.path = path
        self._input_hz = config.input.rate_hz
        self._rate_hz = max(config.input.rate_hz, config.output.rate_hz)
        self._file = create(path, self._rate_hz, CHANNELS)
        self._notice = notice
        self._speaker: TappedSink | None = None
        self._mix: StereoMix | None = None
        self._writer: BackgroundWriter[_Batch] | None = None
        self._batch = _Batch([], [])
        self._batched_s = 0.0
        self._dropped = False
        self._closed = False
        self._broken = False
        """True once writing has failed: what comes later would lie at a wrong time."""

    def source(self, source: AudioSource, began_s: Callable[[], float]) -> AudioSource:
        """Return a source that delivers another one's audio and records it as the user's side.

        Args:
            source: What is sent to the service.
            began_s: Returns the time at which the chunk that was read last was at the microphone,
                in seconds of `time.monotonic()`.
        """
        return _RecordedSource(source, began_s, self._sent)

    def speaker(self, speaker: TappedSink) -> TappedSink:
        """Return a loudspeaker that is another one, and records what is drained from it.

        Args:
            speaker: The loudspeaker. What it played must be drained regularly, as echo
                cancellation does.
        """
        self._speaker = _RecordedSpeaker(speaker, self._heard)
        return self._speaker

    def begin(self, now: float) -> None:
        """Begin the recording. Sound from before is not in it.

        Args:
            now: Time of its first sample, in seconds of `time.monotonic()`.
        """
        mix = self._mix = StereoMix(self._rate_hz, now)
        self._writer = BackgroundWriter(
            lambda batch: self._file.write(mix.add(batch.sent, batch.heard)),
            self._finish,
            name="sonic recording",
            limit=QUEUE_BATCHES,
            on_failure=self._failed,
        )

    async def aclose(self) -> None:
        """Write the rest and complete the file. May be called again."""
        if self._writer is not None:
            self._flush()
            if not await self._writer.aclose(CLOSING_S):
                self._notice(
                    f"The disk did not take the rest of {self.path} within {CLOSING_S:g} s."
                )

    def close(self) -> None:
        """Do as `aclose` in a short time, because a second signal ends the process."""
        if self._writer is not None:
            self._flush()
            self._writer.close(FORCED_CLOSING_S)

    def discard(self) -> None:
        """Remove the file, because no conversation began."""
        if self._writer is None:
            self._file.close()
        else:
            self._writer.close(FORCED_CLOSING_S)
        self.path.unlink(missing_ok=True)

    def _sent(self, pcm: bytes, at_s: float) -> None:
        self._batch.sent.append(sent := DatedSound(pcm, self._input_hz, at_s))
        self._batched_s += sent.length_s
        if self._batched_s >= BATCH_S:
            self._offer()

    def _heard(self, blocks: Sequence[ReferenceBlock]) -> None:
        self._batch.heard.extend(
            DatedSound(block.pcm, block.rate_hz, block.at_s) for block in blocks
        )

    def _flush(self) -> None:
        """Pass on what was collected, for the last time."""
        if self._closed:
            return
        self._closed = True
        if self._speaker is not None:
            self._speaker.drain_played()
        self._offer()

    def _offer(self) -> None:
        batch, self._batch, self._batched_s = self._batch, _Batch([], []), 0.0
        if self._writer is None or self._writer.offer(batch) or self._dropped:
            return
        self._dropped = True
        self._notice(f"The disk is too slow for {self.path}: parts of the recording are missing.")

    def _finish(self) -> None:
        """Write the rest of the mix; called in the writer's thread."""
        try:
            if self._mix is not None and not self._broken:
                self._file.write(self._mix.finish())
        finally:
            self._file.close()

    def _failed(self, error: OSError | SonicError) -> None:
        self._broken = True
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._notice(
            f"Writing {self.path} failed: {why}. The recording ends here; the conversation goes on."
        )


@contextmanager
def live_recording(
    path: Path | None, config: SessionConfig, end: Ending
) -> Generator[LiveRecording | None]:
    """Create the recording of the conversation of this block, and remove it if none begins.

    Args:
        path: The file; None for no recording.
        config: Configuration of the session.
        end: Outputs of the conversation.

    Yields:
        The recording, which the conversation begins and closes; None without a file.

    Raises:
        AudioError: The file exists, or cannot be written.
    """
    if path is None:
        yield None
        return
    with ending_signals.deferred():
        recording = LiveRecording(path, config, lambda text: end.notice(text))

    def save() -> None:
        if end.now is None:
            recording.discard()
        else:
            recording.close()

    with ending_signals.on_forced_exit(save):
        try:
            yield recording
        finally:
            if end.now is None:
                recording.discard()


class _RecordedSource:
    """A source that passes on each chunk, and its date, after it was read."""

    def __init__(
        self,
        source: AudioSource,
        began_s: Callable[[], float],
        record: Callable[[bytes, float], None],
    ) -> None:
        self.format = source.format
        self._source = source
        self._began_s = began_s
        self._record = record

    @property
    def done(self) -> bool:
        """See `AudioSource`."""
        return self._source.done

    def now(self) -> float:
        """See `AudioSource`."""
        return self._source.now()

    async def read(self) -> bytes:
        """See `AudioSource`."""
        pcm = await self._source.read()
        if pcm:
            self._record(pcm, self._began_s())
        return pcm

    async def aclose(self) -> None:
        """Close the source. May be called again."""
        await self._source.aclose()


class _RecordedSpeaker:
    """A loudspeaker that passes on the blocks that are drained from it."""

    def __init__(
        self, speaker: TappedSink, record: Callable[[Sequence[ReferenceBlock]], None]
    ) -> None:
        self._speaker = speaker
        self._record = record
        self.duck = speaker.duck
        self.release = speaker.release

    @property
    def pending_s(self) -> float:
        """See `TappedSink`."""
        return self._speaker.pending_s

    def drain_played(self) -> Sequence[ReferenceBlock]:
        """See `TappedSink`."""
        blocks = self._speaker.drain_played()
        self._record(blocks)
        return blocks
