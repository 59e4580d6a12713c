"""The other drawings of a report as SVG: the latency of each turn, tokens and cost over time."""

from collections.abc import Iterator, Sequence

from ..wire import Tokens
from .data import ReportData, UsagePoint
from .latency import Latency, percentiles
from .markup import clock, element, percent, safe

PARTS = ("endpointing", "answering", "playout")
"""Parts of the response latency, in their order."""

TOKEN_KINDS = {
    "speech-in": "Speech in",
    "text-in": "Text in",
    "speech-out": "Speech out",
    "text-out": "Text out",
}
"""Kinds of tokens: the class of their area, and their name."""

MAX_POINTS = 600
"""Maximum number of points of a curve."""

CHART_WIDTH, CHART_HEIGHT = 1000.0, 120
"""Units across a curve, and its height in px."""


def latency_table(data: ReportData) -> str:
    """Return the response latency of each turn with its parts, and the percentiles of all.

    Args:
        data: What the report says.
    """
    measured = [(turn.turn, turn.latency) for turn in data.turns if turn.latency is not None]
    if not measured:
        return element("p", "No response latency was measured.")
    longest_s = max(latency.total_s for _, latency in measured)
    head = element(
        "tr",
        *(element("th", text, scope="col") for text in ("Turn", "Response latency")),
        *(element("th", text, scope="col", class_="number") for text in ("Total", *PARTS)),
    )
    rows = [
        element(
            "tr",
            element("th", str(number), scope="row"),
            element("td", _latency_bar(latency, longest_s), class_="bar"),
            _seconds(latency.total_s),
            *(_seconds(latency.parts.get(part)) for part in PARTS),
        )
        for number, latency in measured
    ]
    table = element("table", element("thead", head), element("tbody", *rows), class_="latency")
    return element("div", table, class_="wide", tabindex=0, role="group", aria_label="Latencies")


def percentile_table(data: ReportData) -> str:
    """Return the percentiles of the response latency and of its parts; empty without any.

    Args:
        data: What the report says.
    """
    latencies = data.latencies
    values = {"Response latency": [latency.total_s for latency in latencies]}
    for part in PARTS:
        known = [latency.parts[part] for latency in latencies if part in latency.parts]
        values[part.capitalize()] = known
    tables = {name: percentiles(found) for name, found in values.items() if found}
    if not tables:
        return ""
    names = list(next(iter(tables.values())))
    head = element(
        "tr",
        element("th", "Seconds", scope="col"),
        *(element("th", name, scope="col", class_="number") for name in names),
    )
    rows = [
        element(
            "tr",
            element("th", _swatch(name.lower()) if name != "Response latency" else "", name),
            *(_seconds(value) for value in found.values()),
        )
        for name, found in tables.items()
    ]
    table = element("table", element("thead", head), element("tbody", *rows), class_="percentiles")
    return element("div", table, class_="wide", tabindex=0, role="group", aria_label="Percentiles")


def _swatch(name: str) -> str:
    box = element("rect", class_=name, width=10, height=10)
    return element("svg", box, width=10, height=10, class_="swatch", aria_hidden="true")


def _seconds(value: float | None) -> str:
    return element("td", "" if value is None else f"{value:.2f} s", class_="number")


def _latency_bar(latency: Latency, longest_s: float) -> str:
    at_s, boxes = 0.0, list[str]()
    parts = latency.parts or {"answering": latency.total_s}
    for part, seconds in parts.items():
        x, width = percent(at_s, longest_s), percent(seconds, longest_s)
        title = element("title", f"{part} {seconds:.2f} s")
        boxes.append(element("rect", title, class_=part, x=x, width=width, y=2, height=12))
        at_s += seconds
    return element("svg", *boxes, width="100%", height=16, aria_hidden="true")


def usage_charts(data: ReportData) -> str:
    """Return tokens and cost over time, and a table of the tokens.

    Args:
        data: What the report says.
    """
    if not data.usage:
        return element("p", "The service reported no tokens.")
    points = _thinned(data.usage)
    totals = _counts(data.tokens)
    rows = [
        element(
            "tr",
            element("th", _swatch(name), title, scope="row"),
            element("td", f"{totals[name]:,}", class_="number"),
        )
        for name, title in TOKEN_KINDS.items()
    ]
    total = sum(totals.values())
    cost = [(point.t_s, point.cost_usd) for point in points]
    return element(
        "div",
        _figure("Tokens", f"{total:,}", _areas(points, data.duration_s), data.duration_s),
        _figure("Cost", f"{data.cost_usd:.4f} USD", _curve(cost, data.duration_s), data.duration_s),
        element("table", element("tbody", *rows), class_="tokens"),
        class_="charts",
    )


def _figure(title: str, total: str, drawing: str, duration_s: float) -> str:
    caption = element(
        "figcaption", element("strong", title), f" up to {safe(total)} in {clock(duration_s)}"
    )
    return element("figure", caption, drawing)


def _thinned(points: Sequence[UsagePoint]) -> list[UsagePoint]:
    step = max(1, -(-len(points) // MAX_POINTS))
    return [*points[:-1:step], points[-1]]


def _counts(tokens: Tokens) -> dict[str, int]:
    values = (tokens.speech_in, tokens.text_in, tokens.speech_out, tokens.text_out)
    return dict(zip(TOKEN_KINDS, values, strict=True))


def _areas(points: Sequence[UsagePoint], duration_s: float) -> str:
    """Return the numbers of tokens, one kind on top of the other."""
    top = max(1, sum(_counts(points[-1].tokens).values()))
    below = [0.0] * len(points)
    paths: list[str] = []
    for name in TOKEN_KINDS:
        above = [
            low + _counts(point.tokens)[name] for low, point in zip(below, points, strict=True)
        ]
        times = [point.t_s for point in points]
        upper = list(_steps(times, above, duration_s, top))
        lower = list(_steps(times, below, duration_s, top))
        path = f"M{'L'.join(upper)}L{'L'.join(reversed(lower))}Z"
        paths.append(element("path", d=path, class_=name))
        below = above
    return _drawing(*paths, name="areas")


def _curve(points: Sequence[tuple[float, float]], duration_s: float) -> str:
    top = points[-1][1] or 1.0
    times, values = [t for t, _ in points], [value for _, value in points]
    steps = list(_steps(times, values, duration_s, top))
    path = f"M0 {CHART_HEIGHT}L{'L'.join(steps)}L{CHART_WIDTH:.0f} {CHART_HEIGHT}Z"
    return _drawing(element("path", d=path, class_="cost"), name="curve")


def _steps(
    times: Sequence[float], values: Sequence[float], duration_s: float, top: float
) -> Iterator[str]:
    """Yield the points of a curve that keeps each value until the next one."""
    before = 0.0
    for t_s, value in zip(times, values, strict=True):
        x = CHART_WIDTH * t_s / duration_s if duration_s else 0.0
        yield f"{x:.1f} {_height(before, top)}"
        yield f"{x:.1f} {_height(value, top)}"
        before = value
    yield f"{CHART_WIDTH:.0f} {_height(before, top)}"


def _height(value: float, top: float) -> str:
    return f"{CHART_HEIGHT * (1 - value / top):.1f}"


def _drawing(*paths: str, name: str) -> str:
    return element(
        "svg",
        *paths,
        class_=f"chart {name}",
        width="100%",
        height=CHART_HEIGHT,
        viewBox=f"0 0 {CHART_WIDTH:.0f} {CHART_HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
