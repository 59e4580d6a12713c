"""Tools within converse(), in virtual time: random conversations, and what tools can do in them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.audio.ports import INPUT_FORMAT, NullSink
from sonic_voice.config import Deadlines, SessionConfig
from sonic_voice.conversation import converse
from sonic_voice.errors import ConnectionLost
from sonic_voice.events import (
    Event,
    Interrupted,
    Renewed,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    ToolProgress,
)
from sonic_voice.policies import NO_RENEWAL, RecoveryPolicy
from sonic_voice.session import Session
from sonic_voice.tool_calls import HOLD_S
from sonic_voice.tool_runner import REPORT_BURST, REPORT_CHARACTERS, REPORT_EVERY_S
from sonic_voice.tools.context import ToolContext
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.virtual_time import run_in_virtual_time

from ..support.memory_service import MemoryService, RefusingTransport

CUT = ConnectionLost("The connection was cut.", reason="cut")
QUICK = RecoveryPolicy(first_wait_s=0.01, longest_wait_s=0.02, jitter=0, outages=100)
CHUNK_S = 0.2
NOVA_2, NOVA_2_5 = "amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic"


@tool(ack="One moment.")
async def quick() -> None:
    """Return at once."""


@tool(ack="One moment.")
async def slow() -> str:
    """Return after some time."""
    await asyncio.sleep(3)
    return "done"


@tool(ack="One moment.")
async def crash() -> None:
    """Fail."""
    await asyncio.sleep(0.3)
    raise ZeroDivisionError("crash")


@tool(timeout_s=1)
async def hang() -> None:
    """Return never."""
    await asyncio.Event().wait()


@tool(cancel_on_barge_in=True, result="when_idle")
async def stop() -> None:
    """Run until it is cancelled, or for long."""
    await asyncio.sleep(5)


@tool(result="when_idle")
async def later() -> str:
    """Return something that can wait."""
    await asyncio.sleep(0.5)
    return "later"


@tool(result="silent")
async def note() -> None:
    """Return nothing to speak of."""


TOOLS = Toolbox([quick, slow, crash, hang, stop, later, note])


class Silence:
    """A source of silence at the pace of the event loop's clock."""

    format = INPUT_FORMAT
    done = False

    def __init__(self) -> None:
        self.closed = False

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def read(self) -> bytes:
        await asyncio.sleep(CHUNK_S)
        return b"" if self.closed else bytes(self.format.size(CHUNK_S))

    async def aclose(self) -> None:
        self.closed = True


class Conversation:
    """A conversation with a service that a test directs, and that answers texts and results."""

    def __init__(self, tools: Toolbox, model: str) -> None:
        self.transport = RefusingTransport()
        self.tools = tools
        self.config = SessionConfig(
            model=model,
            tools=tools.specs,
            renewal=NO_RENEWAL,
            recovery=QUICK,
            deadlines=Deadlines(close_s=1),
        )
        self.services: list[MemoryService] = []
        self.events: list[Event] = []
        self.calls: dict[str, MemoryService] = {}
        """The service that made each call, by the id of the call."""
        self.session: Session | None = None

    @property
    def service(self) -> MemoryService:
        """The service of the newest stream."""
        return self.services[-1]

    async def hold(self, act: "Callable[[Conversation], Any]") -> None:
        """Hold it: `act` directs the service. Afterwards all calls get their results."""
        source = Silence()
        async with Session.open(self.config, self.transport, clock=source.now) as session:
            self.session = session
            sink = NullSink(self.config.output, now=source.now)
            serving = asyncio.create_task(self._serve())
            talking = asyncio.create_task(
                converse(session, source, sink, self.tools, [self._observe])
            )
            await asyncio.sleep(1)
            await act(self)
            await asyncio.sleep(2 * HOLD_S)
            session.finish()
            await talking
            serving.cancel()

    def _observe(self, event: Event, now: float) -> None:
        self.events.append(event)

    def call(self, name: str) -> None:
        """Have the model call a tool, in a turn of its own."""
        id = f"call-{len(self.calls)}"
        self.calls[id] = self.service
        self.service.hears(f"{name}, please")
        self.service.calls(id, name)

    async def cut(self) -> None:
        """Break the stream, and wait for the next one."""
        before = len(self.services)
        self.service.breaks(CUT)
        while len(self.services) == before:  # noqa: ASYNC110 (in virtual time)
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                service = MemoryService(await self.transport.opened.get())
                tasks.create_task(self._answer(service))
                self.services.append(service)

    async def _answer(self, service: MemoryService) -> None:
        """Answer each text, and each result that asks for words."""
        while True:
            at = len(service.steps)
            service._read(await service.stream.sent.get())  # pyright: ignore[reportPrivateUsage]
            for step in service.steps[at:]:
                if step.startswith("text: ") or (step[:6] == "result" and '"speak"' not in step):
                    await asyncio.sleep(0.3)
                    service.answers(f"Answer to {step[:30]}", payloads=8)
                elif step == "session end":
                    service.says_goodbye()
                    return
                elif step == "end of input":
                    return

    def check(self) -> None:
        """Check that each call has exactly one result, on the stream that made it or as a text."""
        answered = Counter(e.tool_use for e in self.events if isinstance(e, ToolAnswered))
        assert answered == dict.fromkeys(self.calls, 1)
        sent = Counter(
            (step.split()[1].rstrip(":"), number)
            for number, service in enumerate(self.services)
            for step in service.look()
            if step.startswith("result ")
        )
        assert set(sent.values()) <= {1}
        made = {(id, self.services.index(service)) for id, service in self.calls.items()}
        assert set(sent) <= made, "a result on a stream that has not made the call"
        late = [text for s in self.services for text in s.texts if "earlier tool call" in text]
        assert len(late) <= len(made - set(sent))


async def act_out(conversation: Conversation, actions: list[tuple[str, Any]]) -> None:
    for action, value in actions:
        match action:
            case "call":
                conversation.call(value)
            case "wait":
                await asyncio.sleep(value)
            case "talk":
                conversation.service.speech_begins(0)
                conversation.service.speech_ends(500)
                conversation.service.hears("something else")
                conversation.service.answers("All right.", payloads=10)
            case _:
                await conversation.cut()


NAMES = [spec.name for spec in TOOLS.specs]
ACTIONS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(NAMES)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 1.5, 4.0])),
    st.tuples(st.sampled_from(["talk", "cut"]), st.none()),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(ACTIONS, max_size=10), st.sampled_from([NOVA_2, NOVA_2_5]))
def test_each_call_has_one_result_through_crashes_interruptions_and_broken_streams(
    actions: list[tuple[str, Any]], model: str
) -> None:
    conversation = Conversation(TOOLS, model)
    run_in_virtual_time(conversation.hold(lambda it: act_out(it, actions)))
    conversation.check()


def test_the_result_of_a_lost_call_waits_until_nobody_speaks() -> None:
    async def act(conversation: Conversation) -> None:
        conversation.call("slow")
        await asyncio.sleep(0.1)
        await conversation.cut()
        await asyncio.sleep(1.5)
        conversation.service.hears("are you there?")
        conversation.service.answers("Yes, I am.", payloads=30)

    conversation = Conversation(TOOLS, NOVA_2)
    run_in_virtual_time(conversation.hold(act))
    conversation.check()
    kinds = [type(event) for event in conversation.events]
    assert kinds.index(Renewed) < kinds.index(ToolAnswered)
    assert not [event for event in conversation.events if isinstance(event, Interrupted)]
    [late] = conversation.service.texts
    assert "earlier tool call slow" in late


def test_the_end_of_the_conversation_cancels_what_runs() -> None:
    seen: list[ToolContext] = []

    @tool
    async def endless(context: ToolContext) -> None:
        """Run for ever."""
        seen.append(context)
        assert not context.cancelled
        await asyncio.Event().wait()

    async def act(conversation: Conversation) -> None:
        conversation.call("endless")
        await asyncio.sleep(0.1)
        assert conversation.session is not None
        conversation.session.finish()

    conversation = Conversation(Toolbox([endless]), NOVA_2)
    run_in_virtual_time(conversation.hold(act))
    assert [event.name for event in conversation.events if isinstance(event, ToolCall)] == [
        "endless"
    ]
    assert seen[0].cancelled
    assert not seen[0].say("Too late.")


@pytest.mark.parametrize("model", [NOVA_2, NOVA_2_5])
def test_a_repeated_call_does_not_run_its_tool_again(model: str) -> None:
    runs: list[str] = []

    @tool
    async def once(context: ToolContext) -> None:
        """Count."""
        runs.append(context.tool_use)
        await asyncio.sleep(1)

    async def act(conversation: Conversation) -> None:
        conversation.call("once")
        conversation.service.calls("call-0", "once")

    conversation = Conversation(Toolbox([once]), model)
    run_in_virtual_time(conversation.hold(act))
    conversation.check()
    assert runs == ["call-0"]


@tool(ack="One moment.", result="when_idle")
async def search(context: ToolContext) -> str:
    """Report twice, then return something that can wait."""
    await asyncio.sleep(1)
    context.progress("One of two\nshops.")
    await asyncio.sleep(1)
    context.progress("Two of two shops.")
    context.progress(" ")
    return "found"


@pytest.mark.parametrize(("model", "acknowledged"), [(NOVA_2, []), (NOVA_2_5, ["One moment."])])
def test_reports_and_the_acknowledgement_of_a_running_tool_are_events(
    model: str, acknowledged: list[str]
) -> None:
    async def act(conversation: Conversation) -> None:
        conversation.call("quick")
        await asyncio.sleep(4)
        conversation.call("search")
        await asyncio.sleep(1.9)
        conversation.service.answers("A long sentence of the model.", payloads=20)
        await asyncio.sleep(6)

    conversation = Conversation(Toolbox([search, quick]), model)
    run_in_virtual_time(conversation.hold(act))
    conversation.check()
    told = [e for e in conversation.events if isinstance(e, (ToolProgress, ToolHeld, ToolAnswered))]
    of_search = [event for event in told if event.name == "search"]
    assert [event.text for event in of_search if isinstance(event, ToolProgress)] == [
        *acknowledged,
        "One of two shops.",
        "Two of two shops.",
    ]
    assert [type(event) for event in of_search][-2:] == [ToolHeld, ToolAnswered]
    assert [type(event) for event in told if event.name == "quick"] == [ToolAnswered]


def test_a_tool_that_reports_all_the_time_is_reported_now_and_then() -> None:
    @tool
    async def count(context: ToolContext) -> None:
        """Report each per mille, for ten seconds."""
        for per_mille in range(1000):
            context.progress(f"{per_mille} " * 1000)
            await asyncio.sleep(0.01)

    async def act(conversation: Conversation) -> None:
        conversation.call("count")
        await asyncio.sleep(12)

    conversation = Conversation(Toolbox([count]), NOVA_2)
    run_in_virtual_time(conversation.hold(act))
    conversation.check()
    reports = [event for event in conversation.events if isinstance(event, ToolProgress)]
    assert 50 <= len(reports) <= REPORT_BURST + 10 / REPORT_EVERY_S + 1
    assert max(len(report.text) for report in reports) == REPORT_CHARACTERS
