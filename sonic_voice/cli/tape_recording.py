"""The tape of a conversation (`--record`): checked before anything is opened, written meanwhile.

A tape is completed at every end, also when a second signal ends the process.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..config import SessionConfig
from ..errors import TapeError
from ..recording import Recorder
from ..transport import Transport
from .ending import Ending
from .signals import ending_signals

FORCED_CLOSING_S = 0.2
"""Maximum time to wait for the disk when a second signal ends the process, in seconds."""


def tape_path(path: Path | None) -> Path | None:
    """Return the file of a tape, which is checked before anything is opened.

    Args:
        path: A file that does not exist, or a folder that does; None for no tape.

    Returns:
        The file. In a folder it is named by the time.

    Raises:
        TapeError: The file exists, or its folder does not.
    """
    if path is None:
        return None
    if path.is_dir():
        path /= f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tape"
    if path.exists():
        raise TapeError(
            f"{path} exists, and a tape is never overwritten.", hint="Name another file."
        )
    if not path.parent.is_dir():
        raise TapeError(f"The folder {path.parent} does not exist.", hint="Create it first.")
    return path


@asynccontextmanager
async def tape_recorder(
    path: Path | None,
    transport: Transport,
    config: SessionConfig,
    clock: Callable[[], float],
    end: Ending,
) -> AsyncGenerator[Recorder | None]:
    """Create the tape of the conversation of this block, and complete it at the end.

    Args:
        path: The file; None for no tape.
        transport: Where the streams are opened.
        config: Configuration of the session.
        clock: The clock of the session.
        end: Outputs of the conversation.

    Yields:
        The recorder, which is the transport of the conversation; None without a file.

    Raises:
        TapeError: The file exists, or cannot be created.
    """
    if path is None:
        yield None
        return
    with ending_signals.deferred():
        recorder = Recorder(
            transport,
            path,
            config,
            clock=clock,
            on_notice=lambda text: end.notice(text),
            mask_pii=end.mask_pii,
        )
    with ending_signals.on_forced_exit(lambda: recorder.close(FORCED_CLOSING_S)):
        async with recorder:
            yield recorder
