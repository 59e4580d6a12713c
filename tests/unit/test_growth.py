"""The benchmark of growth: its service answers by the length of the audio, not by its chunks."""

import pytest

from scripts.bench.common import FRAME_S, INPUT_FORMAT
from scripts.bench.growth import EvenService, table
from scripts.bench.stamped_service import ServiceReport, StampedService


@pytest.mark.parametrize("chunk_ms", [10, 20, 32, 50, 100])
def test_a_minute_has_the_same_answers_in_chunks_of_any_length(chunk_ms: int) -> None:
    service = EvenService(ServiceReport)
    chunk = bytes(INPUT_FORMAT.size(chunk_ms / 1000))
    due = [service.answers_due(chunk) for _ in range(60_000 // chunk_ms)]
    assert sum(echoes for echoes, _ in due) == 60_000 // 64
    assert sum(interruptions for _, interruptions in due) == 60_000 // 3_200


def test_with_frames_of_32_ms_it_answers_as_the_other_benchmarks_do() -> None:
    even, stamped = EvenService(ServiceReport), StampedService(ServiceReport)
    chunk = bytes(INPUT_FORMAT.size(FRAME_S))
    for number in range(1, 500):
        stamped._frames = number  # pyright: ignore[reportPrivateUsage]
        assert even.answers_due(chunk) == stamped.answers_due(chunk), number


def test_the_table_has_a_line_for_each_measure() -> None:
    from scripts.bench.growth import Curve

    curves = {
        "sessions": Curve([1, 10], [1.9, 1.0], [11.0, 14.5]),
        "chunks": Curve([0.01], [1.2], [14.0]),
        "minutes": Curve([1, 60], [1.5, 1.0], [0.0, 6.1]),
    }
    assert table(curves).splitlines()[:3] == [
        "    sessions       1      10",
        "         CPU    1.90    1.00",
        "         MiB    11.0    14.5",
    ]
