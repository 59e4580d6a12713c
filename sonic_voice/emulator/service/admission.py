"""Who gets a stream: whether a model can be had here, and its service if so.

A model must be found, in this region, and alive (protocol reference 1.7, 11.1).
"""

from collections.abc import Callable
from datetime import date

from ...catalog import VoiceModel, voice_model, without_region
from ...errors import ConfigError
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
    """What a server asks for each stream: a service, or a refusal (see `admitted`)."""

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
    """The model that `request` names, and what is to be noted; or an HTTP refusal.

    With `today` a model past its end of life is not found; without, it lives on. A regional
    prefix, which voice models do not have, is noted and refused only when `strict`.
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
