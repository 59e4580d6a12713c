"""Puts an emulator together: service, brain, speech engines, faults and server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Literal
from uuid import uuid4

from ..catalog import voice_model, without_region
from ..errors import ConfigError
from . import speech
from .brains.chat_endpoint import openai_brain
from .brains.scripted import ScenarioBrain, small_talk
from .brains.small_talk import SmallTalkBrain
from .faults import parse_fault, with_faults
from .observers import Watch
from .scenario import Scenario, load_scenario
from .server import LOCAL_KEYS, Emulator
from .server.certificates import CertificateAuthority
from .server.sigv4 import AccessKeyPair
from .server.stream_handler import StreamTimeouts
from .service.admission import service_factory
from .service.brain import Brain
from .service.effects import (
    Consult,
    Note,
    RecognizerFactory,
    Service,
    ServiceFactory,
    StreamRefusal,
    StreamRequest,
)
from .service.latency import latency

TYPICAL_INPUT_HZ = 16_000
"""What clients send, by and large; another rate is heard as well, a little later at first."""

type RecognitionChoice = Literal["default", "auto", "light", "good", "none"]
type OnNote = Callable[[StreamRequest, Note], None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an emulator differs from the service as it is on a good day.

    The defaults are for use inside a program: every model lives, and no limit is shortened.
    """

    strict: bool = False
    """Refuse what real clients are known to do wrong."""
    models: tuple[str, ...] = ()
    """Ids of the models that are offered; empty: all."""
    allow_retired: bool = True
    """Whether models past their end of life still answer."""
    latency: str = "typical"
    """A name of `latency.PROFILES`."""
    timeouts: StreamTimeouts = field(default_factory=StreamTimeouts)
    """Wall-clock limits of a stream."""
    max_streams: int | None = None
    """More streams at once than so many are throttled."""
    ears: RecognitionChoice = "default"
    """Who hears words. `default`: nobody where there is a scenario, which knows them; else what is
    installed."""
    voices: speech.Quality = "light"
    """Who speaks. The good ones take a processor for a tenth of the time that they speak."""
    brain: str = ""
    """`openai:URL#MODEL`: a chat endpoint answers, instead of a scenario or small talk."""
    faults: tuple[str, ...] = ()
    """Each `NAME[:ARGUMENT][@STREAMS]`: see `faults`."""


def emulator(
    scenario: str | PathLike[str] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    strict: bool = False,
    behaviour: Behaviour | None = None,
    keys: AccessKeyPair | Sequence[AccessKeyPair] = LOCAL_KEYS,
    authority: CertificateAuthority | None = None,
    watches: Sequence[Watch] = (),
    on_note: OnNote | None = None,
) -> Emulator:
    """An emulator that plays `scenario`, or its built-in dialogue; to be entered.

    `strict` refuses what real clients are known to do wrong; otherwise `on_note` hears of it. It
    is short for a `behaviour` of that. `keys`, `authority` and `watches`: see `Emulator`.
    Raises `ScenarioError` for a scenario that cannot be read, `ConfigError` for an unknown model,
    latency, fault or brain, and for an engine that is not installed.
    """
    behaviour = behaviour or Behaviour(strict=strict)
    if behaviour.brain and scenario:
        raise ConfigError("There are two who answer.", hint="Give a scenario or a brain.")
    played = load_scenario(Path(scenario)) if scenario else None
    recognizer_factory = _recognizer_factory(behaviour.ears, played)
    brain, consult = _brain(behaviour.brain, played, recognizes=recognizer_factory is not None)
    return Emulator(
        sonic_service(brain, recognizer_factory, behaviour=behaviour),
        synthesize=speech.synthesizer(behaviour.voices),
        recognizer_factory=recognizer_factory,
        consult=consult,
        prepare=lambda streams: speech.prepare(
            TYPICAL_INPUT_HZ, streams * (1 if recognizer_factory is None else 2)
        ),
        host=host,
        port=port,
        strict=behaviour.strict,
        timeouts=behaviour.timeouts,
        max_streams=behaviour.max_streams,
        keys=keys,
        authority=authority,
        watches=watches,
        on_note=on_note,
    )


def _recognizer_factory(
    ears: RecognitionChoice, scenario: Scenario | None
) -> RecognizerFactory | None:
    """The ears for words: a recogniser of this machine, prepared for the scenario's sentences."""
    if ears == "none" or (ears == "default" and scenario is not None):
        return None
    hints = scenario.hints if scenario is not None else ()
    quality = "auto" if ears == "default" else ears
    recognizer = speech.recognizer(quality, hints=hints)
    if recognizer is None:
        return None
    return lambda rate_hz: recognizer.begin(rate_hz, hints)


def _brain(
    chat: str, scenario: Scenario | None, *, recognizes: bool
) -> tuple[Brain, Consult | None]:
    """A chat endpoint, the scenario, or small talk, which for the deaf is a fixed dialogue."""
    if chat:
        brain, endpoint = openai_brain(chat, speech.resample)
        return brain, endpoint.consult
    if scenario is None and recognizes:
        return SmallTalkBrain(lambda: datetime.now().astimezone(), speech.resample), None
    return ScenarioBrain(scenario or small_talk(), speech.resample), None


def sonic_service(
    brain: Brain,
    recognizer_factory: RecognizerFactory | None = None,
    *,
    behaviour: Behaviour | None = None,
) -> ServiceFactory:
    """Streams that talk as `brain`, with the ears of this machine."""
    behaviour = behaviour or Behaviour()
    faults = [parse_fault(text) for text in behaviour.faults]
    factory = service_factory(
        brain,
        speech.detector,
        recognizes=recognizer_factory is not None,
        new_id=lambda: str(uuid4()),
        strict=behaviour.strict,
        today=None if behaviour.allow_retired else datetime.now(UTC).date(),
        timing=latency(behaviour.latency),
        idle_s=behaviour.timeouts.idle_s,
    )
    return with_faults(_offered(factory, behaviour.models), faults)


def _offered(factory: ServiceFactory, models: Sequence[str]) -> ServiceFactory:
    """`factory`, for some models alone."""
    ids = [voice_model(model).id for model in models]

    def new_service(request: StreamRequest) -> Service | StreamRefusal:
        if without_region(request.model_id) in ids:
            return factory(request)
        text = f"{request.model_id} is not offered here, but {', '.join(ids)}."
        return StreamRefusal(404, "ResourceNotFoundException", text)

    return new_service if ids else factory
