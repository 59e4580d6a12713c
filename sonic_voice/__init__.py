"""Spoken conversations with Amazon Nova Sonic.

    async with BedrockTransport() as transport:
        config = SessionConfig(voice="tiffany", tools=tools.specs)
        async with Session.open(config, transport) as session:
            await converse(session, source, sink, tools)

`LocalService` gives the same transport over an emulator of the service on this machine.

Names are loaded when first used: importing this package loads no AWS SDK, no NumPy, no PortAudio
and no emulator.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audio.playout import PlayoutBuffer
    from .audio.ports import AudioSink, AudioSource, NullSink
    from .audio.wav import WavSink, WavSource
    from .bedrock import BedrockTransport
    from .catalog import DEFAULT_MODEL, VOICE_MODELS, VoiceModel, voice_model
    from .config import AudioFormat, Deadlines, SessionConfig, ToolChoice, ToolSpec
    from .conversation import Observer, converse
    from .demo import DEMO_SCENARIO, DEMO_WAV
    from .devices import Microphone, Speaker
    from .errors import (
        AudioError,
        ConfigError,
        ConnectError,
        ConnectionLost,
        CredentialsError,
        DeadlineError,
        DeviceError,
        ErrorKind,
        NetworkError,
        OrderError,
        ScenarioError,
        ServiceError,
        SonicError,
        TapeError,
        WireError,
    )
    from .events import (
        AssistantText,
        Audio,
        Closed,
        Ended,
        Event,
        Guarded,
        GuardFailed,
        Heard,
        Ignored,
        Interrupted,
        NetworkSlow,
        Opened,
        PictureShown,
        Reconnecting,
        Renewed,
        StreamExpiring,
        ToolAnswered,
        ToolCall,
        ToolHeld,
        ToolProgress,
        TurnEnded,
        Usage,
        UserSpeechEnded,
        UserSpeechStarted,
        UserText,
    )
    from .guards.verdicts import GuardSettings, Verdict
    from .history import Message
    from .local_service import LocalService
    from .mcp_servers import McpServer, mcp_tools
    from .metrics import Metrics
    from .policies import NO_RECOVERY, NO_RENEWAL, IdlePrompt, RecoveryPolicy, RenewalPolicy
    from .reasoning.expert import Expert, Reasoner
    from .reasoning.expert_tool import reasoner_tool
    from .reasoning.model_apis import reasoner_model
    from .reasoning.model_reasoner import ModelReasoner
    from .recording import Recorder, Tape, read_tape
    from .recording.replay import Replay, ReplayDifference
    from .recording.rerun import replay_tape
    from .session import Session
    from .snapshot import SessionSnapshot
    from .tools.context import ToolContext
    from .tools.toolbox import Tool, Toolbox, tool
    from .tracing import Tracing
    from .transcript import Line, Transcript
    from .transport import MemoryTransport, Stream, Transport
    from .wire import Tokens

_MODULE_OF = {
    name: module
    for module, names in {
        "audio.ports": "AudioSink AudioSource NullSink",
        "bedrock": "BedrockTransport",
        "catalog": "DEFAULT_MODEL VOICE_MODELS VoiceModel voice_model",
        "config": "AudioFormat Deadlines SessionConfig ToolChoice ToolSpec",
        "conversation": "Observer converse",
        "demo": "DEMO_SCENARIO DEMO_WAV",
        "devices": "Microphone Speaker",
        "local_service": "LocalService",
        "errors": (
            "AudioError ConfigError ConnectError ConnectionLost CredentialsError DeadlineError "
            "DeviceError ErrorKind NetworkError OrderError ScenarioError ServiceError SonicError "
            "TapeError WireError"
        ),
        "events": (
            "AssistantText Audio Closed Ended Event Guarded GuardFailed Heard Ignored Interrupted "
            "NetworkSlow Opened PictureShown Reconnecting Renewed StreamExpiring ToolAnswered "
            "ToolCall ToolHeld ToolProgress TurnEnded Usage UserSpeechEnded UserSpeechStarted "
            "UserText"
        ),
        "guards.verdicts": "GuardSettings Verdict",
        "history": "Message",
        "policies": "NO_RECOVERY NO_RENEWAL IdlePrompt RecoveryPolicy RenewalPolicy",
        "mcp_servers": "McpServer mcp_tools",
        "metrics": "Metrics",
        "reasoning.expert": "Expert Reasoner",
        "reasoning.expert_tool": "reasoner_tool",
        "reasoning.model_apis": "reasoner_model",
        "reasoning.model_reasoner": "ModelReasoner",
        "recording": "Recorder Tape read_tape",
        "recording.replay": "Replay ReplayDifference",
        "recording.rerun": "replay_tape",
        "audio.playout": "PlayoutBuffer",
        "session": "Session",
        "snapshot": "SessionSnapshot",
        "tools": "Tool ToolContext Toolbox tool",
        "tracing": "Tracing",
        "transcript": "Line Transcript",
        "transport": "MemoryTransport Stream Transport",
        "audio.wav": "WavSink WavSource",
        "wire": "Tokens",
    }.items()
    for name in names.split()
}

__all__ = [
    "DEFAULT_MODEL",
    "DEMO_SCENARIO",
    "DEMO_WAV",
    "NO_RECOVERY",
    "NO_RENEWAL",
    "VOICE_MODELS",
    "AssistantText",
    "Audio",
    "AudioError",
    "AudioFormat",
    "AudioSink",
    "AudioSource",
    "BedrockTransport",
    "Closed",
    "ConfigError",
    "ConnectError",
    "ConnectionLost",
    "CredentialsError",
    "DeadlineError",
    "Deadlines",
    "DeviceError",
    "Ended",
    "ErrorKind",
    "Event",
    "Expert",
    "GuardFailed",
    "GuardSettings",
    "Guarded",
    "Heard",
    "IdlePrompt",
    "Ignored",
    "Interrupted",
    "Line",
    "LocalService",
    "McpServer",
    "MemoryTransport",
    "Message",
    "Metrics",
    "Microphone",
    "ModelReasoner",
    "NetworkError",
    "NetworkSlow",
    "NullSink",
    "Observer",
    "Opened",
    "OrderError",
    "PictureShown",
    "PlayoutBuffer",
    "Reasoner",
    "Reconnecting",
    "Recorder",
    "RecoveryPolicy",
    "RenewalPolicy",
    "Renewed",
    "Replay",
    "ReplayDifference",
    "ScenarioError",
    "ServiceError",
    "Session",
    "SessionConfig",
    "SessionSnapshot",
    "SonicError",
    "Speaker",
    "Stream",
    "StreamExpiring",
    "Tape",
    "TapeError",
    "Tokens",
    "Tool",
    "ToolAnswered",
    "ToolCall",
    "ToolChoice",
    "ToolContext",
    "ToolHeld",
    "ToolProgress",
    "ToolSpec",
    "Toolbox",
    "Tracing",
    "Transcript",
    "Transport",
    "TurnEnded",
    "Usage",
    "UserSpeechEnded",
    "UserSpeechStarted",
    "UserText",
    "Verdict",
    "VoiceModel",
    "WavSink",
    "WavSource",
    "WireError",
    "converse",
    "mcp_tools",
    "read_tape",
    "reasoner_model",
    "reasoner_tool",
    "replay_tape",
    "tool",
    "voice_model",
]
__version__ = "0.1.0"

# A library stays silent unless the application wants its log.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
