"""Answers of a reasoner: sentences, barge-in, failures, lost streams; the service is the test."""

import asyncio
import json
from asyncio import TaskGroup
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.catalog import EXPERT_TOOL
from sonic_voice.config import SessionConfig
from sonic_voice.errors import ConfigError, ConnectionLost
from sonic_voice.events import Event, ToolAnswered, ToolCall
from sonic_voice.history import Message
from sonic_voice.policies import RecoveryPolicy
from sonic_voice.reasoning.expert import (
    BROKEN_OFF,
    FALLBACK,
    Expert,
    ExpertAnswers,
    Reasoner,
    expert_of,
)
from sonic_voice.reasoning.expert_tool import ASK_EXPERT, reasoner_tool
from sonic_voice.session import Session
from sonic_voice.tool_calls import instruction
from sonic_voice.transport import MemoryTransport
from sonic_voice.virtual_time import VirtualTimeLoop

from ..support.memory_service import MemoryService

V1, V2, V25 = "amazon.nova-sonic-v1:0", "amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic"
CUT = ConnectionLost("The network is gone.", reason="cut")
QUICK = RecoveryPolicy(first_wait_s=0.01, longest_wait_s=0.02, jitter=0, outages=100)
PATIENCE_S = 20.0


def arguments(*texts: str, first: str = "USER") -> str:
    """Return the arguments of a call with messages of alternating roles."""
    roles = ["USER", "ASSISTANT"] if first == "USER" else ["ASSISTANT", "USER"]
    messages = [
        {"role": roles[at % 2], "content": [{"text": text}]} for at, text in enumerate(texts)
    ]
    return json.dumps({"messages": messages})


class Answering:
    """A session whose calls a reasoner answers.

    Args:
        session: The session.
        transport: Its transport.
        service: The far end of its first stream.
    """

    def __init__(
        self, session: Session, transport: MemoryTransport, service: MemoryService
    ) -> None:
        self.session = session
        self.transport = transport
        self.service = service
        self.events: list[Event] = []
        self.held_back = ""
        """Id of a call that the answers do not get before `release`."""
        self.release: Callable[[], object] = lambda: None
        self._changed = asyncio.Event()

    async def run(self, answers: ExpertAnswers) -> None:
        """Pass the events of the session to the answers."""
        async for event in self.session:
            if isinstance(event, ToolCall) and event.tool_use == self.held_back:
                self.release = partial(answers.observe, event)
            else:
                answers.observe(event)
            self.events.append(event)
            self._changed.set()

    async def until(self, kind: type[Event], times: int = 1) -> None:
        """Wait until an event of a kind has come so many times."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(isinstance(event, kind) for event in self.events) < times:
                self._changed.clear()
                await self._changed.wait()

    def call(self, id: str, name: str = EXPERT_TOOL, arguments_json: str = "") -> None:
        """Let the service transcribe words of the user, and call the tool."""
        self.service.hears("what time is it?")
        self.service.calls(id, name, arguments_json or arguments("what time is it?"))


@asynccontextmanager
async def answering(reasoner: Expert | Reasoner, model: str = V2) -> AsyncGenerator[Answering]:
    """Open a session whose calls a reasoner answers, and end it well."""
    transport = MemoryTransport(direct=True)
    config = SessionConfig(model=model, tools=(reasoner_tool(model),), recovery=QUICK)
    async with Session.open(config, transport) as session:
        held = Answering(session, transport, await MemoryService.of(transport))
        async with TaskGroup() as tasks:
            answers = ExpertAnswers(expert_of(reasoner), session, tasks)
            running = tasks.create_task(held.run(answers))
            try:
                yield held
            finally:
                answers.cancel()
                session.finish()
                held.service.says_goodbye()
                await asyncio.wait([running], timeout=PATIENCE_S)


def sentences(service: MemoryService) -> list[str]:
    """Return the sentences that a stream has received, in their form on the wire."""
    results = [step.partition(": ")[2] for step in service.look() if step.startswith("result ")]
    assert all(set(json.loads(result)) == {"text", "type"} for result in results)
    return [json.loads(result)["text"] for result in results]


class Directed:
    """A reasoner that says what the test lets it say."""

    def __init__(self) -> None:
        self.asked: list[tuple[Message, ...]] = []
        self.cancelled = 0
        self.said: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.begun = asyncio.Event()

    async def __call__(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """Yield what is in the queue; None ends the answer."""
        self.asked.append(tuple(messages))
        self.begun.set()
        try:
            while (sentence := await self.said.get()) is not None:
                if isinstance(sentence, Exception):
                    raise sentence
                yield sentence
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    def say(self, *sentences: str | Exception | None) -> None:
        """Say sentences; None ends the answer, and an exception breaks it off."""
        for sentence in sentences:
            self.said.put_nowait(sentence)


async def test_the_messages_of_the_call_are_the_conversation() -> None:
    reasoner = Directed()
    async with answering(reasoner) as held:
        said = arguments("Hello.", "hi.", "Hello Ada.", "what time is it?", first="ASSISTANT")
        held.call("t1", arguments_json=said)
        reasoner.say("It is noon.", None)
        await held.service.receives_end_of_result("t1")
        assert sentences(held.service) == ["It is noon."]
    assert [message.role for message in reasoner.asked[0]] == ["ASSISTANT", "USER"] * 2
    assert reasoner.asked[0][-1] == Message("USER", "what time is it?")


@pytest.mark.parametrize("read", ["{}", "no json", arguments("Hello.", first="ASSISTANT")])
async def test_a_call_without_words_of_the_user_is_ignored(read: str) -> None:
    reasoner = Directed()
    async with answering(reasoner) as held:
        held.service.calls("t1", EXPERT_TOOL, read)
        await held.until(ToolAnswered)
        assert sentences(held.service) == []
    assert reasoner.asked == []


async def test_a_sentence_is_sent_before_the_next_is_thought() -> None:
    reasoner = Directed()
    async with answering(reasoner) as held:
        held.call("t1")
        reasoner.say("It is noon.")
        await held.service.receives('result t1: {"text": "It is noon.", "type": "TEXT"}')
        assert held.service.results_ended == []
        reasoner.say("And it rains.", None)
        await held.service.receives_end_of_result("t1")
        assert sentences(held.service) == ["It is noon.", "And it rains."]


@pytest.mark.parametrize("said", [(), ("It is noon.",)])
async def test_a_new_call_cancels_the_old_one_and_closes_its_block_if_it_has_data(
    said: tuple[str, ...],
) -> None:
    reasoner = Directed()
    async with answering(reasoner) as held:
        held.call("t1")
        await reasoner.begun.wait()
        reasoner.say(*said)
        if said:
            await held.service.receives('result t1: {"text": "It is noon.", "type": "TEXT"}')
        held.call("t2")
        await held.until(ToolAnswered)
        reasoner.say("Sure.", None)
        await held.service.receives_end_of_result("t2")
        assert sentences(held.service) == [*said, "Sure."]
        assert held.service.results_ended == [*(["t1"] if said else []), "t2"]
    assert reasoner.cancelled == 1


async def test_an_interruption_cancels_the_answer_of_its_turn() -> None:
    reasoner = Directed()
    async with answering(reasoner) as held:
        held.call("t1")
        reasoner.say("It is noon.")
        await held.service.receives('result t1: {"text": "It is noon.", "type": "TEXT"}')
        held.service.answers("It is noon.", payloads=20, ends=False)
        held.service.speech_begins(1000)
        await held.service.receives_end_of_result("t1")
    assert reasoner.cancelled == 1


async def test_a_call_that_comes_after_that_of_a_later_turn_is_not_answered() -> None:
    """A guard holds a call back until the words of its turn are judged."""
    reasoner = Directed()
    async with answering(reasoner) as held:
        held.held_back = "t1"
        held.call("t1")
        held.service.hears("stop")
        held.service.answers("Sure.")
        held.call("t2")
        await reasoner.begun.wait()
        held.release()
        reasoner.say("It is noon.", None)
        await held.service.receives_end_of_result("t2")
        assert sentences(held.service) == ["It is noon."]
        assert held.service.results_ended == ["t2"]
    assert (len(reasoner.asked), reasoner.cancelled) == (1, 0)


@pytest.mark.parametrize("model", [V2, V25])
async def test_words_that_the_program_has_the_model_say_are_not_given_to_the_reasoner(
    model: str,
) -> None:
    reasoner = Directed()
    async with answering(reasoner, model) as held:
        said = f"hello {instruction('One moment.')}"
        if model == V2:
            held.call("t1", EXPERT_TOOL, arguments(said))
        else:
            held.call("t1", ASK_EXPERT, json.dumps({"question": said}))
        await held.service.receives_end_of_result("t1")
        results = [step for step in held.service.look() if step.startswith("result ")]
        assert [json.loads(result.partition(": ")[2]) for result in results] == [
            {"text": "One moment.", "type": "TEXT"} if model == V2 else {"answer": "One moment."}
        ]
    assert reasoner.asked == []


async def _raise(messages: Sequence[Message]) -> AsyncGenerator[str]:
    raise RuntimeError("the model is on fire")
    yield ""


async def _raise_later(messages: Sequence[Message]) -> AsyncGenerator[str]:
    yield "It is noon."
    raise RuntimeError("the model is on fire")


async def _hang(messages: Sequence[Message]) -> AsyncGenerator[str]:
    await asyncio.Event().wait()
    yield ""


async def _hang_later(messages: Sequence[Message]) -> AsyncGenerator[str]:
    yield "It is noon."
    await asyncio.Event().wait()


async def _say_nothing(messages: Sequence[Message]) -> AsyncGenerator[str]:
    yield " "


@pytest.mark.parametrize(
    ("think", "spoken", "notice"),
    [
        (_raise, [FALLBACK], "The reasoner failed: the model is on fire."),
        (_raise_later, ["It is noon.", BROKEN_OFF], "The reasoner failed: the model is on fire."),
        (_hang, [FALLBACK], "The reasoner said nothing for 0.05 s."),
        (_hang_later, ["It is noon.", BROKEN_OFF], "The reasoner said nothing for 0.05 s."),
        (_say_nothing, [FALLBACK], "The reasoner said nothing."),
    ],
)
async def test_a_reasoner_that_fails_is_covered_by_a_sentence(
    think: Reasoner, spoken: list[str], notice: str
) -> None:
    notices: list[str] = []
    first_s = 0.05 if think is _hang else 30.0
    expert = Expert(think, on_notice=notices.append, first_s=first_s, next_s=0.05)
    async with answering(expert) as held:
        held.call("t1")
        await held.service.receives_end_of_result("t1")
        assert sentences(held.service) == spoken
    assert notices == [notice]


async def test_an_answer_whose_stream_is_lost_is_asked_for_again() -> None:
    reasoner = Directed()
    async with answering(reasoner) as held:
        held.call("t1")
        await reasoner.begun.wait()
        held.service.breaks(CUT)
        held.service = await MemoryService.of(held.transport)
        await held.service.receives("text: what time is it?")  # the user's words, asked again
        held.service.calls("t2", EXPERT_TOOL, arguments("what time is it?"))
        reasoner.say("It is noon.", None)
        await held.service.receives_end_of_result("t2")
        assert sentences(held.service) == ["It is noon."]
    assert len(reasoner.asked) == 2
    assert reasoner.cancelled == 1


@pytest.mark.parametrize("model", [V1, V25])
async def test_the_ordinary_tool_gets_one_result(model: str) -> None:
    reasoner = Directed()
    async with answering(reasoner, model) as held:
        held.call("t1", ASK_EXPERT, '{"question": "What time is it?"}')
        reasoner.say("It is noon.", "And it rains.", None)
        await held.service.receives_end_of_result("t1")
        results = [step for step in held.service.look() if step.startswith("result ")]
        assert results == ['result t1: {"answer": "It is noon. And it rains."}']
    assert reasoner.asked == [(Message("USER", "What time is it?"),)]


async def test_the_ordinary_tool_gets_an_error_when_the_reasoner_fails_or_is_not_wanted() -> None:
    reasoner = Directed()
    async with answering(reasoner, V25) as held:
        held.call("t1", ASK_EXPERT, '{"question": "What time is it?"}')
        await reasoner.begun.wait()
        held.call("t2", ASK_EXPERT, '{"question": "And now?"}')
        reasoner.say(RuntimeError("the model is on fire"))
        await held.service.receives_end_of_result("t2")
        results = [step for step in held.service.look() if step.startswith("result ")]
        assert results == [
            'result t1: {"error": "The call was cancelled."}',
            f'result t2: {{"error": "{FALLBACK}"}}',
        ]


async def test_a_session_without_the_tool_is_refused() -> None:
    session = Session.open(SessionConfig(model=V2), MemoryTransport())
    with pytest.raises(ConfigError, match="no tool ExpertTool"):
        ExpertAnswers(expert_of(_hang), session, TaskGroup())


def test_a_blank_fallback_is_refused() -> None:
    with pytest.raises(ConfigError):
        Expert(_hang, fallback=" ")


STEPS = st.lists(
    st.sampled_from(["call", "say", "end", "fail", "interrupt", "lose the stream"]), max_size=14
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, model=st.sampled_from([V2, V25]))
def test_each_call_has_one_result_or_was_given_up_and_no_block_is_empty_or_left_open(
    steps: list[str], model: str
) -> None:
    """`ExpertTool` gets at most one block a call, `ask_expert` exactly one result.

    The waits between attempts to connect cost nothing on virtual time.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(_history(steps, model))


async def _history(steps: list[str], model: str) -> None:
    name = EXPERT_TOOL if model == V2 else ASK_EXPERT
    read = arguments("what time is it?") if model == V2 else '{"question": "What time is it?"}'
    calls, services = 0, list[MemoryService]()
    reasoner = Directed()
    async with answering(reasoner, model) as held:
        services.append(held.service)
        for step in steps:
            match step:
                case "call":
                    calls += 1
                    held.call(f"t{calls}", name, read)
                case "say":
                    reasoner.say("It is noon.")
                case "end":
                    reasoner.say(None)
                case "fail":
                    reasoner.say(RuntimeError("no"))
                case "interrupt":
                    held.service.answers("It is noon.", payloads=20, ends=False)
                    held.service.speech_begins(1000)
                case _:
                    held.service.breaks(CUT)
                    held.service = await MemoryService.of(held.transport)
                    services.append(held.service)
            for _ in range(20):
                await asyncio.sleep(0)
        reasoner.say(*[None] * (calls + 1))
        if calls and model != V2:
            await held.until(ToolAnswered, calls)
        for _ in range(20):
            await asyncio.sleep(0)
        held.service.answers("Done.")  # no answer is owed any more, so that the goodbye is the end
    for service in services:
        _check_results(service, model)
    if model != V2:
        answered = [e.tool_use for e in held.events if isinstance(e, ToolAnswered)]
        assert sorted(answered) == sorted(f"t{n + 1}" for n in range(calls))


def _check_results(service: MemoryService, model: str) -> None:
    steps = service.look()
    results = [step.partition(":")[0] for step in steps if step.startswith("result ")]
    ended = [f"result {id}" for id in service.results_ended]
    assert len(ended) == len(set(ended))
    assert set(ended) <= set(results)
    if "session end" in steps:
        assert set(ended) == set(results)
    if model != V2:
        assert len(results) == len(set(results))
