"""What a page may choose, and which history a conversation begins with."""

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice import Message, SessionConfig, Toolbox
from sonic_voice.bridge.messages import SAID_CHARACTERS, Hello
from sonic_voice.bridge.offer import Offer
from sonic_voice.bridge.tokens import TokenClaims

KEPT = (Message("USER", "My name is Peter."), Message("ASSISTANT", "Nice to meet you."))
OWN = (Message("USER", "Hello."), Message("ASSISTANT", "Good morning."))

TEXTS = st.text(st.characters(codec="utf-8"), max_size=SAID_CHARACTERS)
MESSAGES = st.builds(Message, st.sampled_from(("USER", "ASSISTANT")), TEXTS)


def offer(*, page_history: bool = False, history: tuple[Message, ...] = ()) -> Offer:
    config = SessionConfig(voice="tiffany", history=history)
    return Offer(
        config=config, tools=Toolbox(), voices=("ambre", "matthew"), page_history=page_history
    )


def test_the_history_of_a_page_is_used_only_where_the_application_allows_it() -> None:
    hello = Hello(1, history=KEPT)
    assert offer().config_for(hello, TokenClaims("ann")).history == ()
    assert offer().history_length(hello) == 0
    allowed = offer(page_history=True)
    assert allowed.config_for(hello, TokenClaims("ann")).history == KEPT
    assert allowed.history_length(hello) == 2


def test_the_history_of_the_page_follows_that_of_the_application() -> None:
    config = offer(page_history=True, history=OWN).config_for(
        Hello(1, history=KEPT), TokenClaims("ann")
    )
    assert config.history == (*OWN, *KEPT)


@given(st.lists(MESSAGES, max_size=12))
def test_no_history_of_a_page_is_an_error(history: list[Message]) -> None:
    hello = Hello(1, history=tuple(history))
    config = offer(page_history=True).config_for(hello, TokenClaims("ann"))
    assert not config.history or config.history[0].role == "USER"


def test_a_page_is_told_the_voices_that_its_token_allows() -> None:
    everything = offer()
    assert [one["id"] for one in everything.voice_choices()] == ["tiffany", "ambre", "matthew"]
    assert everything.voice_choices()[1]["languages"] == ["fr-FR"]
    for allowed in (("ambre",), ("tiffany", "ambre"), ()):
        claims = TokenClaims("ann", voices=allowed)
        config = everything.config_for(Hello(1), claims)
        told = [one["id"] for one in everything.restricted_to(config, claims).voice_choices()]
        assert sorted(told) == sorted(allowed or ("tiffany", "ambre", "matthew"))
        for voice in told:
            assert everything.config_for(Hello(1, voice=voice), claims).voice == voice
