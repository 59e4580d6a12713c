"""The files of the demonstration, for a first program: recorded questions and their scenario."""

from pathlib import Path

DEMO_WAV: Path = Path(__file__).parent / "emulator" / "demo.wav"
"""A recording of three questions spoken by people, 18 s long, for a `WavSource`."""

DEMO_SCENARIO: Path = Path(__file__).parent / "emulator" / "demo.yaml"
"""A scenario with what the emulator hears in `DEMO_WAV` and answers, for a `LocalService`."""
