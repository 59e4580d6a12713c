"""A live conversation in a terminal: what is drawn (`screen`) and what the keys do (`keys`)."""

from .restoring import restorer
from .screen import Screen, screen, suits

__all__ = ["Screen", "restorer", "screen", "suits"]
