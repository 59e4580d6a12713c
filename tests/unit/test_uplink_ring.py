"""The ring of the user's audio: what it keeps, and where voice begins in it."""

from hypothesis import assume, given
from hypothesis import strategies as st

from sonic_voice.config import AudioFormat
from sonic_voice.uplink_ring import BACKGROUND_S, LOUD_WINDOWS, WINDOW_S, UplinkRing

FORMAT = AudioFormat(8_000)
SECOND = FORMAT.size(1)
WINDOW = FORMAT.size(WINDOW_S)

chunks = st.lists(st.integers(1, 400).map(lambda n: n * 2), max_size=60)
"""Sizes of chunks, in bytes."""


def numbered(sizes: list[int]) -> tuple[UplinkRing, bytes]:
    """A ring of 0.2 s with chunks of numbered samples, and all audio that was appended."""
    ring, everything = UplinkRing(FORMAT, 0.2), bytearray()
    for size in sizes:
        begin = len(everything) // 2
        numbers = range(begin, begin + size // 2)
        chunk = b"".join((number % 30_000).to_bytes(2, "little") for number in numbers)
        ring.append(chunk)
        everything += chunk
    return ring, bytes(everything)


@given(chunks, st.integers(-1000, 60_000))
def test_the_audio_since_a_position_is_all_that_followed_as_far_as_it_is_kept(
    sizes: list[int], sample: int
) -> None:
    ring, everything = numbered(sizes)
    position = 2 * sample
    assert ring.since(position) == everything[max(position, ring.begin) :]


@given(chunks)
def test_the_ring_keeps_its_length_and_little_more(sizes: list[int]) -> None:
    ring, everything = numbered(sizes)
    kept = len(ring.since(0))
    limit = FORMAT.size(0.2)
    assert ring.end == len(everything)
    assert kept == ring.end - ring.begin
    assert kept <= max(limit, max(sizes, default=0))
    assert kept >= min(len(everything), limit - max(sizes, default=0))


@given(st.lists(st.integers(1, 40_000).map(lambda n: n * 2), min_size=1, max_size=20), st.data())
def test_released_audio_is_dropped_but_for_the_seconds_that_show_the_noise(
    sizes: list[int], data: st.DataObject
) -> None:
    ring = UplinkRing(FORMAT)
    for number, size in enumerate(sizes):
        ring.append(bytes([number, 0]) * (size // 2))
    before = ring.since(0)
    position = data.draw(st.integers(0, ring.end // 2)) * 2
    ring.release(position)
    assert before.endswith(ring.since(0))
    assert ring.end == sum(sizes)
    kept_from = position - FORMAT.size(BACKGROUND_S)
    assert ring.begin <= max(0, kept_from)
    assert ring.begin > kept_from - max(sizes) or ring.end - ring.begin == sizes[-1]


@given(st.integers(0, 10_000_000))
def test_a_position_in_ms_is_exact_to_half_a_ms(sample: int) -> None:
    ring = UplinkRing(AudioFormat(16_000))
    position = 2 * sample
    assert abs(ring.position(ring.milliseconds(position)) - position) <= 16


def level(amplitude: int, seconds: float) -> bytes:
    return amplitude.to_bytes(2, "little", signed=True) * round(8_000 * seconds)


@given(
    quiet=st.integers(1, 40).map(lambda n: n / 10),
    loud=st.integers(1, 40).map(lambda n: n / 10),
    hum=st.integers(0, 300),
    position=st.integers(0, 80_000).map(lambda n: 2 * n),
)
def test_voice_begins_with_the_first_loud_window_after_a_position(
    quiet: float, loud: float, hum: int, position: int
) -> None:
    ring = UplinkRing(FORMAT)
    ring.append(level(hum, quiet))
    ring.append(level(-8000, loud))
    ring.append(level(hum, quiet))
    begin, end = FORMAT.size(quiet), FORMAT.size(quiet + loud)
    found = ring.voice_begins(position)
    if position >= end:
        assert found is None
    elif end - position > LOUD_WINDOWS * WINDOW:  # less is the end of a word
        assert found is not None
        assert found >= position
        assert abs(found - max(begin, position)) <= WINDOW


def test_the_hum_of_a_room_is_no_voice_and_soft_voice_over_silence_is() -> None:
    ring = UplinkRing(FORMAT)
    ring.append(level(300, 5))
    assert ring.voice_begins(0) is None
    ring = UplinkRing(FORMAT)
    ring.append(level(2, 5) + level(400, 0.2))
    assert ring.voice_begins(0) == FORMAT.size(5)


def test_a_ring_full_of_speech_is_all_voice() -> None:
    ring = UplinkRing(FORMAT)
    ring.append(level(9000, 29))
    assert ring.voice_begins(SECOND) == SECOND
    assert ring.quiet_s() == 0


@given(st.integers(0, 20).map(lambda n: n / 10))
def test_quiet_is_the_time_since_the_last_loud_window(quiet: float) -> None:
    assume(quiet < 2)
    ring = UplinkRing(FORMAT)
    ring.append(level(0, 1) + level(8000, 1) + level(0, quiet))
    assert abs(ring.quiet_s() - quiet) <= WINDOW_S + 1e-9


def test_without_any_voice_it_has_always_been_quiet() -> None:
    ring = UplinkRing(FORMAT)
    assert ring.quiet_s() == float("inf")
    ring.append(level(8000, 1) + level(0, 3))
    assert ring.quiet_s() == float("inf")


def test_an_empty_ring_has_no_voice() -> None:
    assert UplinkRing(FORMAT).voice_begins(0) is None
