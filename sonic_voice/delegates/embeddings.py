"""Embedders: vectors of texts, such that texts alike in meaning or in words have vectors alike.

- `TitanEmbedder` and `NovaEmbedder` ask models of Bedrock through InvokeModel.
- `WordEmbedder` works here, without a model: it compares words and parts of words, so that it finds
  "opening hours" for "when do you open", and not "we are there from nine".

Every vector has the length 1.

Source: user guides of Amazon Titan ("Amazon Titan Text Embeddings models") and of Amazon Nova
("Complete embeddings request and response schema").
"""

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..errors import ConnectionLost
from .shared_client import OperationsSource

if TYPE_CHECKING:
    from ..bedrock.operations import BedrockOperations

type Vectors = NDArray[np.float32]
"""Vectors, one in each row."""

type Purpose = Literal["index", "query"]
"""Purpose of an embedding: the text is to be found, or to find others."""

AT_A_TIME = 8
"""Number of requests to a model at a time."""

REQUEST_TIMEOUT_S = 20.0
"""Maximum time for one request, in seconds."""


class Embedder(Protocol):
    """A maker of vectors."""

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Return the vectors of texts.

        Args:
            texts: The texts.
            purpose: What they are embedded for.

        Raises:
            SonicError: A request failed.
        """
        ...


class _ModelEmbedder:
    """An embedder by a model that takes one text in each request."""

    def __init__(self, model: str, operations: "BedrockOperations | None") -> None:
        self._model = model
        self._source = OperationsSource(operations)

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """See `Embedder`."""
        free = asyncio.Semaphore(AT_A_TIME)

        async def ask(text: str) -> list[float]:
            async with free:
                body = self._body(text, purpose)
                answer = await self._source.get().invoke_model(
                    self._model, body, timeout_s=REQUEST_TIMEOUT_S
                )
            vector = self._vector(answer)
            if not vector:
                raise ConnectionLost(f"The answer of {self._model} has no embedding.", reason="cut")
            return vector

        requests = [asyncio.ensure_future(ask(text)) for text in texts]
        try:
            rows = await asyncio.gather(*requests)
        except BaseException:
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
            raise
        return normalized(np.asarray(rows, np.float32))

    def _body(self, text: str, purpose: Purpose) -> dict[str, Any]:
        raise NotImplementedError

    def _vector(self, answer: dict[str, Any]) -> list[float]:
        raise NotImplementedError


class TitanEmbedder(_ModelEmbedder):
    """An embedder by Amazon Titan Text Embeddings V2.

    Args:
        operations: The client; None for one with the AWS settings of the environment.
        model: Id of the model.
        dimensions: Size of a vector: 256, 512 or 1024.
    """

    def __init__(
        self,
        operations: "BedrockOperations | None" = None,
        *,
        model: str = "amazon.titan-embed-text-v2:0",
        dimensions: int = 512,
    ) -> None:
        super().__init__(model, operations)
        self._dimensions = dimensions

    def _body(self, text: str, purpose: Purpose) -> dict[str, Any]:
        return {"inputText": text, "dimensions": self._dimensions, "normalize": True}

    def _vector(self, answer: dict[str, Any]) -> list[float]:
        return answer.get("embedding") or []


class NovaEmbedder(_ModelEmbedder):
    """An embedder by Amazon Nova Multimodal Embeddings.

    Args:
        operations: The client; None for one with the AWS settings of the environment.
        model: Id of the model.
        dimensions: Size of a vector: 256, 384, 1024 or 3072.
    """

    def __init__(
        self,
        operations: "BedrockOperations | None" = None,
        *,
        model: str = "amazon.nova-2-multimodal-embeddings-v1:0",
        dimensions: int = 384,
    ) -> None:
        super().__init__(model, operations)
        self._dimensions = dimensions

    def _body(self, text: str, purpose: Purpose) -> dict[str, Any]:
        return {
            "schemaVersion": "nova-multimodal-embed-v1",
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": "GENERIC_INDEX" if purpose == "index" else "TEXT_RETRIEVAL",
                "embeddingDimension": self._dimensions,
                "text": {"truncationMode": "END", "value": text},
            },
        }

    def _vector(self, answer: dict[str, Any]) -> list[float]:
        found: list[dict[str, Any]] = answer.get("embeddings") or [{}]
        return found[0].get("embedding") or []


class WordEmbedder:
    """An embedder that counts words and parts of words, without a model.

    Each word and each run of four letters is a place in the vector, found by a checksum. Words that
    say nothing about a subject are left out (English ones).

    Args:
        dimensions: Size of a vector.
    """

    def __init__(self, dimensions: int = 2048) -> None:
        self._dimensions = dimensions

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """See `Embedder`."""
        rows = np.zeros((len(texts), self._dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.casefold()):
                if word in _FREQUENT:
                    continue
                row[crc32(word.encode()) % self._dimensions] += 1.0
                padded = f" {word} "
                for at in range(len(padded) - 3):
                    row[crc32(padded[at : at + 4].encode()) % self._dimensions] += 0.3
        return normalized(np.sqrt(rows))


_FREQUENT = frozenset(
    """
    a an and are as at be but by can do does for from has have how i if in is it my of on or our so
    that the their there they this to was we what when where which who will with you your
    """.split()
)
"""Words that say nothing about the subject of a text."""


def normalized(rows: Vectors) -> Vectors:
    """Return vectors with the length 1. A vector of zeros stays as it is.

    Args:
        rows: The vectors.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)
