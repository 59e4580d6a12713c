"""Twenty times the demonstration, over the network, as fast as one likes: the same events."""

from sonic_voice import LocalService

from ..e2e.test_conversation import DEMO, demo, without_time

SPEEDS = (5, 10, 20, 40) * 5


async def test_a_recording_and_a_scenario_give_the_same_events_twenty_times() -> None:
    told: set[tuple[tuple[object, ...], ...]] = set()
    async with LocalService(DEMO / "demo.yaml") as transport:
        for speed in SPEEDS:
            events = await demo(transport, speed=speed)
            told.add(tuple(without_time(event) for event in events))
    assert len(told) == 1
