"""The speech requests of one stream: its synthesis and recognition, in the threads of the engines.

See `effects`: `Speak` and `Recognize` are waited for, and `Listen` only hands over samples.
"""

import asyncio
from concurrent.futures import Executor

from ..service.effects import Listen, Speak, UtteranceRecognizer
from .engines import Engines


class SpeechRequests:
    """The speech requests of one stream, and its utterances that are being recognised.

    `cancel` must be called at the end of the stream.

    Args:
        engines: Speech synthesis and speech recognition.
        threads: The threads for them.
    """

    def __init__(self, engines: Engines, threads: Executor) -> None:
        self._engines = engines
        self._threads = threads
        self._utterances: dict[int, UtteranceRecognizer] = {}

    async def synthesize(self, effect: Speak) -> bytes:
        """Return the sound of a text, as mono s16le samples.

        Args:
            effect: The request.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._engines.synthesize, effect.text, effect.voice, effect.rate_hz
        )

    def listen(self, effect: Listen) -> None:
        """Pass the next samples of an utterance to its recogniser. Returns at once.

        Args:
            effect: The samples.
        """
        factory = self._engines.recognizer_factory
        if factory is None:
            return
        if effect.key not in self._utterances:
            if self._engines.recognizer_factory_for is not None:
                factory = self._engines.recognizer_factory_for(effect.language)
            self._utterances[effect.key] = factory(effect.rate_hz)
        self._utterances[effect.key].feed(effect.pcm)

    async def recognize(self, key: int) -> str | None:
        """Return the words of an utterance, empty if there are none, None if they are unknown.

        Args:
            key: The number of the utterance.
        """
        heard = self._utterances.pop(key, None)
        if heard is None:
            return ""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, heard.finish)

    def cancel(self) -> None:
        """Stop every recogniser, because no words are needed any more. Returns at once."""
        for utterance in self._utterances.values():
            utterance.cancel()
