"""Tool calls of a reasoner in random conversations, in virtual time: one result for each."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.audio.ports import NullSink
from sonic_voice.catalog import EXPERT_TOOL
from sonic_voice.config import Deadlines, SessionConfig
from sonic_voice.conversation import converse
from sonic_voice.events import Event, ToolAnswered, ToolCall
from sonic_voice.policies import NO_RENEWAL
from sonic_voice.reasoning.expert_tool import ASK_EXPERT, reasoner_tool
from sonic_voice.reasoning.model_reasoner import ModelReasoner
from sonic_voice.reasoning.requests import AnswerPart, ModelCall, ModelRequest
from sonic_voice.session import Session
from sonic_voice.virtual_time import run_in_virtual_time

from ..support.memory_service import MemoryService, RefusingTransport
from .test_expert import arguments
from .test_tool_runner import CUT, NAMES, NOVA_2, NOVA_2_5, QUICK, TOOLS, Silence


class Caller:
    """A text model that calls the tools it is told to, then says something. See `ModelApi`."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def answer(self, request: ModelRequest) -> AsyncGenerator[AnswerPart]:
        """See `ModelApi`."""
        if not request.rounds:
            for name in self.names:
                yield ModelCall("call-1", name, "{}")
        else:
            yield "It is noon."

    async def aclose(self) -> None:
        """See `ModelApi`."""


class History:
    """A conversation with a service that answers sentences, results and texts with sound."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.transport = RefusingTransport()
        self.services: list[MemoryService] = []
        self.events: list[Event] = []
        self.thinks = Caller()
        self._calls = 0

    async def hold(self, steps: list[tuple[str, Any]]) -> None:
        """Hold it, and wait until all calls have ended."""
        config = SessionConfig(
            model=self.model,
            tools=(reasoner_tool(self.model),),
            renewal=NO_RENEWAL,
            recovery=QUICK,
            deadlines=Deadlines(close_s=1),
        )
        source = Silence()
        async with Session.open(config, self.transport, clock=source.now) as session:
            sink = NullSink(config.output, now=source.now)
            serving = asyncio.create_task(self._serve())
            reasoner = ModelReasoner(self.thinks, tools=TOOLS)
            talking = asyncio.create_task(
                converse(session, source, sink, None, [self._observe], reasoner=reasoner)
            )
            await asyncio.sleep(1)
            for step, value in steps:
                await self._act(step, value)
            await asyncio.sleep(60)
            session.finish()
            await talking
            serving.cancel()

    def _observe(self, event: Event, now: float) -> None:
        self.events.append(event)

    async def _act(self, step: str, value: Any) -> None:
        service = self.services[-1]
        match step:
            case "ask":
                self.thinks.names = value
                self._calls += 1
                service.hears("what time is it?")
                if self.model == NOVA_2:
                    service.calls(f"t{self._calls}", EXPERT_TOOL, arguments("what time is it?"))
                else:
                    service.calls(f"t{self._calls}", ASK_EXPERT, '{"question": "what?"}')
            case "talk":
                service.speech_begins(0)
                service.speech_ends(500)
                service.hears("something else")
                service.answers("All right.", payloads=10)
            case "cut":
                before = len(self.services)
                service.breaks(CUT)
                while len(self.services) == before:  # noqa: ASYNC110 (in virtual time)
                    await asyncio.sleep(0.05)
            case _:
                await asyncio.sleep(value)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                service = MemoryService(await self.transport.opened.get())
                tasks.create_task(self._answer(service))
                self.services.append(service)

    async def _answer(self, service: MemoryService) -> None:
        while True:
            at = len(service.steps)
            service._read(await service.stream.sent.get())  # pyright: ignore[reportPrivateUsage]
            for step in service.steps[at:]:
                if step.startswith(("text: ", "result ")):
                    service.answers("It is noon.", payloads=8)
                elif step == "session end":
                    service.says_goodbye()
                    return
                elif step == "end of input":
                    return

    def check(self) -> None:
        """Check that each call of a tool has exactly one result, after it."""
        called = [e.tool_use for e in self.events if isinstance(e, ToolCall) and _is_inner(e)]
        answered = Counter(
            e.tool_use for e in self.events if isinstance(e, ToolAnswered) and _is_inner(e)
        )
        assert len(set(called)) == len(called)
        assert answered == dict.fromkeys(called, 1)
        for service in self.services:
            ended = service.results_ended
            assert len(ended) == len(set(ended))


def _is_inner(event: ToolCall | ToolAnswered) -> bool:
    return event.name not in (EXPERT_TOOL, ASK_EXPERT)


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.lists(st.sampled_from([*NAMES, "nothing"]), max_size=3)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 1.5, 4.0])),
    st.tuples(st.sampled_from(["talk", "cut"]), st.none()),
)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(STEPS, max_size=10), model=st.sampled_from([NOVA_2, NOVA_2_5]))
def test_each_call_of_a_reasoner_has_exactly_one_result(
    steps: list[tuple[str, Any]], model: str
) -> None:
    history = History(model)
    run_in_virtual_time(history.hold(steps))
    history.check()


def test_tools_end_with_the_answer_that_they_were_called_for() -> None:
    """The user goes on: the reasoner and its tools are cancelled, and each call has its result."""
    history = History(NOVA_2)
    run_in_virtual_time(
        history.hold([("ask", ["slow", "hang"]), ("wait", 0.3), ("ask", ["quick"]), ("wait", 4.0)])
    )
    history.check()
    results = [
        e.result_json for e in history.events if isinstance(e, ToolAnswered) and _is_inner(e)
    ]
    assert results == ['{"error": "The call was cancelled."}'] * 2 + ["{}"]
