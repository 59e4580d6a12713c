"""The time axis of a report as SVG: both sides, latencies, tools, streams, and what happened.

       0:00        0:10        0:20
    You      ▂▅▇▃          ▃▆▂               speech as the service reported it, and its sound
    Wait         ░▒▒          ░▒▒            the parts of each response latency
    Heard           ▃▆▇▅▃▂       ▄▆▇▃|       what was heard; a line where it was interrupted
    Tools             ▬▬
    Stream   ──────────────────┆────────     renewals dashed, faults marked

All positions are percentages, so that the drawing is as wide as its box, and zooming is a change of
the width. Only the outlines are stretched.
"""

from collections.abc import Iterator, Sequence

from .data import Mark, ReportData
from .markup import clock, element, percent, safe

TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""Distances of the labels on the axis, in seconds. The first one that gives few enough is taken."""

MAX_TICKS = 10
"""Maximum number of labels on the axis."""

AXIS_Y = 14
USER_Y, WAIT_Y, HEARD_Y, TOOLS_Y, STREAMS_Y = 24, 90, 106, 174, 192
"""Upper edges of the lanes, in px. `report.css` places their names by the same numbers."""

SOUND_HEIGHT, WAIT_HEIGHT, BAR_HEIGHT = 62, 12, 12
HEIGHT = 212
"""Height of the drawing, in px."""


def timeline(data: ReportData, user: Sequence[float], heard: Sequence[float]) -> str:
    """Return the drawing.

    Args:
        data: What the report says.
        user: Outline of the user's side.
        heard: Outline of what was heard.
    """
    whole_s = data.duration_s
    description = (
        f"Time axis of {clock(whole_s)} minutes: {len(data.turns)} turns, "
        f"{data.interruptions} interruptions, {len(data.tools)} tool calls. "
        "The list of turns has the same in words."
    )
    return element(
        "svg",
        *_axis(whole_s),
        *_spans(data),
        _outline(user, USER_Y, "user"),
        _outline(heard, HEARD_Y, "heard"),
        *_waits(data),
        *_tools(data),
        *_streams(data),
        *(_mark(mark, whole_s) for mark in data.marks),
        element("line", class_="playhead", x1="0%", x2="0%", y1=0, y2=HEIGHT),
        class_="timeline",
        width="100%",
        height=HEIGHT,
        role="img",
        aria_label=description,
        data_duration=whole_s,
    )


def _axis(whole_s: float) -> Iterator[str]:
    step_s = next((s for s in TICK_STEPS_S if whole_s / s <= MAX_TICKS), TICK_STEPS_S[-1])
    for tick in range(int(whole_s / step_s) + 1):
        x = percent(tick * step_s, whole_s)
        yield element("line", class_="tick", x1=x, x2=x, y1=AXIS_Y + 4, y2=HEIGHT)
        if tick * step_s <= 0.96 * whole_s:  # a label at the edge would be cut off
            yield element("text", clock(tick * step_s), class_="time", x=x, y=AXIS_Y)


def _box(
    begins_s: float, ends_s: float, whole_s: float, y: int, height: int, name: str, title: str
) -> str:
    return element(
        "rect",
        element("title", safe(title)),
        class_=name,
        x=percent(begins_s, whole_s),
        width=percent(max(ends_s - begins_s, 0.0), whole_s),
        y=y,
        height=height,
    )


def _spans(data: ReportData) -> Iterator[str]:
    for turn in data.turns:
        if turn.said_s is not None:
            begins_s, ends_s = turn.said_s
            title = f"Turn {turn.turn}, you: {turn.user}"
            yield _box(begins_s, ends_s, data.duration_s, USER_Y, SOUND_HEIGHT, "said", title)
        if turn.answered_s is not None:
            begins_s, ends_s = turn.answered_s
            title = f"Turn {turn.turn}, heard: {turn.heard}"
            yield _box(begins_s, ends_s, data.duration_s, HEARD_Y, SOUND_HEIGHT, "answer", title)


def _outline(levels: Sequence[float], y: int, name: str) -> str:
    if not levels:
        return ""
    # Half of the height is 50 units, with a line of one unit where there is silence.
    above = [f"{index} {50 - max(0.5, 48 * level):.0f}" for index, level in enumerate(levels)]
    below = [f"{index} {50 + max(0.5, 48 * level):.0f}" for index, level in enumerate(levels)]
    path = f"M{'L'.join(above)}L{'L'.join(reversed(below))}Z"
    return element(
        "svg",
        element("path", d=path),
        class_=f"outline {name}",
        x="0%",
        y=y,
        width="100%",
        height=SOUND_HEIGHT,
        viewBox=f"0 0 {max(1, len(levels) - 1)} 100",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _waits(data: ReportData) -> Iterator[str]:
    for turn in data.turns:
        if turn.latency is None or turn.answered_s is None:
            continue
        since_s = turn.said_s[1] if turn.said_s else turn.answered_s[0] - turn.latency.total_s
        for part, seconds in turn.latency.parts.items():
            title = f"Turn {turn.turn}: {part} {seconds:.2f} s of {turn.latency.total_s:.2f} s"
            ends_s = since_s + seconds
            yield _box(since_s, ends_s, data.duration_s, WAIT_Y, WAIT_HEIGHT, part, title)
            since_s = ends_s


def _tools(data: ReportData) -> Iterator[str]:
    for tool in data.tools:
        ends_s = data.duration_s if tool.ended_s is None else tool.ended_s
        name = "tool failed" if tool.failed or tool.ended_s is None else "tool"
        title = f"{tool.name}({tool.arguments}) {ends_s - tool.began_s:.2f} s"
        box = _box(tool.began_s, ends_s, data.duration_s, TOOLS_Y, BAR_HEIGHT, name, title)
        yield box
        # A call may be shorter than a pixel.
        x = percent(tool.began_s, data.duration_s)
        yield element("circle", class_=name, cx=x, cy=TOOLS_Y + BAR_HEIGHT // 2, r=4)


def _streams(data: ReportData) -> Iterator[str]:
    for stream in data.streams:
        title = f"Service stream {stream.number}: {stream.error or 'a clean end'}"
        name = "stream broken" if stream.error else "stream"
        name += " even" if stream.number % 2 == 0 else ""
        ends_s = max(stream.ended_s, stream.opened_s)
        yield _box(stream.opened_s, ends_s, data.duration_s, STREAMS_Y, BAR_HEIGHT, name, title)


def _mark(mark: Mark, whole_s: float) -> str:
    x = percent(mark.t_s, whole_s)
    line = element(
        "line",
        element("title", safe(mark.text)),
        x1=x,
        x2=x,
        y1=USER_Y - 4,
        y2=STREAMS_Y + BAR_HEIGHT,
    )
    return element("g", line, class_=f"mark {mark.kind}")
