"""Guards between the emulator and a sink, on virtual time, measured sample by sample.

The conversations are held with and without a guard. The sound of each sentence is known from the
one without.
"""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonic_voice.audio.ports import VirtualSpeaker
from sonic_voice.audio.wav import WavSource
from sonic_voice.config import SessionConfig
from sonic_voice.conversation import converse
from sonic_voice.demo import DEMO_SCENARIO, DEMO_WAV
from sonic_voice.emulator.behaviour import Behaviour
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Guarded,
    GuardFailed,
    Heard,
    Interrupted,
    Renewed,
    ToolAnswered,
    ToolCall,
    TurnEnded,
)
from sonic_voice.guards.verdicts import PASSED, Guard, GuardSettings, Role, Verdict
from sonic_voice.history import Message
from sonic_voice.reasoning.expert import FALLBACK, Reasoner
from sonic_voice.reasoning.expert_tool import reasoner_tool
from sonic_voice.recording import Recorder, read_tape
from sonic_voice.recording.records import Sent, Tape
from sonic_voice.session import Session
from sonic_voice.tools.toolbox import Toolbox, tool
from sonic_voice.virtual_service import VirtualService
from sonic_voice.virtual_time import VirtualTimeLoop
from sonic_voice.wire import ContentEnd, ToolResult, ToolResultStart, decode_input

from ..support import demo_tape

HELLO = Path(__file__).parents[1] / "speech" / "hello.wav"

SENTENCES = ("Good morning to you.", "The secret number is nine.", "Have a pleasant day.")
INSTEAD = "Let us talk of something else."

SCENARIO = f"""
name: secrets
steps:
  - user: hello
    say: {list(SENTENCES)!r}
  - user: tell the caller
    say: {INSTEAD}
"""

CALLING = """
name: tools
steps:
  - user: hello
    call:
      tool: unlock
      arguments: {}
      then: It is done.
"""


@dataclass
class Talk:
    """A conversation that was held."""

    events: list[tuple[float, Event]]
    played: bytes
    """All samples of the sink, silence included."""
    lines: list[str]
    """The answers of the transcript."""
    tape: Tape

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def at(self, wanted: Callable[[Event], bool]) -> float:
        return next(at for at, event in self.events if wanted(event))

    @property
    def heard(self) -> bytes:
        """The sound that was played, without the silence around it."""
        return without_silence(self.played)


def without_silence(pcm: bytes) -> bytes:
    """Return the samples that are not 0."""
    samples = np.frombuffer(pcm, "<i2")
    return samples[samples != 0].tobytes()


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Talk]:
    tmp_path = tmp_path_factory.mktemp("guards")
    tape = tmp_path / "guards.tape"

    def hold(
        guard: Guard | GuardSettings | None = None,
        *,
        scenario: str = SCENARIO,
        model: str | None = None,
        tools: Toolbox | None = None,
        config: SessionConfig | None = None,
        speech: Path = HELLO,
        reasoner: Reasoner | None = None,
        on_event: Callable[[Session, Event], object] = lambda session, event: None,
    ) -> Talk:
        path = tmp_path / "scenario.yaml"
        path.write_text(scenario, encoding="utf-8")
        if config is None:
            config = SessionConfig(tools=(tools or Toolbox()).specs)
        if model is not None:
            config = SessionConfig(model=model)
        if reasoner is not None:
            config = replace(config, tools=(reasoner_tool(config.model),))
        events: list[tuple[float, Event]] = []
        played = bytearray()

        async def run() -> list[str]:
            loop = asyncio.get_running_loop()
            tape.unlink(missing_ok=True)
            behaviour = Behaviour(strict=reasoner is not None)
            async with VirtualService(path, behaviour=behaviour) as transport:
                source = WavSource(speech)
                recorder = Recorder(transport, tape, config, clock=source.now)
                session = Session.open(config, recorder, clock=source.now)
                async with source, recorder, session:
                    sink = VirtualSpeaker(config.output, now=source.now, on_played=played.extend)

                    def keep(event: Event, now: float) -> None:
                        events.append((loop.time(), event))
                        on_event(session, event)

                    await converse(
                        session, source, sink, tools, [keep], guard=guard, reasoner=reasoner
                    )
                return [line.text for line in session.transcript.lines if line.role != "USER"]

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            lines = runner.run(run())
        return Talk(events, bytes(played), lines, read_tape(tape))

    return hold


@pytest.fixture(scope="module")
def free(talk: Callable[..., Talk]) -> Talk:
    """The conversation without a guard."""
    return talk()


@pytest.fixture(scope="module")
def sounds(free: Talk) -> list[bytes]:
    """The sound of each sentence, from the conversation without a guard."""
    blocks: dict[int, bytes] = {}
    for audio in free.of(Audio):
        blocks[audio.sound_block] = blocks.get(audio.sound_block, b"") + audio.pcm
    assert len(blocks) == len(SENTENCES)
    return list(blocks.values())


def secrets_after(seconds: float, begun: list[str] | None = None) -> Guard:
    """Return a guard that flags secrets, and takes some time."""

    async def check(role: Role, text: str) -> Verdict:
        if begun is not None:
            begun.append(f"{role} {text}")
        await asyncio.sleep(seconds)
        return Verdict("secret" in text, "secrets")

    return check


@pytest.mark.parametrize("verdict_after_s", [0.0, 0.9])
def test_not_one_sample_of_a_flagged_sentence_is_played(
    talk: Callable[..., Talk], sounds: list[bytes], verdict_after_s: float
) -> None:
    guard = GuardSettings(secrets_after(verdict_after_s), INSTEAD, replacing="silence")
    guarded = talk(guard)
    assert guarded.heard == without_silence(sounds[0] + sounds[2])
    assert [event.text for event in guarded.of(Guarded)] == [SENTENCES[1]]
    assert guarded.lines == [f"{SENTENCES[0]} {INSTEAD} {SENTENCES[2]}"]
    assert not any("secret" in event.text for event in guarded.of(AssistantText))


def test_the_guard_sees_both_sides_once(talk: Callable[..., Talk]) -> None:
    begun: list[str] = []
    talk(GuardSettings(secrets_after(0.0, begun), replacing="silence"))
    assert begun == ["USER hello", *(f"ASSISTANT {sentence}" for sentence in SENTENCES)]


def test_clean_sound_comes_as_early_as_without_a_guard_if_the_verdict_is_there_first(
    talk: Callable[..., Talk], free: Talk
) -> None:
    async def check(role: Role, text: str) -> Verdict:
        await asyncio.sleep(0.05)  # the sound follows the text by 128 ms
        return PASSED

    guarded = talk(check)
    assert [at for at, e in free.events if isinstance(e, Audio)] == [
        at for at, e in guarded.events if isinstance(e, Audio)
    ]
    assert free.played == guarded.played


def test_clean_sound_waits_for_a_slow_verdict_and_for_nothing_else(
    talk: Callable[..., Talk], free: Talk
) -> None:
    guarded = talk(secrets_after(0.4))
    text_at = free.at(lambda e: isinstance(e, AssistantText))
    first = guarded.at(lambda e: isinstance(e, Audio))
    assert first == pytest.approx(text_at + 0.4, abs=1e-6)


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_a_guard_without_verdicts_follows_its_policy_within_its_time(
    talk: Callable[..., Talk], free: Talk, policy: Any
) -> None:
    release = threading.Event()

    def check(role: Role, text: str) -> Any:
        if role == "USER":
            release.wait(60)  # hangs in its thread
            return PASSED
        if "morning" in text:
            raise RuntimeError("no model")
        if "secret" in text:
            return asyncio.sleep(60)  # hangs in the loop
        return True  # no verdict

    settings = GuardSettings(check, INSTEAD, replacing="silence", on_failure=policy, deadline_s=0.5)
    try:
        guarded = talk(settings)
    finally:
        release.set()
    failed = guarded.of(GuardFailed)
    assert sorted(event.reason for event in failed) == [
        "It took more than 0.5 s.",
        "It took more than 0.5 s.",
        "RuntimeError: no model.",
        "TypeError: The guard returned bool and no Verdict.",
    ]
    assert {event.withheld for event in failed} == {policy == "closed"}
    assert bool(guarded.heard) == (policy == "open")
    assert guarded.lines == ([INSTEAD] if policy == "closed" else [" ".join(SENTENCES)])
    text_at = free.at(lambda e: isinstance(e, AssistantText) and "secret" in e.text)
    came_at = guarded.at(lambda e: isinstance(e, AssistantText))
    assert came_at <= text_at + 0.5 + 1e-6


def test_the_service_speaks_the_replacement_once_both_sides_are_silent(
    talk: Callable[..., Talk], sounds: list[bytes]
) -> None:
    guarded = talk(GuardSettings(secrets_after(0.2), INSTEAD))
    assert guarded.lines == [f"{SENTENCES[0]} {SENTENCES[2]}", INSTEAD]
    assert guarded.heard.startswith(without_silence(sounds[0] + sounds[2]))
    assert len(guarded.heard) > len(without_silence(sounds[0] + sounds[2])) + 24_000
    cut = [event for event in guarded.of(Heard) if event.heard != event.planned]
    assert not cut


def test_a_local_sound_replaces_the_sentence_in_its_place(
    talk: Callable[..., Talk], sounds: list[bytes]
) -> None:
    beep = b"\x11\x11" * 6_000
    guarded = talk(GuardSettings(secrets_after(0.2), INSTEAD, beep))
    assert guarded.heard == without_silence(sounds[0] + beep + sounds[2])
    assert guarded.lines == [f"{SENTENCES[0]} {INSTEAD} {SENTENCES[2]}"]


def test_v1_stays_silent_and_shows_the_replacement(talk: Callable[..., Talk]) -> None:
    guarded = talk(GuardSettings(secrets_after(0.2), INSTEAD), model="amazon.nova-sonic-v1:0")
    assert guarded.lines == [f"{SENTENCES[0]} {INSTEAD} {SENTENCES[2]}"]


def test_flagged_words_of_the_user_are_not_answered_and_run_no_tool(
    talk: Callable[..., Talk],
) -> None:
    runs: list[str] = []

    @tool
    def unlock() -> str:
        """Unlock the door."""
        runs.append("unlock")
        return "unlocked"

    async def check(role: Role, text: str) -> Verdict:
        await asyncio.sleep(0.5)  # longer than the model takes to call the tool
        return Verdict(role == "USER", "prompt attack")

    settings = GuardSettings(check, INSTEAD, replacing="silence")
    guarded = talk(settings, scenario=CALLING, tools=Toolbox([unlock]))
    assert runs == []
    assert ["guard" in event.result_json for event in guarded.of(ToolAnswered)] == [True]
    assert [event.role for event in guarded.of(Guarded)] == ["USER"]
    assert guarded.heard == b""
    talk(scenario=CALLING, tools=Toolbox([unlock]))
    assert runs == ["unlock"]


def test_a_conversation_that_ends_while_sentences_wait_shows_nothing_of_them(
    talk: Callable[..., Talk],
) -> None:
    def finish(session: Session, event: Event) -> None:
        if isinstance(event, AssistantText) and event.block == 0:
            session.finish()

    async def check(role: Role, text: str) -> Verdict:
        await asyncio.sleep(0.05 if "morning" in text or role == "USER" else 20)
        return PASSED

    guarded = talk(GuardSettings(check, INSTEAD, deadline_s=30), on_event=finish)
    assert [event.block for event in guarded.of(AssistantText)] == [0]
    assert not guarded.of(TurnEnded)
    planned = " ".join(event.planned for event in guarded.of(Heard))
    assert "secret" not in planned
    assert "pleasant" not in planned


def test_barge_ins_tools_and_renewals_happen_as_without_a_guard(talk: Callable[..., Talk]) -> None:
    async def check(role: Role, text: str) -> Verdict:
        await asyncio.sleep(0.3)
        return Verdict("another time" in text)

    guarded = talk(
        GuardSettings(check, INSTEAD, replacing="silence"),
        scenario=DEMO_SCENARIO.read_text(encoding="utf-8"),
        config=demo_tape.CONFIG,
        tools=demo_tape.TOOLS,
        speech=DEMO_WAV,
    )
    (interrupted,) = guarded.of(Interrupted)
    (renewed,) = guarded.of(Renewed)
    assert (interrupted.turn, renewed.reason) == (2, "age")
    assert guarded.lines[0] == "Hello! What shall I do?"
    assert guarded.lines[1].startswith("Done, I went forward 10 meters. While I am on my way, let")
    assert len(guarded.lines[1].split()) < 30  # the story was cut where it was interrupted
    assert guarded.lines[2] == INSTEAD
    assert not [audio for audio in guarded.of(Audio) if audio.turn == 3]


# -- with a reasoner -----------------------------------------------------------------------------


class Thinker:
    """A reasoner that says the same sentences to everything, and keeps what it was asked."""

    def __init__(self, *sentences: str) -> None:
        self.sentences = sentences
        self.asked: list[str] = []

    async def __call__(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """See `Reasoner`."""
        self.asked.append(messages[-1].text)
        for sentence in self.sentences:
            yield sentence


def blocks_of_results(tape: Tape) -> list[tuple[str, list[str]]]:
    """Return the blocks of results that were sent, each with the id of its call and its results.

    Each block was ended.
    """
    opened: dict[str, tuple[str, list[str]]] = {}
    blocks: list[tuple[str, list[str]]] = []
    for record in tape.records:
        if not isinstance(record, Sent):
            continue
        match decode_input(record.payload):
            case ToolResultStart(content=content, tool_use=tool_use):
                opened[content] = (tool_use, [])
            case ToolResult(content=content, result_json=result_json):
                opened[content][1].append(result_json)
            case ContentEnd(content=content) if content in opened:
                blocks.append(opened.pop(content))
            case _:
                pass
    assert opened == {}
    return blocks


def said_in(block: tuple[str, list[str]]) -> list[str]:
    """Return the sentences of a block of results."""
    assert all(set(json.loads(result)) == {"text", "type"} for result in block[1])
    return [json.loads(result)["text"] for result in block[1]]


def check_answered(talked: Talk, sentences: list[list[str]]) -> None:
    """Check that each call of `ExpertTool` has one result and one block, with these sentences."""
    calls = [call.tool_use for call in talked.of(ToolCall)]
    assert [answer.tool_use for answer in talked.of(ToolAnswered)] == calls
    blocks = blocks_of_results(talked.tape)
    assert [tool_use for tool_use, _ in blocks] == calls
    assert [said_in(block) for block in blocks] == sentences


def test_a_flagged_sentence_of_a_reasoner_is_not_heard_and_replaced_word_for_word(
    talk: Callable[..., Talk], sounds: list[bytes]
) -> None:
    think = Thinker(*SENTENCES)
    guarded = talk(GuardSettings(secrets_after(0.2), INSTEAD), reasoner=think)
    assert think.asked == ["hello"]
    assert guarded.lines == [f"{SENTENCES[0]} {SENTENCES[2]}", INSTEAD]
    assert guarded.heard.startswith(without_silence(sounds[0] + sounds[2]))
    assert [event.text for event in guarded.of(Guarded)] == [SENTENCES[1]]
    check_answered(guarded, [list(SENTENCES), [INSTEAD]])


@pytest.mark.parametrize(
    ("replacing", "beep", "text", "said"),
    [
        ("auto", b"", INSTEAD, INSTEAD),
        ("auto", b"", "", FALLBACK),
        ("silence", b"", INSTEAD, INSTEAD),
        ("auto", b"\x11\x11" * 6_000, INSTEAD, INSTEAD),
    ],
)
def test_flagged_words_of_the_user_are_not_given_to_a_reasoner(
    talk: Callable[..., Talk], replacing: Any, beep: bytes, text: str, said: str
) -> None:
    async def check(role: Role, words: str) -> Verdict:
        await asyncio.sleep(0.5)
        return Verdict(role == "USER", "prompt attack")

    think = Thinker(*SENTENCES)
    settings = GuardSettings(check, text, beep, replacing=replacing)
    guarded = talk(settings, reasoner=think)
    assert think.asked == []
    assert guarded.lines == [text]
    assert [event.role for event in guarded.of(Guarded)] == ["USER"]
    check_answered(guarded, [[said]])
    if beep:
        assert guarded.heard == without_silence(beep)
    else:  # the replacement is heard if the service speaks it, as the answer to the call
        assert bool(guarded.heard) == (replacing == "auto" and bool(text))


ASKING = """
name: asking
steps:
  - user: hello
    call: {tool: ask_expert, arguments: {question: "{user}"}, then: Something went wrong.}
  - user: tell the caller
    say: Let us talk of something else.
"""


def test_a_refused_call_of_the_ordinary_tool_of_a_reasoner_gets_one_error(
    talk: Callable[..., Talk],
) -> None:
    think = Thinker(*SENTENCES)
    guarded = talk(
        GuardSettings(lambda role, text: Verdict(role == "USER", "prompt attack"), INSTEAD),
        scenario=ASKING,
        config=SessionConfig(model="amazon.nova-2-5-sonic"),
        reasoner=think,
    )
    assert think.asked == []
    (block,) = blocks_of_results(guarded.tape)
    assert ["guard" in json.loads(result)["error"] for result in block[1]] == [True]
    assert [answer.tool_use for answer in guarded.of(ToolAnswered)] == [block[0]]
    assert guarded.lines == [INSTEAD]
