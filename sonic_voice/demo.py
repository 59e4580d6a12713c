"""The files of the demonstration, for first programs: recorded questions and their scenario."""

from pathlib import Path

DEMO_WAV: Path = Path(__file__).parent / "emulator" / "demo.wav"
"""Three questions spoken by people, 18 s in all, for a `WavSource`."""

DEMO_SCENARIO: Path = Path(__file__).parent / "emulator" / "demo.yaml"
"""What the emulator hears and answers when `DEMO_WAV` is played to it, for a `LocalService`."""
