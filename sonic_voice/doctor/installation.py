"""Check that Python and the required packages have the versions that this package requires.

Each release of the SDK renames parts of its API. It is therefore pinned, and it pins its own parts.
`pip` follows these pins when it installs this package, but installing another package later may
replace a version.
"""

import platform
import re
from collections.abc import AsyncIterator, Iterator
from importlib import metadata

from ..extras import DISTRIBUTION, pip_install
from .finding import Finding
from .options import Options

_SDK = ("aws-sdk-", "smithy-")
"""Prefixes of the names of the SDK's packages, whose own requirements are checked too."""

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(\[(?P<extras>[^]]*)\])?\s*(?P<versions>[^;]*)(;\s*(?P<marker>.*))?"
)
_EXTRA = re.compile(r"""extra == ['"]([^'"]+)['"]""")
_CLAUSE = re.compile(r"(?P<sign>[<>=!~]=|<|>)\s*(?P<version>[\w.*]+)")


async def check_installation(options: Options) -> AsyncIterator[Finding]:
    """Check the versions of Python, of the SDK and of the other required packages.

    Args:
        options: The conversation to check for; it makes no difference here.

    Yields:
        One finding named `Python`, and one or more named `packages`.
    """
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.system()}")
    try:
        found = list(_unmet_requirements(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        text = (
            "sonic-voice runs from a folder without being installed: its packages are not checked."
        )
        yield Finding("packages", "warning", text, "Run in that folder: pip install -e .")
        return
    for name, version, wanted in found:
        is_or_not = f"is {version}" if version else "is not installed"
        yield Finding(
            "packages",
            "failure",
            f"{name} {is_or_not}; {wanted or 'it'} is needed.",
            f"Run: {pip_install()} --upgrade '{name}{wanted}'",
        )
    if not found:
        sdk = metadata.version("aws-sdk-bedrock-runtime")
        yield Finding(
            "packages", "ok", f"the required versions are installed; the AWS SDK is {sdk}"
        )


def _unmet_requirements(
    package: str, extras: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, str]]:
    """Yield each requirement of a package that is not met, those of the SDK's parts included.

    Yields:
        The name, the installed version (empty if it is not installed) and the required versions.
    """
    for line in metadata.requires(package) or ():
        parts = _REQUIREMENT.fullmatch(line)
        if parts is None or not _applies(parts["marker"] or "", extras):
            continue
        name, wanted = parts["name"], (parts["versions"] or "").strip()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "", wanted
            continue
        if not satisfies(version, wanted):
            yield name, version, wanted
        elif name.startswith(_SDK):
            names = (parts["extras"] or "").split(",")
            yield from _unmet_requirements(name, frozenset(extra.strip() for extra in names))


def _applies(marker: str, extras: frozenset[str]) -> bool:
    """Return whether a requirement applies. Only markers about extras are understood: none of our
    requirements depends on the system."""
    extra = _EXTRA.fullmatch(marker.strip())
    return not marker or (extra is not None and extra[1] in extras)


def satisfies(version: str, wanted: str) -> bool:
    """Return whether a version satisfies a specifier.

    Only the leading numbers of the version are compared: `1.2rc1` counts as `1.2`, which is exact
    enough to recognise an old version.

    Args:
        version: The installed version.
        wanted: A specifier such as `>=0.12,<0.13`.
    """
    return all(
        _satisfies_clause(_numbers(version), clause["sign"], clause["version"])
        for clause in _CLAUSE.finditer(wanted)
    )


def _satisfies_clause(version: list[int], sign: str, limit: str) -> bool:
    numbers = _numbers(limit)
    length = max(len(version), len(numbers))
    ours, theirs = _padded(version, length), _padded(numbers, length)
    match sign:
        case ">=":
            return ours >= theirs
        case "<=":
            return ours <= theirs
        case ">":
            return ours > theirs
        case "<":
            return ours < theirs
        case "~=":
            return ours >= theirs and ours[: len(numbers) - 1] == numbers[:-1]
        case _:
            same = ours[: len(numbers)] == numbers if "*" in limit else ours == theirs
            return same == (sign == "==")


def _numbers(version: str) -> list[int]:
    leading = re.match(r"\d+(\.\d+)*", version)
    return [int(number) for number in leading[0].split(".")] if leading else [0]


def _padded(numbers: list[int], length: int) -> list[int]:
    return numbers + [0] * (length - len(numbers))
