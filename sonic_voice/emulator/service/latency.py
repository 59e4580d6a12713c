"""Latency profiles of the emulated service: `--latency typical|fast|slow|none`.

    name      detection   first text   first audio      after the end of the speech, at MEDIUM
    typical     384 ms      1.0 s         1.1 s         as recorded (reference 3.12)
    fast        320 ms      0.6 s         0.7 s         below anything recorded
    slow        800 ms      3.3 s         3.8 s         a model that was idle (2.5 to 9.9 s)
    none        320 ms      0.3 s         0.3 s         tests, and clients that measure themselves

All values are positions on the clock of the input audio, like everything that the service does.
A profile therefore changes when events come, and never which events come. Every profile keeps the
silence that ends an utterance, because an end must be distinguished from a pause.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from ...errors import ConfigError
from .answers import Timing

PROFILES: Mapping[str, Timing] = MappingProxyType(
    {
        "typical": Timing(),
        "fast": Timing(
            notice_ms=160,
            high_ms=256,
            medium_ms=320,
            low_ms=480,
            tool_ms=128,
            text_ms=256,
            typed_ms=400,
            sound_ms=64,
            result_ms=256,
            pace=10.0,
        ),
        "slow": Timing(
            notice_ms=864,
            high_ms=480,
            medium_ms=800,
            low_ms=1280,
            tool_ms=1280,
            text_ms=2528,
            typed_ms=3008,
            sound_ms=480,
            result_ms=2048,
            pace=3.0,
        ),
        "none": Timing(
            notice_ms=0,
            high_ms=320,
            medium_ms=320,
            low_ms=320,
            tool_ms=0,
            text_ms=0,
            typed_ms=0,
            sound_ms=0,
            result_ms=32,
            pace=1000.0,
        ),
    }
)
"""The profiles by name."""


def latency(name: str) -> Timing:
    """Return a latency profile.

    Args:
        name: A key of `PROFILES`.

    Raises:
        ConfigError: There is no such profile. The hint has the nearest name.
    """
    if name in PROFILES:
        return PROFILES[name]
    near = difflib.get_close_matches(name, PROFILES, n=1, cutoff=0.4)
    raise ConfigError(
        f"There is no latency {name!r}.",
        hint=f"Did you mean {near[0]}?" if near else f"Choose one of {', '.join(PROFILES)}.",
    )
