"""PipeWire with the virtual devices of `virtual`, for tests that hold for both sound servers."""

import shutil
import time
from pathlib import Path

from .virtual import SoundServer

PROGRAMS = ("dbus-daemon", "pipewire", "pipewire-pulse", "wireplumber")


def missing() -> str:
    """Why there can be no PipeWire here; empty if there can."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    if absent:
        return f"without {', '.join(absent)}: apt-get install {' '.join(PROGRAMS)}"
    return ""


class PipeWireServer(SoundServer):
    """PipeWire for this process and its children, with a message bus and a folder of its own."""

    name = "PipeWire"

    def start(self) -> None:
        """Start the server with its devices; returns when it has them."""
        bus = f"unix:path={self._folder}/bus"
        environment = {
            "DBUS_SESSION_BUS_ADDRESS": bus,
            "PIPEWIRE_RUNTIME_DIR": str(self._folder),
            # Wireplumber remembers defaults and volumes, those of an earlier test as well.
            "XDG_STATE_HOME": str(self._folder / "state"),
            "XDG_CONFIG_HOME": str(self._folder / "config"),
        }
        self._launch("dbus-daemon", "--session", "--nofork", f"--address={bus}")
        self._wait_for(self._folder / "bus")
        self._launch("pipewire", environment=environment)
        self._wait_for(self._folder / "pipewire-0")
        self._launch("wireplumber", environment=environment)
        self._launch("pipewire-pulse", environment=environment)
        self._wait_for_answer()
        self.plug()

    def stop(self) -> None:
        """Stop the server, as if sound had crashed. May be repeated."""
        super().stop()
        for socket in ("bus", "pipewire-0"):
            (self._folder / socket).unlink(missing_ok=True)

    def _wait_for(self, path: Path) -> None:
        deadline_s = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline_s, f"{self.name} has no {path.name}"
            time.sleep(0.02)
