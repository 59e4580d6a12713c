"""The simulated caller: a chat model makes up what the caller says next."""

from collections.abc import Sequence

from .chat import ChatModel, Message
from .records import CallerScript, Persona
from .results import ObservedTurn

GOODBYE = "HANG UP"
"""Words with which the model ends the conversation."""

NOTHING_HEARD = "(silence)"
"""Words that stand for an answer of the assistant without text."""

MAX_CHARACTERS = 400
"""Maximum length of what a caller says in one turn, in characters: half a minute of speech."""


class SimulatedCaller:
    """A caller whose words a chat model makes up. Call it for the next words.

    Args:
        model: The model.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def __call__(self, script: CallerScript, turns: Sequence[ObservedTurn]) -> str:
        """Return the next words of the caller; empty to end the conversation.

        Args:
            script: The file, which has a persona.
            turns: What was observed so far.

        Raises:
            NetworkError: The model did not answer.
        """
        assert script.persona is not None
        return spoken_words(await self._model.answer(chat_of(script.persona, turns)))


def chat_of(persona: Persona, turns: Sequence[ObservedTurn]) -> list[Message]:
    """Return the conversation as the caller's model sees it: the assistant is its user.

    Args:
        persona: The caller.
        turns: What was observed so far.
    """
    instructions = (
        "You play a person who talks to a voice assistant on the telephone. "
        f"Who you are: {persona.persona} What you want: {persona.goal} "
        "Say only your own next words, in one or two short plain sentences. Never speak for the "
        f"assistant. When you have what you want, or cannot get it, answer only {GOODBYE}."
    )
    messages: list[Message] = [("system", instructions)]
    for turn in turns:
        if turn.number:
            messages.append(("assistant", turn.said))
        messages.append(("user", turn.heard or NOTHING_HEARD))
    if len(messages) == 1:
        messages.append(("user", "Hello, how can I help you?"))
    return messages


def spoken_words(answer: str) -> str:
    """Return the words to speak of a model's answer; empty if it ends the conversation.

    Args:
        answer: The answer.
    """
    if GOODBYE in answer.upper():
        return ""
    words = " ".join(answer.split()).strip("\"' ")
    if len(words) > MAX_CHARACTERS:
        words = words[:MAX_CHARACTERS].rpartition(" ")[0]
    return words if any(character.isalnum() for character in words) else ""
