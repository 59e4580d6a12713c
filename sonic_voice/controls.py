"""The controls of a live conversation: actions of the user besides talking, by keys or on a page.

    mute, push-to-talk    MutableSource: silence flows in place of the voice
    say                   Session.send_text: a typed turn, which interrupts an answer
    interrupt             HushableSink: the answer and its transcript are cut off here
    volume                VolumeControl: how loud the model's voice is played
    half duplex           HalfDuplexSwitch: the microphone is closed while the model speaks
    leave                 Session.finish: the goodbye
    hang_up               Session.hang_up: the end, although the service does not answer the goodbye

The protocol of the service has no event for an interruption without speech. The service goes on
sending the answer, which is dropped here, and assumes that it was heard. The words that were really
heard are in `Session.transcript`, and therefore in the history with which a renewed session begins.
"""

from collections.abc import Sequence
from typing import Protocol

from .audio.mute import HushableSink, MutableSource
from .conversation import Observer
from .errors import OrderError
from .session import Session


class VolumeControl(Protocol):
    """A loudspeaker whose volume can be changed. `devices.Speaker` is one."""

    volume: int
    """Volume in percent of the full level, 0 to 100."""


class HalfDuplexSwitch(Protocol):
    """A microphone that can be closed while the model speaks. `echo` has one."""

    @property
    def half_duplex(self) -> bool:
        """True while the microphone is closed when the model speaks.

        It may stay true after it was set to false, where the echo cannot be removed otherwise.
        """
        ...

    @half_duplex.setter
    def half_duplex(self, wanted: bool) -> None: ...


class Controls:
    """The controls of one session. They belong to the session's event loop."""

    def __init__(
        self,
        session: Session,
        source: MutableSource,
        sink: HushableSink,
        observers: Sequence[Observer] = (),
        *,
        loudspeaker: VolumeControl | None = None,
        microphone: HalfDuplexSwitch | None = None,
    ) -> None:
        """Build the controls of a session.

        Args:
            session: The session.
            source: Its audio source.
            sink: Its audio sink.
            observers: Functions that are called with the `Heard` event of a local interruption, as
                `converse` calls them for an interruption by the service.
            loudspeaker: What `set_volume` changes; None if there is none.
            microphone: What `set_half_duplex` changes; None if there is none.
        """
        self.session = session
        self.source = source
        self.sink = sink
        self._observers = observers
        self._loudspeaker = loudspeaker
        self._microphone = microphone

    def say(self, text: str) -> None:
        """Send a typed turn.

        Args:
            text: The words of the turn.

        Raises:
            OrderError: The model takes no text, or the goodbye was said.
        """
        self.session.send_text(text)

    def interrupt(self) -> None:
        """Cut off the answer that sounds, with the rest that is still to come.

        Does nothing if no answer sounds.
        """
        for turn, played_ms in self.sink.hush().items():
            self.session.transcript.interrupt(turn)
            heard = self.session.heard(turn, played_ms)
            for observe in self._observers:
                observe(heard, self.session.now())

    @property
    def volume(self) -> int | None:
        """Volume of the loudspeaker in percent; None if there is none."""
        return None if self._loudspeaker is None else self._loudspeaker.volume

    def set_volume(self, percent: int) -> None:
        """Change the volume of the loudspeaker.

        Args:
            percent: The volume in percent of the full level; values beyond 0 to 100 are limited.

        Raises:
            OrderError: There is no loudspeaker.
        """
        if self._loudspeaker is None:
            raise OrderError("There is no loudspeaker whose volume could be changed.")
        self._loudspeaker.volume = min(100, max(0, percent))

    @property
    def half_duplex(self) -> bool:
        """True while the microphone is closed when the model speaks."""
        return self._microphone is not None and self._microphone.half_duplex

    def set_half_duplex(self, wanted: bool) -> None:
        """Close the microphone while the model speaks, or leave it open from now on.

        Args:
            wanted: Whether to close it.

        Raises:
            OrderError: There is no microphone, or it must stay closed because the engines that
                remove the echo are missing.
        """
        if self._microphone is None:
            raise OrderError("There is no microphone that could be closed.")
        self._microphone.half_duplex = wanted
        if self._microphone.half_duplex != wanted:
            raise OrderError(
                "The microphone must stay closed while the model speaks: echo cancellation is not "
                "installed.",
                hint="Wear headphones and use --no-aec, or install the extra echo.",
            )

    def leave(self) -> None:
        """Say goodbye. `converse` ends when the service has answered it. It may be repeated."""
        self.session.finish()

    def hang_up(self, waited_s: float) -> None:
        """End the conversation now, because the service does not answer the goodbye.

        Does nothing before `leave`.

        Args:
            waited_s: How long the answer was waited for, in seconds, for messages.
        """
        self.session.hang_up(waited_s)
