"""Benchmark of guards: how much later sound comes, and what the gate costs the processor.

The same conversation is held with the emulator on virtual time, in pairs without and with a guard
that answers after a given time. Each chunk of sound is compared with its twin: on virtual time
their difference is what the guard has added, whatever else the machine does.

    scripts/bench/run guard [--pairs N]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sonic_voice.audio.ports import NullSink
from sonic_voice.audio.wav import WavSource
from sonic_voice.config import SessionConfig
from sonic_voice.conversation import converse
from sonic_voice.events import AssistantText, Audio, Event
from sonic_voice.guards.actions import StartCheck
from sonic_voice.guards.gate import Gate
from sonic_voice.guards.verdicts import PASSED, GuardSettings, Role, Verdict
from sonic_voice.session import Session
from sonic_voice.virtual_service import VirtualService
from sonic_voice.virtual_time import VirtualTimeLoop

SPEECH = Path(__file__).resolve().parents[2] / "tests" / "speech" / "hello.wav"
"""The words of the user."""

SENTENCES = 6
"""Number of sentences of the answer."""

SCENARIO = f"""
name: answer
steps:
  - user: hello
    say: {[f"This is sentence number {number} of a long answer." for number in range(SENTENCES)]}
"""

VERDICTS_AFTER_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Times that the guards take for a verdict, in seconds."""

EVENTS = 200_000
"""Number of chunks of sound with which the gate alone is timed."""


@dataclass(frozen=True, slots=True)
class Held:
    """A conversation that was held."""

    texts_s: list[float]
    """Times of the sentences' texts, in seconds of virtual time."""
    sounds_s: list[float]
    """Times of the chunks of sound."""
    blocks: list[int]
    """Number of the block of sound of each chunk."""
    processor_s: float
    """Processor time that the conversation took, with its emulator."""


def hold(folder: Path, guard: GuardSettings | None) -> Held:
    """Hold the conversation.

    Args:
        folder: Folder of the scenario.
        guard: The guard; None for no guard.
    """
    events: list[tuple[float, Event]] = []

    async def run() -> None:
        loop, config = asyncio.get_running_loop(), SessionConfig()
        async with VirtualService(folder / "scenario.yaml") as transport:
            source = WavSource(SPEECH)
            session = Session.open(config, transport, clock=source.now)
            async with source, session:
                sink = NullSink(config.output, now=source.now)

                def keep(event: Event, now: float) -> None:
                    events.append((loop.time(), event))

                await converse(session, source, sink, None, [keep], guard=guard)

    began_s = time.process_time()
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())
    took_s = time.process_time() - began_s
    planned = [at for at, e in events if isinstance(e, AssistantText) and e.stage == "SPECULATIVE"]
    sounds = [(at, e) for at, e in events if isinstance(e, Audio)]
    return Held(planned, [at for at, _ in sounds], [e.sound_block for _, e in sounds], took_s)


def guard_after(seconds: float) -> GuardSettings:
    """Return a guard that finds nothing, after some time.

    Args:
        seconds: The time of a verdict.
    """

    async def check(role: Role, text: str) -> Verdict:
        await asyncio.sleep(seconds)
        return PASSED

    return GuardSettings(check)


def compare(folder: Path) -> None:
    """Print how much later sound comes with guards of different speed.

    Args:
        folder: Folder of the scenario.
    """
    free = hold(folder, None)
    first = [free.sounds_s[free.blocks.index(block)] for block in sorted(set(free.blocks))]
    leads = [sound - text for sound, text in zip(first, free.texts_s, strict=True)]
    print(f"Sound follows its text by {1000 * min(leads):.0f} to {1000 * max(leads):.0f} ms.")
    print(f"{'verdict after':>14} {'first sound later':>18} {'chunks later, max':>18} {'more':>12}")
    for seconds in VERDICTS_AFTER_S:
        held = hold(folder, guard_after(seconds))
        later_s = [a - b for a, b in zip(held.sounds_s, free.sounds_s, strict=True)]
        beyond_s = max(later_s[0] - max(0.0, seconds - leads[0]), 0.0)
        print(
            f"{1000 * seconds:11.0f} ms {1000 * later_s[0]:15.1f} ms "
            f"{1000 * max(later_s):15.1f} ms {1000 * beyond_s:9.1f} ms"
        )
    print("`more` is what the first sound waits beyond its verdict.")


def cost_of_pairs(folder: Path, pairs: int) -> None:
    """Print what a guard that answers at once costs a conversation.

    Args:
        folder: Folder of the scenario.
        pairs: Number of pairs.
    """
    guard = guard_after(0.0)
    added = [hold(folder, guard).processor_s - hold(folder, None).processor_s for _ in range(pairs)]
    median, spread = statistics.median(added), statistics.stdev(added)
    print(
        f"Processor time of a conversation of {SENTENCES} sentences, with less without, {pairs} "
        f"pairs: median {1000 * median:+.1f} ms, standard deviation {1000 * spread:.1f} ms."
    )


def cost_of_chunk() -> None:
    """Print what the gate costs for each chunk of sound that need not wait."""
    gate = Gate("", fails_open=False, deadline_s=1.0)
    for action in gate.receive(AssistantText(1, 0, "A sentence.", "SPECULATIVE"), 0.0):
        if isinstance(action, StartCheck):
            gate.decide(action.id, PASSED)
    chunk = Audio(1, bytes(1_920), 24_000, 1)
    began_s = time.process_time()
    for _ in range(EVENTS):
        gate.receive(chunk, 0.0)
    took_s = time.process_time() - began_s
    print(f"The gate takes {1e6 * took_s / EVENTS:.1f} us for a chunk of sound that may pass.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark.

    Args:
        arguments: Arguments of the command line.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=10, help="pairs for the processor time")
    pairs = parser.parse_args(arguments).pairs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
        compare(folder)
        cost_of_chunk()
        cost_of_pairs(folder, max(2, pairs))


if __name__ == "__main__":
    main()
