"""Load the Python file of `--tools` as a module and collect its `@tool` functions.

The file becomes a module of its own name, registered in `sys.modules`, so that dataclasses, pickle
and `typing.get_type_hints` find it. It is not `__main__`.

While it runs, its folder is first on `sys.path`, as that of a script is, so that it can import the
modules beside it. Then the folder is moved to the end of the path: an import inside a tool still
works, and a file in the folder cannot shadow an installed module of the same name.
"""

import re
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tokenize import detect_encoding
from types import ModuleType
from typing import Any, cast

from ..errors import ConfigError, FileError, SonicError
from ..text_files import decode_text
from ..tools.toolbox import Tool, Toolbox


def load_tools(path: Path | None) -> Toolbox:
    """Run a Python file and return its tools, including those that it imports.

    Args:
        path: The file; None for no tools.

    Raises:
        FileError: The file cannot be read, fails, or has no tools.
    """
    if path is None:
        return Toolbox()
    try:
        source = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"Cannot read {path}: {error.strerror}.", hint="Name a Python file."
        ) from error
    path = path.absolute()
    module = _new_module(path)
    sys.modules[module.__name__] = module
    try:
        with _imports_from(path.parent):
            exec(compile(_text_of(source, path), path, "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        del sys.modules[module.__name__]
        if isinstance(error, ConfigError):  # a tool is impossible; `lint` looks for its line
            same = FileError(error.message, hint=error.hint)
            raise same.with_traceback(error.__traceback__) from error
        if isinstance(error, SonicError) or not isinstance(error, Exception | SystemExit):
            raise
        raise _explain_failure(path, error) from error
    found: list[Tool[..., Any]] = []
    for value in vars(module).values():
        # A tool may have a second name in the module.
        if isinstance(value, Tool) and value not in found:
            found.append(cast(Any, value))
    if not found:
        raise FileError(f"{path.name} has no tools.", hint="Decorate functions with @tool.")
    return Toolbox(found)


def _text_of(source: bytes, path: Path) -> str | bytes:
    """Return the text of a file, or its bytes if a comment declares another encoding (PEP 263).

    Raises:
        FileError: It is not in the encoding that it should be in.
    """
    declared = "utf-8"
    with suppress(SyntaxError):  # the first lines are not UTF-8, or begin with the BOM of UTF-16
        declared, _ = detect_encoding(BytesIO(source).readline)
    return decode_text(source, str(path)) if declared.startswith("utf-8") else source


def _new_module(path: Path) -> ModuleType:
    """Return an empty module for the file.

    It has the name of the file, or one that begins with `tools_file_` if another module has that.
    """
    name = path.stem
    if not name.isidentifier() or name in sys.modules or _is_taken(name, path):
        name = re.sub(r"\W", "_", f"tools_file_{name}")
        while name in sys.modules:
            name += "_"
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__spec__ = ModuleSpec(name, None, origin=str(path))
    return module


def _is_taken(name: str, path: Path) -> bool:
    found = find_spec(name)
    return found is not None and found.origin != str(path)


@contextmanager
def _imports_from(folder: Path) -> Generator[None]:
    """Put a folder first on `sys.path`, and move it to the end after the block."""
    entry = str(folder)
    if entry in sys.path:
        yield
        return
    sys.path.insert(0, entry)
    try:
        yield
    except BaseException:
        sys.path.remove(entry)
        raise
    if entry in sys.path:  # the file may have removed it
        sys.path.remove(entry)
    sys.path.append(entry)


def _explain_failure(path: Path, error: BaseException) -> FileError:
    """Return the error for an exception that the file raised, with the next step as its hint."""
    if isinstance(error, ImportError) and "relative import" in str(error):
        return FileError(
            f"{path.name} has a relative import, which only a module of a package can have.",
            hint="Name the module without the dot: modules beside the file are found.",
        )
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        top = error.name.partition(".")[0]
        if PathFinder.find_spec(top, [str(path.parent)]) is None:
            return FileError(
                f"{path.name} needs the module {error.name}, which cannot be found.",
                hint=f"Install it with pip, or put {top}.py beside {path.name}.",
            )
    if isinstance(error, SystemExit):
        return FileError(
            f"{path.name} exits when it is run.",
            hint='Put code for the command line below `if __name__ == "__main__":`.',
        )
    return FileError(
        f"{path.name} fails when it is run: {type(error).__name__}: {error}.",
        hint="--debug shows where.",
    )
