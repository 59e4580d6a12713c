"""Read buffers, which asyncio makes far larger than a conversation needs.

asyncio reserves 256 KiB for each TLS connection, half of the memory of a session. It also allocates
as much for every read of decrypted data, and of a connection without TLS, of which the system
returns the pages each time: a read of 650 bytes then takes 13 microseconds instead of 1.5. A record
of TLS has at most 16 KiB, so that one read never returns more.

There is no option for it. `max_size` of a transport, `_ssl_protocol` and `_ssl_buffer` are names of
asyncio that it does not document, the same since Python 3.11. Where they are missing, as in uvloop,
everything stays as it is.
"""

import asyncio
from typing import Any

READ_BYTES = 32 * 1024
"""Length of the buffer of a read, in bytes: two records of TLS. It is 0.4 s of an answer's
audio; the rest waits in the kernel for the next read of the same turn of the loop."""


def limit_read_buffers(transport: asyncio.Transport) -> None:
    """Make the read buffers of a connection smaller. To be called between two reads.

    Args:
        transport: The connected transport.
    """
    plain: Any = transport
    if getattr(plain, "max_size", 0) > READ_BYTES:
        plain.max_size = READ_BYTES
    tls: Any = getattr(transport, "_ssl_protocol", None)
    buffer = getattr(tls, "_ssl_buffer", None)
    if not isinstance(buffer, bytearray) or len(buffer) <= READ_BYTES:
        return
    if not (hasattr(tls, "_ssl_buffer_view") and hasattr(tls, "max_size")):
        return
    tls.max_size = READ_BYTES
    tls._ssl_buffer = bytearray(READ_BYTES)
    tls._ssl_buffer_view = memoryview(tls._ssl_buffer)
