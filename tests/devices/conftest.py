"""Virtual devices for all tests of this folder, and the two sound libraries to try them with."""

import importlib.util
import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sonic_voice.devices import BackendName

from ..support.virtual import SoundServer, missing


@pytest.fixture(scope="session")
def sound_server() -> Iterator[SoundServer]:
    if platform.system() != "Linux":
        pytest.skip("virtual devices are PulseAudio's, on Linux")
    if reason := missing():
        pytest.skip(reason)
    server = SoundServer()
    yield server
    server.close()


@pytest.fixture
def sound(sound_server: SoundServer) -> SoundServer:
    """The devices, there and at rest."""
    if not sound_server.control("list short sinks").count("spk"):
        sound_server.plug()
    return sound_server


# For the session, so that all tests of one come before the other's: a PortAudio that two have
# initialised cannot be initialised anew by one. PyAudio lets go of it; sounddevice does not.
@pytest.fixture(params=["pyaudio", "sounddevice"], scope="session")
def backend(request: pytest.FixtureRequest) -> BackendName:
    name: BackendName = request.param
    if not importlib.util.find_spec(name):
        pytest.skip(f"{name} is not installed")
    # In a process of its own: an import that fails half-way is not tried twice.
    tried = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(tried.stderr.splitlines()[-1])
    return name
