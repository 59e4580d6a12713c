"""Recordings that are not plain WAV: decoded by libsndfile, or called what they are."""

import importlib.util
import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sonic_voice.audio import decoding
from sonic_voice.audio.file_errors import kind_of
from sonic_voice.audio.wav import WavSource
from sonic_voice.errors import AudioError

INF = float("inf")
RATE = 16_000
ODD = Path(__file__).parents[1] / "sounds" / "odd"
TONE = (0.5 * np.sin(np.arange(2 * RATE) * 2 * np.pi * 440 / RATE)).astype(np.float32)
"""Two seconds of 440 Hz at half of full scale."""


async def heard(source: WavSource) -> NDArray[np.int16]:
    """Return all samples of `source`, and the silence that fills its last chunk."""
    out = b""
    async with source:
        while not source.done:
            out += await source.read()
    return np.frombuffer(out, "<i2")


def encoded(format: str, subtype: str, samples: NDArray[np.float32] = TONE) -> bytes:
    """Return `samples` as a file of that format."""
    file = io.BytesIO()
    write: Any = soundfile.write
    write(file, samples, RATE, format=format, subtype=subtype)
    return file.getvalue()


def without_total(flac: bytes) -> bytes:
    """Return a FLAC file whose header has no total, as one that is written into a pipe."""
    out = bytearray(flac)
    out[21] &= 0xF0  # the total is the last 36 bits before the checksum, at byte 26
    out[22:26] = bytes(4)
    return bytes(out)


def riff(fmt: bytes, data: bytes, *, data_bytes: int | None = None, riff_bytes: int = 0) -> bytes:
    claimed = len(data) if data_bytes is None else data_bytes
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", claimed)
    return b"RIFF" + struct.pack("<I", riff_bytes or len(body) + len(data)) + body + data


PLAIN = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


# --- the odd files that users of other clients reported


async def test_a_missing_pad_byte_is_noticed() -> None:
    source = WavSource(ODD / "list-odd-unpadded.wav", speed=INF)
    samples = await heard(source)
    assert samples[:4].tolist() == [0, 2_816, 5_549, 8_117]


async def test_placeholder_lengths_mean_all_that_follows() -> None:
    source = WavSource(ODD / "data-0-riff-ffffffff.wav", speed=INF)
    assert source.note == ""
    assert source.duration_s == (6_000 - 44) / 2 / RATE
    assert np.count_nonzero(await heard(source)) > 2_900


async def test_64_bit_floats_are_read_and_their_cut_is_told() -> None:
    source = WavSource(ODD / "float64.wav", speed=INF)
    assert "its header promises 1.00 s, 0.05 s are there" in source.note
    samples = await heard(source)
    assert source.duration_s == 744 / RATE
    assert np.abs(samples).max() == 16_384


async def test_mu_law_is_read_and_resampled() -> None:
    source = WavSource(ODD / "mulaw-8k.wav", speed=INF)
    assert "its header promises 1.00 s, 0.74 s are there" in source.note
    samples = await heard(source)
    assert source.duration_s == 5_942 / 8_000
    steady = samples[1_000:8_000]  # without the edges, where the resampler overshoots
    assert np.abs(steady).max() == pytest.approx(0.51 * 32_768, rel=0.03)


def test_an_mp3_that_cannot_be_decoded_is_called_one_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(AudioError, match="looks like MP3") as caught:
        WavSource(ODD / "mp3-mpeg2.5.wav")
    assert "s16le -ar" not in (caught.value.hint or "")
    assert capfd.readouterr().err == ""


# --- every format


@pytest.mark.parametrize(
    ("format", "subtype", "tolerance"),
    [
        ("FLAC", "PCM_16", 1),
        ("FLAC", "PCM_24", 1),
        ("OGG", "VORBIS", 1_500),
        ("OGG", "OPUS", 1_500),
        ("MP3", "MPEG_LAYER_III", 1_500),
        ("AIFF", "PCM_16", 1),
        ("AIFF", "PCM_24", 1),
        ("CAF", "PCM_16", 1),
        ("AU", "PCM_16", 1),
        ("W64", "PCM_16", 1),
        ("RF64", "PCM_16", 1),
        ("WAV", "DOUBLE", 1),
        ("WAVEX", "DOUBLE", 1),
        ("WAV", "ULAW", 600),
        ("WAV", "ALAW", 600),
        ("WAV", "IMA_ADPCM", 2_000),
        ("WAV", "MS_ADPCM", 2_000),
    ],
)
async def test_every_format_gives_the_sound_in_time(
    tmp_path: Path, format: str, subtype: str, tolerance: int
) -> None:
    path = tmp_path / "sound.raw"  # the name says nothing about the content
    path.write_bytes(encoded(format, subtype))
    source = WavSource(path, speed=INF)
    assert source.note == ""
    samples = (await heard(source)).astype(int)
    wanted = np.rint(TONE * 32_768)
    middle = slice(RATE // 2, RATE)  # away from the edges, which lossy codecs smear
    assert np.abs(samples[middle] - wanted[middle]).max() <= tolerance
    assert source.duration_s == pytest.approx(2.0, abs=0.15)


async def test_channels_are_averaged() -> None:
    both = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    samples = await heard(WavSource(io.BytesIO(encoded("FLAC", "PCM_16", both)), speed=INF))
    assert np.abs(samples[: len(TONE)] - np.rint(TONE * 16_384)).max() <= 1


# --- files that end early, or do not say where


async def test_a_flac_without_a_total_is_read_to_its_last_sample() -> None:
    source = WavSource(io.BytesIO(without_total(encoded("FLAC", "PCM_16"))), speed=INF)
    assert source.note == ""
    assert source.duration_s == 2.0
    samples = await heard(source)
    assert np.abs(samples[: 2 * RATE] - np.rint(TONE * 32_768)).max() <= 1


async def test_a_flac_cut_short_is_used_as_far_as_it_goes_and_says_so() -> None:
    flac = encoded("FLAC", "PCM_16")
    source = WavSource(io.BytesIO(flac[: len(flac) * 2 // 3]), speed=INF)
    assert 1.0 < source.duration_s < 1.5
    assert f"promises 2.00 s, {source.duration_s:.2f} s are there" in source.note
    frames = round(source.duration_s * RATE)
    samples = await heard(source)
    assert np.abs(samples[:frames] - np.rint(TONE[:frames] * 32_768)).max() <= 1


async def test_a_flac_cut_short_without_a_total_is_used_as_far_as_it_goes() -> None:
    flac = without_total(encoded("FLAC", "PCM_16"))
    source = WavSource(io.BytesIO(flac[: len(flac) * 2 // 3]), speed=INF)
    assert source.note == ""
    assert 1.0 < source.duration_s < 1.5


async def test_an_mp3_cut_short_is_used_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    mp3 = encoded("MP3", "MPEG_LAYER_III")
    source = WavSource(io.BytesIO(mp3[: len(mp3) * 2 // 3] + bytes(500)), speed=INF)
    assert 1.0 < source.duration_s < 1.7
    assert f"promises 2.00 s, {source.duration_s:.2f} s are there" in source.note
    samples = await heard(source)
    assert len(samples) >= source.duration_s * RATE
    assert np.abs(samples[8_000:16_000] - np.rint(TONE[8_000:16_000] * 32_768)).max() < 1_500
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "length", [0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFD3, 0xFFFF_FFFF]
)
async def test_every_placeholder_length_is_known(length: int) -> None:
    sound = np.full(800, 1_000, "<i2").tobytes()
    for content in (
        riff(PLAIN, sound, data_bytes=length, riff_bytes=0xFFFF_FFFF),
        riff(PLAIN, sound, data_bytes=0, riff_bytes=length),
    ):
        source = WavSource(io.BytesIO(content), speed=INF)
        assert source.note == ""
        assert np.count_nonzero(await heard(source)) == 800


def test_an_empty_data_chunk_before_another_chunk_has_no_samples() -> None:
    content = riff(PLAIN, b"LIST\4\0\0\0INFO", data_bytes=0)
    with pytest.raises(AudioError, match="has a WAV header and no samples"):
        WavSource(io.BytesIO(content))


async def test_a_pad_byte_that_is_not_zero_is_still_one() -> None:
    head = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + PLAIN + b"LIST\3\0\0\0abcX"
    content = head + b"data" + struct.pack("<I", 1_600) + np.full(800, 9, "<i2").tobytes()
    assert np.count_nonzero(await heard(WavSource(io.BytesIO(content), speed=INF))) == 800


@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
async def test_a_file_for_more_than_4_gb_has_its_length_elsewhere(name: bytes) -> None:
    sound = np.full(800, 1_000, "<i2").tobytes()
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, 0, len(sound), 800, 0)
    fmt = struct.pack("<4sI", b"fmt ", len(PLAIN)) + PLAIN
    head = name + b"\xff\xff\xff\xffWAVE" + ds64 + fmt + b"data\xff\xff\xff\xff"
    source = WavSource(io.BytesIO(head + sound + b"axml\4\0\0\0zzzz"), speed=INF)
    assert (source.note, source.duration_s) == ("", 0.05)
    assert np.count_nonzero(await heard(source)) == 800
    cut = WavSource(io.BytesIO(head + sound[:800]), speed=INF)
    assert "its header promises 0.05 s, 0.03 s are there" in cut.note


# --- damaged headers that libsndfile reads


@pytest.mark.parametrize(
    "fmt",
    [
        struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 0, 16),
        struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 4, 16),
        struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 12),
    ],
    ids=["block align 0", "block align wrong", "12 in 16 bits"],
)
async def test_a_header_with_a_wrong_block_align_is_read(fmt: bytes) -> None:
    sound = np.full(800, 1_600, "<i2").tobytes()
    samples = await heard(WavSource(io.BytesIO(riff(fmt, sound)), speed=INF))
    assert samples[:800].tolist() == [1_600] * 800


async def test_a_tag_before_the_header_is_skipped() -> None:
    tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
    sound = np.full(800, 1_000, "<i2").tobytes()
    source = WavSource(io.BytesIO(tag + riff(PLAIN, sound)), speed=INF)
    # libsndfile ends as many bytes early as the tag has: 20 bytes are 10 samples.
    assert np.count_nonzero(await heard(source)) == 790


# --- pipes


@pytest.mark.parametrize(
    ("format", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("OGG", "VORBIS")],
)
async def test_a_pipe_is_read_like_a_file(format: str, subtype: str) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as into:
            into.write(encoded(format, subtype))

    writer = Thread(target=write)  # a pipe holds only 64 KiB
    writer.start()
    with os.fdopen(reading, "rb") as pipe:
        source = WavSource(pipe, speed=INF)
        assert not pipe.closed
    writer.join()
    assert source.path.name == "the input"
    assert source.duration_s == pytest.approx(2.0, abs=0.1)
    assert len(await heard(source)) >= 2 * RATE - RATE // 10


def test_a_pipe_that_holds_no_sound_is_named_without_a_file() -> None:
    with pytest.raises(AudioError, match=r"^the input is empty: 0 bytes"):
        WavSource(io.BytesIO())
    with pytest.raises(AudioError, match=r"the input .* MP4 or M4A.*ffmpeg -i - .* -f wav -$"):
        WavSource(io.BytesIO(b"\0\0\0\x20ftypM4A " + bytes(100)))


def test_a_pipe_without_end_is_refused_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_STREAM_BYTES", 1 << 10)
    with pytest.raises(AudioError, match="larger than"):
        WavSource(io.BytesIO(bytes(2_000)))


# --- kinds


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xfb\x90\x00", "MP3"),
        (b"\xff\xe3\x18\xc4", "MP3"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"\xff\xf9\x50\x80", "AAC"),
        (b"ADIF", "AAC"),
        (b"BW64\xff\xff\xff\xffWAVE", "BW64, a WAV for more than 4 GB"),
        (b"\xff\xff\xff\xff", None),
        (b"\xff\xfb\xff\xff", None),
        (b"\xff\xff\x10\x00", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_file_is_known_by_its_first_bytes(head: bytes, kind: str | None) -> None:
    assert kind_of(head) == kind


@pytest.mark.parametrize("head", [b"\xff\xf1\x50\x80", b"\xff\xe3\x18\xc4"])
def test_an_mp3_or_aac_is_not_recommended_as_raw_samples(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "in.wav"
    path.write_bytes(head + bytes(300))
    with pytest.raises(AudioError, match="looks like") as caught:
        WavSource(path)
    assert "s16le -ar" not in (caught.value.hint or "")


# --- failures


class _FailingDisk(io.BytesIO):
    """A file whose disk fails after its first kilobytes."""

    failing = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.failing:
            raise OSError(5, "Input/output error")
        return super().read(size)


async def test_a_disk_that_fails_while_decoding_is_an_audio_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = _FailingDisk(encoded("AIFF", "PCM_16"))

    def opened(stream: BinaryIO) -> BinaryIO:
        return disk

    monkeypatch.setattr(decoding, "_read_stream", opened)
    async with WavSource(io.BytesIO(), speed=INF) as source:
        disk.failing = True
        with pytest.raises(AudioError, match="Reading the input failed: Input/output error"):
            for _ in range(70):
                await source.read()


def test_without_libsndfile_the_file_is_still_called_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(AudioError, match=r"looks like FLAC\. Convert it: ffmpeg"):
        WavSource(io.BytesIO(encoded("FLAC", "PCM_16")))


def test_a_plain_wav_does_not_load_libsndfile(tmp_path: Path) -> None:
    path = tmp_path / "plain.wav"
    path.write_bytes(riff(PLAIN, bytes(1_000)))
    program = (
        "import sys; from sonic_voice import WavSource; WavSource(sys.argv[1]); "
        "sys.exit('soundfile' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(path)], check=False)
    assert done.returncode == 0
    assert importlib.util.find_spec("soundfile") is not None
