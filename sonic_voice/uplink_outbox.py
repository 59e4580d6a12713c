"""The outbox of a service stream: the payloads that wait for the wire.

Audio keeps its order. Urgent payloads overtake it: tool results and typed text, because the model
otherwise goes on without them (reference 8.4), and the start of the stream.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

OUTBOX_CHUNKS = 16
"""Maximum number of audio payloads that wait for the wire: half a second of the usual 32 ms chunks.
When it is reached, `send_audio` waits. The network is then slower than the user speaks, and the
audio source decides what to drop."""


@dataclass(frozen=True, slots=True)
class QueuedPayload:
    """A payload on its way to the wire."""

    payload: bytes
    at_s: float = 0.0
    """Time at which speech was queued, in monotonic seconds."""
    speech_s: float = 0.0
    """Length of the speech in it, in seconds; 0 for everything but speech."""


class UplinkOutbox:
    """The payloads of one service stream that wait for the wire, in two queues."""

    def __init__(self) -> None:
        self._urgent: deque[QueuedPayload] = deque()
        self._audio: deque[QueuedPayload] = deque()
        self.is_empty = True
        """True if no payload waits."""

    @property
    def is_full(self) -> bool:
        """True if there is no room for audio. What is added nevertheless waits, too."""
        return len(self._audio) >= OUTBOX_CHUNKS

    def add(self, queued: QueuedPayload) -> None:
        """Add a payload after all others.

        Args:
            queued: The payload.
        """
        self._audio.append(queued)
        self.is_empty = False

    def add_urgent(self, payloads: Iterable[bytes]) -> None:
        """Add payloads before all audio, after the urgent ones that were added earlier.

        Args:
            payloads: The payloads, in order.
        """
        self._urgent.extend(map(QueuedPayload, payloads))
        self.is_empty = not (self._urgent or self._audio)

    def take(self) -> QueuedPayload:
        """Return the next payload, which then waits no longer.

        Raises:
            IndexError: No payload waits.
        """
        taken = (self._urgent or self._audio).popleft()
        self.is_empty = not (self._urgent or self._audio)
        return taken
