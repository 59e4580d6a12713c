"""The tool `search_documents`: passages of the user's own documents, each with its source.

    ask_handbook = knowledge("handbook")                                  # compares words, here
    ask_handbook = knowledge("handbook", embedder=TitanEmbedder(), reranker=CohereReranker())

The folder is read and embedded at the first question, once for each program. The vectors are
compared by numpy: 20,000 passages take milliseconds. The description tells the model to name the
source of what it says.

Source of the reranker: API reference of Cohere, Rerank, as it is offered on Amazon Bedrock.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np

from ..daemon_thread import in_thread
from ..errors import SonicError
from ..tools.toolbox import Tool, tool
from .documents import Passage, read_passages
from .embeddings import Embedder, Vectors, WordEmbedder
from .explanations import explain
from .shared_client import OperationsSource

if TYPE_CHECKING:
    from ..bedrock.operations import BedrockOperations

BEST = 4
"""Number of passages in a result: more than a spoken answer can use."""

CANDIDATES = 25
"""Number of passages that a reranker puts in order."""

MIN_LIKENESS = 0.05
"""Least cosine between a question and a passage. Below it they have nothing in common."""

RERANK_TIMEOUT_S = 10.0
"""Maximum time for putting passages in order, in seconds. Without an answer the order stays."""

INDEXING_S = 120.0
"""Maximum time of a call, in seconds. The first one may have to embed the whole folder."""

_log = logging.getLogger(__name__)


class Reranker(Protocol):
    """Puts passages in order of their use for a question."""

    async def order(self, question: str, texts: Sequence[str], best: int) -> list[int]:
        """Return the numbers of the best texts, the best first.

        Args:
            question: The question.
            texts: The texts.
            best: How many to return at most.

        Raises:
            SonicError: The request failed.
        """
        ...


class CohereReranker:
    """A reranker by Cohere Rerank on Bedrock, through InvokeModel.

    Args:
        operations: The client; None for one with the AWS settings of the environment.
        model: Id of the model.
    """

    def __init__(
        self,
        operations: "BedrockOperations | None" = None,
        *,
        model: str = "cohere.rerank-v3-5:0",
    ) -> None:
        self._source = OperationsSource(operations)
        self._model = model

    async def order(self, question: str, texts: Sequence[str], best: int) -> list[int]:
        """See `Reranker`."""
        body = {"api_version": 2, "query": question, "documents": [*texts], "top_n": best}
        answer = await self._source.get().invoke_model(
            self._model, body, timeout_s=RERANK_TIMEOUT_S
        )
        found = [result.get("index") for result in answer.get("results", [])]
        return [index for index in found if isinstance(index, int) and 0 <= index < len(texts)]


class _Index:
    """The passages of a folder with their vectors."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._folder = folder
        self._embedder = embedder
        self._passages: list[Passage] = []
        self._vectors: Vectors | None = None
        self._reading = asyncio.Lock()

    async def nearest(self, question: str, most: int) -> list[Passage]:
        """Return the passages that are nearest to a question, the nearest first.

        Raises:
            SonicError: The folder cannot be read, or an embedding failed.
        """
        async with self._reading:
            if self._vectors is None:
                passages = await in_thread(lambda: read_passages(self._folder), "documents")
                texts = [f"{passage.source}\n{passage.text}" for passage in passages]
                self._vectors = await self._embedder.embed(texts, "index")
                self._passages = passages
        [vector] = await self._embedder.embed([question], "query")
        likeness = self._vectors @ vector
        order = np.argsort(-likeness, kind="stable")[:most]
        return [self._passages[at] for at in order if likeness[at] >= MIN_LIKENESS]


def knowledge(
    folder: str | Path,
    *,
    embedder: Embedder | None = None,
    reranker: Reranker | None = None,
    name: str = "search_documents",
) -> Tool[..., Any]:
    """Return the tool.

    Args:
        folder: The documents: text and Markdown files, also in folders within it.
        embedder: Makes the vectors; None for one that compares words and needs no service.
        reranker: Puts the nearest passages in order; None to keep the order of the vectors.
        name: Name of the tool, of which a conversation may have several.
    """
    index = _Index(Path(folder), embedder or WordEmbedder())

    async def search_documents(
        question: Annotated[str, "What is looked for, in a full sentence."],
    ) -> dict[str, Any]:
        """Look something up in the documents. Name the source of what you say."""
        try:
            found = await index.nearest(question, CANDIDATES if reranker is not None else BEST)
        except SonicError as error:
            return explain(error)
        if reranker is not None and len(found) > 1:
            found = await _reranked(reranker, question, found)
        if not found:
            return {"passages": [], "note": "The documents say nothing about it. Tell the user so."}
        return {
            "passages": [{"source": p.source, "text": p.text} for p in found[:BEST]],
            "note": "Answer from these passages alone, and name the source.",
        }

    return tool(name=name, timeout_s=INDEXING_S)(search_documents)


async def _reranked(reranker: Reranker, question: str, found: list[Passage]) -> list[Passage]:
    """Return passages in a better order, or as they are if the reranker fails."""
    try:
        order = await reranker.order(question, [passage.text for passage in found], BEST)
    except SonicError as error:
        _log.warning("passages are not put in order: %s", error)
        return found
    return [found[at] for at in dict.fromkeys(order)] or found
