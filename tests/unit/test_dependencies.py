"""Every third-party package that the code imports is declared, not only brought by another one."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from .test_layers import PACKAGES

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]


def declared() -> set[str]:
    """Return the names of all requirements of the package and of its extras, normalised."""
    extras = PROJECT["optional-dependencies"]
    requirements = [*PROJECT["dependencies"], *(r for extra in extras.values() for r in extra)]
    return {normalised(re.split(r"[ \[<>=!~;]", requirement)[0]) for requirement in requirements}


def normalised(name: str) -> str:
    """Return a distribution's name in the form in which indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_declared() -> None:
    installed = packages_distributions()
    undeclared = [
        module
        for module in PACKAGES
        if not {normalised(name) for name in installed.get(module, [module])} & declared()
    ]
    assert undeclared == []
