"""The catalog of voice models: ids, voices, languages, regions, rates, prices, limits.

`VOICE_MODELS` are the models that hold a spoken conversation, all of them only through
`InvokeModelWithBidirectionalStream`. A wrong id is refused before anything is sent; for the other
models of Bedrock (`other_models`), the message names the APIs through which they are called.

Ids are bare. Other models of the service take a regional prefix (`us.`, `eu.`, `apac.`,
`global.`); the voice models have no such inference ids (protocol reference 0.1).

The facts are those of the protocol reference, sections 0, 5 and 9.2. A value that has not been
published is marked as unknown where it stands, with the reason for the value taken.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from .errors import ConfigError
from .other_models import other_model, without_region
from .regions import suggestion

DEFAULT_MODEL = "amazon.nova-2-sonic-v1:0"
"""Id of the model that a session uses unless another one is asked for."""

EXPERT_TOOL = "ExpertTool"
"""Name of a reserved tool. A model that has it hears and speaks, and calls it in each turn of the
user for the sentences that it then speaks (reference 8.6)."""

MS_PER_SPEECH_TOKEN = 40
"""Length of one speech token, in ms of sound, both in and out (reference 9.1)."""

_KB = 1000
"""Number of bytes in the "KB" of the documentation, which does not say whether it has 1000 or 1024.
The smaller number is safe under both readings."""

Gender = Literal["feminine", "masculine"]


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of a model."""

    id: str
    """Lower-case id. The service refuses any other spelling."""
    locale: str
    """Language and country that it is made for, such as `en-US`."""
    gender: Gender
    polyglot: bool = False
    """True if it speaks every language of its model, and not only those of `locales`."""
    locales: tuple[str, ...] = ()
    """All locales that it is made for, `locale` first; two for a voice that switches between two
    languages."""

    def __post_init__(self) -> None:
        if not self.locales:
            object.__setattr__(self, "locales", (self.locale,))


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The limits that the service sets to one stream of a model (reference 0.4)."""

    history_bytes: int
    """Maximum size of all texts of the chat history together, in bytes of UTF-8."""
    history_message_bytes: int
    """Maximum size of one message of the chat history, in bytes of UTF-8. It is sent in pieces of
    1,000 bytes."""
    max_output_tokens: int
    """Largest value of `maxTokens`."""
    concurrent_streams: int | None
    """Maximum number of streams of one account and region at a time; None if not published."""
    history_messages: int = 40
    """Maximum number of messages in the chat history. Other clients keep this limit; the
    documentation does not mention it."""
    system_bytes: int = 200 * _KB
    """Maximum size of the system prompt, in bytes of UTF-8. No limit is published: 32 KB in one
    event were refused, and the same text in pieces was accepted (reference 2.5). We send pieces,
    and take as the limit the largest total that is documented for any text, that of the chat
    history."""
    stream_s: float = 480.0
    """Wall-clock life of one stream, in seconds, after which the service ends it."""
    idle_s: float = 55.0
    """Longest gap without audio or interactive content, in seconds; 59 and 295 s have been observed
    too."""
    chunk_bytes: int = 1_000_000
    """Maximum size of the `bytes` of one chunk, that is of one payload, in bytes."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of tokens, in USD per million, on demand in us-east-1 (reference 9.2).

    Prices in other regions can differ.
    """

    speech_in: float
    speech_out: float
    text_in: float
    text_out: float

    def cost(
        self, *, speech_in: int = 0, speech_out: int = 0, text_in: int = 0, text_out: int = 0
    ) -> float:
        """Return the cost of a number of tokens, in USD.

        Args:
            speech_in: Tokens of the user's speech.
            speech_out: Tokens of the model's speech.
            text_in: Tokens of text sent to the model.
            text_out: Tokens of text that the model wrote.
        """
        return (
            speech_in * self.speech_in
            + speech_out * self.speech_out
            + text_in * self.text_in
            + text_out * self.text_out
        ) / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceModel:
    """A model that listens and speaks."""

    id: str
    name: str
    voices: tuple[Voice, ...]
    languages: tuple[str, ...]
    """ISO 639-1 codes of the languages it is documented for."""
    regions: tuple[str, ...]
    prices: Prices
    limits: ModelLimits
    turn_detection: bool
    """True if endpointing can be set. A model without it refuses the field (reference 2.2)."""
    text_input: bool
    """True if text during the conversation is answered ("cross-modal", reference 2.10)."""
    speech_events: bool
    """True if it sends `userSpeechStart` and `userSpeechEnd` (reference 3.4)."""
    system_speech: bool
    """True if the script of Hindi can be chosen (`SYSTEM_SPEECH`, reference 2.4)."""
    silent_tools: bool
    """True if it says nothing between a tool call and the result (reference 8.5). A model with
    asynchronous tool calls goes on talking."""
    expert_tool: bool = False
    """True if it is known to have the reserved tool `EXPERT_TOOL` (reference 8.6)."""
    answers_descriptions: bool = True
    """True if a text during the conversation is answered even if it only describes something. False
    if only an instruction or a question is answered (reference 2.10)."""
    rates_hz: tuple[int, ...] = (8_000, 16_000, 24_000)
    """Sample rates that it accepts and produces, in Hz."""
    end_of_life: date | None = None
    """Day from which calls fail; None if none is announced."""

    def voice(self, id: str | None) -> Voice:
        """Return a voice of the model.

        Args:
            id: Id of the voice; None for the model's first voice.

        Raises:
            ConfigError: The model has no such voice. The hint has the nearest id and the list.
        """
        if id is None:
            return self.voices[0]
        for voice in self.voices:
            if voice.id == id:
                return voice
        ids = [voice.id for voice in self.voices]
        if id.lower() in ids:
            hint = f"Voice ids are lower-case: {id.lower()!r}."
        else:
            hint = f"{_did_you_mean(id, ids)}Its voices are: {', '.join(ids)}."
        raise ConfigError(f"{self.name} has no voice {id!r}.", hint=hint)

    def check_region(self, region: str | None) -> None:
        """Check that the model is offered in a region.

        Args:
            region: Name of the region; None if it is not known yet, which passes.

        Raises:
            ConfigError: The model is not offered there.
        """
        if region is not None and region not in self.regions:
            available = f"It is available in: {', '.join(self.regions)}."
            raise ConfigError(
                f"{self.name} is not available in region {region!r}.",
                hint=f"{suggestion(region, self.regions)} {available}".lstrip(),
            )

    def warning(self, today: date) -> str | None:
        """Return a warning for users of this model, or None if there is nothing to warn of.

        Args:
            today: The day for which the end of life is judged.
        """
        if self.end_of_life is None:
            return None
        instead = f"Use {DEFAULT_MODEL} instead."
        if today >= self.end_of_life:
            return (
                f"{self.name} ({self.id}) reached its end of life on {self.end_of_life}: "
                f"the service refuses calls. {instead}"
            )
        return f"{self.name} ({self.id}) reaches its end of life on {self.end_of_life}. {instead}"


def voice_model(id: str) -> VoiceModel:
    """Return the voice model of an id.

    Args:
        id: The bare id, without a regional prefix.

    Raises:
        ConfigError: The id has a regional prefix, belongs to another model of Bedrock (the hint
            names the APIs of that model), or is unknown (the hint suggests the nearest id).
    """
    found = _BY_ID.get(id)
    if found is not None:
        return found
    bare = without_region(id)
    if bare in _BY_ID:
        raise ConfigError(
            f"There is no inference id {id!r}: voice models have no geographic or global ones.",
            hint=f"Use the bare id {bare!r}.",
        )
    other = other_model(id)
    if other is not None:
        raise ConfigError(
            f"{id!r} ({other.name}, {other.kind}) does not hold spoken conversations.",
            hint=f"It is called through {_or(other.apis)}. "
            f"For a conversation use {DEFAULT_MODEL!r}.",
        )
    nearest = _did_you_mean(bare, _BY_ID, key=_unversioned)
    raise ConfigError(
        f"{id!r} is not a known voice model.",
        hint=f"{nearest}The voice models are: {', '.join(_BY_ID)}.",
    )


def check_offered(id: str, region: str | None) -> None:
    """Check that a region offers a model.

    The check applies to every endpoint: a request is signed for its region, which a proxy of AWS's
    endpoint cannot change, and the emulator answers 404 as the service does (reference 1.7).

    Args:
        id: Id of the model. Ids that are not in the catalog pass.
        region: Name of the region; None passes.

    Raises:
        ConfigError: The region does not offer the model.
    """
    model = _BY_ID.get(id)
    if model is not None:
        model.check_region(region)


def _did_you_mean(asked: str, known: Iterable[str], key: Callable[[str], str] = str.lower) -> str:
    """Return a suggestion of the name most similar to `asked`; empty if none is similar.

    Args:
        asked: The name that was given.
        known: The names to choose from.
        key: Converts a name to the form in which names are compared.
    """
    names = {key(name): name for name in known}
    nearest = difflib.get_close_matches(key(asked), names, n=1)
    return f"Did you mean {names[nearest[0]]!r}? " if nearest else ""


def _unversioned(id: str) -> str:
    """Return `id` without a version such as `-v1:0`, which would dominate a comparison."""
    return id.lower().partition("-v")[0]


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


_V1_VOICES = (
    Voice("tiffany", "en-US", "feminine"),
    Voice("matthew", "en-US", "masculine"),
    Voice("amy", "en-GB", "feminine"),
    Voice("ambre", "fr-FR", "feminine"),
    Voice("florian", "fr-FR", "masculine"),
    Voice("beatrice", "it-IT", "feminine"),
    Voice("lorenzo", "it-IT", "masculine"),
    Voice("greta", "de-DE", "feminine"),
    Voice("lennart", "de-DE", "masculine"),
    Voice("lupe", "es-US", "feminine", locales=("es-US", "es-ES")),
    Voice("carlos", "es-US", "masculine", locales=("es-US", "es-ES")),
)

_V2_VOICES = (
    Voice("tiffany", "en-US", "feminine", polyglot=True),
    Voice("matthew", "en-US", "masculine", polyglot=True),
    Voice("amy", "en-GB", "feminine"),
    Voice("olivia", "en-AU", "feminine"),
    Voice("kiara", "en-IN", "feminine", locales=("en-IN", "hi-IN")),
    Voice("arjun", "en-IN", "masculine", locales=("en-IN", "hi-IN")),
    Voice("ambre", "fr-FR", "feminine"),
    Voice("florian", "fr-FR", "masculine"),
    Voice("beatrice", "it-IT", "feminine"),
    Voice("lorenzo", "it-IT", "masculine"),
    Voice("tina", "de-DE", "feminine"),
    Voice("lennart", "de-DE", "masculine"),
    Voice("lupe", "es-US", "feminine"),
    Voice("carlos", "es-US", "masculine"),
    Voice("carolina", "pt-BR", "feminine"),
    Voice("leo", "pt-BR", "masculine"),
)

_V2_LANGUAGES = ("en", "fr", "it", "de", "es", "pt", "hi")

_V2_LIMITS = ModelLimits(
    history_bytes=200 * _KB,
    history_message_bytes=50 * _KB,
    max_output_tokens=65_536,
    concurrent_streams=None,
)

NOVA_SONIC = VoiceModel(
    id="amazon.nova-sonic-v1:0",
    name="Nova Sonic",
    voices=_V1_VOICES,
    languages=("en", "fr", "it", "de", "es"),
    regions=("us-east-1", "eu-north-1", "ap-northeast-1"),
    prices=Prices(speech_in=3.40, speech_out=13.60, text_in=0.06, text_out=0.24),
    limits=ModelLimits(
        history_bytes=40 * _KB,
        # The documented 1 KB applies to one `textInput`. A message is sent in pieces, so that only
        # the limit of the total applies.
        history_message_bytes=40 * _KB,
        # Not published. This is the largest value that a client in use allows (reference 2.2).
        max_output_tokens=10_000,
        concurrent_streams=20,
    ),
    turn_detection=False,
    text_input=False,
    speech_events=False,
    system_speech=False,
    silent_tools=True,
    end_of_life=date(2026, 9, 14),
)

NOVA_2_SONIC = VoiceModel(
    id=DEFAULT_MODEL,
    name="Nova 2 Sonic",
    voices=_V2_VOICES,
    languages=_V2_LANGUAGES,
    regions=("us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1"),
    prices=Prices(speech_in=3.00, speech_out=12.00, text_in=0.33, text_out=2.75),
    limits=_V2_LIMITS,
    turn_detection=True,
    text_input=True,
    speech_events=True,
    system_speech=True,
    silent_tools=False,
    expert_tool=True,
)

NOVA_2_5_SONIC = VoiceModel(
    id="amazon.nova-2-5-sonic",
    name="Nova 2.5 Sonic",
    voices=_V2_VOICES,
    languages=_V2_LANGUAGES,
    regions=("us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1"),
    prices=Prices(speech_in=3.00, speech_out=12.00, text_in=0.33, text_out=2.75),
    limits=_V2_LIMITS,
    turn_detection=True,
    text_input=True,
    speech_events=True,
    system_speech=True,
    silent_tools=True,
    answers_descriptions=False,
)
"""Nova 2.5 Sonic, which has no model card. Voices, languages and limits are assumed to be those of
Nova 2 Sonic; officially they are unknown. The regions are those of its announcement. The output
prices come from an aggregator. Its silence during a tool call (reference 8.5) and after a
descriptive text (reference 2.10) was measured once each."""

VOICE_MODELS: tuple[VoiceModel, ...] = (NOVA_2_SONIC, NOVA_2_5_SONIC, NOVA_SONIC)
"""The models that hold spoken conversations, the default first."""

_BY_ID = {model.id: model for model in VOICE_MODELS}
