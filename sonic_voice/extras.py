"""Commands that install extras of this package, as they work for the running installation.

The package is not on an index, so that `pip install 'sonic-voice[emulator]'` would fail for most
users. Installers record the origin of a distribution (`direct_url.json`, PEP 610): a checkout, a
wheel or a repository. The commands here name this origin again, with the extra. If the origin no
longer exists, they name the requirements of the extra, which are on an index.
"""

import functools
import json
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

DISTRIBUTION = "sonic-voice"
"""Name of the distribution, as installers know it."""

_EXTRA_CLAUSE = re.compile(r"""\s*(?:;|\band\b)\s*extra\s*==\s*['"](?P<extra>[\w-]+)['"]\s*$""")


@functools.cache
def install_command(*extras: str) -> str:
    """Return the command that adds extras of this package to the running installation.

    Args:
        extras: Names of extras.
    """
    return f"{pip_install()} {' '.join(map(shlex.quote, _wanted(extras)))}"


def pip_install() -> str:
    """Return the beginning of a command that installs packages for the running interpreter."""
    from shutil import which

    on_path = which("pip")
    if on_path is not None and Path(on_path).parent == Path(sys.executable).parent:
        return "pip install"
    if find_spec("pip") is not None:
        return f"{shlex.quote(sys.executable)} -m pip install"
    return f"uv pip install --python {shlex.quote(sys.executable)}"


def _wanted(extras: tuple[str, ...]) -> list[str]:
    from importlib import metadata  # takes 20 ms to load, and only hints need it

    try:
        found = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # the package runs from its folder
        return source_arguments(_checkout(), extras) or [DISTRIBUTION]
    origin = found.read_text("direct_url.json")
    known = source_arguments(json.loads(origin) if origin else None, extras)
    return known or requirements(found.requires or (), extras)


def _checkout() -> dict[str, Any]:
    folder = Path(__file__).resolve().parents[1]
    return {"url": folder.as_uri(), "dir_info": {"editable": True}}


def source_arguments(
    direct_url: dict[str, Any] | None, extras: tuple[str, ...]
) -> list[str] | None:
    """Return pip's arguments that install this package with extras from its origin.

    Args:
        direct_url: The content of `direct_url.json`; None if it came from an index.
        extras: Names of extras.

    Returns:
        The arguments, or None if the origin is a folder or file that no longer exists.
    """
    wanted = f"[{','.join(extras)}]"
    if direct_url is None:
        return [f"{DISTRIBUTION}{wanted}"]
    url = str(direct_url["url"])
    if "vcs_info" in direct_url:
        vcs = cast("dict[str, str]", direct_url["vcs_info"])
        return [f"{DISTRIBUTION}{wanted} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"]
    parts = urlsplit(url)
    if parts.scheme != "file":
        return [f"{DISTRIBUTION}{wanted} @ {url}"]
    from urllib.request import url2pathname  # takes 30 ms to load, and only hints need it

    path = Path(url2pathname(parts.path))
    if not path.exists():
        return None
    editable = bool(direct_url.get("dir_info", {}).get("editable"))
    return [*(["--editable"] if editable else []), f"{path}{wanted}"]


def requirements(lines: list[str] | tuple[str, ...], extras: tuple[str, ...]) -> list[str]:
    """Return the requirements of extras, as pip's arguments.

    Args:
        lines: The `Requires-Dist` lines of the package metadata.
        extras: Names of extras.
    """
    found: list[str] = []
    for line in lines:
        clause = _EXTRA_CLAUSE.search(line)
        if clause is not None and clause["extra"] in extras:
            found.append(line[: clause.start()].replace("'", '"').strip())
    return found
