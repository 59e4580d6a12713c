"""The small parts: a block's date from the stream's two times, and C's standard error."""

import subprocess
import sys

import pytest

from sonic_voice.devices.port import until_transducer_s

PRINTING = """
import ctypes
from sonic_voice.audio.stderr_silencer import STDERR_SILENCER

c = ctypes.CDLL(None)
stderr = ctypes.c_void_p.in_dll(c, "stderr")
c.fprintf.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
with STDERR_SILENCER:
    with STDERR_SILENCER:
        c.fprintf(stderr, b"inside\\n")
    c.fprintf(stderr, b"still inside\\n")
c.fprintf(stderr, b"outside\\n")
"""


@pytest.mark.parametrize(
    ("now_s", "then_s", "latency_s", "until_s"),
    [
        (100.0, 100.03, 0.02, 0.03),
        (100.0, 99.99, -0.02, -0.01),
        (100.0, 100.0, 0.02, 0.02),  # the first block of some systems
        (0.0, 0.0, 0.02, 0.02),  # a system that knows no times
        (100.0, 0.0, -0.02, -0.02),  # nor that of its input
    ],
)
def test_a_block_is_dated_by_the_stream_or_else_by_its_latency(
    now_s: float, then_s: float, latency_s: float, until_s: float
) -> None:
    assert until_transducer_s(now_s, then_s, latency_s) == pytest.approx(until_s)


@pytest.mark.skipif(sys.platform != "linux", reason="PortAudio prints only there")
def test_c_prints_nothing_within_and_everything_after() -> None:
    run = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "outside\n")
