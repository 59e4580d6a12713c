"""Text files that users write: prompts, scenarios, tools, settings.

They are UTF-8, with or without a byte order mark (BOM), or what its BOM says: editors on Windows
save UTF-8 and UTF-16 with one. Without a BOM other encodings cannot be told apart, and a guess
would change letters without notice, so that they are refused.
"""

import codecs
from pathlib import Path

from .errors import FileError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Marks at the beginning of a file, and the encodings that they announce."""


def read_text_file(path: Path) -> str:
    """Return the text of a file.

    Args:
        path: The file.

    Raises:
        FileError: The file cannot be read, or is in another encoding; see `decode_text`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"Cannot read {path}: {error.strerror or error}.", hint="Name a text file in UTF-8."
        ) from error
    return decode_text(content, str(path))


def decode_text(content: bytes, name: str) -> str:
    r"""Return the text of a file's content, without a BOM, with "\n" as line ends.

    Args:
        content: The whole content.
        name: Name of the file, for the error.

    Raises:
        FileError: It is in another encoding. The message has the file, the offset of the first
            byte that is wrong, and its line.
    """
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in _BYTE_ORDER_MARKS if content.startswith(mark)),
        (b"", "utf-8"),
    )
    text = content[len(mark) :]
    try:
        decoded = text.decode(encoding)
    except UnicodeDecodeError as error:
        line = text[: error.start].decode(encoding, "ignore").count("\n") + 1
        announced = f"the {encoding.upper()} that its first bytes announce" if mark else "UTF-8"
        raise FileError(
            f"{name} is not text in {announced}: byte 0x{text[error.start]:02x} at offset "
            f"{len(mark) + error.start}, in line {line}.",
            hint="Save it as UTF-8. UTF-16 is read if it begins with a byte order mark (BOM).",
        ) from error
    return decoded.replace("\r\n", "\n").replace("\r", "\n")
