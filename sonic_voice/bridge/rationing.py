"""The ration of WebSocket frames of one connection, and of connections that have not said hello.

Frames are counted before they are parsed into messages, because parsing is what costs: 64 KiB can
hold 10,000 empty pings. A ping is answered with a pong, and a client that does not read the pongs
would let the server's buffer grow. Pure: the time is an argument, `now_s`.
"""

from collections import Counter

from .closing import BridgeRefusal, Close
from .forwarding import client_key
from .limits import BridgeLimits, TokenBucket

FRAMES_PER_MESSAGE = 1.25
"""Maximum number of frames per message that is permitted by `BridgeLimits.messages_per_s`. Browsers
send a message in one frame; the rest is for pongs and for what is under way when the limit of
messages ends the conversation with a reason."""


class FrameRation(TokenBucket):
    """The ration of frames of one connection: a bucket of all frames, and one of control frames.

    Args:
        limits: The limits `messages_per_s`, `controls_per_s` and `burst_s`.
        now_s: The current time, in monotonic seconds.
    """

    def __init__(self, limits: BridgeLimits, *, now_s: float) -> None:
        super().__init__(limits.messages_per_s * FRAMES_PER_MESSAGE, limits.burst_s, now_s=now_s)
        self._controls = TokenBucket(limits.controls_per_s, limits.burst_s, now_s=now_s)

    def consume_control(self, now_s: float) -> None:
        """Count a control frame: a ping, a pong or a close.

        Args:
            now_s: The current time, in monotonic seconds.

        Raises:
            BridgeRefusal: `FLOOD`, if there were too many.
        """
        self.consume(1, now_s)
        self._controls.consume(1, now_s)


class PendingLimit:
    """A limit on connections that wait to be accepted, in all and by client.

    Call `admit` when a connection begins to wait and `release` when it was accepted or is over.

    Args:
        most: Maximum number in all.
        most_of_address: Maximum number of one client address.
    """

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._addresses: Counter[str] = Counter()

    def admit(self, address: str) -> None:
        """Count one more connection.

        Args:
            address: The network address of the client.

        Raises:
            BridgeRefusal: `FULL` or `TOO_MANY_OF_ADDRESS`. Nothing is then counted.
        """
        if self._addresses.total() >= self._most:
            raise BridgeRefusal(Close.FULL)
        if self._addresses[client_key(address)] >= self._most_of_address:
            raise BridgeRefusal(Close.TOO_MANY_OF_ADDRESS)
        self._addresses[client_key(address)] += 1

    def release(self, address: str) -> None:
        """Count one connection less.

        Args:
            address: As for `admit`.
        """
        self._addresses -= Counter([client_key(address)])
