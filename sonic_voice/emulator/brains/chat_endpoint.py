"""The partner behind an OpenAI-compatible chat endpoint.

    brain, endpoint = openai_brain("openai:http://localhost:11434/v1#llama3.2", speech.resample)
    Emulator(sonic_service(brain, hear), engines=Engines(consult=endpoint.consult), ...)

A failure of the endpoint does not end the conversation: the partner tells the user.
"""

from ...chat.endpoint import ChatEndpoint, chat_endpoint
from ..service.brain import Resample
from .chat_completions import ChatBrain


def openai_brain(
    spec: str, resample: Resample, *, thinks_first: bool = False
) -> tuple[ChatBrain, ChatEndpoint]:
    """Return the brain and the endpoint that `openai:URL#MODEL` asks for.

    Args:
        spec: The address; see `chat.endpoint.chat_endpoint`.
        resample: Converts recordings to the output rate.
        thinks_first: Whether every answer begins with thoughts that have no opening tag.

    Raises:
        ConfigError: `spec` is malformed, names no model, or holds a user or a password.
    """
    endpoint, model = chat_endpoint(spec)
    return ChatBrain(model, resample, thinks_first=thinks_first), endpoint
