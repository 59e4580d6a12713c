"""The controls of a live conversation: actions of the user besides talking, by keys or on a page.

    mute, push-to-talk    MutableSource: silence flows in place of the voice
    say                   Session.send_text: a typed turn, which interrupts an answer
    interrupt             HushableSink: the answer and its transcript are cut off here
    leave                 Session.finish: the goodbye

The protocol of the service has no event for an interruption without speech. The service goes on
sending the answer, which is dropped here, and assumes that it was heard. The words that were really
heard are in `Session.transcript`, and therefore in the history with which a renewed session begins.
"""

from collections.abc import Sequence

from .audio.mute import HushableSink, MutableSource
from .conversation import Observer
from .session import Session


class Controls:
    """The controls of one session. They belong to the session's event loop."""

    def __init__(
        self,
        session: Session,
        source: MutableSource,
        sink: HushableSink,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Build the controls of a session.

        Args:
            session: The session.
            source: Its audio source.
            sink: Its audio sink.
            observers: Functions that are called with the `Heard` event of a local interruption, as
                `converse` calls them for an interruption by the service.
        """
        self.session = session
        self.source = source
        self.sink = sink
        self._observers = observers

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

    def leave(self) -> None:
        """Say goodbye. `converse` ends when the service has answered it. It may be repeated."""
        self.session.finish()
