"""A live conversation in a terminal: what is drawn (`screen`) and what the keys do (`keys`)."""

from .restoring import restorer
from .screen import Screen, can_draw_on, screen

__all__ = ["Screen", "can_draw_on", "restorer", "screen"]
