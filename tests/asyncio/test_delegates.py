"""Ready-made tools against a stand-in of Bedrock that checks paths, signatures and bodies."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonic_voice.bedrock.operations import BedrockOperations
from sonic_voice.delegates.documents import PASSAGE_CHARACTERS, divide
from sonic_voice.delegates.embeddings import NovaEmbedder, TitanEmbedder
from sonic_voice.delegates.explanations import EXPLANATIONS, explain
from sonic_voice.delegates.images import image_tool
from sonic_voice.delegates.knowledge import CohereReranker, knowledge
from sonic_voice.delegates.videos import VideoMaker
from sonic_voice.errors import (
    AudioError,
    ConfigError,
    CredentialsError,
    DeadlineError,
    ErrorKind,
    NetworkError,
    ServiceError,
)
from sonic_voice.tools.toolbox import Toolbox

from ..support.bedrock_stand_in import Answer, BedrockStandIn, Refusal, bedrock_stand_in

PNG = b"\x89PNG\r\n\x1a\n picture"


async def run(toolbox: Toolbox, name: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool as the model does, and return its result."""
    return json.loads(await toolbox.run(name, json.dumps(arguments)))


def refuse(code: str, message: str, status: int = 400) -> Answer:
    """Return an answer that is an error of the service."""

    def answer(document: dict[str, Any]) -> dict[str, Any]:
        raise Refusal(status, code, message)

    return answer


def always(**answer: Any) -> Answer:
    """Return what gives the same answer to every request."""
    return lambda document: answer


# -- pictures --------------------------------------------------------------------------------------


async def test_a_picture_is_saved_and_its_file_is_named(tmp_path: Path) -> None:
    shown: list[Path] = []
    answers = {"invoke": always(images=[b64encode(PNG).decode()])}
    async with bedrock_stand_in(**answers) as service, service.operations() as operations:
        draw = image_tool(tmp_path / "pictures", operations=operations, on_file=shown.append)
        results = [
            await run(Toolbox([draw]), "draw_image", description="A red boat!") for _ in range(2)
        ]
    names = [Path(result["file"]).name for result in results]
    assert names == ["a-red-boat.png", "a-red-boat-2.png"]
    assert [path.read_bytes() for path in shown] == [PNG, PNG]
    asked = service.asked[0]
    assert (asked.method, asked.path) == ("POST", "/model/amazon.nova-canvas-v1:0/invoke")
    assert asked.document["taskType"] == "TEXT_IMAGE"
    assert asked.document["textToImageParams"] == {"text": "A red boat!"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refuse("ThrottlingException", "Too many requests.", 429), "busy"),
        (refuse("AccessDeniedException", "not authorized", 403), "allow the use of the model"),
        (refuse("ResourceNotFoundException", "no such model", 404), "choose a model"),
        (always(images=[], error="Blocked by the content filter."), "Say why"),
        (always(), "Say why"),
    ],
)
async def test_a_picture_that_is_not_drawn_is_explained(
    tmp_path: Path, answer: Any, said: str
) -> None:
    async with bedrock_stand_in(invoke=answer) as service, service.operations() as operations:
        draw = image_tool(tmp_path, operations=operations)
        result = await run(Toolbox([draw]), "draw_image", description="A boat")
    assert said in result["error"]
    assert result["detail"]
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    answers = {"invoke": always(images=[b64encode(PNG).decode()])}
    async with bedrock_stand_in(**answers) as service, service.operations() as operations:
        draw = image_tool(tmp_path / "file", operations=operations)
        result = await run(Toolbox([draw]), "draw_image", description="A boat")
    assert "cannot be saved" in result["error"]


# -- videos ----------------------------------------------------------------------------------------

ARN = "arn:aws:bedrock:us-east-1:123456789012:async-invoke/abc123"


def state(status: str, **more: Any) -> dict[str, Any]:
    return {
        "invocationArn": ARN,
        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-reel-v1:1",
        "status": status,
        "submitTime": "2026-11-29T10:00:00Z",
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/abc123"}},
        **more,
    }


async def made(service: BedrockStandIn, operations: BedrockOperations, *states: Any) -> list[str]:
    """Have a video made, and return what the user is to be told."""
    said: list[str] = []
    told = asyncio.Event()

    def say(text: str) -> None:
        said.append(text)
        told.set()

    waiting = iter(states)

    def answer(document: dict[str, Any]) -> dict[str, Any]:
        found = next(waiting)
        if isinstance(found, Refusal):
            raise found
        return found

    service.answers["async-invoke/"] = answer
    videos = VideoMaker("s3://bucket/videos/", operations=operations, say=say, poll_s=0.001)
    result = await run(Toolbox([videos.tool]), "make_video", description="A boat")
    assert result["started"]
    assert videos.pending == 1
    async with asyncio.timeout(10):
        await told.wait()
    await videos.aclose()
    return said


async def test_a_video_is_announced_when_it_is_ready() -> None:
    begun = {"async-invoke": always(invocationArn=ARN)}
    async with bedrock_stand_in(**begun) as service, service.operations() as operations:
        said = await made(
            service, operations, state("InProgress"), state("InProgress"), state("Completed")
        )
    assert said == ['The video "A boat" is ready. It is in s3://bucket/abc123.']
    assert service.faults == []
    start, *polls = service.asked
    assert (start.method, start.path) == ("POST", "/async-invoke")
    assert start.document["modelInput"]["textToVideoParams"] == {"text": "A boat"}
    assert {(poll.method, poll.path) for poll in polls} == {("GET", f"/async-invoke/{ARN}")}


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([state("Failed", failureMessage="The bucket cannot be written.")], "failed: The bucket"),
        ([Refusal(404, "ResourceNotFoundException", "gone")] * 5, "was lost"),
        ([Refusal(404, "ResourceNotFoundException", "gone"), state("Completed")], "is ready"),
    ],
)
async def test_a_video_that_fails_or_is_lost_is_told(states: list[Any], said: str) -> None:
    begun = {"async-invoke": always(invocationArn=ARN)}
    async with bedrock_stand_in(**begun) as service, service.operations() as operations:
        [text] = await made(service, operations, *states)
    assert said in text


async def test_a_video_that_does_not_begin_is_explained() -> None:
    refused = {"async-invoke": refuse("ValidationException", "The bucket is in another region.")}
    async with bedrock_stand_in(**refused) as service, service.operations() as operations:
        videos = VideoMaker("s3://bucket/", operations=operations)
        result = await run(Toolbox([videos.tool]), "make_video", description="A boat")
    assert "refused as wrong" in result["error"]
    assert "another region" in result["detail"]
    assert videos.pending == 0
    with pytest.raises(ConfigError, match="no place for videos"):
        VideoMaker("/tmp/videos")


async def test_closing_ends_the_questions() -> None:
    begun = {"async-invoke": always(invocationArn=ARN)}
    async with bedrock_stand_in(**begun) as service, service.operations() as operations:
        videos = VideoMaker("s3://bucket/", operations=operations, poll_s=3600)
        await run(Toolbox([videos.tool]), "make_video", description="A boat")
        await videos.aclose()
    assert videos.pending == 0


# -- knowledge -------------------------------------------------------------------------------------

HOURS = """# Opening hours

We open at nine in the morning and close at six in the evening.

# Parking

The parking lot is behind the house and costs two dollars an hour.
"""


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    (tmp_path / "hours.md").write_text(HOURS)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "returns.txt").write_text("Shoes can be returned within thirty days.")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.txt").write_text("Shoes and parking and opening hours.")
    return tmp_path


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("When do you open in the morning?", "hours.md, Opening hours"),
        ("What does parking cost?", "hours.md, Parking"),
        ("Can I return my shoes?", "more/returns.txt"),
    ],
)
async def test_the_passage_that_answers_is_found_with_its_source(
    handbook: Path, question: str, source: str
) -> None:
    tools = Toolbox([knowledge(handbook)])
    result = await run(tools, "search_documents", question=question)
    assert result["passages"][0]["source"] == source
    assert "name the source" in result["note"]


async def test_what_the_documents_do_not_say_is_said(handbook: Path) -> None:
    result = await run(Toolbox([knowledge(handbook)]), "search_documents", question="Xylophone?")
    assert result == {
        "passages": [],
        "note": "The documents say nothing about it. Tell the user so.",
    }


async def test_a_missing_folder_is_explained(tmp_path: Path) -> None:
    result = await run(
        Toolbox([knowledge(tmp_path / "missing")]), "search_documents", question="Hours?"
    )
    assert "correct its settings" in result["error"]
    assert "is no folder" in result["detail"]


def embedding(document: dict[str, Any]) -> list[float]:
    """Return a vector that tells the subject of a text."""
    text = document.get("inputText") or document["singleEmbeddingParams"]["text"]["value"]
    subjects = ("open", "park", "return")
    return [2.0 * (subject in text.lower()) for subject in subjects]


@pytest.mark.parametrize("kind", [TitanEmbedder, NovaEmbedder])
async def test_embeddings_of_bedrock_find_the_passage(handbook: Path, kind: Any) -> None:
    def answer(document: dict[str, Any]) -> dict[str, Any]:
        if kind is TitanEmbedder:
            return {"embedding": embedding(document), "inputTextTokenCount": 1}
        return {"embeddings": [{"embeddingType": "TEXT", "embedding": embedding(document)}]}

    async with bedrock_stand_in(invoke=answer) as service, service.operations() as operations:
        tools = Toolbox([knowledge(handbook, embedder=kind(operations))])
        for question, source in (("Parked?", "Parking"), ("Returning", "returns.txt")):
            result = await run(tools, "search_documents", question=question)
            assert [p["source"].endswith(source) for p in result["passages"]] == [True]
        vectors = await kind(operations).embed(["open and park"], "index")
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)
    assert len(service.asked) == 3 + 1 + 1 + 1  # the passages once, then the questions
    if kind is NovaEmbedder:
        purposes = [a.document["singleEmbeddingParams"]["embeddingPurpose"] for a in service.asked]
        assert purposes == [*["GENERIC_INDEX"] * 3, *["TEXT_RETRIEVAL"] * 2, "GENERIC_INDEX"]


async def test_a_reranker_puts_passages_in_order_and_may_fail(handbook: Path) -> None:
    def answer(document: dict[str, Any]) -> dict[str, Any]:
        at = next(i for i, text in enumerate(document["documents"]) if "Shoes" in text)
        return {"results": [{"index": at, "relevance_score": 0.9}, {"index": 99}]}

    question = "Are the shoes behind the house in the morning?"
    async with bedrock_stand_in(invoke=answer) as service, service.operations() as operations:
        tools = Toolbox([knowledge(handbook, reranker=CohereReranker(operations))])
        result = await run(tools, "search_documents", question=question)
        assert [p["source"] for p in result["passages"]] == ["more/returns.txt"]
        service.answers["invoke"] = refuse("ThrottlingException", "Too many.", 429)
        result = await run(tools, "search_documents", question=question)
        assert len(result["passages"]) > 1
    asked = service.asked[0]
    assert asked.path == "/model/cohere.rerank-v3-5:0/invoke"
    assert asked.document["query"] == question


async def test_an_embedding_that_fails_is_explained(handbook: Path) -> None:
    for answer, said in (
        (refuse("AccessDeniedException", "no", 403), "allow the use of the model"),
        (always(), "cannot be reached"),
    ):
        async with bedrock_stand_in(invoke=answer) as service, service.operations() as operations:
            tools = Toolbox([knowledge(handbook, embedder=TitanEmbedder(operations))])
            result = await run(tools, "search_documents", question="Hours?")
        assert said in result["error"]


def test_long_documents_are_divided_after_words() -> None:
    words = [f"word{number}" for number in range(1000)]
    passages = list(divide("long.txt", " ".join(words)))
    assert all(len(passage.text) <= PASSAGE_CHARACTERS for passage in passages)
    assert " ".join(passage.text for passage in passages).split() == words


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_each_kind_of_refusal_is_explained(kind: ErrorKind) -> None:
    result = explain(ServiceError(kind=kind, code="X", text="details", request_id="", status=400))
    assert result["error"] == EXPLANATIONS[kind]
    assert result["detail"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CredentialsError("None."), "set up AWS credentials"),
        (ConfigError("No region."), "correct its settings"),
        (DeadlineError("Late.", waited_s=1.0), "took too long"),
        (NetworkError("No route."), "cannot be reached"),
        (AudioError("Odd."), "It failed"),
    ],
)
def test_other_errors_are_explained(error: Any, said: str) -> None:
    assert said in explain(error)["error"]
