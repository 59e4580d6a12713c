"""Any model behind the voice: conversations with the emulator in which a reasoner thinks.

The user types. The stand-ins of text models are real servers, and the emulator is strict.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

import pytest

from sonic_voice import (
    AudioFormat,
    Expert,
    LocalService,
    Message,
    ModelReasoner,
    NullSink,
    Reasoner,
    Session,
    SessionConfig,
    Toolbox,
    converse,
    reasoner_tool,
    tool,
)
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    ToolAnswered,
    ToolCall,
    TurnEnded,
)

from ..support.text_models import (
    KINDS,
    Answer,
    HttpTextModel,
    Kind,
    Move,
    calling,
    saying,
    text_model,
)
from .test_typed_conversation import shell

V2, V25 = "amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic"
STRICT = Behaviour(strict=True, ears="none")
PATIENCE_S = 60.0
CHUNK_S = 0.032
STORY = "Once upon a time there was a lighthouse keeper who counted the ships each night."

type React = Callable[["Talk", Event], None]
"""The reaction of the user to an event."""


class SilentSource:
    """A microphone that hears nothing, several times as fast as real time."""

    format = AudioFormat(16_000)

    def __init__(self) -> None:
        self._read = 0
        self._alarm: tuple[float, Callable[[], None]] | None = None
        self.going = asyncio.Event()
        """The clock stands still while it is not set."""
        self.going.set()
        self.done = False

    def now(self) -> float:
        return self._read * CHUNK_S

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function at a later time of the conversation."""
        self._alarm = (self.now() + seconds, call)

    async def read(self) -> bytes:
        await asyncio.sleep(0.004)
        await self.going.wait()
        self._read += 1
        if self._alarm is not None and self.now() >= self._alarm[0]:
            call, self._alarm = self._alarm[1], None
            call()
        return bytes(self.format.size(CHUNK_S))

    async def aclose(self) -> None:
        """Do nothing."""


class Talk:
    """A conversation, with what happened in it."""

    def __init__(self, session: Session, source: SilentSource) -> None:
        self.session = session
        self.source = source
        self.events: list[Event] = []
        self.at_s: list[float] = []
        """Times of the events, in seconds of the loop's clock."""

    def of[T: Event](self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def time_of(self, kind: type[Event]) -> float:
        """Return the time of the last event of a kind, in seconds of the loop's clock."""
        times = zip(self.events, self.at_s, strict=True)
        return max(at_s for event, at_s in times if isinstance(event, kind))

    @property
    def spoken(self) -> list[str]:
        """All sentences that the model began to speak."""
        return [text.text.strip() for text in self.of(AssistantText) if text.stage != "FINAL"]

    def hang_up(self) -> None:
        """Let the conversation end when all is said."""
        self.source.done = True


async def talk(
    reasoner: Expert | Reasoner | None,
    react: React,
    *,
    model: str = V2,
    scenario: Path | None = None,
    behaviour: Behaviour = STRICT,
    begin: str = "What time is it?",
    patience_s: float = PATIENCE_S,
) -> Talk:
    """Hold a conversation that begins with a typed turn.

    Args:
        reasoner: The reasoner.
        react: Called with each event.
        model: The voice model.
        scenario: Scenario of the emulator; None for its small talk.
        behaviour: Settings of the emulator.
        begin: The first turn.
        patience_s: Time after which it fails, in seconds.
    """
    source = SilentSource()
    config = SessionConfig(model=model, tools=(reasoner_tool(model),))
    async with (
        asyncio.timeout(patience_s),
        LocalService(scenario, behaviour=behaviour) as transport,
        Session.open(config, transport, clock=source.now) as session,
    ):
        held = Talk(session, source)
        loop = asyncio.get_running_loop()

        def observe(event: Event, _: float) -> None:
            held.events.append(event)
            held.at_s.append(loop.time())
            react(held, event)

        sink = NullSink(config.output, now=source.now)
        session.send_text(begin)
        await converse(session, source, sink, None, [observe], reasoner=reasoner)
    return held


def leaving_after(turn: int) -> React:
    """Return a user who hangs up after a turn."""

    def react(held: Talk, event: Event) -> None:
        if isinstance(event, TurnEnded) and event.turn == turn:
            held.hang_up()

    return react


@tool
def clock(zone: str) -> dict[str, str]:
    """Tell the time of a zone."""
    return {"zone": zone, "time": "noon"}


class Stage:
    """The moments that stand-ins and users of a conversation wait for."""

    def __init__(self) -> None:
        self.first_heard = asyncio.Event()
        """Set when the first sentence of the first answer sounds."""
        self._interrupts = False

    async def tell_time(self, answer: Answer) -> None:
        """Answer with two sentences; the second is thought when the first sounds."""
        await answer.text("It is ", "noon. ", "And")
        await self.first_heard.wait()
        await answer.text(" it rains.")
        await answer.stop()

    async def tell_story(self, answer: Answer) -> None:
        """Answer with a sentence, and think for ever about the next."""
        await answer.text(f"{STORY} ", "One night")
        await asyncio.Event().wait()

    def moves(self) -> list[Move]:
        """Return the answers of a text model in the conversation."""
        return [
            calling("clock", '{"zone"', ': "UTC"}'), self.tell_time, self.tell_story,
            saying("Sure. Good", "bye."),
        ]  # fmt: skip

    def react(self, held: Talk, event: Event) -> None:
        """Ask for a story, and interrupt it when it sounds."""
        match event:
            case Audio(1):
                self.first_heard.set()
            case TurnEnded(1):
                held.session.send_text("Tell me a story.")
            case Audio(2) if not self._interrupts:
                self._interrupts = True
                held.source.call_later(1.5, lambda: self._interrupt(held))
            case Interrupted(2):
                held.source.going.set()
            case TurnEnded():
                held.hang_up()
            case _:
                pass

    def _interrupt(self, held: Talk) -> None:
        held.session.send_text("Stop, thank you.")
        held.source.going.clear()  # what is heard of the story depends on no machine


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_conversation_with_a_model_behind_each_api(kind: Kind) -> None:
    stage = Stage()
    async with text_model(kind, *stage.moves()) as (service, model):
        held = await talk(ModelReasoner(model, tools=Toolbox([clock])), stage.react)
    _check_conversation(held)
    (called,) = [call for call in held.of(ToolCall) if not call.reserved]
    (result,) = [answer for answer in held.of(ToolAnswered) if not answer.reserved]
    assert (called.name, json.loads(called.arguments_json)) == ("clock", {"zone": "UTC"})
    assert result.tool_use == called.tool_use
    assert json.loads(result.result_json) == {"zone": "UTC", "time": "noon"}
    # The request for the story was ended by the call of the next turn.
    assert len(service.left_s) == 1
    told = json.dumps(service.asked[-1])
    assert "Tell me a story." in told
    assert "Stop, thank you." in told
    assert "One night" not in told
    late_ms = 1000 * (service.left_s[0] - _barge_in_s(held))
    print(f"{kind}: the stand-in saw the end of the request {late_ms:.1f} ms after the event")
    assert late_ms < 5_000


@pytest.mark.thorough
async def test_the_same_conversation_with_a_function() -> None:
    stage = Stage()
    ended: list[float] = []

    async def think(messages: Sequence[Message]) -> AsyncGenerator[str]:
        words = messages[-1].text
        if "time" in words:
            yield "It is noon."
            await stage.first_heard.wait()
            yield "And it rains."
        elif "story" in words:
            try:
                yield STORY
                await asyncio.Event().wait()
            finally:
                ended.append(asyncio.get_running_loop().time())
        else:
            yield "Sure."
            yield "Goodbye."

    held = await talk(think, stage.react)
    _check_conversation(held)
    assert len(ended) == 1


def _barge_in_s(held: Talk) -> float:
    """Return when the conversation learned that the story is not wanted any more."""
    times = zip(held.events, held.at_s, strict=True)
    third = _questions(held)[2]
    return min(
        at_s
        for event, at_s in times
        if event is third or (isinstance(event, Interrupted) and event.turn == 2)
    )


def _questions(held: Talk) -> list[ToolCall]:
    """Return the calls with which the voice model has asked the reasoner."""
    return [call for call in held.of(ToolCall) if call.reserved]


def _check_conversation(held: Talk) -> None:
    assert held.spoken == ["It is noon.", "And it rains.", STORY, "Sure.", "Goodbye."]
    calls = [call.tool_use for call in _questions(held)]
    assert len(calls) == 3
    answers = [answer for answer in held.of(ToolAnswered) if answer.reserved]
    assert sorted(answer.tool_use for answer in answers) == sorted(calls)
    assert [json.loads(answer.result_json)["text"] for answer in answers] == [
        "It is noon. And it rains.", STORY, "Sure. Goodbye.",
    ]  # fmt: skip
    last = json.loads(_questions(held)[2].arguments_json)["messages"]
    assert [message["role"] for message in last] == ["USER", "ASSISTANT"] * 2 + ["USER"]
    heard = last[3]["content"][0]["text"]
    assert STORY.startswith(heard)
    assert heard != STORY


ASKING = """
steps:
  - user: "what time is it?"
    call: {tool: ask_expert, arguments: {question: "{user}"}, then: "{result.answer}"}
"""


async def test_a_model_without_the_reserved_tool_asks_by_an_ordinary_one(tmp_path: Path) -> None:
    asked: list[tuple[Message, ...]] = []

    async def think(messages: Sequence[Message]) -> AsyncGenerator[str]:
        asked.append(tuple(messages))
        yield "It is noon."
        yield "And it rains."

    scenario = tmp_path / "s.yaml"
    scenario.write_text(ASKING)
    held = await talk(think, leaving_after(1), model=V25, scenario=scenario)
    assert [call.name for call in held.of(ToolCall)] == ["ask_expert"]
    assert [json.loads(answer.result_json) for answer in held.of(ToolAnswered)] == [
        {"answer": "It is noon. And it rains."}
    ]
    assert "It is noon. And it rains." in " ".join(held.spoken)
    assert [message.role for message in asked[0]] == ["USER"]


HELLO = Path(__file__).parent.parent / "speech" / "hello.wav"
ROBOT = """
from sonic_voice import tool

@tool
def go(direction: str, meters: int) -> dict[str, int]:
    \"\"\"Move the robot.\"\"\"
    return {"meters": meters}
"""


async def test_the_command_talk_lets_a_model_think_with_the_tools_of_the_command(
    tmp_path: Path,
) -> None:
    (tmp_path / "robot.py").write_text(ROBOT)
    (tmp_path / "s.yaml").write_text('steps: [{user: "go three meters", say: "Nobody says this."}]')
    moves = [
        calling("go", '{"direction": "forward", "meters": 3}', before="One moment. "),
        saying("I went three meters."),
    ]
    async with HttpTextModel("openai", moves).running() as service:
        code, out, err = await shell(
            f"sonic-voice talk --local --scenario s.yaml --input {HELLO} --speed 5 --no-save "
            f"--tools robot.py --system 'You steer a robot.' --reasoner '{service.address}'",
            tmp_path,
        )
    assert code == 0, err
    assert "with the reasoner stand-in by openai" in out
    assert "One moment. I went three meters." in " ".join(out.split())
    assert "ExpertTool" not in out
    assert "Nobody says this" not in out
    assert "You steer a robot." in service.asked[0]["messages"][0]["content"]
    assert [tool["function"]["name"] for tool in service.asked[0]["tools"]] == ["go"]
    assert json.loads(service.asked[1]["messages"][-1]["content"]) == {"meters": 3}
