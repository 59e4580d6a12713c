"""Tapes of tests: recorded by the conversation of a test, and replayed in place of the service."""

from pathlib import Path
from typing import Any, get_args

import pytest

from sonic_voice import ConfigError, SessionConfig, SonicError, Toolbox, tool
from sonic_voice.recording import Received, Sent, SessionEvent, read_tape
from sonic_voice.testing import Conversation, ConversationFixture, SonicEmulator, SpeakFixture
from sonic_voice.testing.plugin import RECORD_MODES
from sonic_voice.testing.tapes import RecordMode, TapeFixture

SCENARIO = """
name: weather
steps:
  - user: what is the weather in Paris
    call:
      tool: weather
      arguments: {city: Paris}
      then: It is {result.celsius} degrees, and it will be a long and warm evening.
  - user: stop
    say: All right.
"""
SERVICE_IS_NOT_ASKED = "name: other\nsteps:\n  - user: hello\n    say: I am the emulator.\n"


class TapedTest:
    """Tests of one application, each with a conversation on the tape `paris`."""

    def __init__(self, emulator: SonicEmulator, speak: SpeakFixture, folder: Path) -> None:
        self.emulator = emulator
        self.speak = speak
        self.folder = folder
        self.path = folder / "tapes" / "paris.tape"

    async def run(
        self,
        mode: RecordMode,
        *,
        system: str = "You report the weather.",
        celsius: int = 18,
        fails: bool = False,
        scenario: str = SCENARIO,
    ) -> Conversation:
        """Hold the conversation of a test with a tool call and a barge-in."""

        @tool
        def weather(city: str) -> dict[str, Any]:
            """Return the weather."""
            return {"celsius": celsius}

        tools = Toolbox([weather])
        tape = TapeFixture(self.folder, mode, live=False)
        tape("paris")
        self.emulator.play(scenario)
        conversation = ConversationFixture(self.emulator, self.speak, tape, live=False)
        config = SessionConfig(system=system, tools=tools.specs)
        async with conversation(config, tools) as call:
            turn = await call.ask("What is the weather in Paris?")
            await call.heard_until("it will be")
            stop = await call.say("Stop.")
            if fails:
                raise AssertionError("the test fails")
        turn.called("weather", city="Paris")
        turn.was_interrupted()
        stop.assistant_said("all right")
        return call


@pytest.fixture
def taped(sonic_emulator: SonicEmulator, speak: SpeakFixture, tmp_path: Path) -> TapedTest:
    return TapedTest(sonic_emulator, speak, tmp_path)


async def test_a_tape_is_recorded_once_and_replayed_to_the_same_events(taped: TapedTest) -> None:
    recorded = await taped.run("once")
    kinds = {type(record) for record in read_tape(taped.path).records}
    assert kinds >= {Sent, Received, SessionEvent}
    before = taped.path.read_bytes()
    for mode in ("none", "once", "new"):
        replayed = await taped.run(mode, scenario=SERVICE_IS_NOT_ASKED)
        assert replayed.events == recorded.events
        assert replayed.wire == recorded.wire
    assert taped.path.read_bytes() == before


async def test_an_application_that_sends_something_else_differs_from_its_tape(
    taped: TapedTest,
) -> None:
    await taped.run("once")
    with pytest.raises(SonicError, match="In the system prompt the client changed content"):
        await taped.run("none", system="You are rude.")
    with pytest.raises(SonicError, match="In the result of weather"):
        await taped.run("none", celsius=20)


async def test_new_records_again_what_is_configured_differently(taped: TapedTest) -> None:
    await taped.run("once")
    before = taped.path.read_bytes()
    await taped.run("new", system="You report the weather briefly.")
    assert taped.path.read_bytes() != before
    await taped.run("none", system="You report the weather briefly.")


async def test_a_test_that_fails_leaves_the_tape_as_it_was(taped: TapedTest) -> None:
    with pytest.raises(AssertionError, match="the test fails"):
        await taped.run("once", fails=True)
    assert list(taped.path.parent.iterdir()) == []
    await taped.run("once")
    before = taped.path.read_bytes()
    with pytest.raises(AssertionError, match="the test fails"):
        await taped.run("all", fails=True)
    assert taped.path.read_bytes() == before
    await taped.run("all")
    assert taped.path.read_bytes() != before


async def test_a_tape_that_is_missing_is_named_with_what_records_it(taped: TapedTest) -> None:
    with pytest.raises(ConfigError, match=r"There is no tape .*paris\.tape") as failed:
        await taped.run("none")
    assert failed.value.hint == "Record it: pytest --sonic-record=once."


def test_the_option_has_the_modes() -> None:
    assert get_args(RecordMode.__value__) == RECORD_MODES
