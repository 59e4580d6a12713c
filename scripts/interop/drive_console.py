# pyright: basic, reportMissingImports=false
"""AWS's console sample in Python: `nova_sonic_tool_use.py`, as it is in the clone of AWS's samples.

It runs as its own program, with `virtual_pyaudio` in place of PyAudio, and what it prints is
reported. `--check` only imports it, which fails with a version of the SDK that it is not made for.
"""

import builtins
import io
import os
import runpy
import sys
from pathlib import Path

import virtual_pyaudio
from driver import report, report_versions

SAMPLE = Path(os.environ["INTEROP_SAMPLE"]) / "nova_sonic_tool_use.py"


class Output(io.TextIOBase):
    """The standard output of the sample, whose lines are reported."""

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._report(line)
        return len(text)

    def _report(self, line: str) -> None:
        print(line, file=sys.stderr)
        if line.startswith("User: "):
            report(user=line.removeprefix("User: "))
        elif line.startswith("Assistant: "):
            report(assistant=line.removeprefix("Assistant: "))
        elif "Barge-in detected" in line:
            report(interrupted=True)
        elif "Tool use detected: " in line:
            _, called = line.split("Tool use detected: ")
            report(tool=called.split(",")[0], arguments={})


sys.modules["pyaudio"] = virtual_pyaudio
if sys.argv[1:] == ["--check"]:
    runpy.run_path(str(SAMPLE), run_name="sample")
else:
    report_versions(sample=os.environ["INTEROP_SAMPLES_VERSION"])
    builtins.input = virtual_pyaudio.converse
    sys.argv = [str(SAMPLE), "--debug"]
    sys.stdout = Output()
    runpy.run_path(str(SAMPLE), run_name="__main__")
