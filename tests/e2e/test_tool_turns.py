"""Tools that take their time, and tools that end a call: conversations in virtual time."""

import asyncio
import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.audio.ports import NullSink
from sonic_voice.audio.wav import WavSource
from sonic_voice.config import SessionConfig
from sonic_voice.conversation import converse
from sonic_voice.demo import DEMO_WAV
from sonic_voice.emulator.service.effects import Note, StreamRequest
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Interrupted,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    UserText,
)
from sonic_voice.history import Message
from sonic_voice.recording import Recorder, read_tape
from sonic_voice.recording.records import Sent
from sonic_voice.session import Session
from sonic_voice.tool_calls import ACK_AFTER_S, instruction
from sonic_voice.tool_runner import LAST_ANSWER_S
from sonic_voice.tools.builtin import Transfer, end_call, transfer_tool
from sonic_voice.tools.context import ToolContext
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.virtual_service import VirtualService
from sonic_voice.virtual_time import VirtualTimeLoop

NOVA_2, NOVA_2_5 = "amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic"

SCENARIO = """
name: order
endpoint_ms: 480
steps:
  - user: where is my order?
    call:
      tool: find_order
      meanwhile: Let me have a look for you.
      then: Your order is in {result.city}.
  - user: thank you.
    say: You are welcome.
"""

TOOL_S = 4.0

THREAD_PATIENCE_S = 30.0


def utterances(count: int, pause_s: float = 0.0) -> io.BytesIO:
    """Return a WAV file with the first words of the demonstration, said so often."""
    with wave.open(str(DEMO_WAV)) as demo:
        rate_hz = demo.getframerate()
        word = demo.readframes(int(1.4 * rate_hz))
    pause = bytes(2 * int(pause_s * rate_hz))
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(pause.join([word] * count))
    made.seek(0)
    return made


@dataclass
class Outcome:
    """The outcome of a conversation."""

    events: list[tuple[float, Event]] = field(default_factory=list[tuple[float, Event]])
    """The events with their times, in seconds of the conversation's clock."""
    texts: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    """The interactive texts that were sent, with their times in seconds of the tape."""
    results: list[tuple[float, Any]] = field(default_factory=list[tuple[float, Any]])
    """The tool results that were sent, with their times in seconds of the tape."""
    goodbye_s: float = 0.0
    """Time at which `sessionEnd` was sent, in seconds of the tape."""
    notes: list[str] = field(default_factory=list[str])
    """Mistakes of the client that the emulator has noted."""
    lines: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """The transcript: roles and words."""

    def times(self, *kinds: type[Event]) -> list[float]:
        return [at_s for at_s, event in self.events if isinstance(event, kinds)]

    def said(self) -> list[str]:
        return [text for role, text in self.lines if role == "ASSISTANT"]


def hold(
    tmp_path: Path,
    tools: Toolbox,
    *,
    model: str = NOVA_2_5,
    scenario: str = SCENARIO,
    speech: io.BytesIO | None = None,
    observe: Callable[[Event, Session, NullSink], None] | None = None,
) -> Outcome:
    """Hold a conversation, and return what came of it."""
    script = tmp_path / "scenario.yaml"
    script.write_text(scenario)
    outcome = Outcome()

    def note_rule(_: StreamRequest, note: Note) -> None:
        outcome.notes.append(note.rule)

    async def run() -> None:
        service = VirtualService(script, on_note=note_rule)
        config = SessionConfig(model=model, tools=tools.specs)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        async with service as transport:
            source = WavSource(speech or utterances(1))
            recorder = Recorder(transport, tmp_path / "tape", config, clock=source.now)
            session = Session.open(config, recorder, clock=source.now)
            # A thread of a tool runs in real time: no virtual time passes meanwhile.
            with loop.wait_while(lambda: tools.awaits_thread, THREAD_PATIENCE_S):
                async with source, recorder, session:
                    sink = NullSink(config.output, now=source.now)

                    def keep(event: Event, now: float) -> None:
                        outcome.events.append((now, event))
                        if observe is not None:
                            observe(event, session, sink)

                    await converse(session, source, sink, tools, [recorder.observer, keep])
            lines = session.transcript.lines
            outcome.lines = [(line.role, line.text.strip()) for line in lines]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())
    for record in read_tape(tmp_path / "tape").records:
        if isinstance(record, Sent):
            event = json.loads(record.payload)["event"]
            if "textInput" in event:
                outcome.texts.append((record.t_s, event["textInput"]["content"]))
            elif "sessionEnd" in event:
                outcome.goodbye_s = record.t_s
            elif "toolResult" in event:
                outcome.results.append((record.t_s, json.loads(event["toolResult"]["content"])))
    outcome.texts = outcome.texts[1:]  # the first one is the system prompt
    return outcome


@tool(ack="One moment.")
async def find_order() -> dict[str, str]:
    """Find the order of the user."""
    await asyncio.sleep(TOOL_S)
    return {"city": "Oslo"}


def test_a_tool_of_four_seconds_is_acknowledged_once_and_its_result_is_spoken(
    tmp_path: Path,
) -> None:
    outcome = hold(tmp_path, Toolbox([find_order]))
    assert outcome.said() == ["One moment.", "Your order is in Oslo."]
    assert [text for _, text in outcome.texts] == [instruction("One moment.")]
    assert [result for _, result in outcome.results] == [{"city": "Oslo"}]
    assert outcome.notes == []
    [called_s], [answered_s] = outcome.times(ToolCall), outcome.times(ToolAnswered)
    assert answered_s - called_s == pytest.approx(TOOL_S, abs=0.1)
    in_gap = [at_s for at_s in outcome.times(Audio) if called_s < at_s < answered_s]
    assert called_s + ACK_AFTER_S < min(in_gap) < max(in_gap) < answered_s - 1.0
    [text_s], [result_s] = (times for times in ([outcome.texts[0][0]], [outcome.results[0][0]]))
    assert text_s < result_s
    assert [event.turn for _, event in outcome.events if isinstance(event, ToolAnswered)] == [1]


def test_without_an_acknowledgement_the_gap_is_silent(tmp_path: Path) -> None:
    outcome = hold(tmp_path, Toolbox([find_order.fn]))
    assert outcome.said() == ["Your order is in Oslo."]
    assert outcome.texts == []


def test_a_fast_tool_is_not_acknowledged(tmp_path: Path) -> None:
    @tool(ack="One moment.")
    async def find_order() -> dict[str, str]:
        """Find the order of the user."""
        await asyncio.sleep(ACK_AFTER_S / 2)
        return {"city": "Oslo"}

    outcome = hold(tmp_path, Toolbox([find_order]))
    assert (outcome.texts, outcome.said()) == ([], ["Your order is in Oslo."])


def test_nova_2_talks_by_itself_and_is_not_asked_to(tmp_path: Path) -> None:
    outcome = hold(tmp_path, Toolbox([find_order]), model=NOVA_2)
    assert outcome.said() == ["Let me have a look for you.", "Your order is in Oslo."]
    assert outcome.texts == []


def test_a_result_that_comes_beside_the_acknowledgement_follows_it(tmp_path: Path) -> None:
    @tool(ack="One moment.")
    async def find_order() -> dict[str, str]:
        """Find the order of the user."""
        await asyncio.sleep(ACK_AFTER_S + 0.2)
        return {"city": "Oslo"}

    outcome = hold(tmp_path, Toolbox([find_order]))
    assert outcome.said() == ["One moment.", "Your order is in Oslo."]
    assert outcome.times(ToolHeld)
    assert outcome.times(Interrupted) == []
    assert outcome.notes == []


def test_a_tool_reports_its_progress_and_knows_the_conversation(tmp_path: Path) -> None:
    seen: list[tuple[int, str, tuple[Message, ...]]] = []

    @tool(ack="One moment.")
    async def find_order(context: ToolContext) -> dict[str, str]:
        """Find the order of the user."""
        seen.append((context.turn, context.tool_use, context.transcript))
        await asyncio.sleep(8)
        context.progress("I have asked the first shop.")
        context.progress("I have asked two shops.")
        await asyncio.sleep(4)
        return {"city": "Oslo"}

    outcome = hold(tmp_path, Toolbox([find_order]))
    assert outcome.said() == ["One moment.", "I have asked two shops.", "Your order is in Oslo."]
    [(turn, tool_use, transcript)] = seen
    [call] = [event for _, event in outcome.events if isinstance(event, ToolCall)]
    assert (turn, tool_use) == (1, call.tool_use)
    assert transcript == (Message("USER", "where is my order?"),)


def test_a_tool_in_a_thread_says_something_after_it_has_returned(tmp_path: Path) -> None:
    """The picture of a delegate is ready long after the call was answered."""
    kept: list[ToolContext] = []
    asked: list[bool] = []

    @tool
    def find_order(context: ToolContext) -> dict[str, str]:
        """Find the order of the user."""
        kept.append(context)
        return {"city": str(len(context.transcript))}

    def observe(event: Event, session: Session, sink: NullSink) -> None:
        if isinstance(event, AssistantText) and "order" in event.text and not asked:
            asked.append(kept[0].say("It has arrived."))
            assert kept[0].cancelled

    outcome = hold(tmp_path, Toolbox([find_order]), observe=observe)
    assert asked == [True]
    assert outcome.said() == ["Your order is in 1.", "It has arrived."]
    assert outcome.times(Interrupted) == []
    assert outcome.notes == []


def test_a_result_that_waits_for_quiet_does_not_come_into_the_users_words(tmp_path: Path) -> None:
    @tool(result="when_idle")
    async def find_order() -> dict[str, str]:
        """Find the order of the user."""
        await asyncio.sleep(1.8)  # the user says the second sentence then
        return {"city": "Oslo"}

    outcome = hold(tmp_path, Toolbox([find_order]), speech=utterances(2, pause_s=1.6))
    [held_s], [answered_s] = outcome.times(ToolHeld), outcome.times(ToolAnswered)
    assert outcome.times(UserText)[1] < answered_s
    assert held_s < answered_s
    assert outcome.said() == ["You are welcome.", "Your order is in Oslo."]


def test_a_silent_result_is_not_spoken_and_owes_no_answer(tmp_path: Path) -> None:
    @tool(result="silent")
    async def find_order() -> dict[str, str]:
        """Find the order of the user."""
        return {"city": "Oslo"}

    settled: list[bool] = []

    def observe(event: Event, session: Session, sink: NullSink) -> None:
        if isinstance(event, ToolAnswered):
            settled.append(session.settled)

    outcome = hold(tmp_path, Toolbox([find_order]), observe=observe)
    assert outcome.said() == []
    assert settled == [True]
    [(_, result)] = outcome.results
    assert (result["city"], result["speak"]) == ("Oslo", "")


def test_a_call_is_cancelled_when_the_user_says_something_else(tmp_path: Path) -> None:
    ended: list[str] = []

    @tool(cancel_on_barge_in=True)
    async def find_order(context: ToolContext) -> dict[str, str]:
        """Find the order of the user."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(f"cancelled: {context.cancelled}")
            raise
        return {"city": "Oslo"}

    outcome = hold(tmp_path, Toolbox([find_order]), speech=utterances(2, pause_s=2.5))
    assert ended == ["cancelled: True"]
    [(_, result)] = outcome.results
    assert "error" in result
    assert outcome.said() == ["You are welcome."]


ENDING = """
name: end
endpoint_ms: 480
steps:
  - user: goodbye.
    call: {tool: end_call, arguments: {goodbye: Goodbye and good luck.}, then: "{result.speak}"}
  - user: wait.
    say: I am still here.
"""


def playing_ends_s(outcome: Outcome, turn: int) -> float:
    """Return when the sink has played the last sample of a turn, by the sound it received."""
    sounds = [
        (at_s, len(event.pcm) / 2 / event.rate_hz)
        for at_s, event in outcome.events
        if isinstance(event, Audio) and event.turn == turn
    ]
    return sounds[0][0] + sum(length_s for _, length_s in sounds)


@pytest.mark.parametrize("model", [NOVA_2, NOVA_2_5])
def test_a_call_is_ended_after_the_last_sample_of_the_goodbye(tmp_path: Path, model: str) -> None:
    outcome = hold(tmp_path, Toolbox([end_call]), model=model, scenario=ENDING)
    assert outcome.said() == ["Goodbye and good luck."]
    last_turn = max(event.turn for _, event in outcome.events if isinstance(event, Audio))
    waited_s = outcome.goodbye_s - playing_ends_s(outcome, last_turn)
    assert 0 <= waited_s < 0.5


def test_a_user_who_interrupts_the_goodbye_keeps_the_call(tmp_path: Path) -> None:
    long = ENDING.replace("Goodbye and good luck.", "Goodbye and good luck on all of your ways.")
    speech = utterances(2, pause_s=2.0)
    outcome = hold(tmp_path, Toolbox([end_call]), scenario=long, speech=speech)
    assert outcome.times(Interrupted)
    assert outcome.said()[-1] == "I am still here."


def test_a_caller_is_connected_once_the_announcement_was_heard(tmp_path: Path) -> None:
    connected: list[Transfer] = []
    scenario = ENDING.replace(
        "end_call, arguments: {goodbye: Goodbye and good luck.}",
        "transfer, arguments: {destination: billing, reason: a bill, announcement: One moment.}",
    )
    tools = Toolbox([transfer_tool(["billing", "support"], connected.append)])
    outcome = hold(tmp_path, tools, scenario=scenario)
    assert connected == [Transfer("billing", "a bill")]
    assert outcome.said() == ["One moment."]
    assert outcome.goodbye_s >= playing_ends_s(outcome, 1)


def test_a_call_ends_although_nothing_is_said_about_the_last_result(tmp_path: Path) -> None:
    mute = ENDING.replace('then: "{result.speak}"', "then: []")
    outcome = hold(tmp_path, Toolbox([end_call]), scenario=mute)
    [answered_s] = outcome.times(ToolAnswered)
    assert outcome.goodbye_s - answered_s == pytest.approx(LAST_ANSWER_S, abs=0.2)
