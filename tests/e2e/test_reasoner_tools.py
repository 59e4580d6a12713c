"""Tools of a reasoner on the emulator, on virtual time: what is seen of them, and what they can do.

The text model is a list of moves, so that each conversation is the same on every run.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.audio.ports import NullSink
from sonic_voice.audio.wav import WavSource
from sonic_voice.config import SessionConfig
from sonic_voice.conversation import converse
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.events import Closed, Event, ToolAnswered, ToolCall, ToolProgress
from sonic_voice.reasoning.expert_tool import reasoner_tool
from sonic_voice.reasoning.model_reasoner import ModelReasoner
from sonic_voice.reasoning.requests import AnswerPart, ModelCall, ModelRequest
from sonic_voice.recording import Recorder, read_tape
from sonic_voice.recording.records import SessionEvent, Tape
from sonic_voice.recording.rerun import replay_tape
from sonic_voice.session import Session
from sonic_voice.tools.builtin import Transfer, end_call, transfer_tool
from sonic_voice.tools.context import ToolContext
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.virtual_service import VirtualService
from sonic_voice.virtual_time import VirtualTimeLoop

from .test_guards import blocks_of_results, said_in

HELLO = Path(__file__).parents[1] / "speech" / "hello.wav"
V2, V25 = "amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic"
STRICT = Behaviour(strict=True)

ASKING = """
steps:
  - user: hello
    call: {tool: ask_expert, arguments: {question: "{user}"}, then: "{result.answer}"}
"""


class Moves:
    """A text model that answers each request with the next of its moves. Implements `ModelApi`."""

    def __init__(self, *moves: Sequence[AnswerPart]) -> None:
        self.moves = list(moves)
        self.asked: list[ModelRequest] = []

    async def answer(self, request: ModelRequest) -> AsyncGenerator[AnswerPart]:
        """See `ModelApi`."""
        self.asked.append(request)
        for part in self.moves.pop(0):
            yield part

    async def aclose(self) -> None:
        """See `ModelApi`."""


class Listening(WavSource):
    """A recording after which the user says nothing, and stays."""

    @property
    def done(self) -> bool:
        """False: the user may say something at any time."""
        return False

    async def read(self) -> bytes:
        """Return the recording, then silence until half a minute has passed."""
        return await super().read() if self.now() < 30 else b""


@dataclass
class Talk:
    """A conversation that was held."""

    events: list[tuple[float, Event]]
    lines: list[str]
    """The answers of the transcript."""
    tape: Tape
    unheard_s: float
    """Sound that was not played when the conversation ended, in seconds."""

    def of[T: Event](self, kind: type[T]) -> list[T]:
        return [event for _, event in self.events if isinstance(event, kind)]

    @property
    def sentences(self) -> list[list[str]]:
        """The sentences of each answer of the reasoner, as they were sent."""
        return [said_in(block) for block in blocks_of_results(self.tape)]

    def check_calls(self, *names: str) -> None:
        """Check that these tools of the reasoner were called, each with exactly one result."""
        called = [call for call in self.of(ToolCall) if call.by_reasoner]
        assert [call.name for call in called] == list(names)
        answered = [answer.tool_use for answer in self.of(ToolAnswered) if answer.by_reasoner]
        assert sorted(answered) == sorted(call.tool_use for call in called)
        assert len(set(answered)) == len(answered)
        on_tape = [
            (record.name, record.fields["tool_use"])
            for record in self.tape.records
            if isinstance(record, SessionEvent) and record.fields.get("by_reasoner")
        ]
        assert sorted(on_tape) == sorted(
            (kind, call.tool_use) for call in called for kind in ("ToolCall", "ToolAnswered")
        )


def hold(
    tmp_path: Path,
    moves: Moves,
    *tools: Any,
    model: str = V2,
    scenario: str | None = None,
    stays: bool = False,
) -> Talk:
    """Hold a conversation in which the user says hello.

    Args:
        tmp_path: Folder for its files.
        moves: The text model.
        tools: The tools of the reasoner.
        model: The voice model.
        scenario: Scenario of the emulator; None for its small talk.
        stays: Whether the user stays, so that the conversation ends only if a tool ends it.
    """
    events: list[tuple[float, Event]] = []
    config = SessionConfig(model=model, tools=(reasoner_tool(model),))
    path = tmp_path / "scenario.yaml"
    if scenario is not None:
        path.write_text(scenario, encoding="utf-8")
    tape = tmp_path / "talk.tape"

    async def run() -> tuple[list[str], float]:
        source = (Listening if stays else WavSource)(HELLO)
        async with (
            VirtualService(path if scenario else None, behaviour=STRICT) as transport,
            Recorder(transport, tape, config, clock=source.now) as recorder,
            source,
            Session.open(config, recorder, clock=source.now) as session,
        ):
            sink = NullSink(config.output, now=source.now)

            def keep(event: Event, now: float) -> None:
                events.append((now, event))

            observers = [recorder.observer, keep]
            reasoner = ModelReasoner(moves, tools=Toolbox(tools))
            await converse(session, source, sink, None, observers, reasoner=reasoner)
            lines = [line.text for line in session.transcript.lines if line.role != "USER"]
            return lines, sink.pending_s

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        lines, unheard_s = runner.run(run())
    assert isinstance(events[-1][1], Closed)
    return Talk(events, lines, read_tape(tape), unheard_s)


CALL = ModelCall("call-1", "look", "{}")


def test_observers_and_tapes_see_each_call_with_one_result(tmp_path: Path) -> None:
    seen: list[ToolContext] = []

    @tool
    async def look(context: ToolContext) -> str:
        """Look."""
        seen.append(context)
        assert [message.text for message in context.transcript] == ["hello."]
        return "noon"

    # The text model gives the same id to all of its calls.
    moves = Moves([CALL, ModelCall("call-1", "nothing", "{}")], [CALL], ["It is noon."])
    talked = hold(tmp_path, moves, look)
    talked.check_calls("look", "nothing", "look")
    assert talked.sentences == [["It is noon."]]
    (asked,) = [call for call in talked.of(ToolCall) if call.reserved]
    assert [(context.turn, context.tool_use) for context in seen] == [
        (1, f"{asked.tool_use}/1"),
        (1, f"{asked.tool_use}/3"),
    ]
    results = [json.loads(a.result_json) for a in talked.of(ToolAnswered) if a.by_reasoner]
    assert sorted(map(str, results)) == [
        str({"error": "There is no tool 'nothing'. Tools: look."}),
        *[str({"result": "noon"})] * 2,
    ]
    assert [r.results for r in moves.asked[-1].rounds] == [
        ('{"result": "noon"}', '{"error": "There is no tool \'nothing\'. Tools: look."}'),
        ('{"result": "noon"}',),
    ]


@pytest.mark.parametrize(
    ("after_s", "before", "reports", "spoken"),
    [
        (0.1, "", "", []),
        (4.0, "", "", ["One moment."]),
        (4.0, "", "I am still looking.", ["I am still looking."]),
        (4.0, "Let me see. ", "", ["Let me see."]),
        (8.0, "Let me see. ", "I am still looking.", ["Let me see.", "I am still looking."]),
    ],
)
def test_a_slow_tool_is_acknowledged_within_the_answer(
    tmp_path: Path, after_s: float, before: str, reports: str, spoken: list[str]
) -> None:
    @tool(ack="One moment.")
    async def look(context: ToolContext) -> str:
        """Look."""
        if reports:
            context.progress(reports)
        await asyncio.sleep(after_s)
        return "noon"

    moves = Moves([before, CALL], ["It is noon. ", "And it rains."])
    talked = hold(tmp_path, moves, look)
    talked.check_calls("look")
    told = [event.text for event in talked.of(ToolProgress)]
    assert told == [words for words in spoken if words != before.strip()]
    assert talked.sentences == [[*spoken, "It is noon.", "And it rains."]]
    assert talked.lines == [" ".join([*spoken, "It is noon.", "And it rains."])]
    assert len(moves.asked) == 2
    # In a replay the sentences come from the tape, also those that were no words of the reasoner.
    again = replay_tape(talked.tape)
    assert again.error is None
    repeated = [event for _, event in again.events if isinstance(event, ToolAnswered)]
    assert [event.result_json for event in repeated] == [
        event.result_json for event in talked.of(ToolAnswered) if not event.by_reasoner
    ]


def test_words_of_a_tool_are_said_after_the_answer_without_asking_the_reasoner(
    tmp_path: Path,
) -> None:
    later: set[asyncio.Task[None]] = set()

    @tool
    async def look(context: ToolContext) -> str:
        """Look."""

        async def announce() -> None:
            await asyncio.sleep(2)
            assert context.say("Your picture is ready.")

        later.add(asyncio.create_task(announce()))
        return "I look"

    moves = Moves([CALL], ["I look, and tell you."])
    talked = hold(tmp_path, moves, look, stays=True)
    assert talked.sentences == [["I look, and tell you."], ["Your picture is ready."]]
    assert talked.lines == ["I look, and tell you.", "Your picture is ready."]
    assert len(moves.asked) == 2


@pytest.mark.parametrize("name", ["end_call", "transfer"])
def test_a_reasoner_hangs_up_or_transfers_once_its_goodbye_was_heard(
    tmp_path: Path, name: str
) -> None:
    connected: list[Transfer] = []
    arguments = {
        "end_call": {"goodbye": "So long!"},
        "transfer": {"destination": "billing", "reason": "Money.", "announcement": "So long!"},
    }[name]
    call = ModelCall("call-1", name, json.dumps(arguments))
    tools = (end_call, transfer_tool(["billing"], connected.append))
    moves = Moves(["One moment. ", call], ["So long, Ada!"])
    talked = hold(tmp_path, moves, *tools, stays=True)
    talked.check_calls(name)
    assert [transfer.destination for transfer in connected] == ["billing"] * (name == "transfer")
    assert talked.sentences == [["One moment.", "So long, Ada!"]]
    assert talked.lines == ["One moment. So long, Ada!"]
    assert talked.events[-1][0] < 20
    assert talked.unheard_s <= 0


def test_a_model_without_the_reserved_tool_is_asked_to_acknowledge(tmp_path: Path) -> None:
    @tool(ack="One moment.")
    async def look() -> str:
        """Look."""
        await asyncio.sleep(4)
        return "noon"

    moves = Moves([CALL], ["It is noon."])
    talked = hold(tmp_path, moves, look, model=V25, scenario=ASKING)
    talked.check_calls("look")
    assert [r for _, results in blocks_of_results(talked.tape) for r in results] == [
        '{"answer": "It is noon."}'
    ]
    assert " ".join(talked.lines) == "One moment. It is noon."
