"""The metrics of several processes: sums, and what is left of one that has been killed."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from sonic_voice.bridge.closing import Close
from sonic_voice.bridge.exposition import exposition, remove_process
from sonic_voice.bridge.metrics import BridgeMetrics

metrics = BridgeMetrics()
shared = exposition(metrics, talking=lambda: 3, connected=lambda: 2)
metrics.conversations += 5
metrics.closed[Close.BYE] += 1
metrics.add_response_latency(0.8)
metrics.add_response_latency(9)
shared.write()
metrics.conversations += 1
shared.write()
if sys.argv[1:]:
    print(shared.page().decode())
    remove_process(int(sys.argv[1]))
    print(shared.page().decode())
else:
    import os, signal
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(folder: Path, *arguments: str) -> str:
    """Run the program as a process that writes to the folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    return done.stdout.decode()


def test_counters_of_a_dead_process_are_kept_and_its_gauges_are_not(tmp_path: Path) -> None:
    dead = run(tmp_path).strip()
    both, one = run(tmp_path, dead).split("\n\n")[:2]
    for page in (both, one):
        for line in (
            "sonic_voice_conversations_started_total 12.0",
            'sonic_voice_closed_total{code="1000"} 2.0',
            'sonic_voice_response_latency_seconds_bucket{le="1.0"} 2.0',
            'sonic_voice_response_latency_seconds_bucket{le="+Inf"} 4.0',
            "sonic_voice_response_latency_seconds_count 4.0",
            "sonic_voice_response_latency_seconds_sum 19.6",
        ):
            assert line in page.splitlines()
    assert "sonic_voice_conversations 6.0" in both.splitlines()
    assert "sonic_voice_conversations 3.0" in one.splitlines()
