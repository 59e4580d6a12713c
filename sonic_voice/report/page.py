"""The page of a report: one HTML file that loads nothing, for one conversation or for several.

Its policy allows only its own style and script, by their hashes, and the sound in the page itself.
All text of a conversation is foreign: it passes `markup.safe`, or lies in data that the script
writes as text. The events are compressed and are unpacked by the script.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources

from ..printable import encodable
from .charts import latency_table, percentile_table, usage_charts
from .data import ReportData, ToolReport, TurnReport
from .event_rows import EventRow
from .latency import percentiles
from .markup import clock, element, safe
from .sound import NO_SOUND, ReportSound
from .timeline import timeline


@dataclass(frozen=True, slots=True)
class ReportRun:
    """One conversation in a page."""

    name: str
    """Its name: that of the tape, or of the test."""
    data: ReportData
    rows: Sequence[EventRow] = ()
    """Its events."""
    sound: ReportSound = NO_SOUND
    outcome: str = ""
    """`passed`, `failed`, or empty where nothing was tested."""
    notes: tuple[str, ...] = ()
    """Sentences about it, such as the checks that failed."""


def report_page(runs: Sequence[ReportRun], title: str = "") -> str:
    """Return the page.

    Args:
        runs: The conversations. Of several, each is folded but those that failed.
        title: Title of the page; empty takes the name of the conversation.
    """
    if not title:
        title = runs[0].name if len(runs) == 1 else f"{len(runs)} conversations"
    style, script = _asset("report.css"), _asset("report.js")
    several = len(runs) > 1
    body = [
        element("h1", safe(title)),
        _overview(runs) if several else "",
        *(
            _folded(run, f"run-{number}") if several else _run(run, f"run-{number}", "h2")
            for number, run in enumerate(runs, 1)
        ),
    ]
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        '<link rel="icon" href="data:,">',
        element("title", safe(title)),
        f"<style>{style}</style>",
    ]
    page = element(
        "html",
        element("head", *head),
        element("body", element("main", *body), f"<script>{script}</script>"),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{encodable(page)}\n"


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    rules = {
        "default-src": "'none'",
        "style-src": f"'sha256-{_digest(style)}'",
        "script-src": f"'sha256-{_digest(script)}'",
        "media-src": "data:",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


# -- several conversations -------------------------------------------------------------------------


def _overview(runs: Sequence[ReportRun]) -> str:
    failed = sum(run.outcome == "failed" for run in runs)
    tested = sum(bool(run.outcome) for run in runs)
    said = f"{tested - failed} of {tested} passed." if tested else ""
    names = ("Conversation", "Outcome", "Length", "Turns", "Median latency", "Cost")
    head = element(
        "tr",
        *(
            element("th", name, scope="col", class_="number" if index > 1 else None)
            for index, name in enumerate(names)
        ),
    )
    rows = [
        element(
            "tr",
            element("th", element("a", safe(run.name), href=f"#run-{number}"), scope="row"),
            element("td", _outcome(run)),
            element("td", clock(run.data.duration_s), class_="number"),
            element("td", str(len(run.data.turns)), class_="number"),
            element("td", _median(run.data), class_="number"),
            element("td", f"{run.data.cost_usd:.4f} USD", class_="number"),
        )
        for number, run in enumerate(runs, 1)
    ]
    table = element("table", element("thead", head), element("tbody", *rows), class_="overview")
    region = element("div", table, class_="wide", tabindex=0, role="region", aria_label="Overview")
    return element("p", said, class_="verdict") + region if said else region


def _outcome(run: ReportRun) -> str:
    if not run.outcome:
        return ""
    return element("span", safe(run.outcome), class_=f"outcome {safe(run.outcome)}")


def _folded(run: ReportRun, id_: str) -> str:
    summary = element("summary", element("h2", safe(run.name)), " ", _outcome(run))
    return element(
        "details", summary, _run(run, f"{id_}-content", "h3"), id=id_, open=run.outcome == "failed"
    )


def _median(data: ReportData) -> str:
    found = percentiles([latency.total_s for latency in data.latencies])
    return f"{found['median']:.2f} s" if found else ""


# -- one conversation ------------------------------------------------------------------------------


def _run(run: ReportRun, id_: str, heading: str) -> str:
    """Return one conversation.

    Args:
        run: The conversation.
        id_: Id of its element.
        heading: Name of the element of its headings.
    """
    data = run.data
    return element(
        "section",
        _notes(run),
        _facts(data),
        _player(run, id_),
        _timeline(run),
        _happened(data, heading),
        element(heading, "Turns", class_="part"),
        _turns(data),
        element(heading, "Response latency", class_="part"),
        percentile_table(data),
        latency_table(data),
        element(heading, "Tokens and cost", class_="part"),
        usage_charts(data),
        element(heading, "Events", class_="part"),
        _events(run, id_),
        element(heading, "Configuration", class_="part"),
        _configuration(data),
        class_="run",
        id=id_,
        aria_label=run.name,
    )


def _notes(run: ReportRun) -> str:
    if not run.notes:
        return ""
    return element("ul", *(element("li", safe(note)) for note in run.notes), class_="notes")


def _facts(data: ReportData) -> str:
    found = percentiles([latency.total_s for latency in data.latencies])
    renewals = sum(mark.kind == "renewal" for mark in data.marks)
    facts = {
        "Length": clock(data.duration_s),
        "Turns": str(len(data.turns)),
        "Median latency": f"{found['median']:.2f} s" if found else "not measured",
        "90th percentile": f"{found['p90']:.2f} s" if found else "not measured",
        "Interruptions": str(data.interruptions),
        "Tool calls": str(len(data.tools)),
        "Renewals": str(renewals),
        "Faults": str(data.faults),
        "Cost": f"{data.cost_usd:.4f} USD",
    }
    items = [
        element("div", element("dt", name), element("dd", safe(value)))
        for name, value in facts.items()
    ]
    return element("dl", *items, class_="facts")


def _player(run: ReportRun, id_: str) -> str:
    if not run.sound.mp3:
        return element("p", "The tape has no sound.", class_="quiet")
    source = f"data:audio/mpeg;base64,{b64encode(run.sound.mp3).decode()}"
    audio = element(
        "audio",
        controls=True,
        preload="auto",
        src=source,
        aria_label="The conversation: you on the left, what you heard on the right",
    )
    zoom = element(
        "div",
        *(
            element("button", text, type="button", data_zoom=name)
            for text, name in (("Zoom out", "out"), ("Zoom in", "in"))
        ),
        class_="zoom",
    )
    return element("div", audio, zoom, class_="player", data_player=id_)


def _timeline(run: ReportRun) -> str:
    lanes = ("You", "Wait", "Heard", "Tools", "Stream")
    names = element(
        "div",
        *(element("span", lane, class_=f"lane {lane.lower()}") for lane in lanes),
        class_="lanes",
        aria_hidden="true",
    )
    drawing = timeline(run.data, run.sound.user, run.sound.heard)
    box = element("div", drawing, class_="scroll", tabindex=0, role="group", aria_label="Time axis")
    return element("div", names, box, class_="axis") + _legend()


def _legend() -> str:
    names = {
        "endpointing": "until the service noticed the end of speech",
        "answering": "until the first sound came",
        "playout": "until it was audible",
    }
    items = [
        element(
            "li",
            element(
                "svg",
                element("rect", class_=name, width=10, height=10),
                width=10,
                height=10,
                class_="swatch",
                aria_hidden="true",
            ),
            element("strong", name),
            f" {text}",
        )
        for name, text in names.items()
    ]
    return element("ul", *items, class_="legend")


def _happened(data: ReportData, heading: str) -> str:
    """Return the list of renewals, faults and notes; empty without any."""
    marks = [mark for mark in data.marks if mark.kind != "interruption"]
    if not marks:
        return ""
    items = [
        element("li", _play(mark.t_s), " ", safe(mark.text), class_=mark.kind) for mark in marks
    ]
    title = element(heading, "What happened", class_="part")
    return title + element("ul", *items, class_="happened")


def _turns(data: ReportData) -> str:
    if not data.turns:
        return element("p", "Nothing was said.")
    return element("ol", *(_turn(turn, data) for turn in data.turns), class_="turns")


def _turn(turn: TurnReport, data: ReportData) -> str:
    parts: list[str] = []
    if turn.user:
        begins_s = turn.said_s[0] if turn.said_s else turn.begins_s
        who = "You (typed)" if turn.typed else "You"
        parts.append(_line("you", who, begins_s, safe(turn.user)))
    parts += [_tool(tool) for tool in data.tools if tool.turn == turn.turn]
    if turn.planned or turn.heard:
        begins_s = turn.answered_s[0] if turn.answered_s else turn.begins_s
        parts.append(_line("model", "Model", begins_s, _answer(turn)))
    begins_s, ends_s = turn.begins_s, turn.begins_s
    for span in (turn.said_s, turn.answered_s):
        if span is not None:
            ends_s = max(ends_s, span[1])
    return element(
        "li", *parts, class_="turn", value=turn.turn, data_begins=begins_s, data_ends=ends_s
    )


def _line(name: str, who: str, begins_s: float, words: str) -> str:
    return element(
        "p",
        _play(begins_s),
        element("span", safe(who), class_="who"),
        element("span", words, class_="words"),
        class_=f"line {name}",
    )


def _play(at_s: float) -> str:
    return element(
        "button",
        element("span", "Play from ", class_="hidden"),
        element("span", "▶ ", aria_hidden="true"),
        clock(at_s),
        type="button",
        class_="play",
        data_at=round(at_s, 3),
    )


def _answer(turn: TurnReport) -> str:
    """Return the words of an answer: what was heard, and struck through what was not."""
    heard, planned = turn.heard, turn.planned
    words = safe(heard)
    if planned.startswith(heard):
        rest = planned[len(heard) :]
        if rest.strip():
            words += element("s", element("span", " (not heard:) ", class_="hidden"), safe(rest))
    elif planned != heard:
        words += element("span", f" Planned: {safe(planned)}", class_="planned")
    if turn.interrupted:
        after = "" if turn.heard_ms is None else f" after {turn.heard_ms / 1000:.1f} s"
        words += " " + element("em", f"interrupted{after}", class_="interrupted")
    if turn.latency is not None:
        words += " " + element("span", f"{turn.latency.total_s:.2f} s", class_="latency-note")
    return words


def _tool(tool: ToolReport) -> str:
    took = "no result" if tool.ended_s is None else f"{tool.ended_s - tool.began_s:.2f} s"
    failed = tool.failed or tool.ended_s is None
    summary = element(
        "summary",
        element("code", safe(tool.name)),
        f" {took}",
        element("span", " failed", class_="failed") if failed else "",
    )
    content = element(
        "dl",
        element("dt", "Arguments"),
        element("dd", element("code", safe(tool.arguments))),
        element("dt", "Result"),
        element("dd", element("code", safe(tool.result) or "none")),
    )
    details = element("details", summary, content)
    return element(
        "div",
        _play(tool.began_s),
        element("span", "Tool", class_="who"),
        details,
        class_="line tool",
    )


def _events(run: ReportRun, id_: str) -> str:
    if not run.rows:
        return element("p", "The report has no events.")
    values = [row.value() for row in run.rows]
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    packed = b64encode(zlib.compress(text.encode(), 9)).decode()
    sides = ("all", "sent", "received", "session", "stream", "played")
    controls = element(
        "div",
        element("label", "Search ", f'<input type="search" data-search id="{id_}-search">'),
        element(
            "label",
            "Side ",
            element("select", *(element("option", side) for side in sides), data_side=True),
        ),
        element("span", class_="count", role="status"),
        class_="search",
    )
    head = element(
        "tr", *(element("th", name, scope="col") for name in ("Time", "Side", "Event", "Payload"))
    )
    table = element("table", element("thead", head), element("tbody"), class_="events")
    region = element("div", table, class_="wide", tabindex=0, role="group", aria_label="Events")
    more = element("button", "Show more", type="button", class_="more", hidden=True)
    data = element("script", packed, type="text/plain", class_="data")
    without = element("noscript", "The list of events needs JavaScript.")
    return element("div", controls, region, more, without, data, class_="event-list")


def _configuration(data: ReportData) -> str:
    facts = dict(_configuration_facts(data))
    items = [
        element("dt", name) + element("dd", safe(value)) for name, value in facts.items() if value
    ]
    return element("dl", *items, class_="configuration")


def _configuration_facts(data: ReportData) -> Iterator[tuple[str, str]]:
    yield "Model", f"{data.model_name} ({data.model})" if data.model else ""
    yield "Voice", data.voice
    yield "Recorded", f"{data.began_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "System prompt", data.system
    yield "Tools", ", ".join(data.tool_names)
    yield "Software", ", ".join(f"{name} {version}" for name, version in data.software.items())
    yield "Redacted", "yes" if data.redacted else ""
