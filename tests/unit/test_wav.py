"""WAV files as source and sink: every encoding read, every bad file named, all of it in time."""

import asyncio
import gc
import os
import resource
import selectors
import struct
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sonic_voice.audio.ports import AudioSink, AudioSource, NullSink
from sonic_voice.audio.wav import WavSink, WavSource
from sonic_voice.config import AudioFormat
from sonic_voice.errors import AudioError, ConfigError, OrderError

INF = float("inf")
RATE = 16_000
RAMP = np.arange(-1_500, 1_500, dtype=np.int16) * 10
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def fmt(tag: int = 1, channels: int = 1, rate_hz: int = RATE, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame, frame, bits)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav(body: bytes, **form: int) -> bytes:
    return riff(chunk(b"fmt ", fmt(**form)), chunk(b"data", body))


def pcm_of(samples: int, level: int = 1_000) -> bytes:
    return np.full(samples, level, "<i2").tobytes()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write_it(content: bytes) -> Path:
        path = tmp_path / "in.wav"
        path.write_bytes(content)
        return path

    return write_it


async def said(source: AudioSource) -> NDArray[np.int16]:
    """All of the file, and what silence fills its last chunk."""
    out = b""
    while not source.done:
        out += await source.read()
    await source.aclose()
    return np.frombuffer(out, "<i2")


class Clock:
    """A clock that shows what it is set to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class _Jump(selectors.SelectSelector):
    """Waits for nothing: time goes on instead."""

    now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += max(0.0, timeout or 0.0)
        return super().select(0)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes as fast as it is waited for."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now_s


def in_fast_time[T](story: Callable[[], Awaitable[T]]) -> T:
    async def told() -> T:
        return await story()

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(told())


# --- reading


def packed(bits: int, tag: int, samples: NDArray[np.int16]) -> bytes:
    """16-bit samples in another encoding."""
    wide = samples.astype(np.int64)
    match bits, tag:
        case 8, 1:
            return (wide // 256 + 128).astype(np.uint8).tobytes()
        case 24, 1:
            return (wide * 256).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        case 32, 1:
            return (wide * 65_536).astype("<i4").tobytes()
        case 32, 3:
            return (wide / 32_768).astype("<f4").tobytes()
        case _:
            return wide.astype("<i2").tobytes()


ENCODINGS = [(8, 1), (16, 1), (24, 1), (32, 1), (32, 3)]


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(("bits", "tag"), ENCODINGS)
async def test_every_encoding_gives_the_same_samples(
    write: Callable[[bytes], Path], bits: int, tag: int, extensible: bool
) -> None:
    form = fmt(tag=tag, bits=bits)
    if extensible:
        extra = struct.pack("<HHIH", 22, bits, 0, tag) + GUID_TAIL
        form = fmt(tag=0xFFFE, bits=bits) + extra
    path = write(riff(chunk(b"fmt ", form), chunk(b"data", packed(bits, tag, RAMP))))
    heard = await said(WavSource(path, speed=INF))
    wanted = RAMP // 256 * 256 if bits == 8 else RAMP
    assert np.array_equal(heard[: len(RAMP)], wanted)
    assert not heard[len(RAMP) :].any()


@pytest.mark.parametrize("channels", [2, 3, 8])
async def test_channels_are_averaged(write: Callable[[bytes], Path], channels: int) -> None:
    frames = np.zeros((len(RAMP), channels), np.int16)
    frames[:, 0] = RAMP
    frames[:, 1] = 300
    heard = await said(WavSource(write(wav(frames.tobytes(), channels=channels)), speed=INF))
    wanted = (RAMP.astype(int) + 300) / channels
    assert np.abs(heard[: len(RAMP)] - wanted).max() <= 0.5 + 1e-6


async def test_other_rates_are_resampled_and_keep_their_time(
    write: Callable[[bytes], Path],
) -> None:
    sound = np.zeros(44_100, np.int16)
    sound[22_050] = 30_000
    source = WavSource(write(wav(sound.tobytes(), rate_hz=44_100)), speed=INF)
    assert source.duration_s == 1.0
    heard = await said(source)
    assert np.argmax(heard) == 8_000
    assert source.now() == pytest.approx(1.0, abs=0.032)


async def test_foreign_chunks_are_skipped_and_padding_is_honoured(
    write: Callable[[bytes], Path],
) -> None:
    body = RAMP.astype("<i2").tobytes()
    parts = (chunk(b"JUNK", b"abc"), chunk(b"fmt ", fmt()), chunk(b"LIST", b"x" * 33))
    path = write(riff(*parts, chunk(b"data", body), chunk(b"id3 ", b"\x55" * 400)))
    heard = await said(WavSource(path, speed=INF))
    assert np.array_equal(heard[: len(RAMP)], RAMP)
    assert not heard[len(RAMP) :].any()


async def test_floats_that_are_no_numbers_or_too_loud_do_no_harm(
    write: Callable[[bytes], Path],
) -> None:
    body = np.array([np.nan, np.inf, -np.inf, 7.0, 0.5], "<f4").tobytes()
    heard = await said(WavSource(write(wav(body, tag=3, bits=32)), speed=INF))
    assert heard[:5].tolist() == [0, 32_767, -32_768, 32_767, 16_384]


async def test_a_file_cut_short_is_used_as_far_as_it_goes_and_says_so(
    write: Callable[[bytes], Path],
) -> None:
    source = WavSource(write(wav(pcm_of(RATE))[: 44 + RATE + 1]), speed=INF)
    assert "cut short: its header promises 1.00 s, 0.50 s are there" in source.note
    assert source.duration_s == 0.5
    assert np.count_nonzero(await said(source)) == RATE // 2


@pytest.mark.parametrize(("length", "noted"), [(0xFFFFFFFF, False), (0, True)])
async def test_a_header_without_a_length_means_all_that_follows(
    write: Callable[[bytes], Path], length: int, noted: bool
) -> None:
    head = riff(chunk(b"fmt ", fmt()), b"data" + struct.pack("<I", length))
    source = WavSource(write(head + pcm_of(800)), speed=INF)
    assert bool(source.note) is noted
    assert np.count_nonzero(await said(source)) == 800


async def test_a_whole_file_carries_no_note(write: Callable[[bytes], Path]) -> None:
    async with WavSource(write(wav(pcm_of(800)))) as source:
        assert source.note == ""


async def test_a_file_that_shrinks_while_it_is_read_ends_there(
    write: Callable[[bytes], Path],
) -> None:
    path = write(wav(pcm_of(200_000)))
    source = WavSource(path, speed=INF)
    await source.read()
    os.truncate(path, 44 + 2 * 100_000)
    heard = await asyncio.wait_for(said(source), 10)
    assert np.count_nonzero(heard) <= 100_000


async def test_after_the_end_silence_flows_until_the_close(write: Callable[[bytes], Path]) -> None:
    source = WavSource(write(wav(pcm_of(700))), speed=INF)
    first = await source.read()
    assert not source.done
    second = await source.read()
    assert source.done
    assert first + second == pcm_of(700) + bytes(2 * (1_024 - 700))
    assert await source.read() == bytes(1_024)
    assert source.now() == pytest.approx(3 * 0.032)
    await source.aclose()
    await source.aclose()
    assert await source.read() == b""


async def test_done_comes_with_the_last_sample_not_a_chunk_later(
    write: Callable[[bytes], Path],
) -> None:
    source = WavSource(write(wav(pcm_of(1_024))), speed=INF)
    await source.read()
    await source.read()
    assert source.done
    await source.aclose()


async def test_a_lead_of_silence_comes_first(write: Callable[[bytes], Path]) -> None:
    heard = await said(WavSource(write(wav(pcm_of(160))), speed=INF, lead_ms=50, chunk_ms=20))
    assert not heard[:800].any()
    assert np.all(heard[800:960] == 1_000)


@pytest.mark.parametrize(("speed", "chunk_ms", "lead_ms"), [
    (0.0, 32, 0), (-1.0, 32, 0), (float("nan"), 32, 0), (1.0, 0, 0), (1.0, 32, -1),
])  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(
    write: Callable[[bytes], Path], speed: float, chunk_ms: int, lead_ms: int
) -> None:
    with pytest.raises(ConfigError):
        WavSource(write(wav(pcm_of(9))), speed=speed, chunk_ms=chunk_ms, lead_ms=lead_ms)


# --- pacing


def arrivals(path: Path, count: int, *, speed: float, late_s: float = 0.0) -> list[float]:
    """When `count` chunks came, in seconds from the first; `late_s` is lost after the first."""

    async def story() -> list[float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        times: list[float] = []
        async with WavSource(path, speed=speed) as source:
            for _ in range(count):
                await source.read()
                times.append(loop.time() - began)
                await asyncio.sleep(late_s if len(times) == 1 else 0)
        return times

    return in_fast_time(story)


@pytest.mark.parametrize("speed", [0.5, 1, 2, 20, 100])
def test_chunks_come_in_time_at_any_speed_without_drift(
    write: Callable[[bytes], Path], speed: float
) -> None:
    times = arrivals(write(wav(pcm_of(1_000))), 500, speed=speed)
    wanted = [k * 0.032 / speed for k in range(500)]
    assert times == pytest.approx(wanted, abs=1e-6)


def test_a_late_reader_catches_up_at_once_and_is_then_in_time(
    write: Callable[[bytes], Path],
) -> None:
    times = arrivals(write(wav(pcm_of(1_000))), 10, speed=1, late_s=0.150)
    late = [0.150] * 4
    assert times == pytest.approx([0, *late, *(k * 0.032 for k in range(5, 10))], abs=1e-6)


def test_a_reader_that_is_always_late_lets_others_run(write: Callable[[bytes], Path]) -> None:
    async def story() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        async with WavSource(write(wav(pcm_of(1_000))), speed=INF) as source:
            for _ in range(50):
                await source.read()
        task.cancel()
        return turns

    assert in_fast_time(story) >= 49


def test_a_cancelled_read_loses_nothing(write: Callable[[bytes], Path]) -> None:
    body = np.arange(5_000, dtype="<i2").tobytes()

    async def story() -> bytes:
        out = b""
        async with WavSource(write(wav(body))) as source:
            while not source.done:
                try:
                    async with asyncio.timeout(0.007):
                        out += await source.read()
                except TimeoutError:
                    continue
        return out

    assert in_fast_time(story)[: len(body)] == body


def test_a_close_during_a_read_ends_it(write: Callable[[bytes], Path]) -> None:
    async def story() -> bytes:
        source = WavSource(write(wav(pcm_of(1_000))))
        await source.read()
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(0)
        await source.aclose()
        return await reading

    assert in_fast_time(story) == b""


# --- bad files

GOOD = wav(pcm_of(800))
BAD = {
    "empty": (b"", "is empty: 0 bytes"),
    "mp3": (b"ID3\x04" + bytes(100), "looks like MP3. Convert it: ffmpeg -i"),
    "bare mp3": (b"\xff\xfb\x90\x00" + bytes(100), "looks like MP3"),
    "ogg": (b"OggS\0\x02" + bytes(100), "looks like Ogg"),
    "flac": (b"fLaC\0" + bytes(100), "looks like FLAC"),
    "m4a": (b"\0\0\0\x20ftypM4A " + bytes(100), "looks like MP4 or M4A"),
    "avi": (b"RIFF\x10\0\0\0AVI LIST", "looks like AVI"),
    "rifx": (b"RIFX\0\0\0\x10WAVE", "looks like RIFX"),
    "text": ("Grüße, this is no sound.\n".encode() * 40, "looks like text"),
    "noise": (bytes(range(256)), "If it holds bare 16-bit samples: ffmpeg -f s16le"),
    "riff only": (b"RIFF", "has no format. It was cut off"),
    "no format": (riff(chunk(b"data", pcm_of(9))), "has no format"),
    "no data": (riff(chunk(b"fmt ", fmt())), "has no samples"),
    "cut in fmt": (GOOD[:30], "has a format of 10 bytes"),
    "header only": (wav(b""), "has a WAV header and no samples"),
    "header, body cut off": (GOOD[:44], "has a WAV header and no samples"),
    "half a frame": (wav(b"\1"), "has a WAV header and no samples"),
    "ima adpcm": (wav(bytes(80), tag=0x11, bits=4), "a WAV file of IMA ADPCM"),
    "mp3 in wav": (wav(bytes(80), tag=0x55, bits=0), "a WAV file of MP3.*ffmpeg"),
    "unknown codec": (wav(bytes(80), tag=0x1234), "a WAV file of codec 0x1234"),
    "12 bits": (wav(bytes(80), bits=12), "a WAV file of 12-bit integers"),
    "no channels": (wav(bytes(80), channels=0), "0 channels.*cannot be"),
    "no rate": (wav(bytes(80), rate_hz=0), "0 Hz.*cannot be"),
    "absurd rate": (wav(bytes(80), rate_hz=3), "3 Hz cannot be converted to 16000"),
    "endless empty chunks": (riff(*[chunk(b"JUNK", b"")] * 5_000), "has no format"),
    "chunk beyond the end": (riff(b"JUNK\xf0\xff\xff\xff"), "has no format"),
}


@pytest.mark.parametrize(("content", "says"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_named_with_the_reason_and_the_next_step(
    write: Callable[[bytes], Path], content: bytes, says: str
) -> None:
    path = write(content)
    with pytest.raises(AudioError, match=says) as caught:
        WavSource(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    del caught  # and its frames, and with them an unclosed file: a ResourceWarning, hence an error


def test_the_command_that_converts_never_overwrites_its_own_input(
    write: Callable[[bytes], Path],
) -> None:
    with pytest.raises(AudioError, match=r"-i \S+in\.wav .* \S+in-pcm\.wav$"):
        WavSource(write(b"OggS" + bytes(40)))


def test_what_is_no_regular_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"There is no file .*no\.wav"):
        WavSource(tmp_path / "no.wav")
    with pytest.raises(AudioError, match="is a folder"):
        WavSource(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioError, match="is a device or pipe"):
        WavSource(tmp_path / "pipe")
    with pytest.raises(AudioError, match="null byte"):
        WavSource("a\0b")
    with pytest.raises(AudioError, match="too long"):
        WavSource("x" * 5_000)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_hostile_headers_end_in_an_audio_error_or_a_source(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.wav"
    path.write_bytes(GOOD[:at] + noise + GOOD[at + len(noise) :])
    try:
        source = WavSource(path, speed=INF)
    except AudioError:
        return

    async def story() -> None:
        async with source:
            for _ in range(3):
                assert len(await source.read()) == 1_024

    in_fast_time(story)


# --- writing


def written(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_the_file_holds_what_was_heard_when_it_was_heard(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "out.wav"
    clock.now_s = 100.0
    sink = WavSink(path, now=clock)
    clock.now_s += 1.5
    sink.play(1, pcm_of(24_000))
    clock.now_s += 0.5
    assert sink.played_ms(1) == 500
    assert sink.pending_s == pytest.approx(0.5)
    sink.flush()
    clock.now_s += 1.0
    sink.play(2, pcm_of(2_400, level=-2_000))
    clock.now_s += 0.05
    await sink.aclose()

    heard = written(path)
    assert len(heard) == 3.1 * 24_000
    assert not heard[:36_000].any()
    assert np.all(heard[36_000:48_000] == 1_000)
    fade = heard[48_000:48_120].astype(int)
    assert np.all(np.diff(fade) <= 0)
    assert 990 < fade[0] <= 1_000
    assert not heard[48_119:72_000].any()
    assert np.all(heard[72_000:] == -2_000)
    assert (sink.played_ms(1), sink.played_ms(2)) == (505, 100)
    assert sink.stats.flushed_s == pytest.approx(0.495)


async def test_without_draining_what_waits_fades_out(tmp_path: Path) -> None:
    clock = Clock()
    sink = WavSink(tmp_path / "out.wav", now=clock)
    sink.play(1, pcm_of(24_000))
    clock.now_s = 0.1
    await sink.aclose(drain=False)
    heard = written(tmp_path / "out.wav")
    assert len(heard) == 2_400 + 120
    assert heard[-1] == 0


async def test_an_error_in_the_block_writes_what_was_heard_and_no_more(tmp_path: Path) -> None:
    clock = Clock()

    async def fail() -> None:
        async with WavSink(tmp_path / "out.wav", now=clock) as sink:
            sink.play(1, pcm_of(24_000))
            clock.now_s = 0.1
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert len(written(tmp_path / "out.wav")) == 2_400 + 120


async def test_the_name_appears_only_at_the_close_and_replaces_what_was_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"the old one")
    sink = WavSink(path, now=Clock())
    sink.play(1, pcm_of(100))
    assert path.read_bytes() == b"the old one"
    await sink.aclose()
    await sink.aclose()
    assert len(written(path)) == 100
    assert names(tmp_path) == ["out.wav"]


def test_a_sink_dropped_without_a_close_leaves_nothing_behind(tmp_path: Path) -> None:
    gc.disable()  # the last reference must be enough
    try:
        sink = WavSink(tmp_path / "out.wav", now=Clock())
        sink.play(1, pcm_of(100))
        assert len(names(tmp_path)) == 1
        del sink
        assert names(tmp_path) == []
    finally:
        gc.enable()


async def test_sound_after_the_close_is_refused_and_the_rest_still_answers(tmp_path: Path) -> None:
    clock = Clock()
    sink = WavSink(tmp_path / "out.wav", now=clock)
    sink.play(1, pcm_of(240))
    await sink.aclose()
    clock.now_s = 9.0
    with pytest.raises(OrderError):
        sink.play(1, pcm_of(1))
    sink.flush()
    assert (sink.played_ms(1), sink.pending_s) == (10, 0)


def test_what_cannot_be_written_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"There is no folder .*no/where\. mkdir -p"):
        WavSink(tmp_path / "no" / "where" / "out.wav", now=Clock())
    with pytest.raises(AudioError, match="is a folder"):
        WavSink(tmp_path, now=Clock())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioError, match="is a device or pipe"):
        WavSink(tmp_path / "pipe", now=Clock())
    with pytest.raises(AudioError, match="null byte"):
        WavSink("a\0b", now=Clock())
    assert names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("limit_bytes", [44, 60_044, 60_045])
async def test_a_full_disk_is_reported_once_and_what_was_written_is_kept(
    tmp_path: Path, limit_bytes: int
) -> None:
    clock = Clock()
    sink = WavSink(tmp_path / "out.wav", now=clock)
    sink.play(1, pcm_of(48_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        clock.now_s = 10.0
        with pytest.raises(
            AudioError, match=r"Writing .*out\.wav failed: File too large"
        ) as caught:
            sink.play(1, pcm_of(100))
        sink.play(1, pcm_of(100))
        await sink.aclose()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = (limit_bytes - 44) // 2
    assert f"The first {kept / 24_000:.1f} s are kept." in caught.value.message
    assert names(tmp_path) == ["out.wav"]
    with wave.open(str(tmp_path / "out.wav")) as written:
        assert written.getnframes() == kept


async def test_a_discarded_recording_leaves_nothing(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "out.wav", now=Clock())
    sink.discard()
    await sink.aclose()
    assert names(tmp_path) == []


async def test_a_folder_that_goes_meanwhile_is_an_audio_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sink = WavSink(folder / "out.wav", now=Clock())
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(AudioError, match=r"Writing .*out\.wav failed"):
        await sink.aclose()
    await sink.aclose()


async def test_a_link_is_written_through(tmp_path: Path) -> None:
    real, link = tmp_path / "real.wav", tmp_path / "link.wav"
    link.symlink_to(real)
    await WavSink(link, now=Clock()).aclose()
    assert link.is_symlink()
    assert real.is_file()


async def test_a_silent_listener_keeps_the_same_time() -> None:
    clock = Clock()
    sink: AudioSink = NullSink(AudioFormat(RATE), now=clock)
    sink.play(1, pcm_of(RATE))
    clock.now_s = 0.25
    assert sink.played_ms(1) == 250
    sink.flush()
    assert sink.pending_s == pytest.approx(0.005)
    await sink.aclose()
    assert sink.played_ms(1) == 255


async def test_what_a_sink_wrote_a_source_reads(tmp_path: Path) -> None:
    body = RAMP.astype("<i2").tobytes()
    sink = WavSink(tmp_path / "a.wav", AudioFormat(RATE), now=Clock())
    sink.play(1, body)
    await sink.aclose()
    heard = await said(WavSource(tmp_path / "a.wav", speed=INF))
    assert np.array_equal(heard[: len(RAMP)], RAMP)
