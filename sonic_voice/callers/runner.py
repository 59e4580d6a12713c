"""The runner of callers: holds one conversation, and says what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from ..audio.ports import AudioSink, NullSink
from ..catalog import DEFAULT_MODEL
from ..config import DEFAULT_SYSTEM, AudioFormat, SessionConfig
from ..conversation import Observer, converse
from ..errors import ConfigError, SonicError
from ..events import Event
from ..reasoning.expert import Expert, Reasoner
from ..recording import Recorder
from ..session import Session
from ..tools.toolbox import Toolbox
from ..transcript import Transcript
from ..transport import Transport
from ..virtual_time import VirtualTimeLoop
from .caller_source import CallerSource
from .conversation_log import ConversationLog
from .director import Director, NextUtterance, Utterance
from .expectations import failures_of
from .records import CallerScript, ScriptedTurn
from .results import CallerResult, Failure, ObservedTurn
from .speech import CallerVoice

TOOL_PATIENCE_S = 60.0
"""Maximum real time for which a tool in a thread holds the virtual clock, in seconds."""


class Caller(Protocol):
    """The caller's end of a conversation, as a target sees it."""

    source: CallerSource
    """The caller's audio. It is the clock of the conversation."""

    def begin(self, transcript: Transcript, sink: AudioSink) -> None:
        """Begin the conversation, before the first chunk is read.

        Args:
            transcript: The transcript, which grows with the conversation.
            sink: The sink in which the answers sound.
        """
        ...

    def observe(self, event: Event, now: float) -> None:
        """Take an event.

        Args:
            event: The event.
            now: Its time, in seconds of the source's clock.
        """
        ...


class Target(Protocol):
    """An application that a caller calls."""

    input: AudioFormat
    """Format of the caller's audio."""

    async def converse(self, caller: Caller) -> None:
        """Hold a conversation, until the caller is done and everything was answered.

        Args:
            caller: The caller.

        Raises:
            SonicError: The error that ended the conversation.
        """
        ...


class SessionTarget:
    """A target that speaks the service's wire: the service, an emulator, or an endpoint.

    Args:
        config: Configuration of the session.
        transport: Where its streams are opened.
        tools: The tools that the model may call.
        record: File for a tape of the conversation; None for none.
        reasoner: Makes what thinks, with the tools that it may call; None if the model thinks.
    """

    def __init__(
        self,
        config: SessionConfig,
        transport: Transport,
        tools: Toolbox,
        *,
        record: Path | None = None,
        reasoner: Callable[[Toolbox], Expert | Reasoner] | None = None,
    ) -> None:
        self.input = config.input
        self._config = config
        self._transport = transport
        self._tools = tools
        self._record = record
        self._reasoner = reasoner

    async def converse(self, caller: Caller) -> None:
        """See `Target`."""
        source, transport = caller.source, self._transport
        sink: AudioSink = NullSink(self._config.output, now=source.now)
        observers: list[Observer] = [caller.observe]
        async with AsyncExitStack() as stack:
            if self._record is not None:
                recorder = Recorder(transport, self._record, self._config, clock=source.now)
                transport = await stack.enter_async_context(recorder)
                sink = recorder.sink(sink)
                observers.append(recorder.observer)
            loop = asyncio.get_running_loop()
            if isinstance(loop, VirtualTimeLoop):
                stack.enter_context(loop.wait_while(self._awaits_tool, TOOL_PATIENCE_S))
            session = await stack.enter_async_context(
                Session.open(self._config, transport, clock=source.now)
            )
            caller.begin(session.transcript, sink)
            think = self._reasoner
            reasoner = None if think is None else think(self._tools)
            await converse(session, source, sink, self._tools, observers, reasoner=reasoner)

    def _awaits_tool(self) -> bool:
        return self._tools.awaits_thread


def session_config(script: CallerScript, tools: Toolbox) -> SessionConfig:
    """Return the configuration of a session for a caller.

    Args:
        script: The caller's file.
        tools: The tools that the model may call.

    Raises:
        ConfigError: The file asks for something that the model does not offer.
    """
    return SessionConfig(
        model=script.model or DEFAULT_MODEL,
        system=script.system or DEFAULT_SYSTEM,
        tools=tools.specs,
        greeting=script.greeting,
    )


async def run_caller(
    script: CallerScript,
    target: Target,
    voice: CallerVoice,
    imagine: "Imagine | None" = None,
) -> CallerResult:
    """Hold the conversation of a file, and return what came of it.

    An error of the conversation is a failure of its result. Nothing is judged here.

    Args:
        script: The file.
        target: The application that is called.
        voice: Speaks the caller's words.
        imagine: Makes up the words of a simulated caller; needed if the file has one.

    Raises:
        AudioError: A sound file of the caller cannot be used.
    """
    call = _Call(script, target.input, await _utterances(script, voice), voice, imagine)
    result = CallerResult(script)
    try:
        await target.converse(call)
    except SonicError as error:
        text = f"the conversation broke off: {error.message} {error.hint}".strip()
        result.failures.append(Failure(None, text))
    finally:
        await call.source.aclose()
    result.duration_s = call.source.now()
    if call.log is not None:
        result.turns = call.log.observed()
    result.failures += failures_of(script, result.turns)
    return result


type Imagine = Callable[[CallerScript, Sequence[ObservedTurn]], Awaitable[str]]
"""A function that returns the next words of a simulated caller; empty to end the conversation."""


async def _utterances(script: CallerScript, voice: CallerVoice) -> list[Utterance]:
    """Return the turns of a scripted caller, spoken before the conversation begins."""
    return [Utterance(await voice.speak(turn, script.voice), turn) for turn in script.turns]


class _Call:
    """The caller's end of one conversation. See `Caller`."""

    def __init__(
        self,
        script: CallerScript,
        format: AudioFormat,
        utterances: list[Utterance],
        voice: CallerVoice,
        imagine: Imagine | None,
    ) -> None:
        self.source = CallerSource(format, self._direct)
        self.log: ConversationLog | None = None
        self._script = script
        self._utterances = utterances
        self._voice = voice
        self._imagine = imagine
        self._director: Director | None = None

    def begin(self, transcript: Transcript, sink: AudioSink) -> None:
        """See `Caller`."""
        self.log = ConversationLog(transcript, greeted=bool(self._script.greeting))
        simulated = self._script.persona is not None
        next_utterance: NextUtterance = self._imagined if simulated else self._scripted
        self._director = Director(self.log, sink, next_utterance, reads_ahead=not simulated)

    def observe(self, event: Event, now: float) -> None:
        """See `Caller`."""
        if self.log is not None:
            self.log(event, now)

    async def _direct(self) -> None:
        if self._director is not None:
            await self._director.before_chunk(self.source)

    async def _scripted(self, number: int) -> Utterance | None:
        return self._utterances[number - 1] if number <= len(self._utterances) else None

    async def _imagined(self, number: int) -> Utterance | None:
        """Return the next turn of a simulated caller, which is made up and spoken now."""
        persona, log = self._script.persona, self.log
        assert persona is not None
        assert log is not None
        if number > persona.max_turns:
            return None
        if number == 1 and persona.opening:
            words = persona.opening
        elif self._imagine is None:
            raise ConfigError(
                f"{self._script.path} has a simulated caller, whose words a chat model makes up.",
                hint="Name it: --caller openai:http://localhost:11434/v1#llama3.2",
            )
        else:
            words = await self._imagine(self._script, log.observed())
        if not words:
            return None
        turn = ScriptedTurn(words)
        return Utterance(await self._voice.speak(turn, self._script.voice), turn)
