"""Print what a user sees for every fault, in every phase of a conversation, on three surfaces.

    scripts/fault-table                          # all cells; about ten minutes
    scripts/fault-table --surface page --fault cut --phase answer

Each cell is one conversation with the emulator over the production transport: a recorded person
asks, the model calls a tool and answers. The fault happens in the phase that the cell names. The
table shows what the user saw, the exit code (of a page: its close code) and the time from the
fault to the report. A cell that breaks a rule of `tests.support.fault_cells` is marked WRONG, and
the exit code is 1.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from rich.console import Console
from rich.table import Table

from tests.support.fault_cells import FAULTS, PHASES, Surface
from tests.support.fault_surfaces import Cell, Pages, Seen, hold
from tests.support.phases import Phase

AT_ONCE = 5
"""Conversations of the library and the command line that run at the same time."""

BROWSERS = 2
"""Browsers; each holds one conversation at a time, since its microphone plays one recording."""

SURFACES: tuple[Surface, ...] = get_args(Surface)


def cells(arguments: argparse.Namespace) -> list[Cell]:
    """Return the cells that the command line asks for, in the order of the table."""
    return [
        Cell(name, phase, surface)
        for name, phase, surface in product(FAULTS, PHASES, SURFACES)
        if phase in FAULTS[name].phases
        and name in (arguments.fault or FAULTS)
        and phase in (arguments.phase or PHASES)
        and surface in (arguments.surface or SURFACES)
    ]


async def run(asked: Sequence[Cell]) -> dict[Cell, Seen]:
    """Hold the conversation of each cell, several at once, and return what was seen."""
    seen: dict[Cell, Seen] = {}
    spoken: asyncio.Queue[Cell] = asyncio.Queue()
    shown: asyncio.Queue[Cell] = asyncio.Queue()
    for cell in asked:
        (shown if cell.surface == "page" else spoken).put_nowait(cell)
    with TemporaryDirectory(prefix="fault-table-") as folder:

        async def work(queue: asyncio.Queue[Cell], pages: Pages | None) -> None:
            while not queue.empty():
                cell = queue.get_nowait()
                seen[cell] = await hold(cell, Path(folder), pages)
                _report_progress(len(seen), len(asked), cell, seen[cell])

        async def work_with_browser(number: int) -> None:
            async with _browser(Path(folder), number) as pages:
                await work(shown, pages)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(AT_ONCE, spoken.qsize())):
                tasks.create_task(work(spoken, None))
            for number in range(min(BROWSERS, shown.qsize())):
                tasks.create_task(work_with_browser(number))
    return seen


@asynccontextmanager
async def _browser(folder: Path, number: int) -> AsyncGenerator[Pages]:
    home = folder / f"browser-{number}"
    home.mkdir()
    async with Pages.opened(home) as pages:
        yield pages


def _report_progress(done: int, total: int, cell: Cell, seen: Seen) -> None:
    mark = "WRONG " if seen.wrong else ""
    text = f"{done}/{total} {cell.surface}, {cell.phase}, {cell.fault}: {mark}{seen.in_short}"
    print(text, file=sys.stderr, flush=True)


def show(seen: dict[Cell, Seen], console: Console) -> None:
    """Print a table for each surface, then the sentences, and what is wrong with which cell."""
    for surface in SURFACES:
        here = {cell: saw for cell, saw in seen.items() if cell.surface == surface}
        if not here:
            continue
        table = Table(title=f"{surface}: end, exit or close code, seconds", title_justify="left")
        table.add_column("fault")
        phases: list[Phase] = [p for p in PHASES if any(cell.phase == p for cell in here)]
        for column in phases:
            table.add_column(column)
        for name in FAULTS:
            row = [here.get(Cell(name, column, surface)) for column in phases]
            if any(row):
                table.add_row(name, *("" if saw is None else saw.in_short for saw in row))
        console.print(table)
    console.print("[bold]What the user was told[/bold]")
    for sentence, where in _by_sentence(seen).items():
        console.print(f"- {sentence or '(nothing)'}", markup=False)
        console.print(f"    {len(where)} cells, for example {where[0]}", markup=False)
    wrong = {cell: saw for cell, saw in seen.items() if saw.wrong}
    for cell, saw in wrong.items():
        place = f"{cell.surface}, {cell.phase}, {cell.fault}"
        console.print(f"WRONG {place}: {'; '.join(saw.wrong)}", markup=False)
    console.print(f"{len(seen)} cells, {len(wrong)} wrong.")


def _by_sentence(seen: dict[Cell, Seen]) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for cell, saw in seen.items():
        told.setdefault(saw.told, []).append(f"{cell.surface}, {cell.phase}, {cell.fault}")
    return told


def main() -> int:
    """Run the cells that are asked for; return 1 if one of them is wrong."""
    parser = argparse.ArgumentParser(
        prog="scripts/fault-table", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="may come again")
    parser.add_argument("--phase", action="append", choices=PHASES, help="may come again")
    parser.add_argument("--surface", action="append", choices=SURFACES, help="may come again")
    asked = cells(parser.parse_args())
    began_s = time.monotonic()
    seen = asyncio.run(run(asked))
    show({cell: seen[cell] for cell in asked}, Console(width=None if sys.stdout.isatty() else 150))
    print(f"{time.monotonic() - began_s:.0f} s in all.", file=sys.stderr)
    return int(any(saw.wrong for saw in seen.values()))


if __name__ == "__main__":
    sys.exit(main())
