"""Which engines are installed, and the messages about those that are not."""

import functools
import importlib
import importlib.util
import logging
from typing import Any, Literal

from ...errors import ConfigError
from ...extras import install_command

log = logging.getLogger("sonic_voice.emulator")
"""Logger of the emulator."""

type Quality = Literal["light", "good", "auto"]
"""`light`: small and fast. `good`: large, or `ConfigError`. `auto`: good where it is installed."""

LIGHT_EXTRA = "emulator"
"""Extra of this package that installs the light engines."""
GOOD_EXTRA = "speech"
"""Extra of this package that installs the good engines."""

ENGLISH_ONLY = (
    "The recogniser that is installed knows English only: what is said to a voice of another "
    "language is heard without its words. Typed words are understood. "
    f"For a recogniser that knows the other languages: {install_command(GOOD_EXTRA)}."
)
"""Warning for a conversation in another language."""


def installed(*packages: str) -> bool:
    """Return whether packages can be imported, without importing them.

    Args:
        packages: Names of the packages, all of which must be installed.
    """
    return all(importlib.util.find_spec(package) is not None for package in packages)


def engine(package: str, extra: str) -> Any:
    """Import an engine.

    It is imported by name because no engine has types, and a type check must not depend on what is
    installed.

    Args:
        package: Name of the module.
        extra: The extra of this package that installs it.

    Returns:
        The module.

    Raises:
        ConfigError: The module is missing; the hint is the command that installs `extra`.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        hint = f"Run: {install_command(extra)}"
        raise ConfigError(f"{error.name} is not installed.", hint=hint) from error


@functools.cache
def warn_once(text: str) -> None:
    """Log a warning the first time only.

    Args:
        text: The warning.
    """
    log.warning(text)
