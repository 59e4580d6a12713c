"""The assembly of an emulator: service, brain, speech engines, faults and server."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from uuid import uuid4

from ..catalog import voice_model
from ..errors import ConfigError
from ..other_models import without_region
from . import speech
from .behaviour import Behaviour, ChaosProfile
from .brains.chat_endpoint import openai_brain
from .brains.scripted import ScriptedBrain, small_talk
from .brains.small_talk import SmallTalkBrain
from .brains.typed_words import TypedWordsBrain
from .faults import FaultOccurrence, OnFault, parse_fault, with_faults
from .faults.audio_life import with_audio_life
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
from .service.sonic import DetectorFactory

_log = logging.getLogger(__name__)

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
    names: Sequence[str] = (),
    observers: Sequence[EmulatorObserver] = (),
    on_note: OnNote | None = None,
    on_fault: OnFault | None = None,
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
        names: Further names and addresses for the server's certificate.
        observers: Observe the streams.
        on_note: Called with each mistake of a client that was tolerated.
        on_fault: Called with each refusal and each triggered end that a fault causes.

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
    recognizer = _recognizer(behaviour, played)
    factory_for = _recognizer_factory_for(recognizer, behaviour, played)
    recognizer_factory = factory_for("en") if factory_for is not None else None
    brain, consult = _brain(behaviour, played, recognizes=recognizer_factory is not None)
    detectors = 1 if recognizer_factory is None else 2

    def prepare(streams: int) -> None:
        if isinstance(recognizer, speech.DeferredRecognizer):
            recognizer.load_soon()
        speech.prepare(TYPICAL_INPUT_HZ, streams * detectors)

    engines = Engines(
        speech.synthesizer(behaviour.voices),
        recognizer_factory,
        consult,
        prepare=prepare,
        release=lambda streams: speech.release(max(1, streams) * detectors),
        recognizer_factory_for=factory_for,
    )
    return Emulator(
        sonic_service(brain, recognizer_factory, behaviour=behaviour, on_fault=on_fault),
        behaviour=behaviour,
        engines=engines,
        host=host,
        port=port,
        keys=_expiring(keys, behaviour.keys_life_s),
        authority=authority,
        names=names,
        observers=observers if on_note is None else (*observers, NoteObserver(on_note)),
    )


def _expiring(
    keys: AccessKeyPair | Sequence[AccessKeyPair], life_s: float | None
) -> AccessKeyPair | Sequence[AccessKeyPair]:
    """Return the same credentials, which expire after `life_s` from now."""
    if life_s is None:
        return keys
    expires_at = datetime.now(UTC) + timedelta(seconds=life_s)
    if isinstance(keys, AccessKeyPair):
        return replace(keys, expires_at=expires_at)
    return [replace(pair, expires_at=expires_at) for pair in keys]


def _recognizer(behaviour: Behaviour, scenario: Scenario | None) -> speech.Recognizer | None:
    """Return the recogniser that the settings ask for, or None."""
    ears = behaviour.ears
    unwanted = ears == "default" and scenario is not None and behaviour.ears_model is None
    if ears == "none" or unwanted:
        return None
    hints = scenario.hints if scenario is not None else ()
    quality = "auto" if ears == "default" else ears
    return speech.recognizer(
        quality, hints=hints, language=behaviour.language, model_dir=behaviour.ears_model
    )


def _recognizer_factory_for(
    recognizer: speech.Recognizer | None, behaviour: Behaviour, scenario: Scenario | None
) -> Callable[[str], RecognizerFactory] | None:
    """Return what returns the factory for a language, with the scenario's sentences, or None."""
    if recognizer is None:
        return None
    hints = scenario.hints if scenario is not None else ()
    return lambda language: (
        lambda rate_hz: recognizer.begin(rate_hz, hints, behaviour.language or language)
    )


def _brain(
    behaviour: Behaviour, scenario: Scenario | None, *, recognizes: bool
) -> tuple[Brain, Consult | None]:
    """Return the brain, and the function that sends its chat requests, if it makes any.

    Small talk needs words. Without a recogniser it answers typed words, and the built-in scenario
    speech.
    """
    if behaviour.brain:
        brain, endpoint = openai_brain(
            behaviour.brain, speech.resample, thinks_first=behaviour.brain_thinks_first
        )
        return brain, endpoint.consult
    if scenario is not None:
        return ScriptedBrain(scenario, speech.resample), None
    talk = SmallTalkBrain(lambda: datetime.now().astimezone(), speech.resample)
    if recognizes:
        return talk, None
    return TypedWordsBrain(ScriptedBrain(small_talk(), speech.resample), talk), None


def sonic_service(
    brain: Brain,
    recognizer_factory: RecognizerFactory | None = None,
    *,
    behaviour: Behaviour | None = None,
    detector_factory: DetectorFactory = speech.detector,
    on_fault: OnFault | None = None,
    new_id: Callable[[], str] = lambda: str(uuid4()),
) -> ServiceFactory:
    """Return the factory of an emulator's streams.

    Args:
        brain: Decides the answers.
        recognizer_factory: Recognises words. Only its presence matters here: the host calls it.
        behaviour: The settings of the emulator.
        detector_factory: Makes the voice activity detector of each audio container.
        on_fault: Called with each refusal and each triggered end that a fault causes.
        new_id: Returns a new id for a session, a completion, a content block or a tool call.

    Raises:
        ConfigError: A model, latency or fault is unknown.
    """
    behaviour = behaviour or Behaviour()
    faults = [parse_fault(text) for text in behaviour.faults]
    factory = service_factory(
        brain,
        detector_factory,
        recognizes=recognizer_factory is not None,
        new_id=new_id,
        strict=behaviour.strict,
        today=None if behaviour.allow_retired else datetime.now(UTC).date(),
        timing=latency(behaviour.latency),
        idle_s=behaviour.timeouts.idle_s,
    )
    chaos = behaviour.chaos

    def occurred(occurrence: FaultOccurrence) -> None:
        _log.info("%s", occurrence)
        if on_fault is not None:
            on_fault(occurrence)

    faulty = with_faults(
        _offered(factory, behaviour.models),
        faults,
        chaos=ChaosProfile(chaos) if isinstance(chaos, int) else chaos,
        clock=time.monotonic,
        on_fault=occurred,
    )
    if behaviour.life_clock == "audio":
        return with_audio_life(faulty, behaviour.timeouts.life_s)
    return faulty


def _offered(factory: ServiceFactory, models: Sequence[str]) -> ServiceFactory:
    """Return a factory that offers only some models, or `factory` itself without `models`."""
    ids = [voice_model(model).id for model in models]

    def new_service(request: StreamRequest) -> Service | StreamRefusal:
        if without_region(request.model_id) in ids:
            return factory(request)
        text = f"{request.model_id} is not offered here, but {', '.join(ids)}."
        return StreamRefusal(404, "ResourceNotFoundException", text)

    return new_service if ids else factory
