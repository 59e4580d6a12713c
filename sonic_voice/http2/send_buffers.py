"""Send buffers of a client: little may wait where nobody sees it.

Audio that the network does not take waits in this order: in the network itself, in the kernel, in
the transport, in the outbox of the session. Only the last is measured. With the kernel's defaults,
seconds of speech wait in it, and a dead network looks alive for as long.
"""

import asyncio
import socket

UPLINK_AHEAD_BYTES = 4096
"""What may wait for the socket before `write` waits, in bytes: two frames of the user's audio,
which takes 57,000 bytes/s on the wire (16,000 * 2 * 16/9)."""

_SEND_BUFFER_BYTES = 32 * 1024
"""SO_SNDBUF: what may be on its way without an acknowledgement, in bytes. It allows 107,000 bytes/s
over a round trip of 300 ms, twice what speech needs."""

_UNSENT_BYTES = 4096
"""TCP_NOTSENT_LOWAT: what the kernel may hold without being able to send it, in bytes."""


def limit_send_buffers(transport: asyncio.Transport) -> None:
    """Set the send buffers of a client's `transport` and its socket."""
    transport.set_write_buffer_limits(high=UPLINK_AHEAD_BYTES)
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    unsent: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS have it
    if unsent is not None:
        sock.setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT_BYTES)
