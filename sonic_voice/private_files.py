"""Files that only their owner can read, written completely or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once, with permissions for its owner only. A missing folder is created.

    A reader sees the old content or the new one, also after a crash during the writing. This
    blocks for as long as the disk needs.

    Args:
        path: The file.
        content: Its new content.

    Raises:
        OSError: The file cannot be written. The old one is unchanged.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The file is created with mode 0600, under a name that no other writer has.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
