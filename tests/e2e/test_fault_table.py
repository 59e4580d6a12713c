"""A few cells of the fault table, which `scripts/fault-table` prints as a whole."""

from pathlib import Path

import pytest

from ..support.fault_cells import FAULTS, PHASES, Phase, Surface, expected_end
from ..support.fault_surfaces import Cell, hold

CELLS = [
    Cell("HTTP 429", "opening", "library"),
    Cell("throttling", "thinking", "library"),
    Cell("cut", "answer", "library"),
    Cell("expired token in stream", "tool-call", "library"),
    Cell("end of stream", "user-speech", "command line"),
    Cell("content filter", "answer", "command line"),
    pytest.param(Cell("reset", "goodbye", "command line"), marks=pytest.mark.thorough),
    pytest.param(Cell("service silent", "user-speech", "command line"), marks=pytest.mark.thorough),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: f"{c.surface}, {c.phase}, {c.fault}")
async def test_a_cell_of_the_table_is_right(cell: Cell, tmp_path: Path) -> None:
    seen = await hold(cell, tmp_path, None)
    assert seen.wrong == []


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_phase_and_an_expectation(name: str) -> None:
    fault = FAULTS[name]
    surfaces: tuple[Surface, ...] = ("library", "command line", "page")
    assert fault.phases
    for phase in fault.phases:
        assert phase in PHASES
        for surface in surfaces:
            assert expected_end(fault, phase, surface)


def test_a_lost_network_after_the_goodbye_is_a_clean_end() -> None:
    phase: Phase = "goodbye"
    assert expected_end(FAULTS["cut"], phase, "command line") == "clean"
    assert expected_end(FAULTS["cut"], "answer", "command line") == "network"
