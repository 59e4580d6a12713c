"""Building blocks of a page: escaped text, elements, times, and positions on the axis."""

from html import escape

from ..printable import printable_lines

type Attribute = str | int | float | bool | None
"""Value of an attribute. True writes its name alone, None and False nothing."""


def safe(text: str) -> str:
    """Return a foreign text for the content of an element or a quoted attribute.

    Control characters are removed, and `<`, `>`, `&` and quotes are escaped.

    Args:
        text: Text from any source.
    """
    return escape(printable_lines(text), quote=True)


def element(name: str, *content: str, **attributes: Attribute) -> str:
    """Return an element.

    Args:
        name: Its name.
        content: Its content: markup, in which foreign text must have passed `safe`.
        attributes: Its attributes, which are escaped. `_` in a name becomes `-`, and one at the end
            is left out, so that `class_` can be written.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    return f"<{name}{written}>{''.join(content)}</{name}>"


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:.5g}" if isinstance(value, float) else safe(str(value))
    return f' {name}="{text}"'


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, `1:05`, with hours from one hour on.

    Args:
        seconds: The time, in seconds.
    """
    minutes, whole = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"


def percent(value: float, of: float) -> str:
    """Return a share in percent for an attribute, between 0 and 100.

    Args:
        value: The part.
        of: The whole; 0 gives 0 %.
    """
    share = min(max(value / of, 0.0), 1.0) if of else 0.0
    return f"{100 * share:.3f}".rstrip("0").rstrip(".") + "%"
