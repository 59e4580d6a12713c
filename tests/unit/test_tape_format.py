"""What is written to a tape is read from it, and of a damaged tape everything but the damage."""

import json
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.errors import TapeError
from sonic_voice.recording import (
    Damage,
    Played,
    Received,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    TapeLimits,
    TapeRecord,
    decode_tape,
    read_tape,
)
from sonic_voice.recording.bodies import Piece, SoundBlock, encode_block, encode_template
from sonic_voice.recording.framing import (
    HEAD_BYTES,
    MAGIC,
    SYNC,
    Frame,
    Kind,
    encode_frame,
    first_frame_from,
    scan,
)
from sonic_voice.recording.payload_parts import Envelope, split_payload
from sonic_voice.recording.sound_codec import BadBlock, Codec, decode_sound, encode_sound

from ..support.tapes import (
    HEADER,
    RECORDS,
    conversation,
    received_sound,
    rounded,
    sent_sound,
    sound,
    tape_bytes,
    written,
)

FORMAT = Path(__file__).parents[2] / "sonic_voice" / "recording" / "FORMAT.md"


@given(RECORDS)
def test_records_are_read_as_they_were_written(records: list[TapeRecord]) -> None:
    tape = decode_tape(tape_bytes(records))
    assert tape.damage == ()
    assert tape.missing == 0
    assert tape.header == HEADER
    assert list(tape.records) == [rounded(record) for record in records]


def test_a_conversation_is_read_byte_for_byte_from_a_private_file(tmp_path: Path) -> None:
    records = conversation()
    path = written(tmp_path / "talk.tape", records)
    assert path.stat().st_mode & 0o777 == 0o600
    tape = read_tape(path)
    assert list(tape.records) == [rounded(record) for record in records]
    assert tape.duration_s == pytest.approx(2.1, abs=0.1)


def test_sound_that_was_received_and_played_is_stored_once() -> None:
    records = conversation()
    sounds = [r for r in records if isinstance(r, (Sent, Received))]
    raw_bytes = sum(len(parts[1]) for r in sounds if (parts := split_payload(r.payload)))
    played = sum(len(record.pcm) for record in records if isinstance(record, Played))
    assert played > 80_000
    # Noise cannot be compressed: what is more than its size is framing.
    assert len(tape_bytes(records)) < raw_bytes * 1.05 + 4_000


def test_played_sound_that_was_not_received_is_kept_as_it_is() -> None:
    played = Played(1.0, 3, sound(7, 500))
    assert list(decode_tape(tape_bytes([played])).records) == [played]


@given(st.data())
def test_a_file_that_is_cut_anywhere_keeps_all_before_the_cut(data: st.DataObject) -> None:
    records = [rounded(record) for record in conversation(0.5)]
    whole = tape_bytes(records)
    cut = data.draw(st.integers(len(MAGIC), len(whole) - 1))
    tape = decode_tape(whole[:cut])
    kept = list(tape.records)
    assert all(record in records for record in kept)
    frames = [part for part in scan(whole) if isinstance(part, Frame)]
    complete = [frame for frame in frames if frame.offset + frame.length <= cut]
    ends = [complete[-1].offset + complete[-1].length if complete else len(MAGIC)]
    expected = () if cut == ends[0] else (Damage(ends[0], cut - ends[0], tape.damage[0].reason),)
    assert [part for part in tape.damage if "played" not in part.reason] == list(expected)


@given(st.data())
def test_flipped_bytes_cost_what_they_are_in(data: st.DataObject) -> None:
    records = [rounded(record) for record in conversation(0.5)]
    whole = bytearray(tape_bytes(records))
    begin = next(part.length for part in scan(bytes(whole)) if isinstance(part, Frame))
    places = data.draw(
        st.sets(st.integers(len(MAGIC) + begin, len(whole) - 1), min_size=1, max_size=4)
    )
    for place in places:
        whole[place] ^= data.draw(st.integers(1, 255))
    tape = decode_tape(bytes(whole))
    named = [part for part in tape.damage if "no record" in part.reason or "cut off" in part.reason]
    assert all(
        any(part.offset <= place < part.offset + part.length for part in named) for place in places
    )
    others = [record for record in tape.records if not isinstance(record, Played)]
    assert all(record in records for record in others)
    assert len(tape.records) >= len(records) - 45 * len(places)


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused_or_read_and_never_crash(data: bytes) -> None:
    for content in (data, MAGIC + data, tape_bytes(conversation(0.1)) + data):
        try:
            tape = decode_tape(content)
        except TapeError:
            continue
        assert tape.duration_s >= 0


@given(st.sampled_from(list(Kind)), st.binary(max_size=120), st.integers(0, 2**64 - 1))
def test_any_body_under_a_right_checksum_is_read_or_named(
    kind: Kind, body: bytes, time_us: int
) -> None:
    data = MAGIC + encode_frame(Frame(kind, 1, 0, time_us, body))
    tape = decode_tape(data)
    assert len(tape.records) + len(tape.damage) <= 2
    assert all(part.reason for part in tape.damage)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"RIFF\x24\0\0\0WAVEfmt ", "no tape"), (b"\0" * 5000, "no tape")],
)
def test_another_file_is_no_tape(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(TapeError, match=why):
        read_tape(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="does not exist"):
        read_tape(tmp_path / "none.tape")
    with pytest.raises(TapeError, match="is no file"):
        read_tape(tmp_path)


def test_a_damaged_header_and_a_damaged_beginning_cost_no_record() -> None:
    records = [rounded(record) for record in conversation(0.3)]
    whole = bytearray(tape_bytes(records))
    whole[3] ^= 1
    whole[60] ^= 1
    tape = decode_tape(bytes(whole))
    assert list(tape.records) == records
    assert tape.header.model == ""
    assert tape.damage[0].offset == 0


def test_records_of_a_newer_version_are_skipped_and_named() -> None:
    records = [rounded(record) for record in conversation(0.3)]
    whole = tape_bytes(records)
    strange = encode_frame(Frame(77, 0, 10_000, 9_000_000, b"of tomorrow"))
    tape = decode_tape(whole + strange)
    assert list(tape.records) == records
    [damage] = tape.damage
    assert (damage.offset, damage.length) == (len(whole), len(strange))
    assert "77" in damage.reason


def test_an_envelope_that_is_damaged_is_taken_from_a_later_copy() -> None:
    records: list[TapeRecord] = [
        Sent(step * 0.1, 1, sent_sound(sound(step, 50))) for step in range(200)
    ]
    whole = tape_bytes(records)
    copies = [p for p in scan(whole) if isinstance(p, Frame) and p.kind == Kind.TEMPLATE]
    assert len(copies) > 2
    first = copies[0]
    tape = decode_tape(whole[: first.offset] + whole[first.offset + first.length :])
    assert list(tape.records) == [rounded(record) for record in records]


@given(RECORDS, st.floats(0, 3700))
def test_a_moment_is_found_from_any_byte(records: list[TapeRecord], t_s: float) -> None:
    whole, wanted = tape_bytes(records), round(t_s * 1e6)
    frames = [part for part in scan(whole) if isinstance(part, Frame)]
    expected = next((f.offset for f in frames if f.time_us >= wanted), len(whole))
    assert first_frame_from(whole, wanted) == expected
    # All that happened from then on lies behind that place.
    rest = decode_tape(MAGIC + whole[expected:]) if expected < len(whole) else None
    later = [r for r in records if round(r.t_s * 1e6) >= wanted and not isinstance(r, Played)]
    sounds = (Sent, Received)
    found = [] if rest is None else list(rest.records)
    assert all(rounded(r) in found for r in later if not isinstance(r, sounds))


# -- limits ----------------------------------------------------------------------------------------


def bomb(codec: Codec, stored: bytes, sizes: list[int]) -> bytes:
    pieces = [Piece(order, 0, 1, size, 1) for order, size in enumerate(sizes)]
    block = encode_block(SoundBlock(codec, 16_000, 0, pieces, stored))
    template = encode_template(1, Envelope(b"x" * 60_000, b""))
    return (
        MAGIC
        + encode_frame(Frame(Kind.TEMPLATE, 0, 0, 0, template))
        + encode_frame(Frame(Kind.SENT_SOUND, 1, 0, 0, block))
    )


def test_a_tape_that_expands_without_bound_is_refused() -> None:
    limits = TapeLimits(content_bytes=50_000_000)
    data = bomb(Codec.SILENCE, b"", [2] * 60_000)  # 1.2 MB that would become 3.6 GB
    with pytest.raises(TapeError, match="expands"):
        decode_tape(data, limits)


def test_a_block_of_which_the_head_lies_is_named() -> None:
    flac = encode_sound(bytes(range(200)) * 10, 16_000)[1]
    for data in (
        bomb(Codec.SILENCE, b"", [2**31]),
        bomb(Codec.FLAC, flac, [10]),
        bomb(Codec.FLAC, flac[:50], [2000]),
        bomb(Codec.RAW, b"ab", [4]),
    ):
        [damage] = decode_tape(data, TapeLimits(content_bytes=2**33)).damage
        assert "sound" in damage.reason or "FLAC" in damage.reason


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "talk.tape", conversation(0.3))
    with pytest.raises(TapeError, match="larger than 1000 bytes"):
        read_tape(path, TapeLimits(file_bytes=1000))


def test_a_file_that_was_made_to_be_slow_is_given_up() -> None:
    head = SYNC + bytes([4, 0, 1, 0]) + struct.pack("<I", 1_000_000) + bytes(16)
    data = MAGIC + head * 60_000 + bytes(2_000_000)
    with pytest.raises(TapeError, match=r"too much is damaged|no tape"):
        tape = decode_tape(data)
        raise TapeError(tape.damage[-1].reason)


# -- sound -----------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.binary(max_size=3000), st.sampled_from([8_000, 16_000, 24_000, 48_000, 12_345, 5]))
def test_sound_is_restored_exactly(data: bytes, rate_hz: int) -> None:
    pcm = data[: len(data) // 2 * 2]
    codec, stored = encode_sound(pcm, rate_hz)
    assert decode_sound(codec, stored, len(pcm)) == pcm
    assert len(stored) <= len(pcm)


def test_speech_is_compressed_and_silence_takes_nothing() -> None:
    speech = (FORMAT.parents[2] / "tests" / "speech" / "hello.wav").read_bytes()[44:3244]
    codec, stored = encode_sound(speech, 16_000)
    assert codec is Codec.FLAC
    assert len(stored) < 0.8 * len(speech)
    assert encode_sound(bytes(3200), 16_000) == (Codec.SILENCE, b"")


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(BadBlock, match="codec 9"):
        decode_sound(9, b"", 0)


# -- the documentation -----------------------------------------------------------------------------


def test_the_document_describes_the_format_as_it_is() -> None:
    """A reader written from FORMAT.md alone finds every record."""
    text = FORMAT.read_text(encoding="utf-8")
    for kind in Kind:
        assert f"| {kind.value} | {kind.name} |" in text
    whole = tape_bytes(conversation(0.5))
    assert whole.startswith(b"SVTAPE\r\n")
    position, kinds = 8, list[int]()
    while position < len(whole):
        assert whole[position : position + 4] == bytes.fromhex("F5 53 56 54")
        length = int.from_bytes(whole[position + 8 : position + 12], "little")
        (checksum,) = struct.unpack_from("<I", whole, position + 24)
        body = whole[position + 28 : position + 28 + length]
        assert zlib.crc32(whole[position + 4 : position + 24] + body) == checksum
        kinds.append(whole[position + 4])
        if kinds == [1]:
            assert json.loads(body)["version"] == 1
        position += 28 + length
    assert HEAD_BYTES == 28
    assert set(kinds) == {1, 2, 3, 4, 6, 7, 8, 9, 10}


def test_records_have_the_words_of_the_contract() -> None:
    assert StreamOpened(0.0, 1, "m").stream == 1
    assert StreamEnded(0.0, 1, "reset: gone").error == "reset: gone"
    assert SessionEvent(0.0, "Usage", {}).fields == {}
    assert received_sound(b"ab") != sent_sound(b"ab")
