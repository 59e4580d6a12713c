"""Random conversations with a chat endpoint, held to the grammar of what the service emits."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.service.effects import CancelChatRequest, StartChatRequest
from sonic_voice.emulator.service.endpointing import WINDOW_MS

from ..support.output_grammar import OutputGrammar
from ..support.service_host import GO, V2, V25, spoken
from .test_openai import CALLS, SING, STOP, call, conversation, text, typed

PIECES = [
    text("One. Two three"),
    text(" four. "),
    text("Five?\n"),
    call("{}", id="c1", name="go"),
    call("{}", index=1, id="c2", name="sing"),
    call("[", index=2, id="c3", name="go"),
    '{"error":"down"}',
]


class Talk:
    """A conversation, and which of its requests are under way."""

    def __init__(self, model: str, speech: list[float]) -> None:
        words = ["hello"] * 10
        self.host = conversation(GO, SING, model=model, speech=speech, words=words)
        self.under_way: list[int] = []
        self._seen = 0
        self._results = 0

    def look(self) -> None:
        """Follow what the service asked of its host."""
        for effect in self.host.effects[self._seen :]:
            match effect:
                case StartChatRequest(key):
                    self.under_way.append(key)
                case CancelChatRequest(key):
                    self.under_way.remove(key)
                case _:
                    pass
        self._seen = len(self.host.effects)
        assert len(self.under_way) <= 1

    def think(self, piece: str | None) -> None:
        """The endpoint gives `piece`, if it is asked."""
        if self.under_way:
            (key,) = self.under_way
            if piece is None:
                self.under_way.clear()
            self.host.do(self.host.service.chat_piece(key, piece))

    def finish(self, reason: str) -> None:
        """The endpoint says why it ends, and ends."""
        self.think(reason)
        self.look()
        self.think(None)

    def result(self, _: int) -> None:
        """The first call without a result gets one."""
        for made in self.host.calls[self._results :][:1]:
            self._results += 1
            self.host.result(made.tool_use, "{}", f"R{self._results}")

    def stall(self, _: int) -> None:
        """The client pauses."""
        self.host.do(self.host.service.stalled())

    def audio(self, ms: int) -> None:
        """So much of it comes."""
        self.host.audio(ms)

    def type(self, then_ms: int) -> None:
        """The user asks for more."""
        typed(self.host, "What else?", then_ms)


type Action[T] = tuple[Callable[[Talk, T], None], T]

actions: st.SearchStrategy[Action[str | None] | Action[str] | Action[int]] = st.one_of(
    st.tuples(st.just(Talk.think), st.sampled_from(PIECES)),
    st.tuples(st.just(Talk.finish), st.sampled_from([STOP, CALLS])),
    st.tuples(st.just(Talk.audio), st.sampled_from([64, 320, 960, 3200])),
    st.tuples(st.just(Talk.result), st.just(0)),
    st.sampled_from([(Talk.stall, 0), (Talk.type, 64), (Talk.think, None)]),
)


@given(
    st.sampled_from([V2, V25]),
    st.lists(st.tuples(st.integers(20, 60), st.integers(4, 30)), max_size=5),
    st.lists(actions, min_size=10, max_size=40),
)
def test_whatever_happens_the_grammar_holds_and_one_request_at_most_is_under_way(
    model: str, pauses: list[tuple[int, int]], done: list[tuple[Callable[..., None], object]]
) -> None:
    spans_ms: list[tuple[int, int]] = []
    at = 0
    for pause, length in pauses:
        spans_ms.append(((at + pause) * WINDOW_MS, (at + pause + length) * WINDOW_MS))
        at += pause + length
    talk = Talk(model, spoken(*spans_ms))
    talk.type(64)
    for action, argument in done:
        action(talk, argument)
        talk.look()
    talk.finish(STOP)
    talk.audio(60_000)  # all that was heard, and is still to be said
    talk.type(64)
    talk.look()
    talk.think(text("The last."))
    talk.finish(STOP)
    talk.audio(20_000)
    assert "The last." in talk.host.said("FINAL")
    grammar = OutputGrammar(voice_model(model))
    assert [broken for one in talk.host.payloads for broken in grammar.check(one)] == []
