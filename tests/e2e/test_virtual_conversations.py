"""Conversations of the test kit: the production transport and the emulator, in virtual time."""

import asyncio
import contextlib
from typing import Any

import pytest

from sonic_voice import ConfigError, ServiceError, SessionConfig, Toolbox, tool
from sonic_voice.testing import Conversation, ConversationFixture, Line, SonicEmulator, SpeakFixture
from sonic_voice.testing import line as line_module

WEATHER = """
name: weather
steps:
  - user: what is the weather in Paris
    expect: {user: paris}
    call:
      tool: weather
      arguments: {city: Paris}
      then: It is {result.celsius} degrees, with a light wind from the sea until the evening.
  - user: stop
    say: All right.
"""


@tool
async def weather(city: str) -> dict[str, Any]:
    """Return the weather.

    Args:
        city: The city.
    """
    await asyncio.sleep(0.05)  # of the wall clock, which is not that of the conversation
    return {"celsius": 18}


TOOLS = Toolbox([weather])


async def weather_call(emulator: SonicEmulator, conversation: ConversationFixture) -> Conversation:
    """Hold a conversation with a tool call and a barge-in."""
    emulator.play(WEATHER)
    async with conversation(tools=TOOLS) as call:
        forecast = await call.ask("What is the weather in Paris?")
        await call.heard_until("18 degrees")
        stop = await call.say("Stop!")
    forecast.user_said("weather in Paris")
    forecast.called("weather", city="Paris")
    forecast.was_interrupted()
    forecast.assistant_said("18 degrees")
    forecast.assistant_did_not_say("evening")
    stop.assistant_said("all right")
    return call


async def _runs(emulator: SonicEmulator, conversation: ConversationFixture, count: int) -> set[str]:
    calls = [await weather_call(emulator, conversation) for _ in range(count)]
    return {f"{call.timed_transcript}\n{call.events}\n{call.wire}" for call in calls}


async def test_every_run_has_the_same_events_at_the_same_times(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    assert len(await _runs(sonic_emulator, conversation, 2)) == 1


@pytest.mark.thorough
async def test_twenty_runs_beside_a_busy_processor_have_the_same_events(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    spinning = await asyncio.create_subprocess_exec("sh", "-c", "while :; do :; done")
    try:
        assert len(await _runs(sonic_emulator, conversation, 20)) == 1
    finally:
        spinning.kill()
        await spinning.wait()


async def test_no_time_passes_while_a_test_does_something_else(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    """Longer than the pause after which a session sends silence by itself."""
    async with conversation() as call:
        await call.wait(1)
        before = len(call.line.payloads)
        await asyncio.sleep(0.7)
        assert (call.now_ms, len(call.line.payloads)) == (1024, before)


async def test_a_tool_can_wait_for_what_the_test_does_meanwhile(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    allowed = asyncio.Event()

    @tool
    async def weather(city: str) -> dict[str, Any]:
        """Return the weather."""
        await allowed.wait()
        return {"celsius": 18}

    sonic_emulator.play(WEATHER)
    async with conversation(tools=Toolbox([weather]), hold_for_tools=False) as call:
        turn = await call.ask("What is the weather in Paris?")
        await call.wait(3)
        assert not turn.called("weather").answered
        allowed.set()
        await call.listen(turn)
    turn.assistant_said("18 degrees")


async def test_a_tool_that_hangs_is_named(
    sonic_emulator: SonicEmulator,
    conversation: ConversationFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @tool
    async def weather(city: str) -> dict[str, Any]:
        """Return the weather."""
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(line_module, "STEP_TIMEOUT_S", 1.0)
    sonic_emulator.play(WEATHER)
    with pytest.raises(AssertionError, match="a tool is still running: weather"):
        async with conversation(tools=Toolbox([weather])) as call:
            await call.say("What is the weather in Paris?")


async def test_typed_turns_and_a_greeting(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    config = SessionConfig(greeting="Welcome the user.")
    async with conversation(config) as call:
        greeting = await call.greeting()
        turn = await call.send_text("What time is it?")
    assert greeting.heard
    turn.user_said("what time is it")
    turn.assistant_said("It is 9:30 in the morning")


async def test_a_recording_of_a_person_is_an_utterance(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture, speak: SpeakFixture
) -> None:
    recording = speak("../speech/goforward.wav")
    sonic_emulator.play("name: robot\nsteps:\n  - user: go forward ten meters\n    say: Going.\n")
    async with conversation() as call:
        turn = await call.say(recording)
    turn.user_said("go forward ten meters")
    assert 1000 < turn.response_latency_ms < 2000


async def test_an_error_of_the_service_ends_the_conversation_with_it(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    sonic_emulator.play(
        "name: refusing\nsteps:\n  - user: hello\n"
        "    error: {code: validationException, message: This is refused.}\n"
    )
    with pytest.raises(ServiceError, match="This is refused"):
        async with conversation() as call:
            await call.say("Hello.")


async def test_a_conversation_goes_on_after_a_lost_connection(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    sonic_emulator.play(WEATHER, faults=["cut:2"])
    async with conversation(tools=TOOLS) as call:
        await call.say("What is the weather in Paris?")
        stop = await call.say("Stop!")
    stop.assistant_said("all right")
    assert len(call.line.transport.meters) == 2


@pytest.mark.thorough
async def test_renewals_come_at_the_same_times_on_every_run(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    config = SessionConfig(stream_s=24)

    async def renewed() -> tuple[str, str]:
        async with conversation(config) as call:
            await call.wait(20)
            turn = await call.say("What time is it?")
        turn.assistant_said("It is 9:30 in the morning")
        assert len(call.line.transport.meters) == 2
        return call.timed_transcript, str(call.events)

    assert await renewed() == await renewed()


async def test_an_application_that_fails_fails_the_test_with_its_error(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    async def broken(line: Line) -> None:
        await line.source.read()
        raise KeyError("the order")

    with pytest.raises(KeyError, match="the order"):
        async with conversation.running(broken) as call:
            await call.wait(1)


def test_another_event_loop_than_asyncio_is_refused_with_what_to_do(
    conversation: ConversationFixture,
) -> None:
    """An event loop of trio, in which anyio also runs tests, is refused."""
    entering = conversation().__aenter__()
    with pytest.raises(ConfigError, match="needs an event loop of asyncio") as failed:
        entering.send(None)
    assert failed.value.hint is not None
    assert "anyio_backend" in failed.value.hint


async def test_an_expectation_of_the_scenario_that_does_not_hold_fails_the_test(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    sonic_emulator.play(WEATHER)
    with pytest.raises(AssertionError, match="The scenario expected something else"):
        async with conversation(tools=TOOLS) as call:
            await call.say("What is the weather in London?")


async def test_concurrent_conversations_do_not_disturb_each_other(
    sonic_emulator: SonicEmulator, conversation: ConversationFixture
) -> None:
    sonic_emulator.play(WEATHER)

    async def one() -> str:
        async with contextlib.AsyncExitStack() as stack:
            call = await stack.enter_async_context(conversation(tools=TOOLS))
            await call.say("What is the weather in Paris?")
            return call.timed_transcript

    first, second = await asyncio.gather(one(), one())
    assert first == second
