"""The devices of the sound server: named, chosen, lost and found again, on both servers.

All sound here is real, through PortAudio, ALSA and PulseAudio's or PipeWire's server.
"""

import asyncio
import re
import threading
import time
from collections.abc import Iterator

import pytest

from sonic_voice.devices import BackendName, Microphone, Speaker, devices, read_sound_server
from sonic_voice.devices import sound_server as sound_server_module
from sonic_voice.errors import DeviceError

from ..support.device_sounds import (
    LEVEL,
    SPOKEN_HZ,
    TONE_HZ,
    listening,
    quiet,
    samples,
    tone,
    tone_amplitude,
    until,
)
from ..support.pipewire import PipeWireServer
from ..support.pipewire import missing as missing_pipewire
from ..support.virtual import CAPTURE_HZ, HEADSET_MICROPHONE, HEADSET_SPEAKER, SoundServer

OTHER_HZ = 1_300
"""A tone that nobody takes for `TONE_HZ`, in hertz."""


@pytest.fixture(scope="module", params=["PulseAudio", "PipeWire"])
def server(request: pytest.FixtureRequest, sound_server: SoundServer) -> Iterator[SoundServer]:
    if request.param == "PulseAudio":
        yield sound_server
        return
    if reason := missing_pipewire():
        pytest.skip(reason)
    server = PipeWireServer()
    yield server
    server.close()


@pytest.fixture
def headset(server: SoundServer) -> Iterator[SoundServer]:
    """The server with a headset beside the usual devices, which are the defaults."""
    if "spk" not in server.control("list short sinks"):
        server.plug()
    server.plug_headset()
    for command in ("set-default-sink spk", "set-default-source vmic"):
        server.control(command)
    yield server
    server.unplug_headset()


async def test_the_list_has_the_devices_of_the_server_and_says_what_the_default_is(
    headset: SoundServer, backend: BackendName
) -> None:
    listed = {device.server_name: device for device in devices(backend) if device.server_name}
    assert listed["headset"].name == HEADSET_SPEAKER
    assert listed["headset_mic"].name == HEADSET_MICROPHONE
    assert (listed["headset_mic"].inputs > 0, listed["headset_mic"].outputs) == (True, 0)
    assert (listed["headset"].inputs, listed["headset"].outputs) == (0, 2)
    assert {name for name, device in listed.items() if device.behind_default} == {"spk", "vmic"}
    monitors = {name for name, device in listed.items() if device.is_monitor}
    assert monitors == {name for name in listed if name.endswith(".monitor")}
    with pytest.raises(DeviceError, match=r"'mic' may be any of 2 .* Remapped .* Headset Mikro"):
        Microphone("mic", backend=backend)


async def test_microphone_and_loudspeaker_are_on_different_devices_of_one_process(
    headset: SoundServer, backend: BackendName
) -> None:
    """A part of a description names the microphone, and the loudspeaker is the default."""
    with headset.capture() as played, headset.capture("headset.monitor") as silent:
        async with (
            Microphone("mikrofon FÜR", backend=backend) as microphone,
            Speaker(backend=backend) as loudspeaker,
            listening(microphone) as heard,
        ):
            await asyncio.sleep(0.3)
            said = headset.say(tone(0.6, OTHER_HZ), SPOKEN_HZ, "headset_feed")
            aside = headset.say(tone(0.6, TONE_HZ), SPOKEN_HZ, "micfeed")
            loudspeaker.play(1, tone(0.6))
            await asyncio.to_thread(said.wait)
            await asyncio.to_thread(aside.wait)
            await quiet(loudspeaker)
    sound = samples(bytes(heard))
    assert tone_amplitude(sound, 16_000, OTHER_HZ) > LEVEL / 4
    assert tone_amplitude(sound, 16_000, TONE_HZ) < LEVEL / 10
    assert tone_amplitude(played.samples, CAPTURE_HZ, TONE_HZ) > LEVEL / 4
    assert tone_amplitude(silent.samples, CAPTURE_HZ, TONE_HZ) < LEVEL / 10


async def test_a_chosen_headset_is_replaced_by_the_default_and_taken_back(
    headset: SoundServer, backend: BackendName
) -> None:
    notices: list[str] = []
    microphone = Microphone("headset_mic", backend=backend, on_notice=notices.append)
    loudspeaker = Speaker(HEADSET_SPEAKER, backend=backend, on_notice=notices.append)
    async with microphone, loudspeaker:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(headset.unplug_headset)
        await until(lambda: sum("is now 'default'" in notice for notice in notices) == 2)
        assert await reach(headset, microphone, loudspeaker, "micfeed", "spk.monitor")
        await asyncio.to_thread(headset.plug_headset)
        await until(lambda: sum(notice.endswith("' is back.") for notice in notices) == 2)
        assert await reach(headset, microphone, loudspeaker, "headset_feed", "headset.monitor")
    assert (microphone.stats.losses, loudspeaker.stats.losses) == (1, 1)
    assert sorted(notices[-2:]) == [
        f"The loudspeaker {HEADSET_SPEAKER!r} is back.",
        f"The microphone {HEADSET_MICROPHONE!r} is back.",
    ]


async def test_the_default_follows_the_server(headset: SoundServer) -> None:
    notices: list[str] = []
    microphone, loudspeaker = (
        Microphone(on_notice=notices.append),
        Speaker(on_notice=notices.append),
    )
    async with microphone, loudspeaker:
        assert await reach(headset, microphone, loudspeaker, "micfeed", "spk.monitor")
        headset.control("set-default-sink headset")
        headset.control("set-default-source headset_mic")
        await until(lambda: len(notices) == 2)
        assert await reach(headset, microphone, loudspeaker, "headset_feed", "headset.monitor")
    assert (microphone.stats.losses, loudspeaker.stats.losses) == (0, 0)
    assert sorted(notices) == [
        f"The loudspeaker is now {HEADSET_SPEAKER!r}.",
        f"The microphone is now {HEADSET_MICROPHONE!r}.",
    ]


async def reach(
    server: SoundServer, microphone: Microphone, loudspeaker: Speaker, feed: str, monitor: str
) -> bool:
    """Whether a tone at `feed` arrives in the microphone, and one from the speaker at `monitor`."""
    with server.capture(monitor) as capture:
        async with listening(microphone) as heard:
            said = server.say(tone(0.5, OTHER_HZ), SPOKEN_HZ, feed)
            loudspeaker.play(1, tone(0.5))
            await asyncio.to_thread(said.wait)
            await quiet(loudspeaker)
    arrived = tone_amplitude(samples(bytes(heard)), 16_000, OTHER_HZ)
    sounded = tone_amplitude(capture.samples, CAPTURE_HZ, TONE_HZ)
    assert (arrived > LEVEL / 4, sounded > LEVEL / 4) == (True, True), (arrived, sounded)
    return True


FAULTS = {
    "a monitor in place of a microphone": (
        ("set-default-source spk.monitor",),
        r"There is no microphone: .* plays\. Use .* instead: sonic-voice talk --microphone \S+$",
    ),
    "a microphone at 2 %": (
        ("set-source-volume vmic 2%",),
        r"The volume of .* is 2 %\. Turn it up: pactl set-source-volume vmic 100%$",
    ),
    "a loudspeaker at 2 %": (
        ("set-sink-volume spk 2%",),
        r"The volume of .* is 2 %\. Turn it up: pactl set-sink-volume spk 100%$",
    ),
}
"""Commands that break a default device, and the notice about it."""


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_device_that_is_of_no_use_is_reported(headset: SoundServer, fault: str) -> None:
    """At once when it is opened so, and when it becomes so meanwhile; each time once."""
    commands, expected = FAULTS[fault]
    notices: list[str] = []
    try:
        for before in (True, False):
            for command in commands if before else ():
                headset.control(command)
            async with Microphone(on_notice=notices.append), Speaker(on_notice=notices.append):
                await asyncio.sleep(0.3)
                for command in () if before else commands:
                    headset.control(command)
                await until(lambda: bool(notices))
            assert [bool(re.search(expected, notice)) for notice in notices] == [True], notices
            notices.clear()
            restore(headset)
    finally:
        restore(headset)


def restore(server: SoundServer) -> None:
    """Undo what `FAULTS` does."""
    for command in (
        *("set-default-source vmic", "set-source-mute vmic 0"),
        *("set-source-volume vmic 100%", "set-sink-volume spk 100%"),
    ):
        server.control(command)


def test_a_server_that_does_not_answer_is_given_up(
    headset: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_server_module, "ANSWER_TIMEOUT_S", 0.2)
    pause = threading.Thread(target=headset.pause, args=(0.6,))
    pause.start()
    began_s = time.monotonic()
    time.sleep(0.05)
    assert read_sound_server() is None
    assert time.monotonic() - began_s < 0.6
    pause.join()
    assert read_sound_server() is not None
