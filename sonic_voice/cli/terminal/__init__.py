"""A live conversation in a terminal: the display (`screen`) and the keyboard (`keys`)."""

from .restoring import restorer
from .screen import Screen, can_draw_on, screen

__all__ = ["Screen", "can_draw_on", "restorer", "screen"]
