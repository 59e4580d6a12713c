"""Print what becomes of a conversation after every fault, in every phase of it.

    scripts/recovery-table                          # all cells; about five minutes
    scripts/recovery-table --fault 'TCP cut' --phase answer --phase tool-call

Each cell is one conversation with the emulator over the production transport, in numbered words. A
cell shows that the conversation recovered, or the kind of the error that ended it, with the time
from the fault to the new stream or to the error, in seconds. What is expected, and why, stands in
`tests.support.recovery_cells`; a cell that breaks it is marked WRONG, and the exit code is 1.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.support.recovery_cells import PHASES, RECOVERY_FAULTS, Phase, RecoveryCell, all_cells
from tests.support.recovery_conversation import Outcome, hold, listening, profiles

AT_ONCE = 6
"""Conversations at the same time."""


async def run(cells: Sequence[RecoveryCell]) -> dict[RecoveryCell, Outcome]:
    """Hold the conversation of each cell, several at once, and return what became of them.

    Args:
        cells: The cells.
    """
    outcomes: dict[RecoveryCell, Outcome] = {}
    waiting = list(reversed(cells))

    async def work() -> None:
        while waiting:
            cell = waiting.pop()
            outcome = outcomes[cell] = await asyncio.create_task(hold(cell))
            text = f"{len(outcomes)}/{len(cells)} {cell.fault}, {cell.phase}: {outcome.in_short}"
            print(text, file=sys.__stderr__, flush=True)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(AT_ONCE, len(cells))):
            tasks.create_task(work())
    return outcomes


def show(outcomes: Mapping[RecoveryCell, Outcome], console: Console) -> None:
    """Print the table, and what is wrong with which cell.

    Args:
        outcomes: What became of each cell.
        console: Where to print.
    """
    phases: list[Phase] = [
        phase for phase in PHASES if any(cell.phase == phase for cell in outcomes)
    ]
    table = Table(
        title="What became of the conversation, and after how many seconds", title_justify="left"
    )
    for column in ("fault", *phases):
        table.add_column(column)
    for name in RECOVERY_FAULTS:
        row = [outcomes.get(RecoveryCell(name, phase)) for phase in phases]
        if any(row):
            table.add_row(name, *("" if outcome is None else outcome.in_short for outcome in row))
    console.print(table)
    for cell, outcome in outcomes.items():
        if outcome.wrong:
            place = f"{cell.fault}, {cell.phase}"
            console.print(f"WRONG {place}: {'; '.join(outcome.wrong)}", markup=False)


def main() -> int:
    """Run the cells that are asked for; return 1 if one of them is wrong."""
    parser = argparse.ArgumentParser(
        prog="scripts/recovery-table", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--fault", action="append", choices=[*RECOVERY_FAULTS], help="may repeat")
    parser.add_argument("--phase", action="append", choices=PHASES, help="may repeat")
    arguments = parser.parse_args()
    cells = [
        cell
        for cell in all_cells()
        if cell.fault in (arguments.fault or RECOVERY_FAULTS)
        and cell.phase in (arguments.phase or PHASES)
    ]
    began_s = time.monotonic()
    with (
        TemporaryDirectory(prefix="recovery-table-") as folder,
        profiles(Path(folder)),
        listening() as printed,
    ):
        outcomes = asyncio.run(run(cells))
    console = Console(width=None if sys.stdout.isatty() else 170)
    show({cell: outcomes[cell] for cell in cells}, console)
    for text in printed:
        console.print(f"WRONG stderr: {text}", markup=False)
    wrong = sum(bool(outcome.wrong) for outcome in outcomes.values())
    took_s = time.monotonic() - began_s
    console.print(f"{len(outcomes)} cells, {wrong} wrong, {took_s:.0f} s.")
    return int(bool(wrong or printed))


if __name__ == "__main__":
    sys.exit(main())
