"""What a person may do to a live conversation besides talking, with keys or on a page.

    mute, push-to-talk    MutableSource: silence flows in place of the voice
    say                   Session.send_text: a typed turn, which interrupts an answer
    interrupt             HushableSink: the answer is cut off here, and so is the transcript
    leave                 Session.finish: the goodbye

The service has no word for an interruption without speech: it goes on sending the answer, which is
dropped, and takes it for heard. What was really heard is in `Session.transcript`, and with it in
the history that a renewed session begins with.
"""

from collections.abc import Sequence

from .audio.mute import HushableSink, MutableSource
from .conversation import Observer
from .session import Session


class Controls:
    """Acts on `source` and `sink`, with which `session` converses.

    `observers` are told of a local interruption what was heard, as `converse` tells them of the
    service's. Belongs to the session's event loop.
    """

    def __init__(
        self,
        session: Session,
        source: MutableSource,
        sink: HushableSink,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.session = session
        self.source = source
        self.sink = sink
        self._observers = observers

    def say(self, text: str) -> None:
        """Type a turn. Raises `OrderError` if the model takes no text, or after the goodbye."""
        self.session.send_text(text)

    def interrupt(self) -> None:
        """Cut off what sounds, and what is still to come of it. Without sound, does nothing."""
        for turn, played_ms in self.sink.hush().items():
            self.session.transcript.interrupt(turn)
            heard = self.session.heard(turn, played_ms)
            for observe in self._observers:
                observe(heard, self.session.now())

    def leave(self) -> None:
        """Say goodbye; `converse` ends when the service has answered it. May be repeated."""
        self.session.finish()
