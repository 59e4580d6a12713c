"""Notices about the device in use that the sound server gives reason for, each of them once."""

from .listing import DEVICE_NOUNS
from .port import DeviceOpening
from .server_state import ServerState, device_fault
from .supervisor import NoticeHandler


class ServerNotices:
    """A receiver of the sound server's devices that reports what changes for the one in use.

    These are faults of the device, and another device behind the server's default.
    """

    def __init__(self, on_notice: NoticeHandler) -> None:
        """Create it without a fault.

        Args:
            on_notice: Called with a sentence, and the next step if there is one.
        """
        self._on_notice = on_notice
        self._problem = ""
        self._behind_default = ""

    def on_state(self, state: ServerState, opening: DeviceOpening) -> None:
        """Report another device behind the default, and a fault unless it was reported before.

        Args:
            state: The devices of the sound server.
            opening: The device in use.
        """
        fault = device_fault(state, opening.device, opening.direction)
        if fault is None:
            self._report_default(state, opening)
        problem = "" if fault is None else fault.problem
        if fault is not None and problem != self._problem:
            self._on_notice(f"{problem} {fault.fix}")
        self._problem = problem

    def _report_default(self, state: ServerState, opening: DeviceOpening) -> None:
        """Report that the server's default has moved to another device."""
        used = state.behind(opening.device, opening.direction)
        if used is None or opening.device.server_name:
            return
        if self._behind_default not in ("", used.name):
            self._on_notice(f"The {DEVICE_NOUNS[opening.direction]} is now {used.description!r}.")
        self._behind_default = used.name
