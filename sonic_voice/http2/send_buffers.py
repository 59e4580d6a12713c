"""Send buffers of a client, kept small so that delayed audio waits where it is measured.

Audio that the network does not accept waits, in this order: in the network, in the kernel, in the
transport, and in the session's outbox. Only the outbox is measured. With the kernel's default
sizes, seconds of speech wait in the kernel, and a dead network looks alive during that time.
"""

import asyncio
import socket

UPLINK_AHEAD_BYTES = 4096
"""Maximum data that waits for the socket before `write` waits, in bytes: two frames of the user's
audio, which takes 57,000 bytes/s on the wire (16,000 * 2 * 16/9)."""

_SEND_BUFFER_BYTES = 32 * 1024
"""Value of SO_SNDBUF: maximum unacknowledged data, in bytes. It allows 107,000 bytes/s over a round
trip of 300 ms, twice the rate of speech."""

_UNSENT_BYTES = 4096
"""Value of TCP_NOTSENT_LOWAT: maximum data that the kernel holds before sending it, in bytes."""


def limit_send_buffers(transport: asyncio.Transport) -> None:
    """Set the sizes of the send buffers of a client.

    Args:
        transport: The connected transport. Without a socket only its own buffer is limited.
    """
    transport.set_write_buffer_limits(high=UPLINK_AHEAD_BYTES)
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    unsent: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS have it
    if unsent is not None:
        sock.setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT_BYTES)
