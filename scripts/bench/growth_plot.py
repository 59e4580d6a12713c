"""Draw the curves of the benchmark `growth` as one picture."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.bench.growth import Curve

CPU_COLOUR, MEMORY_COLOUR = "#1f5fa8", "#b4531f"
"""Colours of the two measures, which differ in lightness, too."""

PANELS = (
    ("sessions", "sessions at once (log scale)", 1.0, True),
    ("chunks", "ms in a chunk, 10 sessions", 1000.0, False),
    ("minutes", "minutes of one conversation", 1.0, False),
)
"""Curve, label, factor and whether the axis is logarithmic of each panel."""

CPU_LABEL = "CPU per session-minute"
"""Label of the left axes."""

TITLES = ("CPU 1: 10 sessions of 32 ms", "CPU 1: 10 sessions of 32 ms", "CPU 1: the median")
"""The measurement that has a CPU time of 1, for each panel."""

MEMORY_LABELS = ("MiB, all sessions", "MiB, all sessions", "MiB more than after a minute")
"""Labels of the right axes."""


def draw(curves: Mapping[str, "Curve"], file: Path) -> None:
    """Draw the curves into a PNG file.

    Args:
        curves: The results of `growth.conduct`.
        file: The file.
    """
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False})
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for number, (name, label, factor, logarithmic) in enumerate(PANELS):
        memory = _panel(axes[number], curves[name], label, factor, logarithmic=logarithmic)
        axes[number].set_ylabel(CPU_LABEL, color=CPU_COLOUR)
        axes[number].set_title(TITLES[number], fontsize=9)
        memory.set_ylabel(MEMORY_LABELS[number], color=MEMORY_COLOUR)
    figure.savefig(file, dpi=100, pil_kwargs={"optimize": True})
    pyplot.close(figure)


def _panel(axis: Any, curve: "Curve", label: str, factor: float, *, logarithmic: bool) -> Any:
    """Draw one panel, and return its right axis."""
    at = [factor * value for value in curve.at]
    axis.plot(at, curve.cpu, "o-", color=CPU_COLOUR, markersize=4)
    axis.set_ylim(0, 1.15 * max(curve.cpu))
    axis.tick_params(axis="y", labelcolor=CPU_COLOUR)
    axis.set_xlabel(label)
    axis.axhline(1, color=CPU_COLOUR, linewidth=0.6, linestyle=":")
    if logarithmic:
        axis.set_xscale("log")
        axis.set_xticks(at, [f"{value:g}" for value in at])
        axis.minorticks_off()
    else:
        axis.set_xlim(0, None)
    memory = axis.twinx()
    memory.plot(at, curve.mib, "s--", color=MEMORY_COLOUR, markersize=4)
    memory.set_ylim(0, 1.15 * max(1.0, *curve.mib))
    memory.tick_params(axis="y", labelcolor=MEMORY_COLOUR)
    return memory
