"""Shared parts of the benchmarks: frames with time stamps, processes, and their memory and CPU.

A client process imports this module before it measures its idle memory, so that the module itself
imports nothing that an application would not import.
"""

import asyncio
import math
import os
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sonic_voice.config import AudioFormat

if TYPE_CHECKING:
    from sonic_voice.bedrock import BedrockTransport

ROOT = Path(__file__).resolve().parents[2]
"""The project's root, the working directory of every child process."""

MODEL = "amazon.nova-2-sonic-v1:0"
"""Model id of every session."""

INPUT_FORMAT = AudioFormat(16_000)
"""Format of the user's audio."""

OUTPUT_FORMAT = AudioFormat(24_000)
"""Format of the model's audio."""

FRAME_S = 0.032
"""Length of a frame, in seconds. The service's documentation recommends it: 512 samples, 1,024
bytes at 16 kHz."""

_REPORT_BYTES = 64 * 1024 * 1024
"""Maximum length of a child process's line, in bytes: a report with all latencies of a run."""


# --- frames with time stamps


class Kind(IntEnum):
    """The purpose of a frame."""

    WARM = 0
    """A frame outside of the window, which is not counted."""
    COUNTED = 1
    """A frame inside of the window."""
    OPENED = 2
    """The first frame of a session; its time is that of the call that opened the session."""


class Stamp(NamedTuple):
    """A time stamp at the beginning of a frame's samples.

    `time.monotonic_ns` is the same clock for all processes of a machine.
    """

    kind: int
    number: int
    """Number of the frame in its session and direction, from 0."""
    at_ns: int
    """Time at which the client gave the frame to `send_audio`, or the emulator to the network, in
    nanoseconds."""
    marker_ns: int = 0
    """Time of the interruption before this frame, in nanoseconds; 0 in all but the first frame
    after one."""

    @classmethod
    def of(cls, pcm: bytes) -> Self | None:
        """Return the stamp of a frame; None for other audio, such as silence.

        Args:
            pcm: Samples of at least the length of a stamp.
        """
        magic, *fields = _STAMP.unpack_from(pcm)
        return cls(*fields) if magic == _MAGIC else None

    def frame(self, format: AudioFormat, frame_s: float = FRAME_S) -> bytes:
        """Return a frame of silence that begins with this stamp.

        Args:
            format: Format of the frame.
            frame_s: Length of the frame, in seconds.
        """
        stamp = _STAMP.pack(_MAGIC, *self)
        return stamp + bytes(format.size(frame_s) - len(stamp))


_STAMP = struct.Struct("<4sIIqq")
_MAGIC = b"\x01\x7fSV"


# --- processes


class BenchError(Exception):
    """A process of the benchmark failed; its output is the message."""


@asynccontextmanager
async def child(
    *arguments: str, env: dict[str, str] | None = None, stderr: int | None = None
) -> AsyncGenerator[Process]:
    """Start a Python process in the project's root, and kill it at the end of the block.

    The process has a session of its own, so that Ctrl-C is handled by the parent only.

    Args:
        arguments: Arguments of the interpreter, such as `-m` and the name of a module.
        env: The whole environment; None: the one of this process.
        stderr: `PIPE` to read it; None: the one of this process.
    """
    pipes: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "stderr": stderr}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        **pipes,
        cwd=ROOT,
        env=env,
        limit=_REPORT_BYTES,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def read_line(process: Process) -> bytes:
    """Wait for a line of a process's output.

    Args:
        process: A process that `child` started.

    Raises:
        BenchError: The process has ended.
    """
    assert process.stdout is not None
    if line := await process.stdout.readline():
        return line
    raise BenchError("A process failed; its error messages are above.")


def client_environment(variables: dict[str, str]) -> dict[str, str]:
    """Return an environment without the AWS settings of the developer.

    Args:
        variables: Variables to add, such as those of an emulator.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return own | nothing | variables


@asynccontextmanager
async def served(
    module: str, *arguments: str
) -> AsyncGenerator[tuple["BedrockTransport", Process]]:
    """Start an emulator in a child process, and yield a transport to it and the process.

    The process ends when its input is closed at the end of the block.

    Args:
        module: Name of the module to run with `--serve`, which prints its endpoint and CA file.
        arguments: Further arguments.
    """
    from sonic_voice.bedrock import BedrockTransport
    from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION

    server: Process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "--serve", *arguments), stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        endpoint, ca_file = (await server.stdout.readline()).decode().split()
        transport = BedrockTransport(
            region=LOCAL_REGION,
            endpoint=endpoint,
            ca_file=ca_file,
            access_key=LOCAL_KEYS.access_key,
            secret_key=LOCAL_KEYS.secret_key,
        )
        try:
            yield transport, server
        finally:
            await transport.aclose()
    finally:
        server.stdin.close()
        await server.wait()


# --- figures


def percentile_ms(values_ns: Sequence[int], percent: float) -> float:
    """Return a percentile by nearest rank, in milliseconds; NaN without values.

    Args:
        values_ns: Times in nanoseconds, in any order.
        percent: The percentile, from 0 to 100.
    """
    values = sorted(values_ns)
    return values[math.ceil(len(values) * percent / 100) - 1] / 1e6 if values else math.nan


def resident_bytes(pid: int | str = "self") -> int:
    """Return the resident memory of a process, in bytes.

    Args:
        pid: The process's id; `self` for this process.

    Raises:
        OSError: There is no such process, or the system has no `/proc`.
    """
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """Return the CPU time of all threads of a process, in seconds.

    Args:
        pid: The process's id.

    Raises:
        OSError: There is no such process, or the system has no `/proc`.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
