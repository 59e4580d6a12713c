"""The assembly of an emulator: service, brain, speech engines, faults and server."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from uuid import uuid4

from ..catalog import voice_model
from ..errors import ConfigError
from ..other_models import without_region
from . import speech
from .behaviour import Behaviour, ChaosProfile, RecognitionChoice
from .brains.chat_endpoint import openai_brain
from .brains.scripted import ScriptedBrain, small_talk
from .brains.small_talk import SmallTalkBrain
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
        sonic_service(brain, recognizer_factory, behaviour=behaviour, on_fault=on_fault),
        behaviour=behaviour,
        engines=engines,
        host=host,
        port=port,
        keys=_expiring(keys, behaviour.keys_life_s),
        authority=authority,
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
    detector_factory: DetectorFactory = speech.detector,
    on_fault: OnFault | None = None,
) -> ServiceFactory:
    """Return the factory of an emulator's streams.

    Args:
        brain: Decides the answers.
        recognizer_factory: Recognises words. Only its presence matters here: the host calls it.
        behaviour: The settings of the emulator.
        detector_factory: Makes the voice activity detector of each audio container.
        on_fault: Called with each refusal and each triggered end that a fault causes.

    Raises:
        ConfigError: A model, latency or fault is unknown.
    """
    behaviour = behaviour or Behaviour()
    faults = [parse_fault(text) for text in behaviour.faults]
    factory = service_factory(
        brain,
        detector_factory,
        recognizes=recognizer_factory is not None,
        new_id=lambda: str(uuid4()),
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
