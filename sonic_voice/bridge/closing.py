"""Close codes of the bridge: each has a reason, which is a sentence with a next step.

A browser does not show a page the response to a refused handshake. The bridge therefore accepts
every handshake, and closes the connection with a code of its own (4000 to 4999 are reserved for
applications, RFC 6455 section 7.4.2). A reason never contains prompts, keys, addresses or internals
of the server.
"""

from dataclasses import dataclass
from enum import IntEnum

from ..errors import ErrorKind, NetworkError, ServiceError, SonicError

REASON_BYTES = 123
"""Maximum length of a reason in a close frame, in bytes of UTF-8 (RFC 6455 section 5.5)."""


class Close(IntEnum):
    """A close code. `web_client/README.md` has the same table.

    `RESTART` is the one code that does not end the conversation: the page connects again, and finds
    it at another process. 1012 is registered for this ("Service Restart").
    """

    BYE = 1000
    STOPPING = 1001
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    BAD_MESSAGE = 4000
    UNKNOWN_MESSAGE = 4001
    BAD_FRAME = 4002
    BAD_ORDER = 4003
    NO_HELLO = 4004
    BAD_VERSION = 4005
    BAD_CHOICE = 4006
    NO_TOKEN = 4010
    EXPIRED = 4011
    FORGED = 4012
    BAD_ORIGIN = 4013
    FORGOTTEN = 4014
    KEYS_UNAVAILABLE = 4015
    FULL = 4020
    TOO_MANY_OF_SUBJECT = 4021
    TOO_MANY_OF_ADDRESS = 4022
    FLOOD = 4023
    TOO_SLOW = 4024
    IDLE = 4025
    TOO_LONG = 4026
    REPLACED = 4027
    SERVICE_BUSY = 4030
    SERVICE_FAILED = 4031
    SERVICE_LIFETIME = 4032
    SERVICE_REFUSED = 4033
    FILTERED = 4034
    SERVICE_CLOSED = 4035

    __hash__ = int.__hash__  # that of `Enum` is slow, and timers are moved at each packet


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason for a close code."""

    text: str
    """Sentence that a page may show to the user, with the next step."""
    retry: bool = False
    """True if a page may begin a new conversation without asking the user."""


REASONS: dict[Close, Reason] = {
    Close.BYE: Reason("The conversation is over."),
    Close.STOPPING: Reason("The server is stopping. Try again in a minute.", retry=True),
    Close.TOO_BIG: Reason("A message was too big. Reload the page."),
    Close.INTERNAL: Reason("Something went wrong on the server. Try again.", retry=True),
    Close.RESTART: Reason("The server is restarting. Connect again: the conversation goes on."),
    Close.BAD_MESSAGE: Reason("A message could not be read. Reload the page."),
    Close.UNKNOWN_MESSAGE: Reason("A message is of no known type. Reload the page."),
    Close.BAD_FRAME: Reason("A sound frame could not be read. Reload the page."),
    Close.BAD_ORDER: Reason("A message came out of order. Reload the page."),
    Close.NO_HELLO: Reason("No hello came in time. Reload the page.", retry=True),
    Close.BAD_VERSION: Reason("Page and server are of different versions. Reload the page."),
    Close.BAD_CHOICE: Reason("This voice or language is not offered here. Choose another."),
    Close.NO_TOKEN: Reason("A token is needed. Sign in again."),
    Close.EXPIRED: Reason("The token has expired. Sign in again."),
    Close.FORGED: Reason("The token is not one of ours. Sign in again."),
    Close.BAD_ORIGIN: Reason("This site may not use this server. Its owner can allow it."),
    Close.FORGOTTEN: Reason("The conversation is no longer kept. Start a new one."),
    Close.KEYS_UNAVAILABLE: Reason("Tokens cannot be checked just now. Try again in a minute."),
    Close.FULL: Reason("The server is full. Try again in a minute."),
    Close.TOO_MANY_OF_SUBJECT: Reason("You are talking already. End the other conversation."),
    Close.TOO_MANY_OF_ADDRESS: Reason("Too many conversations from your network. Try later."),
    Close.FLOOD: Reason("Too much came at once. Reload the page."),
    Close.TOO_SLOW: Reason("The network is too slow for speech. Try another one.", retry=True),
    Close.IDLE: Reason("Nobody spoke for a while. Start again to go on."),
    Close.TOO_LONG: Reason("The time for one conversation is over. Start a new one."),
    Close.REPLACED: Reason("The conversation goes on in another connection."),
    Close.SERVICE_BUSY: Reason("The voice service is busy. Try again in a minute."),
    Close.SERVICE_FAILED: Reason("The voice service failed. Try again in a minute."),
    Close.SERVICE_LIFETIME: Reason(
        "The voice service ended the conversation at its time limit. Start a new one."
    ),
    Close.SERVICE_REFUSED: Reason(
        "The voice service refused this server. Its operator can find out why."
    ),
    Close.FILTERED: Reason(
        "The content filter of the voice service ended it. Start again and say it differently."
    ),
    Close.SERVICE_CLOSED: Reason(
        "The voice service closed the connection. Start a new conversation."
    ),
}
"""Reasons by close code. Each code but `RESTART` also ends the conversation: a connection that can
be resumed was lost without a code of this table."""


_CLOSE_BY_KIND: dict[ErrorKind, Close] = {
    ErrorKind.THROTTLED: Close.SERVICE_BUSY,
    ErrorKind.CAPACITY: Close.SERVICE_BUSY,
    ErrorKind.LIFETIME: Close.SERVICE_CLOSED,
    ErrorKind.FILTERED: Close.FILTERED,
    ErrorKind.ACCESS: Close.SERVICE_REFUSED,
    ErrorKind.NOT_FOUND: Close.SERVICE_REFUSED,
    ErrorKind.HISTORY: Close.SERVICE_REFUSED,
    ErrorKind.TOOL: Close.SERVICE_REFUSED,
    ErrorKind.REQUEST: Close.SERVICE_REFUSED,
}
"""Close codes by the meaning of the service's error. Waiting a minute helps with none of the last
five: the same request is refused again."""


class BridgeRefusal(SonicError):
    """A connection that the bridge closes, because the client broke a rule or exceeded a limit.

    Args:
        close: The code to close the connection with.
    """

    def __init__(self, close: Close) -> None:
        super().__init__(REASONS[close].text)
        self.close = close


def close_for(error: SonicError, *, old: bool = False) -> Close:
    """Return the close code for an error that ended a conversation.

    Args:
        error: The error.
        old: Whether the stream was near the end of its life. The service uses the same exceptions
            for the end of a stream's life, for a model that does not answer and for a connection
            that was reset.
    """
    if isinstance(error, BridgeRefusal):
        return error.close
    if isinstance(error, ServiceError):
        if old and error.kind is ErrorKind.LIFETIME:
            return Close.SERVICE_LIFETIME
        return _CLOSE_BY_KIND.get(error.kind, Close.SERVICE_FAILED)
    if isinstance(error, NetworkError):
        return Close.SERVICE_FAILED
    return Close.INTERNAL
