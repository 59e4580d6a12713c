"""A live conversation in a terminal: what is drawn (`screen`) and what the keys do (`keys`)."""

from .screen import Screen, screen, suits

__all__ = ["Screen", "screen", "suits"]
