"""The part of an application's configuration that pages may use, and the choice of a voice."""

from dataclasses import dataclass, replace

from ..config import SessionConfig
from ..tools.toolbox import Toolbox
from .closing import BridgeRefusal, Close
from .messages import Hello
from .store import Store
from .tokens import TokenClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The part of an application's configuration that a page may use or choose from.

    A page has no influence on anything else.
    """

    config: SessionConfig
    """Configuration of every conversation, except for the voice."""
    tools: Toolbox
    """Tools that the model may call."""
    voices: tuple[str, ...] = ()
    """Voices that a page may choose, besides that of `config`."""
    show_tools: bool = False
    """True if a page receives the arguments and results of tools; False: their names alone."""

    store: Store | None = None
    """Store of the conversations, from which a page continues after its server was restarted; None
    keeps them in the memory of the bridge only."""

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
        return replace(self.config, voice=wanted[0])


def _speaks(locale: str, language: str) -> bool:
    return not language or f"{locale}-".lower().startswith(f"{language}-".lower())
