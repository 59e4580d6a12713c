"""The blocks of an answer: what counts as voice."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.answer_blocks import (
    PROBE_STRIDE_SAMPLES,
    SILENCE_THRESHOLD,
    has_voice,
    joined_blocks,
)

PROTOCOL = Path(__file__).parents[2] / "web_client" / "protocol.json"
T = SILENCE_THRESHOLD
EDGES = [0, 1, -1, 767, 768, -768, -769, 1023, 1024, -1024, -1025, T, T + 1, -T, -T - 1]
samples = st.sampled_from([*EDGES, 32767, -32768]) | st.integers(-32768, 32767)


def pcm(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


@given(st.lists(samples, min_size=1, max_size=50))
def test_a_window_has_voice_if_a_probed_sample_is_loud(values: list[int]) -> None:
    loud = any(abs(value) > T for value in values[::PROBE_STRIDE_SAMPLES])
    assert has_voice(pcm(values)) is loud


@pytest.mark.parametrize("value", EDGES)
def test_the_threshold_itself_is_quiet(value: int) -> None:
    assert has_voice(pcm([value])) is (abs(value) > T)


def test_blocks_are_joined_as_on_the_page() -> None:
    for case in json.loads(PROTOCOL.read_text("utf-8"))["joined"]:
        assert joined_blocks(case["blocks"]) == case["text"]
