"""The emulator of a test run: one server in a thread of its own, with a scenario for each test.

Starting a server, its certificates and its speech engines takes most of a second, so all tests of a
run share one. It runs in a thread, because each test may have an event loop of its own.
"""

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from ..bedrock import BedrockTransport
from ..emulator import speech
from ..emulator.assembly import sonic_service
from ..emulator.behaviour import Behaviour, StreamTimeouts
from ..emulator.brains.scripted import ScriptedBrain
from ..emulator.brains.small_talk import SmallTalkBrain
from ..emulator.observers import NoteObserver
from ..emulator.scenario import load_scenario, parse_scenario
from ..emulator.server import LOCAL_KEYS, LOCAL_REGION, Emulator
from ..emulator.server.engines import Engines
from ..emulator.service.brain import Brain
from ..emulator.service.effects import (
    Note,
    Service,
    ServiceFactory,
    StreamRefusal,
    StreamRequest,
)
from ..errors import ConfigError, ScenarioError
from .known_speech import KnownSpeech
from .lockstep import MeteredService, Report

NOT_BY_THE_WALL_CLOCK_S = 24 * 3600.0
"""Timeout in place of those that the emulator measures by the wall clock, in seconds: longer than
any test. A test that stands still in a debugger must not lose its stream."""

START_TIMEOUT_S = 30.0
"""Maximum time that the server has to start or to end, in seconds."""

SMALL_TALK_NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
"""Time of day of the built-in small talk, which is a fixed one so that its answers are the same on
every run: a Monday morning."""

EXPECTATION_RULE = "scenario-expectation"
"""Rule of the notes about an `expect` of a scenario that did not hold."""


@dataclass(frozen=True, slots=True)
class ClientMistake:
    """A mistake of the client that the emulator tolerated, or an expectation that did not hold."""

    rule: str
    """Name under which such mistakes are counted."""
    text: str
    """Description of the mistake."""


class EmulatorThread:
    """A running emulator. `start` must have been called, and `close` must be called at the end."""

    def __init__(self) -> None:
        self.known_speech = KnownSpeech()
        """The utterances that the test has said, for the recogniser."""
        self.reports: dict[bytes, Report] = {}
        """Reports of the clients' streams; see `lockstep`."""
        self.mistakes: list[ClientMistake] = []
        """Mistakes of the client in this test, in their order."""
        self._synthesize = speech.synthesizer("light")
        self._factory: ServiceFactory = self._small_talk()
        self._emulator: Emulator | None = None
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sonic emulator", daemon=True)

    def start(self) -> None:
        """Start the server, and wait until it listens.

        Raises:
            ConfigError: It cannot listen.
        """
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise ConfigError(f"The emulator did not start within {START_TIMEOUT_S:g} s.")
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the server and its thread. May be called again."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(START_TIMEOUT_S)

    def play(
        self,
        scenario: Path | str | None,
        *,
        behaviour: Behaviour | None = None,
        recognizes: bool = True,
    ) -> None:
        """Have the next streams follow a scenario.

        Args:
            scenario: A scenario file, or the text of one; None for the built-in small talk.
            behaviour: Settings of the emulator, of which `strict`, `latency`, `models`, `faults`
                and `chaos` are used.
            recognizes: Whether the emulator knows the words of what the caller says. Otherwise the
                `user` texts of the scenario stand for them.

        Raises:
            ScenarioError: The scenario cannot be read.
            ConfigError: A setting cannot be used.
        """
        behaviour = behaviour or Behaviour()
        if scenario is None:
            self._factory = self._small_talk(behaviour)
            return
        if isinstance(scenario, Path):
            played = load_scenario(scenario)
        else:
            played = parse_scenario(scenario, Path("scenario.yaml"))
        self._factory = self._service_factory(
            ScriptedBrain(played, speech.resample), behaviour, recognizes=recognizes
        )

    def reset(self) -> None:
        """Forget the scenario and everything that a test has left."""
        self.known_speech.forget()
        self.reports.clear()
        self.mistakes.clear()
        self._factory = self._small_talk()

    def speak(self, text: str, voice: str, rate_hz: int) -> bytes:
        """Return the speech of a text, as s16le mono PCM. Blocks until it is spoken.

        Args:
            text: The text.
            voice: Id of a voice.
            rate_hz: The sample rate, in Hz.
        """
        return self._synthesize(text, voice, rate_hz)

    @property
    def running(self) -> Emulator:
        """The emulator, which runs in its own thread."""
        if self._emulator is None:
            raise ConfigError("The emulator is not running.")
        return self._emulator

    def transport(self) -> BedrockTransport:
        """Return a new transport to the emulator, the one that is used in production."""
        return BedrockTransport(
            region=LOCAL_REGION,
            endpoint=self.running.endpoint,
            ca_file=self.running.ca_file,
            proxy="",
            access_key=LOCAL_KEYS.access_key,
            secret_key=LOCAL_KEYS.secret_key,
        )

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        timeouts = StreamTimeouts(
            stall_s=NOT_BY_THE_WALL_CLOCK_S,
            idle_s=NOT_BY_THE_WALL_CLOCK_S,
            life_s=NOT_BY_THE_WALL_CLOCK_S,
        )
        engines = Engines(
            self._synthesize,
            self.known_speech.recognizer,
            prepare=lambda streams: speech.prepare(16_000, streams),
            release=lambda streams: speech.release(max(1, streams)),
        )
        emulator = Emulator(
            self._new_service,
            behaviour=Behaviour(timeouts=timeouts),
            engines=engines,
            observers=[NoteObserver(self._note)],
        )
        async with emulator:
            self._emulator = emulator
            self._started.set()
            await self._ending.wait()

    def _new_service(self, request: StreamRequest) -> Service | StreamRefusal:
        service = self._factory(request)
        if isinstance(service, StreamRefusal):
            return service
        return MeteredService(service, self.reports)

    def _note(self, request: StreamRequest, note: Note) -> None:
        self.mistakes.append(ClientMistake(note.rule, note.text))

    # -- services ------------------------------------------------------------------------------

    def _small_talk(self, behaviour: Behaviour | None = None) -> ServiceFactory:
        brain = SmallTalkBrain(lambda: SMALL_TALK_NOW, speech.resample)
        return self._service_factory(brain, behaviour or Behaviour(), recognizes=True)

    def _service_factory(
        self, brain: Brain, behaviour: Behaviour, *, recognizes: bool
    ) -> ServiceFactory:
        """Return a factory of services with the ids 1, 2, 3 and so on, and the life of a stream by
        its input audio."""
        return sonic_service(
            brain,
            self.known_speech.recognizer if recognizes else None,
            behaviour=Behaviour(
                strict=behaviour.strict,
                models=behaviour.models,
                latency=behaviour.latency,
                faults=behaviour.faults,
                chaos=behaviour.chaos,
                life_clock="audio",
            ),
            new_id=_numbered_ids(),
        )


def _numbered_ids() -> Callable[[], str]:
    """Return a function that returns ids in the form of a UUID, numbered from 1."""
    numbers = itertools.count(1)
    return lambda: str(UUID(int=next(numbers)))


def found_scenario(name: Path | str, folders: Sequence[Path]) -> Path | str:
    """Return the scenario that a test means.

    Args:
        name: The path of a file, relative to one of the folders; or the text of a scenario, which
            has several lines.
        folders: The folders in which the file is looked for, in this order.

    Raises:
        ScenarioError: There is no such file.
    """
    if isinstance(name, str) and "\n" in name:
        return name
    for folder in folders:
        if (path := folder / name).is_file():
            return path
    looked = ", ".join(str(folder) for folder in folders)
    raise ScenarioError(f"There is no scenario {name}.", hint=f"Files are looked for in: {looked}.")
