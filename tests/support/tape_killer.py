"""Records in processes that are killed, one after the other: `tape_killer.py FOLDER COUNT SEED`.

Each child holds both sides of a conversation over a `MemoryTransport`, in real time, and reports
each record once it was handed to the recorder. The parent kills it at a random moment and prints a
JSON line with the file and the number of records that were reported, and when.
"""

import asyncio
import json
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

from sonic_voice.config import SessionConfig
from sonic_voice.recording import Recorder
from sonic_voice.transport import MemoryTransport
from sonic_voice.wire import AudioInput, AudioOutput, Ids, encode_input, encode_output

CHUNK_S = 0.02
REPORT = struct.Struct("<Id")
"""Number of a chunk, and the time at which it was handed over."""


def sent_payload(number: int) -> bytes:
    """Return the chunk of the user's sound with a number, which no other one has."""
    return encode_input(AudioInput("prompt", "content", random.Random(number).randbytes(640)))


def received_payload(number: int) -> bytes:
    """Return the chunk of the answer with a number."""
    pcm = random.Random(f"answer {number}").randbytes(960)
    return encode_output(AudioOutput(Ids("s", "p", "c"), f"block-{number // 40}", pcm))


async def hold(path: Path, report: int) -> None:
    """Record until the process is killed."""
    transport = MemoryTransport()
    recorder = Recorder(transport, path, SessionConfig())
    stream = await recorder.open("model")
    began_s, number = time.monotonic(), 0
    while True:
        await stream.send(sent_payload(number))
        transport.streams[0].deliver(received_payload(number))
        await stream.receive()
        os.write(report, REPORT.pack(number, time.monotonic()))
        number += 1
        await asyncio.sleep(max(0.0, began_s + number * CHUNK_S - time.monotonic()))


def kill_one(path: Path, after_s: float) -> dict[str, object]:
    """Return what a child had handed over when it was killed, and the times of that."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        asyncio.run(hold(path, theirs))
        os._exit(0)
    os.close(theirs)
    first = os.read(ours, REPORT.size)  # it has begun
    time.sleep(after_s)
    killed_s = time.monotonic()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    data = first
    while part := os.read(ours, 65536):
        data += part
    os.close(ours)
    reports = list(REPORT.iter_unpack(data[: len(data) // REPORT.size * REPORT.size]))
    return {"file": path.name, "killed_s": killed_s, "reports": reports}


def main() -> None:
    """Kill the children, and print what each had recorded."""
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    for number in range(count):
        after_s = chance.uniform(0.0, 1.2)
        print(json.dumps(kill_one(folder / f"{number}.tape", after_s)), flush=True)


if __name__ == "__main__":
    main()
