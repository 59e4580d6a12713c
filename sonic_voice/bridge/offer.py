"""The part of an application's configuration that pages may use, and the choice of a voice."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..config import SessionConfig
from ..guards.verdicts import Guard, GuardSettings
from ..reasoning.expert import Expert, Reasoner
from ..tools.toolbox import Toolbox
from .closing import BridgeRefusal, Close
from .messages import Hello
from .store import Store
from .tokens import TokenClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The part of an application's configuration that a page may use or choose from.

    A page has no influence on anything else. If `config` declares no tools, it declares `tools`.
    """

    config: SessionConfig = field(default_factory=SessionConfig)
    """Configuration of every conversation, except for the voice: prompt, history, greeting."""
    tools: Toolbox = field(default_factory=Toolbox)
    """Tools that the model may call. Those that ask for a `ToolContext` receive the subject."""
    reasoner: Callable[[Toolbox], Expert | Reasoner] | None = None
    """Makes what thinks in a conversation, with the tools that it may call (`tools`, bound to the
    conversation); None if the voice model thinks. `config` then has the tool of `reasoner_tool`."""
    voices: tuple[str, ...] = ()
    """Voices that a page may choose, besides that of `config`."""
    show_tools: bool = False
    """True if a page receives the arguments and results of tools; False: their names alone. Where
    only pages of this machine are allowed, clients that come through a proxy never receive them.
    What a tool addresses to the user, its reports and pictures, every page receives."""

    page_history: bool = False
    """True if a new conversation begins with the words of earlier ones that the page has kept. The
    service takes them for what was said, and a page can make them up: leave it off where the
    history of a conversation must be trusted."""

    guard: Guard | GuardSettings | None = None
    """Judges what is said, and each sentence of an answer before a page receives it (`guards`)."""

    store: Store | None = None
    """Store of the conversations, from which a page continues after its server was restarted; None
    keeps them in the memory of the bridge only."""

    def __post_init__(self) -> None:
        if self.tools.specs and not self.config.tools:
            declared = replace(self.config, tools=self.tools.specs)
            object.__setattr__(self, "config", declared)

    def history_length(self, hello: Hello) -> int:
        """Return how many messages of the page's history a new conversation begins with.

        Args:
            hello: The page's first message.
        """
        return len(hello.history) if self.page_history else 0

    def voice_choices(self) -> list[dict[str, Any]]:
        """Return the voices that a page may choose, the default first, for a message to it."""
        model = self.config.voice_model
        offered = dict.fromkeys([str(self.config.voice), *self.voices])
        return [{"id": voice, "languages": list(model.voice(voice).locales)} for voice in offered]

    def restricted_to(self, config: SessionConfig, claims: TokenClaims) -> "Offer":
        """Return what is left of the offer for one visitor.

        Args:
            config: The configuration of the visitor's conversation, with the chosen voice.
            claims: The claims of the visitor's token, which may restrict the voices.
        """
        offered = dict.fromkeys([str(self.config.voice), *self.voices])
        voices = tuple(one for one in offered if not claims.voices or one in claims.voices)
        if self.config.voice not in voices:
            return replace(self, config=replace(self.config, voice=config.voice), voices=voices)
        return replace(self, voices=voices)

    def config_resuming(self, voice: str | None) -> SessionConfig:
        """Return the configuration for a conversation from the store.

        Args:
            voice: The voice that it had. If it is no longer offered, it gets that of `config`.
        """
        offered = voice in (self.config.voice, *self.voices)
        voice = voice if offered else self.config.voice
        return replace(self.config, voice=voice, history_policy="trim")

    def config_for(self, hello: Hello, claims: TokenClaims) -> SessionConfig:
        """Return the configuration for one conversation.

        If the page asks for a language, the first offered voice that was made for it is chosen.

        Args:
            hello: The page's first message, with the voice and the language that it asks for.
            claims: The claims of its token, which may restrict the voices.

        Raises:
            BridgeRefusal: `BAD_CHOICE`, if no voice that is offered and allowed fits.
        """
        model = self.config.voice_model
        offered = [str(self.config.voice), *self.voices]
        allowed = [voice for voice in offered if not claims.voices or voice in claims.voices]
        wanted = [
            voice
            for voice in allowed
            if hello.voice in ("", voice)
            and any(_speaks(locale, hello.language) for locale in model.voice(voice).locales)
        ]
        if not wanted:
            raise BridgeRefusal(Close.BAD_CHOICE)
        config = replace(self.config, voice=wanted[0])
        if not self.history_length(hello):
            return config
        history = (*config.history, *hello.history)
        return replace(config, history=history, history_policy="trim")


def _speaks(locale: str, language: str) -> bool:
    return not language or f"{locale}-".lower().startswith(f"{language}-".lower())
