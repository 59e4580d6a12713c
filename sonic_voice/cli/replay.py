"""The command `sonic-voice replay`: the user of a tape again, with the tape or another service."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from ..errors import ConfigError, SonicError
from ..printable import printable, printable_json
from ..recording import Tape, read_tape
from ..recording.conversation_outline import conversation_outline
from ..recording.outline_comparison import (
    ASPECTS,
    ConversationComparison,
    Tolerance,
    compare_conversations,
)
from ..recording.step_comparison import Difference
from ..virtual_time import VirtualTimeLoop
from .base import errors, run_until_done
from .options import (
    CaFile,
    ProfileName,
    ProxyUrl,
    RegionName,
    ScenarioFile,
    ToolsFile,
    VoiceId,
)
from .printing import echo
from .replay_report import comparison_lines
from .service import BEDROCK, LOCAL, service_against
from .tools_file import load_tools

DIFFERS_EXIT = 1
"""Exit code when the client differs from the tape, or the conversations in an aspect of --fail-on.
"""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of `sonic-voice replay`."""

    against: str
    """The service: `local`, `bedrock`, a URL, or the path of another tape; empty for the tape."""
    loose: bool
    scenario: Path | None
    tools: Path | None
    model: str | None
    voice: str | None
    region: str | None
    profile: str | None
    ca: Path | None
    proxy: str | None
    speed: float
    record: Path | None


def replay(
    context: typer.Context,
    tape: Annotated[Path, typer.Argument(help="Tape of a conversation.")],
    against: Annotated[
        str,
        typer.Option(
            metavar="local|bedrock|URL|TAPE",
            help="Service that answers the user of the tape: the emulator, Amazon Bedrock, or the "
            "URL of another endpoint. A second tape is only compared. By default the tape itself "
            "answers, and what the client sends is compared with it.",
        ),
    ] = "",
    loose: Annotated[
        bool,
        typer.Option("--loose", help="Without --against: do not compare what the client sends."),
    ] = False,
    scenario: ScenarioFile = None,
    tools: ToolsFile = None,
    model: Annotated[
        str | None, typer.Option(help="Id of another model than that of the tape.")
    ] = None,
    voice: VoiceId = None,
    region: RegionName = None,
    profile: ProfileName = None,
    ca: CaFile = None,
    proxy: ProxyUrl = None,
    speed: Annotated[
        float, typer.Option(help="With a URL: speed as a multiple of real time.")
    ] = 1.0,
    record: Annotated[
        Path | None, typer.Option(help="File for a tape of the new conversation.")
    ] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="ASPECT,...",
            help=f"Exit with 1 if the conversations differ in one of these: {', '.join(ASPECTS)}.",
        ),
    ] = "",
    word_tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a turn's words that may differ.")
    ] = 0.0,
    latency_tolerance: Annotated[
        int, typer.Option(min=0, metavar="MS", help="Time by which a latency may differ, in ms.")
    ] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Hold the conversation of a tape again, and compare both conversations.

    [bold]sonic-voice replay talk.tape[/bold]
    [bold]sonic-voice replay talk.tape --against local --scenario orders.yaml --json[/bold]

    The user says and types what the tape has, and tools return what they returned. With the tape
    itself or the emulator it runs faster than real time.
    """
    with errors(context):
        aspects = _aspects(fail_on)
        options = ReplayOptions(
            against, loose, scenario, tools, model, voice, region, profile, ca, proxy, speed, record
        )  # fmt: skip
        _check(options)
        comparison, difference, error = _compare(
            _read(tape), options, Tolerance(word_tolerance, latency_tolerance)
        )
        if as_json:
            facts: dict[str, Any] = {"tape": str(tape), "against": against or "tape"}
            facts["client_difference"] = difference and asdict(difference)
            echo(printable_json(facts | comparison.as_json()))
        else:
            for line in _lines(comparison, difference, strict=not (against or loose)):
                echo(line)
        if error is not None and not comparison.before.error:
            raise error
        if difference is not None or aspects & set(comparison.differences):
            raise typer.Exit(DIFFERS_EXIT)


def _lines(
    comparison: ConversationComparison, difference: Difference | None, *, strict: bool
) -> Iterator[str]:
    yield from comparison_lines(comparison)
    if difference is not None:
        yield printable(difference.sentence)
        yield from (printable(line) for line in difference.diff.splitlines())
    elif strict:
        yield "The client sent what it sent on the tape."


def _aspects(text: str) -> set[str]:
    """Return the aspects of --fail-on.

    Raises:
        typer.BadParameter: One is unknown.
    """
    aspects = {word.strip() for word in text.split(",") if word.strip()}
    if unknown := aspects - set(ASPECTS):
        raise typer.BadParameter(
            f"{sorted(unknown)[0]!r} is none of {', '.join(ASPECTS)}.", param_hint="--fail-on"
        )
    return aspects


def _check(options: ReplayOptions) -> None:
    """Check that the options fit each other.

    Raises:
        typer.BadParameter: They do not.
    """
    against = options.against
    is_url = against.startswith(("https://", "http://"))
    if options.scenario and against != LOCAL:
        raise typer.BadParameter("--scenario is an option of the emulator: use --against local.")
    if options.loose and against:
        raise typer.BadParameter("--loose is for a replay of the tape: leave --against out.")
    if options.speed != 1.0 and not is_url:
        raise typer.BadParameter("--speed is for other endpoints: use --against URL.")
    if not options.speed > 0:
        raise typer.BadParameter(f"The speed must be above 0, not {options.speed:g}.")
    if is_url or against in ("", LOCAL, BEDROCK):
        return
    if options.record or options.tools:
        raise typer.BadParameter("A second tape is only compared: no conversation is held.")
    if not Path(against).is_file():
        raise typer.BadParameter(
            f"{against!r} is not local, bedrock, a URL or a tape.", param_hint="--against"
        )


def _read(path: Path) -> Tape:
    """Read a tape, and print what of it is damaged."""
    tape = read_tape(path)
    for damage in tape.damage:
        echo(
            printable(f"{path}: {damage.length} bytes at {damage.offset} are damaged:")
            + f" {printable(damage.reason)}.",
            err=True,
        )
    return tape


def _compare(
    tape: Tape, options: ReplayOptions, tolerance: Tolerance
) -> tuple[ConversationComparison, Difference | None, SonicError | None]:
    """Hold the conversation of a tape again, and compare both.

    Returns:
        The comparison, the first difference of the client, and the error that ended the new
        conversation.
    """
    before = conversation_outline(tape)
    if options.against not in ("", LOCAL, BEDROCK) and "://" not in options.against:
        after = conversation_outline(_read(Path(options.against)))
        return compare_conversations(before, after, tolerance), None, None
    with TemporaryDirectory(prefix="sonic-voice-") as folder:
        path = options.record or Path(folder) / "again.tape"
        held = _Held()
        is_virtual = options.against in ("", LOCAL)
        run_until_done(
            _hold(tape, options, path, held), loop_factory=VirtualTimeLoop if is_virtual else None
        )
        if not path.exists():
            raise held.error or ConfigError("The conversation did not begin.")
        after = conversation_outline(read_tape(path))
    if held.difference is not None:  # the diff is printed below the comparison
        after = replace(after, error=held.difference.sentence)
    return compare_conversations(before, after, tolerance), held.difference, held.error


@dataclass(slots=True)
class _Held:
    """The outcome of holding a conversation again."""

    difference: Difference | None = None
    error: SonicError | None = None


async def _hold(tape: Tape, options: ReplayOptions, record: Path, held: _Held) -> None:
    from ..recording.recorded_config import recorded_config
    from ..recording.recorded_user import recorded_user
    from ..recording.replay import ReplayDifference
    from ..recording.rerun import hold_again, hold_with_tape

    config = recorded_config(tape)
    changes = {"model": options.model, "voice": options.voice, "region": options.region}
    config = replace(config, **{name: value for name, value in changes.items() if value})
    tools = None
    if options.tools is not None:
        tools = load_tools(options.tools)
        tools.on_notice = lambda text: echo(printable(text), err=True)
        config = replace(config, tools=tools.specs)
    if not options.against:
        try:
            rerun = await hold_with_tape(
                tape, config=config, tools=tools, strict=not options.loose, record=record
            )
        except ReplayDifference as error:
            held.difference = error.difference
        else:
            held.error = rerun.error
        return
    service = service_against(
        options.against,
        config.model,
        scenario=options.scenario,
        region=options.region,
        profile=options.profile,
        ca=options.ca,
        proxy=options.proxy,
    )
    async with service as transport:
        rerun = await hold_again(
            recorded_user(tape),
            config,
            transport,
            tools=tools,
            speed=options.speed,
            record=record,
        )
    held.error = rerun.error
