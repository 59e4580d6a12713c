"""A part of the recovery table, which `scripts/recovery-table` prints as a whole.

Every fault comes once and every phase at least twice. The conversations run in groups, several at
the same time, so that a test of a group ends soon.
"""

import asyncio
from collections.abc import Iterator

import pytest

from ..support.recovery_cells import PHASES, RECOVERY_FAULTS, Phase, RecoveryCell, all_cells
from ..support.recovery_conversation import hold, listening, profiles

GROUPS: dict[str, list[tuple[str, Phase]]] = {
    "refused openings": [
        ("HTTP 429", "opening"),
        ("HTTP 500", "thinking"),
        ("HTTP 503", "tool-call"),
        ("HTTP 403 expired token", "renewal"),
        ("HTTP 403 access denied", "answer"),
        ("HTTP 404", "opening"),
        ("TLS failure", "user-speech"),
    ],
    "exceptions of the service": [
        ("throttling", "user-speech"),
        ("internal server", "thinking"),
        ("model stream error", "answer"),
        ("service unavailable", "tool-call"),
        ("model timeout", "goodbye"),
        ("531", "after renewal"),
        ("532", "thinking"),
        ("instability", "answer"),
        ("idle", "after renewal"),
    ],
    "exceptions that are final": [
        ("quota of zero", "opening"),
        ("content filter", "answer"),
        ("validation", "renewal"),
    ],
    "faults of the network": [
        ("invalid event bytes", "opening"),
        ("end of stream", "goodbye"),
        ("TCP cut", "tool-call"),
        ("cut in a frame", "answer"),
        ("black hole", "user-speech"),
        ("GOAWAY", "thinking"),
        ("RST_STREAM", "renewal"),
    ],
}
"""The cells, by groups that run at the same time."""


@pytest.fixture(scope="module", autouse=True)
def aws_profiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set the profiles of the cells with expired credentials."""
    with profiles(tmp_path_factory.mktemp("profiles")):
        yield


@pytest.mark.parametrize("group", GROUPS)
async def test_conversations_recover_or_end_with_the_right_error_after(group: str) -> None:
    cells = [RecoveryCell(fault, phase) for fault, phase in GROUPS[group]]
    with listening() as printed:
        outcomes = await asyncio.gather(*map(hold, cells))
    found = zip(cells, outcomes, strict=True)
    wrong = {cell: outcome.wrong for cell, outcome in found if outcome.wrong}
    assert wrong == {}
    assert printed == []


def test_every_fault_and_every_phase_is_tried() -> None:
    cells = [RecoveryCell(fault, phase) for group in GROUPS.values() for fault, phase in group]
    assert {cell.fault for cell in cells} == set(RECOVERY_FAULTS)
    for phase in PHASES:
        assert sum(cell.phase == phase for cell in cells) >= 2
    assert all(cell in all_cells() for cell in cells)
