"""Admission of streams: whether the requested model is available, and its service if it is.

A model must be known, offered in the region of the request, and not past its end of life
(reference 1.7, 11.1).
"""

from collections.abc import Callable
from datetime import date

from ...catalog import VoiceModel, voice_model
from ...errors import ConfigError
from ...other_models import without_region
from .answers import Timing
from .brain import Brain
from .effects import Note, StreamRefusal, StreamRequest
from .sonic import DetectorFactory, SonicService


def service_factory(
    brain: Brain,
    detector_factory: DetectorFactory,
    *,
    new_id: Callable[[], str],
    strict: bool = False,
    today: date | None = None,
    timing: Timing | None = None,
    recognizes: bool = False,
    idle_s: float | None = None,
) -> Callable[[StreamRequest], SonicService | StreamRefusal]:
    """Return the factory that a server calls for each stream (see `admitted`).

    Args:
        brain: Decides the answers of every stream.
        detector_factory: Makes the voice activity detector of a stream.
        new_id: Returns a new id for a session, a completion, a content block or a tool call.
        strict: Whether to refuse mistakes that real clients make and that are otherwise only noted.
        today: The date for the models' ends of life. None: no model has reached it.
        timing: The delays of the service. None: the typical ones.
        recognizes: Whether the host recognises words.
        idle_s: The host's limit for a pause of the client, in seconds. None: the model's.
    """

    def new_service(request: StreamRequest) -> SonicService | StreamRefusal:
        admission = admitted(request, strict=strict, today=today)
        if isinstance(admission, StreamRefusal):
            return admission
        model, notes = admission
        return SonicService(
            model,
            brain,
            detector_factory,
            strict=strict,
            new_id=new_id,
            request_id=request.request_id,
            timing=timing,
            notes=notes,
            recognizes=recognizes,
            idle_s=idle_s,
        )

    return new_service


def admitted(
    request: StreamRequest, *, strict: bool, today: date | None
) -> tuple[VoiceModel, tuple[Note, ...]] | StreamRefusal:
    """Return the model that a request names, or a refusal.

    Args:
        request: The request.
        strict: Whether to refuse a regional prefix, which ids of voice models do not have. It is
            noted otherwise.
        today: The date for the models' ends of life: a model past its end is not found. None: no
            model has reached it.

    Returns:
        The model and the notes about the request, or an HTTP refusal.
    """
    bare = request.model_id if strict else without_region(request.model_id)
    notes: tuple[Note, ...] = ()
    if bare != request.model_id:
        notes = (Note(f"{request.model_id}: voice models have no regional ids", "regional-id"),)
    try:
        model = voice_model(bare)
        model.check_region(request.region)
    except ConfigError as error:
        return _not_found(error.message)
    if today is not None and model.end_of_life is not None and today >= model.end_of_life:
        return _not_found(f"{model.id} reached its end of life on {model.end_of_life}.")
    return model, notes


def _not_found(message: str) -> StreamRefusal:
    return StreamRefusal(404, "ResourceNotFoundException", message)
