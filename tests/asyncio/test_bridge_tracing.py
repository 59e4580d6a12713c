"""A bridge whose conversations are traced: each under its own id."""

import asyncio

from sonic_voice.bridge import Access, Bridge, BridgeLimits
from sonic_voice.metrics import Metrics
from sonic_voice.session import Session
from sonic_voice.tracing import Tracing

from ..support.collector import Collector, attributes
from ..support.memory_socket import ORIGIN, MemorySocket
from ..support.quiet_bridge import OFFER, QuietService


async def test_a_conversation_of_a_page_is_traced_under_its_id_to_its_end() -> None:
    collector, ids = Collector(), list[str | None]()

    def observe(session: Session, metrics: Metrics, conversation: str | None) -> Tracing:
        ids.append(conversation)
        return Tracing(session, metrics, conversation=conversation, **collector.providers)

    access = Access(origins=frozenset({ORIGIN}))
    limits = BridgeLimits(answer_s=0.1)
    async with Bridge(OFFER, QuietService(), access=access, limits=limits, observe=observe) as b:
        page = MemorySocket()
        page.say("hello", version=1)
        served = asyncio.create_task(b.handle(page))
        while (await page.next())["type"] != "listening":
            pass
        page.say("say", text="Are you there?")
        await page.over.wait()
        page.say("bye")
        await served
    [conversation] = ids
    names = [name for name, _, _ in collector.events]
    assert names == [
        "gen_ai.client.realtime_session.started",
        "gen_ai.client.realtime_session.ended",
    ]
    assert {told["gen_ai.conversation.id"] for _, told, _ in collector.events} == {conversation}
    told = [attributes(span)["gen_ai.conversation.id"] for span in collector.spans()]
    assert set(told) <= {conversation}
