"""Which engines there are, and what is said about those that are not."""

import functools
import importlib
import importlib.util
import logging
from typing import Any, Literal

from ...errors import ConfigError
from ...extras import install_command

log = logging.getLogger("sonic_voice.emulator")

type Quality = Literal["light", "good", "auto"]
"""`light`: small and quick. `good`: large, or `ConfigError`. `auto`: good where installed."""

LIGHT_EXTRA = "emulator"
"""The extra of this package with the light engines."""
GOOD_EXTRA = "speech"
"""The extra of this package with the good engines."""


def installed(*packages: str) -> bool:
    """Whether all of `packages` could be imported. Imports none."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


def engine(package: str, extra: str) -> Any:
    """The module `package`, imported. By name: none has types, and a check of types must not
    depend on what is installed. Raises `ConfigError` with the command for `extra` if it is not."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        hint = f"Run: {install_command(extra)}"
        raise ConfigError(f"{error.name} is not installed.", hint=hint) from error


@functools.cache
def warn_once(text: str) -> None:
    """Warn of `text` in the log, the first time only."""
    log.warning(text)
