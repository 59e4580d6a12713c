"""The test kit: a pytest plugin for applications that talk with Amazon Nova Sonic.

    async def test_the_weather(sonic_emulator, conversation):
        sonic_emulator.play("weather.yaml")
        async with conversation(CONFIG, TOOLS) as call:
            turn = await call.say("What is the weather in Paris?")
        turn.called("weather", city="Paris")
        turn.assistant_said("18 degrees")
        assert turn.response_latency_ms < 2000

The application runs as in production, over TLS and HTTP/2 to the local emulator, but in virtual
time: faster than real time, and with the same events at the same times on every run. The plugin
registers itself (entry point `pytest11`); names are loaded when first used.

    plugin            options, fixtures, hooks; imports nothing else until a fixture is used
    fixtures          what the fixtures are
    emulator_thread   the emulator, in a thread of its own; a scenario for each test
    conversation      the caller, whom the test directs
    application       the application under test, if it is a configuration and tools
    line, lockstep    what the application converses over, and how time passes on it
    exchange, turn    what happened, and assertions about it
    known_speech      utterances, and their recognition
    transcript_text, wire_text   texts for failures and snapshots
    tapes             when a conversation is recorded, and when it is replayed
    network_guard     refuses sockets to other machines
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conversation import Conversation
    from .exchange import CalledTool, TimedEvent
    from .fixtures import ConversationFixture, SonicEmulator, SpeakFixture
    from .known_speech import Utterance
    from .line import Line
    from .turn import Turn

_MODULE_OF = {
    "CalledTool": "exchange",
    "Conversation": "conversation",
    "ConversationFixture": "fixtures",
    "Line": "line",
    "SonicEmulator": "fixtures",
    "SpeakFixture": "fixtures",
    "TimedEvent": "exchange",
    "Turn": "turn",
    "Utterance": "known_speech",
}

__all__ = [
    "CalledTool",
    "Conversation",
    "ConversationFixture",
    "Line",
    "SonicEmulator",
    "SpeakFixture",
    "TimedEvent",
    "Turn",
    "Utterance",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
