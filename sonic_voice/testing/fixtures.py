"""The values of the plugin's fixtures. `plugin` makes them, and imports this module only then."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from ..audio.decoding import open_recording
from ..audio.ports import INPUT_FORMAT, OUTPUT_FORMAT
from ..bedrock import BedrockTransport
from ..config import AudioFormat, SessionConfig
from ..conversation import Observer
from ..emulator.behaviour import Behaviour
from ..errors import ConfigError
from ..recording import Recorder
from ..session import Session
from ..tools.toolbox import Toolbox
from ..transport import Transport
from .application import Application, session_application
from .conversation import Conversation, Say
from .emulator_thread import EXPECTATION_RULE, ClientMistake, EmulatorThread, found_scenario
from .known_speech import Utterance
from .line import Line
from .tapes import TapeFixture, TapeUse

CALLER_VOICE = "matthew"
"""Voice of the caller, unless the test names another one: not the one that answers by default."""

CALLER_HZ = INPUT_FORMAT.rate_hz
"""Sample rate at which texts are spoken, in Hz: that of most sessions, so none is resampled."""

SOUND_SUFFIXES = frozenset(".wav .flac .ogg .oga .opus .mp3 .aiff .aif .au .caf".split())
"""Suffixes by which `speak` tells a sound file from a text."""


class SonicEmulator:
    """The emulator of the service, as a test sees it.

    Args:
        thread: The running emulator.
        folders: Folders in which scenario files are looked for.
    """

    def __init__(self, thread: EmulatorThread, *folders: Path) -> None:
        self._thread = thread
        self._folders = folders

    def play(
        self,
        scenario: str | Path | None,
        *,
        latency: str = "typical",
        strict: bool = False,
        faults: Sequence[str] = (),
        recognizes: bool = True,
    ) -> None:
        """Have the conversations of this test follow a scenario.

        Args:
            scenario: A scenario file, relative to the folder of the test or to the root of the
                project; or the text of a scenario, which has several lines. None: small talk.
            latency: Name of the profile of the service's delays, as in `sonic-voice emulate`.
            strict: Whether mistakes of the client are refused that are otherwise tolerated.
            faults: Faults, as in `--fault`.
            recognizes: Whether the emulator knows the words that the test says. Otherwise the
                `user` texts of the scenario stand for them.

        Raises:
            ScenarioError: The scenario cannot be read.
            ConfigError: A setting cannot be used.
        """
        found = None if scenario is None else found_scenario(scenario, self._folders)
        behaviour = Behaviour(strict=strict, latency=latency, faults=tuple(faults))
        self._thread.play(found, behaviour=behaviour, recognizes=recognizes)

    @property
    def mistakes(self) -> list[ClientMistake]:
        """Mistakes of the client that the emulator has tolerated in this test."""
        return [m for m in self._thread.mistakes if m.rule != EXPECTATION_RULE]

    @property
    def unmet_expectations(self) -> list[ClientMistake]:
        """Expectations (`expect`) of the scenario that did not hold in this test."""
        return [m for m in self._thread.mistakes if m.rule == EXPECTATION_RULE]

    @property
    def endpoint(self) -> str:
        """The URL at which the emulator listens."""
        return self._thread.running.endpoint

    def environment(self) -> dict[str, str]:
        """Return the environment variables that direct any AWS SDK to the emulator."""
        return self._thread.running.environment()

    def transport(self) -> BedrockTransport:
        """Return a new transport to the emulator, for sessions without the fixture `conversation`.

        They run in real time, and the emulator's answers do not wait for them.
        """
        return self._thread.transport()

    @property
    def thread(self) -> EmulatorThread:
        """The running emulator."""
        return self._thread


class SpeakFixture:
    """A function that makes an utterance.

    Args:
        thread: The running emulator, whose voice speaks.
        folder: Folder to which the paths of sound files are relative.
    """

    def __init__(self, thread: EmulatorThread, folder: Path) -> None:
        self._thread = thread
        self._folder = folder

    def __call__(
        self,
        what: str | Path,
        *,
        text: str | None = None,
        voice: str = CALLER_VOICE,
        rate_hz: int = CALLER_HZ,
    ) -> Utterance:
        """Return an utterance.

        Args:
            what: A text, or the path of a sound file: WAV, FLAC, Ogg, MP3 and others.
            text: The words of the sound file, if the emulator is to know them.
            voice: Voice that speaks a text.
            rate_hz: Sample rate of a spoken text, in Hz.

        Raises:
            AudioError: The sound file cannot be read.
            ConfigError: There is nothing to say.
        """
        path = what if isinstance(what, Path) else Path(what)
        if isinstance(what, Path) or path.suffix.lower() in SOUND_SUFFIXES:
            return self._file(self._folder / path, text)
        if not what.strip():
            raise ConfigError("There is nothing to say.", hint="Give a text or a sound file.")
        return Utterance(self._thread.speak(what, voice, rate_hz), rate_hz, what)

    @staticmethod
    def _file(path: Path, text: str | None) -> Utterance:
        with closing(open_recording(path)) as recording:
            pcm = recording.read(recording.frames)
            return Utterance(pcm, recording.rate_hz, text)


class ConversationFixture:
    """A function that opens a conversation between the test and an application.

    Args:
        emulator: The emulator.
        speak: Makes utterances of texts.
        tape: The choice of a tape.
        live: Whether the conversation is held with AWS, in real time.
    """

    def __init__(
        self, emulator: SonicEmulator, speak: SpeakFixture, tape: TapeFixture, *, live: bool
    ) -> None:
        self._emulator = emulator
        self._speak = speak
        self._tape = tape
        self._live = live

    def __call__(
        self,
        config: SessionConfig | None = None,
        tools: Toolbox | None = None,
        *,
        observers: Sequence[Observer] = (),
        hold_for_tools: bool = True,
    ) -> Conversation:
        """Return a conversation that a session with `converse` holds.

        Args:
            config: Configuration of the session, as the application uses it. None: the default,
                with the tools.
            tools: The tools that the model may call.
            observers: Functions of the application that are called with each event.
            hold_for_tools: Whether no time passes while a tool runs. False is for tools that wait
                for something that the test does meanwhile.
        """
        config = config or SessionConfig(tools=tools.specs if tools is not None else ())

        def note_session(session: Session) -> None:
            opened.session = session

        application = session_application(config, tools, observers, note_session)
        opened = self._conversation(
            application, config.input, config.output, config, hold_for_tools=hold_for_tools
        )
        return opened

    def running(
        self,
        application: Application,
        *,
        input: AudioFormat = INPUT_FORMAT,
        output: AudioFormat = OUTPUT_FORMAT,
        hold_for_tools: bool = True,
    ) -> Conversation:
        """Return a conversation that an application holds itself.

        Args:
            application: A coroutine function that is called with a `Line`, holds one conversation
                over it, and returns when it is over.
            input: Format of the caller's audio, as the application's session has it.
            output: Format of the answers, as the application's session has it.
            hold_for_tools: Whether no time passes while a tool runs. False is for tools that wait
                for something that the test does meanwhile.
        """
        return self._conversation(application, input, output, None, hold_for_tools=hold_for_tools)

    def _conversation(
        self,
        application: Application,
        input: AudioFormat,
        output: AudioFormat,
        config: SessionConfig | None,
        *,
        hold_for_tools: bool,
    ) -> Conversation:
        thread = self._emulator.thread
        tape = self._tape.next_use(config)
        replay = tape.replay() if tape is not None and tape.action == "replay" else None

        def new_line() -> Line:
            recorder = None
            if tape is not None and tape.action == "record":
                recorder = partial(_recorder, tape, config)
            return Line(
                replay or (BedrockTransport() if self._live else thread.transport()),
                input=input,
                output=output,
                reports=None if self._live or replay is not None else thread.reports,
                real_time=self._live,
                hold_for_tools=hold_for_tools,
                recorder=recorder,
            )

        def close_tape(good: bool) -> None:
            if tape is not None and tape.action == "record":
                (tape.keep if good else tape.discard)()
            if replay is not None and good:
                replay.check()

        return Conversation(
            application,
            new_line,
            utterance=self._utterance,
            known_speech=None if self._live else thread.known_speech,
            unmet=lambda: self._emulator.unmet_expectations,
            on_closed=close_tape,
        )

    def _utterance(self, what: Say, rate_hz: int) -> Utterance:
        return what if isinstance(what, Utterance) else self._speak(what, rate_hz=rate_hz)


def _recorder(
    tape: TapeUse, config: SessionConfig | None, transport: Transport, clock: Callable[[], float]
) -> Recorder:
    return tape.recorder(transport, config, clock)
