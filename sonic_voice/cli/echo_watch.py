"""A watch for a model that interrupts itself, which offers half duplex to the user, or switches to
it."""

from collections.abc import Callable

from ..controls import Controls
from ..errors import OrderError
from ..events import Event
from ..self_interruption import SelfInterruptionMonitor

BY_KEY = "Press h to close the microphone while it speaks."
"""Offer to a user with single keys."""

BY_LINE = "Type /half-duplex on to close the microphone while it speaks."
"""Offer to a user who types lines."""

BY_OPTION = "Start with --half-duplex to close the microphone while it speaks."
"""Offer to a user without a keyboard."""


class EchoWatch:
    """An observer that acts once the model has interrupted itself twice within a minute.

    Args:
        controls: Controls of the conversation, with which half duplex is switched on.
        notice: Called with a sentence for the user.
        switch: Whether to switch without being asked.
        offer: What the user can do otherwise: `BY_KEY`, `BY_LINE` or `BY_OPTION`.
    """

    def __init__(
        self, controls: Controls, notice: Callable[[str], None], *, switch: bool, offer: str
    ) -> None:
        self._controls = controls
        self._notice = notice
        self._switch = switch
        self._offer = offer
        self._monitor = SelfInterruptionMonitor()

    def __call__(self, event: Event, now: float) -> None:
        """Process an event of the conversation.

        Args:
            event: The event.
            now: Its time on the session's clock, in seconds.
        """
        if self._monitor.observe(event, now):
            self._act()

    def heard(self, now: float, *, speaking: bool) -> None:
        """Process what local speech detection found.

        Args:
            now: The time on the session's clock, in seconds.
            speaking: Whether somebody speaks at this end.
        """
        if self._monitor.check(now, speaking=speaking):
            self._act()

    def _act(self) -> None:
        if self._controls.half_duplex:
            return
        what = "The model has interrupted itself twice: the microphone hears the loudspeaker."
        if not self._switch:
            self._notice(f"{what} {self._offer}")
            return
        try:
            self._controls.set_half_duplex(True)
        except OrderError:  # there is no microphone
            return
        self._notice(f"{what} From now on it is closed while the model speaks.")
