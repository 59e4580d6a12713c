"""The models of Bedrock that do not hold spoken conversations, by id prefix.

Each has the API families through which it is called, so that the message for a wrong model id can
say what to use instead: "... does not hold spoken conversations. It is called through Converse or
Invoke."
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["chat", "embedding", "reranking", "image", "video", "video understanding"]
Api = Literal["Converse", "Invoke", "Messages", "Chat Completions", "Responses", "StartAsyncInvoke"]

_REGIONAL_PREFIXES = frozenset({"us", "eu", "apac", "global", "us-gov", "jp", "au", "ca"})
"""Prefixes of regional inference ids (reference 0.1)."""


@dataclass(frozen=True, slots=True)
class OtherModel:
    """A family of models that do not hold a spoken conversation."""

    prefix: str
    """Beginning of its ids, without a regional prefix."""
    name: str
    kind: Kind
    apis: tuple[Api, ...]
    """API families through which it is called, the usual one first. Where the models of one family
    differ, these are the APIs that most of them have."""


def other_model(id: str) -> OtherModel | None:
    """Return the entry of `OTHER_MODELS` with the longest matching prefix, or None.

    Args:
        id: Id of a model, with or without a regional prefix.
    """
    bare = without_region(id)
    matches = [other for other in OTHER_MODELS if bare.startswith(other.prefix)]
    return max(matches, key=lambda other: len(other.prefix), default=None)


def without_region(id: str) -> str:
    """Return `id` without a regional prefix such as `us.`.

    Args:
        id: Id of a model.
    """
    prefix, _, rest = id.partition(".")
    return rest if prefix in _REGIONAL_PREFIXES and rest else id


_CHAT: tuple[Api, ...] = ("Converse", "Invoke")
_CLAUDE: tuple[Api, ...] = ("Converse", "Invoke", "Messages")
_INVOKE: tuple[Api, ...] = ("Invoke",)
_OPEN: tuple[Api, ...] = ("Converse", "Invoke", "Chat Completions")
_OPENAI: tuple[Api, ...] = ("Converse", "Invoke", "Chat Completions", "Responses")

OTHER_MODELS: tuple[OtherModel, ...] = (
    OtherModel("amazon.nova-micro", "Nova Micro", "chat", _CHAT),
    OtherModel("amazon.nova-lite", "Nova Lite", "chat", _CHAT),
    OtherModel("amazon.nova-pro", "Nova Pro", "chat", _CHAT),
    OtherModel("amazon.nova-premier", "Nova Premier", "chat", _CHAT),
    OtherModel("amazon.nova-2-lite", "Nova 2 Lite", "chat", _CHAT),
    OtherModel("anthropic.claude", "Claude", "chat", _CLAUDE),
    OtherModel("meta.llama", "Llama", "chat", _CHAT),
    OtherModel("mistral.", "Mistral", "chat", _OPEN),
    OtherModel("mistral.magistral", "Magistral", "chat", _OPEN),
    OtherModel("mistral.ministral", "Ministral", "chat", _OPEN),
    OtherModel("mistral.devstral", "Devstral", "chat", _OPEN),
    OtherModel("mistral.pixtral", "Pixtral", "chat", _CHAT),
    OtherModel("mistral.voxtral", "Voxtral", "chat", _OPEN),
    OtherModel("cohere.command", "Cohere Command", "chat", _CHAT),
    OtherModel("deepseek.", "DeepSeek", "chat", _OPEN),
    OtherModel("qwen.", "Qwen", "chat", _OPEN),
    OtherModel("openai.gpt-oss", "gpt-oss", "chat", _OPENAI),
    OtherModel("openai.gpt-oss-safeguard", "gpt-oss Safeguard", "chat", _OPEN),
    OtherModel("google.gemma", "Gemma", "chat", _OPEN),
    OtherModel("moonshot.", "Kimi", "chat", _OPEN),
    OtherModel("moonshotai.", "Kimi", "chat", _OPEN),
    OtherModel("minimax.", "MiniMax", "chat", _OPEN),
    OtherModel("nvidia.nemotron", "Nemotron", "chat", _OPEN),
    OtherModel("ai21.jamba", "Jamba", "chat", _CHAT),
    OtherModel("writer.palmyra", "Palmyra", "chat", _CHAT),
    OtherModel("zai.glm", "GLM", "chat", _OPEN),
    OtherModel("amazon.titan-embed", "Titan Embeddings", "embedding", _INVOKE),
    OtherModel(
        "amazon.nova-2-multimodal-embeddings",
        "Nova Multimodal Embeddings",
        "embedding",
        ("Invoke", "StartAsyncInvoke"),
    ),
    OtherModel("cohere.embed", "Cohere Embed", "embedding", _INVOKE),
    OtherModel("cohere.rerank", "Cohere Rerank", "reranking", _INVOKE),
    OtherModel(
        "twelvelabs.marengo-embed", "Marengo Embed", "embedding", ("Invoke", "StartAsyncInvoke")
    ),
    OtherModel("amazon.nova-canvas", "Nova Canvas", "image", _INVOKE),
    OtherModel("amazon.titan-image", "Titan Image Generator", "image", _INVOKE),
    OtherModel("stability.", "Stability AI", "image", _INVOKE),
    OtherModel("amazon.nova-reel", "Nova Reel", "video", ("StartAsyncInvoke",)),
    OtherModel("twelvelabs.pegasus", "Pegasus", "video understanding", _INVOKE),
)
"""Families of models, in the order of the `models` command."""
