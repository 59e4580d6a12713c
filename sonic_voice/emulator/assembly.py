"""The assembly of an emulator: service, brain, speech engines, faults and server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from uuid import uuid4

from ..catalog import voice_model
from ..errors import ConfigError
from ..other_models import without_region
from . import speech
from .behaviour import Behaviour, RecognitionChoice
from .brains.chat_endpoint import openai_brain
from .brains.scripted import ScriptedBrain, small_talk
from .brains.small_talk import SmallTalkBrain
from .faults import parse_fault, with_faults
from .observers import EmulatorObserver, NoteObserver, OnNote
from .scenario import Scenario, load_scenario
from .server import LOCAL_KEYS, Emulator
from .server.certificates import CertificateAuthority
from .server.engines import Engines
from .server.sigv4 import AccessKeyPair
from .service.admission import service_factory
from .service.brain import Brain
from .service.effects import (
    Consult,
    RecognizerFactory,
    Service,
    ServiceFactory,
    StreamRefusal,
    StreamRequest,
)
from .service.latency import latency

TYPICAL_INPUT_HZ = 16_000
"""Sample rate that most clients send, in hertz, for which speech detection is prepared. Other
rates work, too, with a small delay at first."""


def emulator(
    scenario: str | PathLike[str] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    strict: bool = False,
    behaviour: Behaviour | None = None,
    keys: AccessKeyPair | Sequence[AccessKeyPair] = LOCAL_KEYS,
    authority: CertificateAuthority | None = None,
    observers: Sequence[EmulatorObserver] = (),
    on_note: OnNote | None = None,
) -> Emulator:
    """Return an emulator, which must be entered as an async context manager.

    Args:
        scenario: A scenario file. None: small talk, or the built-in dialogue where no words are
            recognised.
        host: The name or address to listen at.
        port: The TCP port; 0 takes a free one.
        strict: Whether to refuse mistakes that real clients are known to make. Only used without
            `behaviour`.
        behaviour: The settings of the emulator.
        keys: The credentials that are accepted; see `Emulator`.
        authority: Signs the server's certificate; see `Emulator`.
        observers: Observe the streams.
        on_note: Called with each mistake of a client that was tolerated.

    Raises:
        ScenarioError: The scenario cannot be read.
        ConfigError: A model, latency, fault or brain is unknown, an engine is not installed, or
            both a scenario and a brain are given.
    """
    behaviour = behaviour or Behaviour(strict=strict)
    if behaviour.brain and scenario:
        raise ConfigError(
            "A scenario and a brain cannot both answer.", hint="Give a scenario or a brain."
        )
    played = load_scenario(Path(scenario)) if scenario else None
    recognizer_factory = _recognizer_factory(behaviour.ears, played)
    brain, consult = _brain(behaviour.brain, played, recognizes=recognizer_factory is not None)
    engines = Engines(
        speech.synthesizer(behaviour.voices),
        recognizer_factory,
        consult,
        lambda streams: speech.prepare(
            TYPICAL_INPUT_HZ, streams * (1 if recognizer_factory is None else 2)
        ),
    )
    return Emulator(
        sonic_service(brain, recognizer_factory, behaviour=behaviour),
        behaviour=behaviour,
        engines=engines,
        host=host,
        port=port,
        keys=keys,
        authority=authority,
        observers=observers if on_note is None else (*observers, NoteObserver(on_note)),
    )


def _recognizer_factory(
    ears: RecognitionChoice, scenario: Scenario | None
) -> RecognizerFactory | None:
    """Return a factory of recognisers that expect the scenario's sentences, or None."""
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
    """Return the brain, and the function that sends its chat requests, if it makes any.

    Small talk needs words. Without a recogniser the built-in scenario takes its place.
    """
    if chat:
        brain, endpoint = openai_brain(chat, speech.resample)
        return brain, endpoint.consult
    if scenario is None and recognizes:
        return SmallTalkBrain(lambda: datetime.now().astimezone(), speech.resample), None
    return ScriptedBrain(scenario or small_talk(), speech.resample), None


def sonic_service(
    brain: Brain,
    recognizer_factory: RecognizerFactory | None = None,
    *,
    behaviour: Behaviour | None = None,
) -> ServiceFactory:
    """Return the factory of an emulator's streams, with the speech detection of this machine.

    Args:
        brain: Decides the answers.
        recognizer_factory: Recognises words. Only its presence matters here: the host calls it.
        behaviour: The settings of the emulator.

    Raises:
        ConfigError: A model, latency or fault is unknown.
    """
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
    """Return a factory that offers only some models, or `factory` itself without `models`."""
    ids = [voice_model(model).id for model in models]

    def new_service(request: StreamRequest) -> Service | StreamRefusal:
        if without_region(request.model_id) in ids:
            return factory(request)
        text = f"{request.model_id} is not offered here, but {', '.join(ids)}."
        return StreamRefusal(404, "ResourceNotFoundException", text)

    return new_service if ids else factory
