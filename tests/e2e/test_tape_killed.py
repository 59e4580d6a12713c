"""A process that is killed while it records leaves a tape with all but the last 200 ms."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sonic_voice.recording import Received, Sent, read_tape

from ..support import tape_killer
from ..support.tape_killer import received_payload, sent_payload

LOST_S = 0.2
"""Maximum time before the kill of which nothing need be in the tape, in seconds."""


def check_killed(folder: Path, count: int, seed: int) -> None:
    command = [sys.executable, tape_killer.__file__, str(folder), str(count), str(seed)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) == count
    lost_s: list[float] = []
    for run in runs:
        tape = read_tape(folder / run["file"])
        assert tape.header.model == "amazon.nova-2-sonic-v1:0"
        assert all("cut off" in damage.reason for damage in tape.damage)
        assert tape.missing <= 10  # of both directions, up to 100 ms lie in a block that is open
        sent = [record.payload for record in tape.records if isinstance(record, Sent)]
        received = [record.payload for record in tape.records if isinstance(record, Received)]
        due = [number for number, at_s in run["reports"] if at_s < run["killed_s"] - LOST_S]
        assert sent == [sent_payload(number) for number in range(len(sent))]
        assert received == [received_payload(number) for number in range(len(received))]
        assert min(len(sent), len(received)) >= len(due)
        last_s = dict(run["reports"]).get(min(len(sent), len(received)) - 1)
        lost_s.append(run["killed_s"] - last_s if last_s is not None else 0.0)
    print(f"lost: {max(lost_s) * 1000:.0f} ms at most in {count} runs")


@pytest.mark.alone
def test_a_killed_process_loses_at_most_200_ms(tmp_path: Path) -> None:
    check_killed(tmp_path, 5, seed=1)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(10))
def test_fifty_killed_processes_lose_at_most_200_ms(tmp_path: Path, seed: int) -> None:
    check_killed(tmp_path, 5, seed=100 + seed)
