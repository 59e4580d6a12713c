"""The bounded queue of pictures to one page. Pure.

    add ──► [waiting pictures: 8 MB] ──► take_next, at most `AHEAD_BYTES` ahead of the page
            ◄── confirm ── picture_received

A picture is announced by a numbered message `picture`. Its bytes follow in messages `picture_data`,
which have no number: they are sent only while no message and no sound can be, and only a little
ahead of what the page has confirmed. A picture of 2 MB therefore never stands between an answer and
its loudspeaker, however slow the network is, and a page that knows no pictures receives a few KB.

After a lost connection `rewind` sends again what was not confirmed. When too much waits, the oldest
pictures are dropped: the page shows their words instead.
"""

import json
from base64 import b64encode
from collections import deque
from dataclasses import dataclass

CHUNK_BYTES = 15_000
"""Size of the data of one message, in bytes: 20,000 characters of base64, so that the message fits
into one WebSocket frame (`frames.FRAGMENT_BYTES`)."""

AHEAD_BYTES = 3 * CHUNK_BYTES
"""Maximum data that is sent ahead of the page's reports, in bytes. A network of 1 Mbit/s is busy
with it for half a second, and one with a round trip of 0.1 s carries 2 MB in five."""

WAITING_BYTES = 8 * 1024 * 1024
"""Maximum size of the pictures that wait, in bytes: two of the largest."""


@dataclass(slots=True)
class _Waiting:
    """A picture that the page does not have completely."""

    id: int
    data: bytes
    sent: int = 0
    """Bytes that were sent."""
    confirmed: int = 0
    """Bytes that the page has reported as received."""


class PictureQueue:
    """The pictures of one conversation that its page does not have. It may outlive connections."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()

    def add(self, id: int, data: bytes) -> None:
        """Append a picture, and drop the oldest ones of what exceeds `WAITING_BYTES`.

        Args:
            id: The `seq` of its announcement.
            data: The file, at most `pictures.MAX_PICTURE_BYTES`.
        """
        self._waiting.append(_Waiting(id, data))
        while sum(len(one.data) for one in self._waiting) > WAITING_BYTES:
            self._waiting.popleft()

    def take_next(self) -> str | None:
        """Return the next text frame with data of a picture; None while nothing may be sent."""
        for one in self._waiting:
            if one.sent - one.confirmed >= AHEAD_BYTES:
                return None
            if one.sent < len(one.data):
                start, part = one.sent, one.data[one.sent : one.sent + CHUNK_BYTES]
                one.sent += len(part)
                data = b64encode(part).decode()
                message = {"type": "picture_data", "picture": one.id, "start": start, "data": data}
                return json.dumps(message, separators=(",", ":"))
        return None

    def confirm(self, id: int, received: int) -> None:
        """Note how much of a picture the page has received, and forget it if it has all.

        Args:
            id: The `seq` of its announcement; that of a picture that does not wait is ignored.
            received: Bytes from its beginning. More than was sent counts as what was sent.
        """
        for one in self._waiting:
            if one.id == id:
                one.confirmed = max(one.confirmed, min(received, one.sent))
                if one.confirmed == len(one.data):
                    self._waiting.remove(one)
                return

    def rewind(self) -> None:
        """Send again what the page of a new connection has not confirmed."""
        for one in self._waiting:
            one.sent = one.confirmed
