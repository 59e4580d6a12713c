"""1,000 random conversations with the emulator, held to the grammar of what the service emits.

Random are the scenario, when and how surely the user is heard to speak, what is typed, when the
tools answer, where the client pauses, how it cuts its audio and how it says goodbye.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.catalog import voice_model
from sonic_voice.emulator.scenario import Recording, ScenarioCall, ScenarioStep, StreamException
from sonic_voice.emulator.service.effects import Finish
from sonic_voice.wire import PromptEnd, SessionEnd, ToolUse, decode_output

from ..support.output_grammar import OutputGrammar
from ..support.service_host import GO, V1, V2, V25, Host

type Action = Callable[[Host, int, int], None]

WORDS = ["Yes.", "One two three.", "Once upon a time there was a house, far away!", " What?", "É à"]
sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(tuple)
calls = st.builds(
    ScenarioCall,
    st.sampled_from(["go", "go", "go", "come"]),
    st.sampled_from([{}, {"words": "{user}", "far": [1.5, None]}]),
    sentences | st.just(()),
    st.sampled_from([("Went {result.far}.",), ("{result}", "And now?"), ()]),
).flatmap(lambda call: st.sampled_from([(call,), (call,), (call, call)]))
RECORDED_BEHAVIOUR = (None, "silent-barge-in", "split-transcript", "spurious-marker:1")
"""Faults that the grammar accepts, because the service was recorded to behave so."""
users = st.sampled_from(["hello", "Stop, PLEASE!", "", "what is (this): a test?"])
delays_ms = st.sampled_from([0, 0, 320, 2000])
fault = StreamException("throttlingException", "Too many.")
steps = st.one_of(
    st.builds(ScenarioStep, users, sentences, delay_ms=delays_ms),
    *[st.builds(ScenarioStep, users, calls=calls, delay_ms=delays_ms)] * 2,
    st.builds(ScenarioStep, users, sentences, error=st.sampled_from([None, None, None, fault])),
    st.builds(ScenarioStep, users, st.just(("Listen.",)), wav=st.just(Recording(bytes(50_000), 0))),
)
speech = st.lists(
    st.tuples(
        st.sampled_from([20, 2, 9, 14, 30, 50, 80]),
        st.sampled_from([1.0, 1.0, 1.0, 0.4]),
        st.sampled_from([12, 1, 2, 3, 7, 25, 40]),
    ),
    min_size=2,
    max_size=6,
)
"""A pause of so many windows, then how likely speech is, for how many."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a client does with a scenario."""

    model: str
    steps: list[ScenarioStep]
    loop: bool
    speech: list[tuple[int, float, int]]
    sensitivity: str | None
    fault: str | None
    """A fault that reproduces recorded behaviour of the service."""
    system: str
    rate_hz: int
    word_ms: int
    chunk_ms: int
    actions: list[tuple[Action, int]]
    answers_from: int
    """The number of the action after which the tools begin to answer."""
    listens_ms: int
    """At the end."""
    end: Callable[[Host], None]


def audio(host: Host, ms: int, chunk_ms: int) -> None:
    host.audio(ms, chunk_ms)


def typed(host: Host, which: int, number: int) -> None:
    text = (WORDS[0], WORDS[1], "The house is far away.")[which]
    host.text(f"X{number}", "USER", text, interactive=True)


def context(host: Host, which: int, number: int) -> None:
    host.text(f"X{number}", ("USER", "ASSISTANT")[which], "By the way.")


def stalled(host: Host, which: int, number: int) -> None:
    host.do(host.service.stalled())


def answer(host: Host, since: int) -> None:
    """Send the results of the calls among the payloads from `since` on."""
    for payload in host.payloads[since:]:
        call = decode_output(payload)
        if isinstance(call, ToolUse):
            host.result(call.tool_use, '{"far":"away"}', f"T{call.tool_use}")


def goodbye(host: Host) -> None:
    host.end()


def goodbye_with_open_audio(host: Host) -> None:
    host.send(PromptEnd("P"), SessionEnd())


def end_of_input(host: Host) -> None:
    host.do(host.service.end_of_input())


def nothing(host: Host) -> None:
    pass


actions: st.SearchStrategy[tuple[Action, int]] = st.one_of(
    *[st.tuples(st.just(audio), st.sampled_from([900, 33, 320, 1500, 2600, 4000]))] * 4,
    st.tuples(st.just(typed), st.integers(0, 2)),
    st.tuples(st.just(context), st.integers(0, 1)),
    st.tuples(st.just(stalled), st.just(0)),
)
conversations = st.builds(
    Conversation,
    st.sampled_from([V1, V2, V25]),
    st.lists(steps, min_size=1, max_size=4),
    st.booleans(),
    speech,
    st.sampled_from([None, "HIGH", "LOW"]),
    st.sampled_from(RECORDED_BEHAVIOUR),
    st.sampled_from(["", "Be kind.", "x" * 5000]),
    st.sampled_from([8_000, 16_000, 24_000]),
    st.sampled_from([200, 0, 7, 400]),
    st.sampled_from([250, 100, 1500]),
    st.lists(actions, min_size=6, max_size=9),
    st.sampled_from([0, 3, 4, 5, 6, 99]),
    st.sampled_from([6000, 0]),
    st.sampled_from([goodbye, goodbye_with_open_audio, end_of_input, nothing]),
)


def held(conversation: Conversation) -> Host:
    """The host after all of `conversation`."""
    wav = Recording(bytes(50_000), conversation.rate_hz)
    host = Host(
        *(replace(step, wav=step.wav and wav) for step in conversation.steps),
        speech=[
            level
            for pause, loud, length in conversation.speech
            for level in [0.0] * pause + [loud] * length
        ],
        model=conversation.model,
        word_ms=conversation.word_ms,
        loop=conversation.loop,
    )
    host.rate_hz = conversation.rate_hz
    if conversation.fault is not None:
        host.wrap(conversation.fault)
    sensitivity = None if conversation.model == V1 else conversation.sensitivity
    host.begin(tools=(GO,), system=conversation.system, endpointing=sensitivity)
    host.audio(100)
    seen = 0
    for number, (act, value) in enumerate(conversation.actions):
        act(host, value, conversation.chunk_ms if act is audio else number)
        if number >= conversation.answers_from:
            seen, before = len(host.payloads), seen
            answer(host, before)
        if host.over:
            return host
    host.audio(conversation.listens_ms, conversation.chunk_ms)
    if not host.over:
        conversation.end(host)
    return host


@settings(max_examples=1000, derandomize=True)
@given(conversations)
def test_whatever_is_said_the_emulator_keeps_the_grammar(conversation: Conversation) -> None:
    host = held(conversation)
    grammar = OutputGrammar(voice_model(conversation.model))
    for payload in host.payloads:
        assert grammar.check(payload) == [], payload
    if isinstance(host.effects[-1], Finish):
        assert grammar.end() == []


# What it found, each in its smallest form.


def test_what_is_typed_while_the_user_speaks_is_the_turn_after() -> None:
    """It was answered into the user's speech, and that answer's block of sound never ended."""
    host = Host(ScenarioStep("a", ("To a.",)), ScenarioStep("b", ("To {user}",)), speech=[1.0] * 60)
    host.begin()
    host.audio(1000)
    host.text("X", "USER", "this.", interactive=True)
    host.audio(1000)
    assert host.spoken == []
    host.audio(3000)
    assert host.shape()[:3] == ["userSpeechStart", "completionStart", "userSpeechEnd"]
    assert host.said("SPECULATIVE") == ["To this."]


def test_a_prompt_that_ends_in_the_middle_of_an_answer_leaves_no_block_open() -> None:
    host = Host(ScenarioStep("a", ("One two three.",)), speech=[1.0] * 30, word_ms=1000)
    host.begin()
    while not host.pcm:
        host.audio(32)
    host.end()
    assert host.shape()[-3:] == ["audioOutput", "contentEnd AUDIO INTERRUPTED", "completionEnd"]


def test_sentences_of_a_scenario_are_joined_by_one_space() -> None:
    host = Host(ScenarioStep("a", (" One. ", "  Two.")), speech=[1.0] * 30)
    host.begin()
    host.audio(6000)
    assert host.said("SPECULATIVE") == host.said("FINAL") == ["One.", " Two."]
