"""A finding of the advice, and the table of all rules."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for prompts or tools."""

    reason: str
    """Reason why it is a fault, as one or two sentences for the author of the prompt."""
    clear: bool = False
    """True if a match is hardly ever intended, so that a session warns of it when it starts."""


RULES: dict[str, Rule] = {
    "markdown": Rule(
        "Markdown marks cannot be spoken, and the model copies them into its answers."
    ),
    "table": Rule("A table cannot be spoken. Write each row as a sentence."),
    "code-block": Rule("Code cannot be spoken. Describe in words what the model should know."),
    "url": Rule("A web address is read out letter by letter. Name the place in words."),
    "emoji": Rule("An emoji cannot be spoken. Describe the tone in a sentence."),
    "requested-formatting": Rule(
        "The prompt asks for formatting, and the answer is only heard. Ask for spoken sentences.",
        clear=True,
    ),
    "stage-direction": Rule(
        "The model may read a stage direction out. Describe the tone in a sentence.", clear=True
    ),
    "markup-tag": Rule(
        "The model takes text and no SSML or HTML, and may read the tag out.", clear=True
    ),
    "thinking-tag": Rule(
        "Thinking tags make the model's tool calls fail; it reasons about them by itself.",
        clear=True,
    ),
    "empty-brackets": Rule(
        "Empty brackets can make the model say unrelated text. Fill them or remove them.",
        clear=True,
    ),
    "placeholder": Rule("The placeholder has not been filled, and may be read out.", clear=True),
    "override-phrase": Rule(
        "Phrases that override instructions make the model less predictable. "
        "State what it should do.",
        clear=True,
    ),
    "imitated-voice": Rule(
        "The model does not imitate the voice of a person. Describe tone, pace and warmth."
    ),
    "forbidden-wording": Rule(
        "Quoting words that must not be said makes them more likely. State what to say instead."
    ),
    "speak-and-call": Rule(
        "This model is silent in a turn in which it calls a tool. "
        "Let the application acknowledge the request.",
        clear=True,
    ),
    "mixed-headers": Rule("The prompt mixes two styles of headers. Use one of them throughout."),
    "repeated-rule": Rule("The same instruction is written twice. State each one once."),
    "contradiction": Rule("Two instructions contradict each other."),
    "unknown-tool": Rule("The prompt names a tool that the model is not given.", clear=True),
    "refused-prompt": Rule("The session would refuse the system prompt."),
    "refused-tool": Rule("The function cannot be described to the service as a tool."),
    "refused-schema": Rule("The service refuses the schema.", clear=True),
    "tool-name": Rule("The service refuses the name of the tool.", clear=True),
    "duplicate-tool": Rule("Two tools have the same name.", clear=True),
    "no-description": Rule(
        "The tool has no description, by which the model would decide when to call it."
    ),
    "long-description": Rule("The description is long. Say what the tool does and when to use it."),
    "discouraging-description": Rule(
        "Restrictions in a description make the model avoid the tool. Say when to use it."
    ),
    "speech-in-description": Rule(
        "What the model says around a call belongs in the system prompt, not in the description."
    ),
    "deep-schema": Rule(
        "The arguments are nested more than two levels deep, and the model fills them in badly."
    ),
    "many-tools": Rule("The model chooses badly among many tools. Combine or leave out some."),
    "large-tools": Rule(
        "The definitions of the tools take up most of what the model can use well."
    ),
    "temperature": Rule("With tools, AWS advises a temperature of 0."),
}
"""All rules by name. Those of schemas and of the temperature rest on reference 8.1,
`speak-and-call` on reference 8.5, the others on AWS's prompting guides."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a prompt or a tool that a rule objects to."""

    rule: str
    """Name of the rule, a key of `RULES`."""
    found: str
    """Text that the rule objects to."""
    rewrite: str
    """Text to put in its place; empty if it should be removed."""
    line: int = 1
    """Line of the prompt, counted from 1. For a tool, the line of its description."""
    tool: str = ""
    """Name of the tool; empty for the system prompt and for all tools together."""
    position: int | None = None
    """Position of the tool among those that were given, counted from 0; None if `tool` is empty."""
    part: tuple[str, ...] = ()
    """Part of the tool: `("name",)`, `("description",)`, or `("schema", "properties", ...)`."""
    detail: str = ""
    """Facts of this finding that follow the reason of the rule, as sentences."""

    @property
    def reason(self) -> str:
        """Reason of the rule, with the facts of this finding."""
        return f"{RULES[self.rule].reason} {self.detail}".rstrip()

    @property
    def clear(self) -> bool:
        """True if the rule's matches are hardly ever intended."""
        return RULES[self.rule].clear
