"""Soak test: many conversations for a long time under seeded faults, with a ledger.

The users say numbered words, the emulator's brain answers each word with another, and a tool is
called now and then (`tests.support.ledger`). The service's time runs faster than the clock
(`--speed`), and a stream lives for eight minutes of it. `--chaos SEED` mixes faults into the
streams; the seed is printed, and repeats the run.

    scripts/bench/run soak --conversations 20 --minutes 30 --chaos 1 2 3
    scripts/bench/run soak --conversations 1 --minutes 60                    # renewals only
    scripts/bench/run soak --conversations 1 --minutes 10 --speed 1 --life 60

Printed are, for each seed: words that were lost or heard twice, answers that did not reach the
sink, tool calls without exactly one result, false interruptions, gaps in an answer at a switch, and
the growth of memory, tasks, threads and descriptors of the client's process after the warm-up. The
exit code is 0 if the ledger is clean and the targets are met, 1 if not.
"""

import argparse
import asyncio
import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

from scripts.bench.common import percentile_ms, resident_bytes, served
from sonic_voice import (
    NullSink,
    RecoveryPolicy,
    Session,
    SessionConfig,
    SonicError,
    Toolbox,
    converse,
    tool,
)
from sonic_voice.emulator.assembly import sonic_service
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.faults.chaos import ChaosProfile
from sonic_voice.emulator.server import Emulator
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.transport import Transport
from tests.support.ledger import (
    Ledger,
    LedgerBrain,
    LedgerUser,
    LevelDetector,
    ToneRecognizer,
    speak,
)

MOST_KB_PER_MINUTE = 50.0
"""Target: maximum growth of memory after the warm-up, in kB per minute of a conversation. Its
transcript grows by 8 kB: ten turns of 0.8 kB."""
MOST_GAP_MS = 60.0
"""Target: 99th percentile of the gaps in an answer at a planned switch, in ms."""
WARM_UP_SHARE = 0.3
"""Share of the run after which growth is measured."""
SAMPLE_S = 1.0
"""Interval between two measurements of the process, in seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of the client's process at one moment."""

    at_s: float
    resident: int
    """Resident memory, in bytes."""
    tasks: int
    threads: int
    descriptors: int


@tool
async def look_up(words: str) -> dict[str, str]:
    """Look up words."""
    await asyncio.sleep(0.02)
    return {"words": words}


# -- the emulator's process


async def serve(options: argparse.Namespace) -> None:
    """Serve the emulator with the ledger's brain until the input is closed."""
    timeouts = StreamTimeouts(life_s=options.life, stall_s=0.25 / options.speed)
    behaviour = Behaviour(timeouts=timeouts, life_clock="audio", chaos=options.profile)
    factory = sonic_service(
        LedgerBrain(), ToneRecognizer, behaviour=behaviour, detector_factory=new_detector
    )
    engines = Engines(speak, ToneRecognizer)
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()
    async with Emulator(factory, behaviour=behaviour, engines=engines) as emulator:
        print(emulator.endpoint, emulator.ca_file, flush=True)
        loop.add_reader(sys.stdin.fileno(), closed.set)
        await closed.wait()


def new_detector(rate_hz: int) -> LevelDetector:
    """Return a detector for one stream."""
    return LevelDetector()


# -- the client's process


async def hold(transport: Transport, options: argparse.Namespace, seed: int) -> Ledger:
    """Hold one conversation and return its ledger."""
    toolbox = Toolbox([look_up])
    config = SessionConfig(
        tools=toolbox.specs,
        stream_s=options.life,
        recovery=RecoveryPolicy(
            first_wait_s=0.5 / options.speed, longest_wait_s=4.0 / options.speed, outages=1000
        ),
    )
    user = LedgerUser(
        config.input,
        config.output.rate_hz,
        speed=options.speed,
        seconds=60 * options.minutes,
        seed=seed,
        settled=lambda: session.settled and sink.pending_s <= 0,
    )
    session = Session.open(config, transport, clock=user.now, early_audio=True)
    sink = NullSink(config.output, now=user.now)
    try:
        async with session:
            await converse(session, user, sink, toolbox, [user.observe])
    except SonicError as error:
        user.ledger.error = str(error)
    await user.aclose()
    return user.ledger


async def run(options: argparse.Namespace, seed: int | None) -> bool:
    """Run the conversations under one seed, print the ledger, and return whether it is clean."""
    arguments = ["--life", str(options.life), "--speed", str(options.speed)]
    if seed is not None:
        arguments += ["--seed", str(seed)]
    samples: list[Sample] = []
    began_s = time.monotonic()
    async with served("scripts.bench.soak", *arguments) as (transport, _):
        watch = asyncio.create_task(_watch(samples, began_s, 60 * options.minutes / options.speed))
        base = 1000 * (seed or 0)
        ledgers = await asyncio.gather(
            *(hold(transport, options, base + n) for n in range(options.conversations))
        )
        watch.cancel()
    wall_s = time.monotonic() - began_s
    name = "without faults" if seed is None else f"chaos seed {seed}"
    print(
        f"\n{options.conversations} conversations of {options.minutes:g} min, streams of "
        f"{options.life:g} s, {name}: {wall_s:.0f} s at {options.speed:g} times real time"
    )
    return _report(ledgers, samples, options.conversations * options.speed)


async def _watch(samples: list[Sample], began_s: float, expected_s: float) -> None:
    """Measure the process every second, once it has warmed up."""
    while True:
        await asyncio.sleep(SAMPLE_S)
        now_s = time.monotonic() - began_s
        if now_s >= WARM_UP_SHARE * expected_s:
            gc.collect()
            samples.append(
                Sample(
                    now_s,
                    resident_bytes(),
                    len(asyncio.all_tasks()),
                    threading.active_count(),
                    _descriptors(),
                )
            )


def _descriptors() -> int:
    """Return the number of open file descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _report(ledgers: Sequence[Ledger], samples: Sequence[Sample], pace: float) -> bool:
    """Print the figures, and return whether all targets are met.

    Args:
        ledgers: The ledger of each conversation.
        samples: The resources of the process.
        pace: Minutes of conversation in a minute of the clock.
    """
    counts = {
        "words lost": sum(len(ledger.lost) for ledger in ledgers),
        "words heard twice or out of order": sum(len(ledger.doubled) for ledger in ledgers),
        "answers that did not reach the sink": sum(len(ledger.missing) for ledger in ledgers),
        "tool calls without exactly one result": sum(
            len(ledger.wrong_results) for ledger in ledgers
        ),
        "false interruptions": sum(ledger.false_interruptions for ledger in ledgers),
        "utterances without an answer": sum(ledger.unanswered for ledger in ledgers),
        "conversations that ended with an error": sum(bool(ledger.error) for ledger in ledgers),
    }
    said = sum(ledger.said for ledger in ledgers)
    calls = sum(ledger.calls for ledger in ledgers)
    planned = sum(len(ledger.planned) for ledger in ledgers)
    faults = sum(len(ledger.faults) for ledger in ledgers)
    interrupted = sum(ledger.interrupted for ledger in ledgers)
    print(
        f"  {said} words said, {interrupted} answers interrupted by the user, {calls} tool calls, "
        f"{planned} planned renewals, {faults} recoveries"
    )
    for what, count in counts.items():
        print(f"  {what:40} {count}{'' if count == 0 else '   NOT MET'}")
    gaps_ns = [int(1e6 * gap) for ledger in ledgers for gap in ledger.gaps_ms]
    gap_ms = percentile_ms(gaps_ns, 99)
    gap_ok = not planned or bool(faults) or not gap_ms >= MOST_GAP_MS
    print(
        f"  gap in an answer near a switch, p99      {gap_ms:.0f} ms of {len(gaps_ns)} pieces"
        f"{'' if gap_ok else '   NOT MET'}"
    )
    for ledger in ledgers:
        if ledger.error:
            print(f"    ended: {ledger.error}")
    kinds = Counter(reason[:70] for ledger in ledgers for reason in ledger.faults)
    for reason, count in kinds.most_common():
        print(f"    {count:4} x {reason}")
    return _flat(samples, pace) and gap_ok and not any(counts.values())


def _flat(samples: Sequence[Sample], pace: float) -> bool:
    """Print the growth of the process, and return whether there is none."""
    if len(samples) < 10:
        print("  too short to measure growth")
        return True
    minutes = [sample.at_s / 60 for sample in samples]
    slope = linear_regression(minutes, [sample.resident / 1000 for sample in samples]).slope / pace
    print(
        f"  memory                                   {slope:+.1f} kB per minute of a conversation"
    )
    flat = slope < MOST_KB_PER_MINUTE
    quarter = max(1, len(samples) // 4)
    for what in ("tasks", "threads", "descriptors"):
        early = max(getattr(sample, what) for sample in samples[:quarter])
        late = max(getattr(sample, what) for sample in samples[-quarter:])
        print(f"  {what:40} {early} early, {late} late")
        flat = flat and late <= 1.2 * early + 3
    return flat


def main() -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=20, help="conversations at a time")
    parser.add_argument("--minutes", type=float, default=30, help="service time of each, minutes")
    parser.add_argument("--life", type=float, default=480, help="life of a stream, in seconds")
    parser.add_argument("--speed", type=float, default=4, help="multiple of real time")
    parser.add_argument("--chaos", type=int, nargs="*", default=[], help="seeds of the faults")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        options.profile = None if options.seed is None else ChaosProfile(options.seed)
        asyncio.run(serve(options))
        return 0
    clean = [asyncio.run(run(options, seed)) for seed in options.chaos or [None]]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
