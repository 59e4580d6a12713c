"""Foreign text, made safe for a terminal, a file and JSON.

Foreign is each text that this program did not write: words of the user and the model, names,
arguments and results of tools, messages of servers, names of devices and files, scenarios. It may
contain what a terminal interprets (colours, cursor movements, window titles, links), what turns the
direction of writing round, and halves of surrogate pairs, which no file can hold.

    text ─► pairs of surrogates joined, halves become U+FFFD
         ─► escape sequences removed as a whole (ECMA-48: CSI, OSC, DCS, SOS, PM, APC, and others)
         ─► remaining control characters (C0, DEL, C1) and bidirectional controls removed

No control character is left, so no order of removed and kept parts can form a new sequence.
Characters that an output's encoding lacks are replaced where they are encoded, see `encoded`.
"""

import codecs
import json
import re
from typing import Any, cast

ENCODING_ERRORS = "sonic_voice.replacement"
"""Name of the handler of encoding errors `replacement`, for `open`, `reconfigure` and `encode`."""

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: parameters, intermediates, final character
    # OSC, DCS, SOS, PM and APC: a text up to its terminator, of one line.
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d\x9e\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"  # the other sequences, and the beginning of one that is not complete
)

_CONTROLS = "\x00-\x1f\x7f-\x9f"
"""C0, DEL and C1, for a class of a regular expression."""

_BIDIRECTIONAL = "\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates, which change the direction of writing."""

_REMOVED = re.compile(f"[{_CONTROLS}{_BIDIRECTIONAL}]")

_UNSAFE_IN_JSON = re.compile(f"[\x7f-\x9f{_BIDIRECTIONAL}\u2028\u2029\ud800-\udfff]")
"""Characters that `json.dumps` leaves as they are. It escapes C0 itself."""

_LOOKALIKES = str.maketrans(
    "█▓▒░●•…–—−‐‑‘’‚“”„«»→←↑↓×·─━│┃┌┐└┘├┤┬┴┼╭╮╯╰╷╵╴╶▶◀✓✗",  # what is here and
    "###-**.-----''," + '"""' + '""' + "><^vx.--||+++++++++++++||--><vx",  # what stands for it
)
"""Similar ASCII characters, one for one so that columns stay aligned, for encodings without the
originals."""


def encodable(text: str) -> str:
    """Return a text that UTF-8 can encode: pairs of surrogates are joined, halves become U+FFFD.

    JSON can spell such halves, and Python has them in names of files that are not UTF-8.

    Args:
        text: Any text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def printable(text: str) -> str:
    """Return a foreign text as a part of one line.

    Each white-space character, line ends among them, becomes a space, so that a text cannot imitate
    further lines of the program.

    Args:
        text: Text from any source.
    """
    if text.isprintable():
        return text
    spaced = "".join(" " if c.isspace() else c for c in _without_escapes(text))
    return _REMOVED.sub("", spaced)


def printable_lines(text: str) -> str:
    r"""Return a foreign text with its line ends and tabs. "\r\n" becomes "\n".

    Args:
        text: Text from any source.
    """
    if text.isprintable():
        return text
    lines = _without_escapes(text).replace("\r\n", "\n").split("\n")
    return "\n".join(
        "\t".join(_REMOVED.sub("", part) for part in line.split("\t")) for line in lines
    )


def printable_json(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON in which every text has passed `printable_lines`.

    Args:
        value: A value that JSON can hold.
        indent: See `json.dumps`.
    """
    return exact_json(_printable_value(value), indent=indent)


def exact_json(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON that has no unsafe character and loses nothing: they are escaped.

    It is for recordings of what a program sent, which must stay exact.

    Args:
        value: A value that JSON can hold.
        indent: See `json.dumps`.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def encoded(text: str, encoding: str) -> str:
    """Return a text with the characters that an encoding lacks replaced, see `replacement`.

    Args:
        text: Any text.
        encoding: Name of the encoding.
    """
    return text.encode(encoding, ENCODING_ERRORS).decode(encoding)


def replacement(error: UnicodeError) -> tuple[str, int]:
    """Return what is written for characters that an encoding lacks. A handler for `codecs`.

    Typographic characters and those that boxes are drawn with have an ASCII character that looks
    similar; for others a question mark is written.

    Args:
        error: The error of the encoder.

    Returns:
        The replacement, and the position at which encoding goes on.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end].translate(_LOOKALIKES)
    return "".join(c if c.isascii() else "?" for c in missing), error.end


def _without_escapes(text: str) -> str:
    return _ESCAPE_SEQUENCES.sub("", encodable(text))


def _printable_value(value: object) -> object:
    match value:
        case str():
            return printable_lines(value)
        case dict():
            items = cast(dict[Any, object], value).items()
            return {_printable_value(key): _printable_value(item) for key, item in items}
        case list() | tuple():
            return [_printable_value(item) for item in cast(list[object], value)]
        case _:
            return value


codecs.register_error(ENCODING_ERRORS, replacement)
