"""Names of devices as text, whichever way a sound library delivers them.

PortAudio's names are bytes, in UTF-8 on most systems. PyAudio decodes them with the encoding of the
system first, which on Windows turns UTF-8 into pairs of wrong letters, and returns bytes where that
and UTF-8 fail. Windows also cuts names after 31 bytes, in the middle of a letter if need be.
"""

import locale


def decoded_name(name: bytes | str, encoding: str = "") -> str:
    """Return the name of a device as text.

    Args:
        name: The name as the sound library delivers it: bytes, or text that may have been decoded
            with `encoding` although it was UTF-8.
        encoding: Encoding of the system; empty for the real one.

    Returns:
        The name. Bytes that are no UTF-8 on a system that uses it are taken for Latin letters; what
        no encoding explains is replaced by U+FFFD.
    """
    encoding = encoding or locale.getpreferredencoding(False)
    if isinstance(name, str):
        try:
            raw = name.encode(encoding)
        except UnicodeEncodeError:
            return name  # it was not decoded with this encoding
        return _from_utf8(raw) or name
    single_byte = "cp1252" if encoding.casefold() in ("utf-8", "utf8", "ascii") else encoding
    return _from_utf8(name) or name.decode(single_byte, "replace")


def _from_utf8(name: bytes) -> str:
    """Return a name in UTF-8, without an incomplete letter at its end; empty for other bytes."""
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        complete = name[: error.start].decode()
        cut = error.reason == "unexpected end of data" and error.end == len(name)
        # A lone byte at the end may as well be a letter of another encoding.
        return complete if cut and not complete.isascii() else ""
