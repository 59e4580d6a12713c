"""Which engines there are, and what is said about those that are not."""

import functools
import importlib.util
import logging
from typing import Literal

log = logging.getLogger("sonic_voice.emulator")

type Quality = Literal["light", "good", "auto"]
"""`light`: small and quick. `good`: large, or `ConfigError`. `auto`: good where installed."""

LIGHT_EXTRA = "pip install 'sonic-voice[emulator]'"
GOOD_EXTRA = "pip install 'sonic-voice[speech]'"


def installed(*packages: str) -> bool:
    """Whether all of `packages` could be imported. Imports none."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


@functools.cache
def say_once(text: str) -> None:
    """Warn of `text` in the log, the first time only."""
    log.warning(text)
