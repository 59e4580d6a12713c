"""The life of a stream in service time: its input audio, in place of the wall clock.

A run in which audio is sent at ten times real time then meets the end of a stream after eight
minutes of conversation, as a conversation in real time does.
"""

from collections.abc import Iterable

from ..service.effects import Effect, Service, ServiceFactory, StreamRefusal, StreamRequest
from .pass_through import ClockedPassThrough


class AudioLife(ClockedPassThrough):
    """A wrapper that ends a stream as too old after `life_s` seconds of input audio."""

    def __init__(self, service: Service, life_s: float) -> None:
        super().__init__(service)
        self._life_ms = life_s * 1000

    def _effect(self, effect: Effect) -> Iterable[Effect]:
        return (effect,)  # without a look at its event, which would have to be decoded

    def _due(self) -> Iterable[Effect]:
        return self._service.expire("life") if self._now_ms >= self._life_ms else ()


def with_audio_life(factory: ServiceFactory, life_s: float) -> ServiceFactory:
    """Return a factory whose services end after some input audio; see `AudioLife`.

    Args:
        factory: Makes the services, with their faults.
        life_s: The life of a stream, in seconds of input audio.
    """

    def new_service(request: StreamRequest) -> Service | StreamRefusal:
        service = factory(request)
        return service if isinstance(service, StreamRefusal) else AudioLife(service, life_s)

    return new_service
