"""Pictures that a tool shows to the user: which ones can be shown. Pure.

The type of a picture is found in its first bytes, never taken from a name: what reaches a page is
of a format that browsers show, and runs nothing.
"""

from .printable import encodable

MAX_PICTURE_BYTES = 4 * 1024 * 1024
"""Maximum size of a picture, in bytes. One of 1,024 by 1,024 pixels without any compression has as
many; as PNG it has 1 to 2 MB."""

ALT_CHARACTERS = 1_000
"""Maximum length of the words that stand for a picture, in characters; more are cut."""

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"


def media_type(data: bytes) -> str:
    """Return the media type of a picture; empty if it is none that browsers show.

    Args:
        data: The file: PNG, JPEG or WebP.
    """
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(_JPEG):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return ""


def checked_picture(data: bytes, alt: str) -> tuple[str, str]:
    """Return the media type of a picture, and the words that stand for it.

    Args:
        data: The file: PNG, JPEG or WebP.
        alt: What it shows, in words.

    Raises:
        ValueError: It is too large, of another format, or has no words.
    """
    kind, words = media_type(data), encodable(" ".join(alt.split())[:ALT_CHARACTERS])
    if not kind:
        raise ValueError("a picture is a PNG, JPEG or WebP file")
    if len(data) > MAX_PICTURE_BYTES:
        raise ValueError(f"the picture has {len(data)} bytes, {MAX_PICTURE_BYTES} are the limit")
    if not words:
        raise ValueError("a picture needs words for those who cannot see it")
    return kind, words
