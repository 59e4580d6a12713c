"""Guards of Amazon Bedrock: inline checks, guardrails of the account, and moderation models.

    operations = BedrockOperations(BedrockTransport())
    await converse(session, source, sink, guard=GuardSettings(ChecksGuard(operations)))

Each is a function of the role and the text, as `converse` takes it. A request that fails raises the
error, and the policy of the guard decides.

Source: API reference of Amazon Bedrock, InvokeGuardrailChecks, ApplyGuardrail and Converse.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ..guards.moderation_prompt import POLICY, ModerationModel
from ..guards.verdicts import PASSED, REQUEST_TIMEOUT_S, Role, Verdict
from .operations import BedrockOperations

SEVERITY = 0.5
"""Default score of a check from which a text is flagged, of 0 to 1."""

CONTENT = ("VIOLENCE", "HATE", "SEXUAL", "MISCONDUCT", "INSULTS")
"""Categories of the content filter."""

ATTACKS = ("JAILBREAK", "PROMPT_INJECTION", "PROMPT_LEAKAGE")
"""Categories of attacks on the prompt, which are looked for in the words of the user."""

MODEL_TOKENS = 512
"""Maximum length of a moderation model's answer, in tokens: some think before the verdict."""


class ChecksGuard:
    """A guard by `InvokeGuardrailChecks`, which needs no guardrail in the account.

    Args:
        operations: The client.
        content: Categories of the content filter to look for.
        attacks: Attacks on the prompt to look for in the words of the user.
        entities: Personal data to look for in the answer, such as `EMAIL`; none by default.
        severity: Score from which a text is flagged, of 0 to 1.
    """

    def __init__(
        self,
        operations: BedrockOperations,
        *,
        content: Sequence[str] = CONTENT,
        attacks: Sequence[str] = ATTACKS,
        entities: Sequence[str] = (),
        severity: float = SEVERITY,
    ) -> None:
        self._operations = operations
        self._content = tuple(content)
        self._attacks = tuple(attacks)
        self._entities = tuple(entities)
        self._severity = severity

    async def __call__(self, role: Role, text: str) -> Verdict:
        """Judge a text.

        Args:
            role: The side that said it.
            text: The words.

        Raises:
            SonicError: The request failed.
        """
        checks: dict[str, Any] = {}
        if self._content:
            checks["contentFilter"] = _categories(self._content)
        if self._attacks and role == "USER":
            checks["promptAttack"] = _categories(self._attacks)
        if self._entities and role == "ASSISTANT":
            entities = [{"type": entity} for entity in self._entities]
            checks["sensitiveInformation"] = {"entities": entities}
        if not checks:
            return PASSED
        message = {"role": role.lower(), "content": [{"text": text}]}
        document = {"messages": [message], "checks": checks}
        answer = await self._operations.call(
            "invoke_guardrail_checks", document, timeout_s=REQUEST_TIMEOUT_S
        )
        found = [
            name for name, score in _scores(answer.get("results", {})) if score >= self._severity
        ]
        return Verdict(bool(found), ", ".join(dict.fromkeys(found)))


class GuardrailGuard:
    """A guard by a guardrail of the account, through `ApplyGuardrail`.

    A guardrail that masks personal data intervenes as well, so that its sentences are flagged.

    Args:
        operations: The client.
        guardrail: Id or ARN of the guardrail.
        version: Its version; `DRAFT` for the newest.
    """

    def __init__(
        self, operations: BedrockOperations, guardrail: str, version: str = "DRAFT"
    ) -> None:
        self._operations = operations
        self._guardrail = guardrail
        self._version = version

    async def __call__(self, role: Role, text: str) -> Verdict:
        """Judge a text.

        Args:
            role: The side that said it.
            text: The words.

        Raises:
            SonicError: The request failed.
        """
        document = {
            "guardrailIdentifier": self._guardrail,
            "guardrailVersion": self._version,
            "source": "INPUT" if role == "USER" else "OUTPUT",
            "content": [{"text": {"text": text}}],
        }
        answer = await self._operations.call(
            "apply_guardrail", document, timeout_s=REQUEST_TIMEOUT_S
        )
        if answer.get("action") != "GUARDRAIL_INTERVENED":
            return PASSED
        names = dict.fromkeys(_findings(answer.get("assessments", [])))
        return Verdict(flagged=True, reason=", ".join(names) or "guardrail")


class ConverseGuard(ModerationModel):
    """A guard by a moderation model of Bedrock, through `Converse`.

    Args:
        operations: The client.
        model: Id of the model, such as `openai.gpt-oss-safeguard-20b`.
        policy: What is not allowed, in words.
    """

    def __init__(self, operations: BedrockOperations, model: str, policy: str = POLICY) -> None:
        self._operations = operations
        super().__init__(policy)
        self._model = model

    async def answer(self, question: str) -> str:
        """See `ModerationModel`."""
        document = {
            "modelId": self._model,
            "system": [{"text": self.system}],
            "messages": [{"role": "user", "content": [{"text": question}]}],
            "inferenceConfig": {"maxTokens": MODEL_TOKENS, "temperature": 0.0},
        }
        answer = await self._operations.call("converse", document, timeout_s=REQUEST_TIMEOUT_S)
        message: Mapping[str, Any] = answer.get("output", {}).get("message", {})
        texts = [block["text"] for block in message.get("content", []) if "text" in block]
        return "".join(texts)


def _categories(names: Sequence[str]) -> dict[str, Any]:
    return {"categories": [{"category": name} for name in names]}


def _scores(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the name and the score of each result of `InvokeGuardrailChecks`."""
    for check in results.values():
        for result in check.get("results", []):
            name = result.get("category") or result.get("type") or "flagged"
            score = result.get("severityScore", result.get("confidenceScore", 0.0))
            yield str(name), float(score)


def _findings(assessments: Any) -> Iterator[str]:
    """Yield the names of what a guardrail has found: topics, categories, words, entities."""
    if isinstance(assessments, list):
        for item in cast(list[Any], assessments):
            yield from _findings(item)
    elif isinstance(assessments, dict):
        members = cast(dict[str, Any], assessments)
        if "action" in members:
            if members["action"] != "NONE" and members.get("detected", True):
                yield str(members.get("name") or members.get("type") or "a word")
            return
        for member in members.values():
            yield from _findings(member)
