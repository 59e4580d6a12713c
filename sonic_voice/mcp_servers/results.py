"""Turn the result of an MCP tool into a JSON object of bounded size for the model.

A result has structured content, or blocks: texts, images, sounds, links and embedded files. The
model gets the structured content, else the texts; what it cannot hear of is named.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

MAX_RESULT_BYTES = 20_000
"""Maximum size of a result, in bytes of JSON: about 5,000 tokens. A spoken answer uses far less,
servers return files of any size, and each later turn pays for what is in the context."""

ERROR_CHARACTERS = 1_000
"""Maximum length of an error for the model, in characters."""


def result_value(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object to send to the model for the result of a call.

    Args:
        result: The result as JSON: `content`, and perhaps `structuredContent` and `isError`.

    Returns:
        The structured content, `{"result": ...}`, or `{"error": ...}`. A result that is too large
        is cut, and its member `note` says so.
    """
    found = result.get("content")
    blocks = cast(Sequence[Any], found) if isinstance(found, list) else ()
    text = "\n".join(filter(None, map(_block_text, blocks)))
    if result.get("isError"):
        return {"error": text[:ERROR_CHARACTERS] or "The tool failed without a message."}
    structured = result.get("structuredContent")
    if structured is None:
        structured = _decoded(text)
    value: dict[str, Any] = (
        cast(dict[str, Any], structured) if isinstance(structured, dict) else {"result": structured}
    )
    return _bounded(value, text)


def _block_text(block: Any) -> str:
    """Return the text of a block, or a description of what is not text."""
    if not isinstance(block, Mapping):
        return ""
    fields = cast(Mapping[str, Any], block)
    match fields.get("type"):
        case "text":
            return str(fields.get("text", ""))
        case "resource":
            found = fields.get("resource")
            file = cast(Mapping[str, Any], found if isinstance(found, Mapping) else {})
            return str(file.get("text") or f"(a file, {file.get('uri', 'without a name')})")
        case "resource_link":
            return f"({fields.get('title') or fields.get('name', 'a file')}, {fields.get('uri')})"
        case "image" | "audio" as kind:
            return f"({'an image' if kind == 'image' else 'a sound'}, {fields.get('mimeType')})"
        case _:
            return ""


def _decoded(text: str) -> Any:
    """Return the object or list that a text contains as JSON, otherwise the text.

    JSON within JSON would have to be escaped, and the model would read the escapes.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _bounded(value: dict[str, Any], text: str) -> dict[str, Any]:
    encoded = json.dumps(value, ensure_ascii=False, default=str)
    size = len(encoded.encode(errors="replace"))
    if size <= MAX_RESULT_BYTES:
        return value
    # The beginning of an object is no JSON any more, so it is sent as text. Half of the size leaves
    # room for the quotes that are escaped in it.
    shown = (text or encoded).encode(errors="replace")[: MAX_RESULT_BYTES // 2]
    note = f"This is the beginning: the result had {size} bytes, which is too large."
    return {"result": shown.decode(errors="ignore"), "note": note}
