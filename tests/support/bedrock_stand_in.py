"""A local stand-in for the operations of Bedrock beside the voice stream, on loopback.

It checks each request as the service does: the signature (with the emulator's code), the path, and
the body against the SDK's service model: what the model does not know is a refusal. It answers with
documents that the test gives it.
"""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aws_sdk_bedrock_runtime import models
from smithy_json import JSONCodec

from sonic_voice.bedrock import BedrockTransport
from sonic_voice.bedrock.operations import BedrockOperations
from sonic_voice.emulator.server.sigv4 import AccessKeyPair, AuthError, HttpRequest, verify_request

KEYS = AccessKeyPair("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")

INPUTS: dict[str, type[Any]] = {
    "/guardrail-checks/invoke": models.InvokeGuardrailChecksInput,
    "/guardrail/{id}/version/{version}/apply": models.ApplyGuardrailInput,
    "/model/{id}/converse": models.ConverseInput,
    "/async-invoke": models.StartAsyncInvokeInput,
}
"""Paths whose bodies are checked against the service model."""

type Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the answer to the document of a request."""


@dataclass
class Refusal(Exception):
    """An error of the service, to be raised by an `Answer`."""

    status: int
    code: str
    message: str


@dataclass
class Asked:
    """A request that was received, and is right."""

    method: str
    path: str
    """The path, decoded."""
    document: dict[str, Any]


@dataclass
class BedrockStandIn:
    """The requests so far, and the answers to them."""

    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    """Answers by the last words of the path, such as `apply`; the longest that fits counts."""
    asked: list[Asked] = field(default_factory=list[Asked])
    faults: list[str] = field(default_factory=list[str])
    """The faults of requests."""
    port: int = 0

    def operations(self, *, secret_key: str = KEYS.secret_key) -> BedrockOperations:
        """Return a client with the credentials that are accepted."""
        return BedrockOperations(
            BedrockTransport(
                region="us-east-1",
                endpoint=f"http://127.0.0.1:{self.port}",
                access_key=KEYS.access_key,
                secret_key=secret_key,
            )
        )

    async def respond(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            document = self._checked(request, body)
            path = unquote(request.path)
            self.asked.append(Asked(request.method, path, document))
            fitting = [end for end in self.answers if path.endswith(end) or end in path]
            answer = self.answers[max(fitting, key=len)](document)
        except AuthError as error:
            return _refused(403, error.code, error.message)
        except Refusal as refusal:
            return _refused(refusal.status, refusal.code, refusal.message)
        return web.json_response(answer)

    def _checked(self, request: web.Request, body: bytes) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        digest = sha256(body).hexdigest()
        if headers.setdefault("x-amz-content-sha256", digest) != digest:
            self._fault("The digest is not that of the body.")
        raw_path, _, query = request.raw_path.partition("?")
        signed = HttpRequest(request.method, raw_path, query, headers)
        verify_request(signed, KEYS, datetime.now(UTC))
        document: dict[str, Any] = json.loads(body) if body else {}
        kind = next((k for p, k in INPUTS.items() if _fits(p, request.path)), None)
        if kind is not None:
            known = JSONCodec().deserialize(body, kind)
            again = json.loads(JSONCodec().serialize(known))
            if again != document:
                self._fault(f"The service model knows {again}, not {document}.")
        return document

    def _fault(self, text: str) -> None:
        self.faults.append(text)
        raise Refusal(400, "ValidationException", text)


def _fits(pattern: str, path: str) -> bool:
    wanted, parts = pattern.split("/"), path.split("/")
    return len(wanted) == len(parts) and all(
        want.startswith("{") or want == part for want, part in zip(wanted, parts, strict=True)
    )


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.json_response(
        {"message": message}, status=status, headers={"x-amzn-errortype": code}
    )


@asynccontextmanager
async def bedrock_stand_in(**answers: Answer) -> AsyncGenerator[BedrockStandIn]:
    """Serve a stand-in.

    Args:
        answers: The answers by the last word of the path, with `_` for `-`.
    """
    stand_in = BedrockStandIn({name.replace("_", "-"): one for name, one in answers.items()})
    application = web.Application(client_max_size=10_000_000)
    application.router.add_route("*", "/{path:.*}", stand_in.respond)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stand_in.port = runner.addresses[0][1]
    try:
        yield stand_in
    finally:
        await runner.cleanup()
