"""Options for faults of the emulator, which `emulate`, `talk --local` and `serve --local` share."""

import secrets
from typing import Annotated

import typer

RANDOM = "random"
"""Value of --chaos that draws a seed."""

_SEEDS = 1_000_000
"""Number of seeds that are drawn from, so that a seed is short enough to be typed."""

FaultTexts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:ARG][@WHEN]",
        help="Fault of the emulator; may be repeated. WHEN is N for the first N streams, "
        "t=SECONDS of audio, event=EVENT (opening, user-speech, thinking, tool-call, answer or "
        "goodbye) with n=NUMBER and after=SECONDS, p=PROBABILITY with seed=NUMBER, "
        "streams=FIRST-LAST, for=SECONDS of wall time, or several of these, divided by commas. "
        "A wrong name lists all faults.",
    ),
]
"""Option --fault of several commands."""

ChaosSeed = Annotated[
    str | None,
    typer.Option(
        metavar="SEED|random",
        help="Mix faults under this seed: each stream of the emulator has one at some moment, or "
        "none. The same seed gives the same faults; random draws a seed and prints it.",
    ),
]
"""Option --chaos of several commands."""


def chaos_seed(value: str | None) -> int | None:
    """Return the seed that --chaos asks for, or None without the option.

    Args:
        value: A number, or `random`.

    Raises:
        typer.BadParameter: It is neither.
    """
    if value is None:
        return None
    if value == RANDOM:
        return secrets.randbelow(_SEEDS)
    if not (value.isascii() and value.isdecimal()):
        raise typer.BadParameter(f"--chaos takes a number or {RANDOM}, not {value!r}.")
    return int(value)


def chaos_notice(seed: int) -> str:
    """Return the sentence that says how to repeat a run.

    Args:
        seed: The seed of the run.
    """
    return f"Chaos with the seed {seed}; --chaos {seed} repeats it."
