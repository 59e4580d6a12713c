"""Keys of a Windows console, read without ever waiting for one.

`getwch` returns a key such as Up as two characters, 0xE0 and a code. 0xE0 is also the letter `à`,
and a second `getwch` after this letter would wait for the next key and block the event loop.
`kbhit` does not help: it looks only at the queue of the console, and the code of such a key is in
the push-back buffer of the C library. That buffer has room for one character, and `ungetwch` fails
if it is occupied. So after 0xE0 a character is pushed back on trial: if this fails, the code of a
key is there; if it succeeds, the character was the letter, and the trial character is read again.

Source: `getwch.cpp` of Microsoft's Universal C Runtime.
"""

from collections.abc import Iterator
from typing import Protocol

from .key_decoder import key_of

_PREFIXES = ("\0", "\xe0")
"""First characters of a key that has no character of its own."""

_CODES = {
    "H": "Up", "P": "Down", "M": "Right", "K": "Left", "G": "Home", "O": "End", "S": "Delete",
}  # fmt: skip
"""Names of keys by the character that follows a prefix."""

_TRIAL = " "
"""Character that is pushed back to find out whether the buffer is occupied."""


class ConsolePort(Protocol):
    """The functions of the module `msvcrt` that are used here."""

    def kbhit(self) -> bool:
        """Return whether a key waits in the queue of the console."""
        ...

    def getwch(self) -> str:
        """Return the next character. Wait for a key if there is none."""
        ...

    def ungetwch(self, character: str, /) -> None:
        """Push a character back, for the next `getwch`.

        Args:
            character: The character.

        Raises:
            OSError: A character was pushed back already.
        """
        ...


def waiting_keys(console: ConsolePort) -> Iterator[str]:
    """Return the keys that were pressed since the last call, without waiting.

    Args:
        console: The module `msvcrt`.
    """
    while console.kbhit():
        character = console.getwch()
        if character in _PREFIXES and _has_code(console):
            key = _CODES.get(console.getwch(), "")
        else:
            key = key_of(character)
        if key:
            yield key


def _has_code(console: ConsolePort) -> bool:
    """Return whether the code of a key is in the push-back buffer."""
    try:
        console.ungetwch(_TRIAL)
    except OSError:
        return True
    console.getwch()
    return False
