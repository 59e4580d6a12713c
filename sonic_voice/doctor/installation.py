"""Python and the packages beneath: are they the ones that this package was made for?

The SDK renames things in every release, and so is pinned, as it pins its own parts. `pip` keeps to
that when it installs; whoever adds something else later may well push a version aside.
"""

import platform
import re
from collections.abc import AsyncIterator, Iterator
from importlib import metadata

from ..extras import DISTRIBUTION, pip_install
from .finding import Finding
from .options import Options

_SDK = ("aws-sdk-", "smithy-")

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(\[(?P<extras>[^]]*)\])?\s*(?P<versions>[^;]*)(;\s*(?P<marker>.*))?"
)
_EXTRA = re.compile(r"""extra == ['"]([^'"]+)['"]""")
_CLAUSE = re.compile(r"(?P<sign>[<>=!~]=|<|>)\s*(?P<version>[\w.*]+)")


async def check_installation(options: Options) -> AsyncIterator[Finding]:
    """The versions of Python, of the SDK and of what else must be there."""
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.system()}")
    try:
        found = list(_unmet_requirements(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        text = "sonic-voice runs from its folder: what it needs is written where it is installed."
        yield Finding("packages", "warning", text, "Run there: pip install -e .")
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
        yield Finding("packages", "ok", f"as they should be; the AWS SDK is {sdk}")


def _unmet_requirements(
    package: str, extras: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, str]]:
    """Name, version and wish of each requirement that is not met, the SDK's own included."""
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
            wished = (parts["extras"] or "").split(",")
            yield from _unmet_requirements(name, frozenset(extra.strip() for extra in wished))


def _applies(marker: str, extras: frozenset[str]) -> bool:
    """Whether a requirement with `marker` is one. None of ours is for some systems alone."""
    extra = _EXTRA.fullmatch(marker.strip())
    return not marker or (extra is not None and extra[1] in extras)


def satisfies(version: str, wanted: str) -> bool:
    """Whether `version` is within `wanted`, such as `>=0.12,<0.13`. By numbers: of `1.2rc1` the
    `1.2` counts, which is near enough to tell an old one."""
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
