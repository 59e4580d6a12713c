"""Snapshots: what they keep, that they survive JSON, and which are refused."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.config import AudioFormat, SessionConfig, ToolSpec
from sonic_voice.errors import ConfigError
from sonic_voice.events import ToolCall
from sonic_voice.handover import CONTINUE_TEXT, conversation_history
from sonic_voice.history import Message, fits
from sonic_voice.snapshot import (
    SessionSnapshot,
    ToolResult,
    results_by_turn,
    resume_handover,
    resumed_config,
    take_snapshot,
)
from sonic_voice.transcript import Line, Transcript
from sonic_voice.turns import TurnProgress
from sonic_voice.uplink_ring import RING_S, UplinkRing
from sonic_voice.wire import Tokens

V1 = "amazon.nova-sonic-v1:0"
V2 = "amazon.nova-2-sonic-v1:0"
TOOL = ToolSpec(
    "go", "Goes.", {"type": "object", "properties": {"how": {"type": "string", "enum": ("a", "b")}}}
)
SECOND = b"\x00\x40" * 24_000

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
sentences = st.lists(words, min_size=1, max_size=4).map(" ".join)
counts = st.integers(0, 10**9)


@st.composite
def talked(draw: st.DrawFn) -> tuple[Transcript, int]:
    """A transcript of some turns, finished, cut or still going on, and its newest turn."""
    transcript = Transcript()
    turns = draw(st.integers(0, 30))
    long = draw(st.sampled_from([1, 1, 30, 300]))
    for turn in range(1, turns + 1):
        for text in draw(st.lists(sentences, max_size=2)):
            transcript.user(turn, text * long)
        for text in draw(st.lists(sentences, max_size=2)):
            transcript.plan(turn, text * long)
            for _ in range(draw(st.integers(0, 1))):
                transcript.sound(turn, SECOND[: draw(st.sampled_from([480, 9600]))], 24_000)
                transcript.sound_ended(turn)
                if draw(st.booleans()):
                    transcript.final(text * long, turn)
        match draw(st.sampled_from(["end", "end", "cut", "heard", "broken"])):
            case "end":
                transcript.answer_ended(turn)
            case "cut":
                transcript.interrupt(turn)
            case "heard":
                transcript.interrupt(turn)
                transcript.hear(turn, draw(st.integers(0, 500)))
            case _:
                transcript.end_at_received(turn)
    return transcript, turns


def taken(
    transcript: Transcript, turn: int, config: SessionConfig | None = None, **settings: Any
) -> SessionSnapshot:
    facts: dict[str, Any] = {
        "tokens": Tokens(),
        "calls": (),
        "results": {},
        "progress": None,
        "still_owed": False,
        "audio": b"",
        **settings,
    }
    return take_snapshot(config or SessionConfig(), transcript, turn=turn, **facts)


def progress(turn: int, **settings: Any) -> TurnProgress:
    facts: dict[str, Any] = {
        "over": False,
        "sounded": False,
        "calls": (),
        "user_speaks": False,
        "speech_began_ms": None,
        "transcribed_ms": 0,
        "heard_from_ms": 0,
        **settings,
    }
    return TurnProgress(turn, **facts)


def dialogue(turns: int) -> Transcript:
    transcript = Transcript()
    transcript.restore(
        Line(turn, role, f"{role} {turn}", f"{role} {turn}")
        for turn in range(1, turns + 1)
        for role in ("USER", "ASSISTANT")
    )
    return transcript


@given(
    talked(),
    st.sampled_from([V1, V2]),
    st.lists(sentences, max_size=3),
    st.lists(st.tuples(st.integers(1, 30), words), max_size=3),
    st.tuples(counts, counts, counts, counts),
    st.binary(max_size=64).map(lambda pcm: pcm[: len(pcm) // 2 * 2]),
)
def test_a_snapshot_survives_json_and_has_the_history_of_its_session(
    conversation: tuple[Transcript, int],
    model: str,
    before: list[str],
    noted: list[tuple[int, str]],
    tokens: tuple[int, int, int, int],
    audio: bytes,
) -> None:
    transcript, turn = conversation
    config = SessionConfig(
        model=model,
        tools=(TOOL,),
        history=tuple(Message("ASSISTANT", text) for text in before),
        input=AudioFormat(8000),
    )
    results: dict[int, list[str]] = {}
    for number, text in noted:
        results.setdefault(number, []).append(text)
    call = ToolCall(turn, "use", "go", '{"how":"a"}')
    snapshot = taken(
        transcript,
        turn,
        config,
        results=results,
        tokens=Tokens(*tokens),
        calls=(call,),
        audio=audio,
    )
    read = SessionSnapshot.from_json(snapshot.to_json())
    assert read == snapshot
    assert read.to_json() == snapshot.to_json()

    # The session that goes on from it has the same history.
    history = conversation_history(config, transcript, results)
    assert read.history == history
    resumed = resumed_config(config, read)
    again = Transcript()
    again.restore(read.lines)
    assert again.lines == read.lines == transcript.lines[len(transcript.lines) - len(read.lines) :]
    assert conversation_history(resumed, again, results_by_turn(read)) == history
    assert taken(again, turn, resumed, results=results_by_turn(read)).lines == read.lines


@given(
    st.randoms(use_true_random=False),
    st.sampled_from([10, 30, 60, 200]),
    st.sampled_from([(5,), (5, 400), (400, 3000), (3000, 40_000), (5, 30_000, 60_000)]),
    st.sampled_from([V1, V2]),
    st.sampled_from([0.0, 0.1, 0.5, 0.9]),
)
def test_the_lines_that_are_left_out_do_not_influence_the_history(
    random: Random, turns: int, sizes: tuple[int, ...], model: str, missing: float
) -> None:
    transcript = Transcript()
    transcript.restore(
        Line(turn, role, text, text)
        for turn in range(1, turns + 1)
        for role in ("USER", "ASSISTANT")
        if random.random() >= missing
        for text in [f"{turn}. " + "word " * (random.choice(sizes) // 5)]
    )
    config = SessionConfig(model=model, history=(Message("USER", "Before."),))
    results = {turn: ["[go returned {}]"] for turn in random.sample(range(1, turns + 1), 5)}
    snapshot = taken(transcript, turns, config, results=results)
    assert snapshot.history == conversation_history(config, transcript, results)
    assert len(snapshot.lines) <= len(transcript.lines)


def test_a_snapshot_of_hours_is_no_larger_than_one_of_minutes() -> None:
    short, long = taken(dialogue(40), 40), taken(dialogue(4000), 4000)
    assert len(long.to_json()) < 1.1 * len(short.to_json())
    assert long.turn == 4000
    assert fits(list(long.history), long.config.voice_model.limits)
    assert long.history[-1] == Message("ASSISTANT", "ASSISTANT 4000")


def test_an_answer_that_is_still_coming_is_cut_at_the_sound_that_has_come() -> None:
    transcript = Transcript()
    transcript.user(1, "Tell me a story.")
    transcript.plan(1, "Once upon a time there was a king.")
    transcript.sound(1, SECOND, 24_000)
    transcript.plan(1, "He had three daughters.")
    lines = taken(transcript, 1).lines
    assert lines[0].text == "Tell me a story."
    assert "Once upon" in lines[1].text
    assert "king" not in lines[1].text, "one second of sound is not the whole sentence"
    assert transcript.lines[1].text.endswith("He had three daughters."), "nothing is changed"


def test_no_secret_and_no_setting_of_this_machine_is_written() -> None:
    config = SessionConfig(region="us-east-1", stream_s=60.0)
    assert set(json.loads(taken(dialogue(1), 1, config).to_json())["config"]) == {
        *("model", "voice", "system", "script", "max_tokens", "top_p", "temperature"),
        *("endpointing", "input_hz", "output_hz", "tools", "tool_choice"),
    }


def test_only_the_newest_audio_is_kept() -> None:
    pcm = bytes(range(256)) * 8000
    snapshot = taken(Transcript(), 0, audio=pcm)
    assert snapshot.audio == pcm[-AudioFormat(16_000).size(RING_S) :]
    assert resumed_config(SessionConfig(), snapshot)


# -- an answer that is owed --------------------------------------------------------------------


def asked() -> Transcript:
    transcript = dialogue(2)
    transcript.user(3, "How far is the moon?")
    return transcript


def handover(snapshot: SessionSnapshot, config: SessionConfig, audio: bytes = b"") -> Any:
    transcript, ring = Transcript(), UplinkRing(config.input)
    transcript.restore(snapshot.lines)
    ring.append(audio)
    return resume_handover(
        resumed_config(config, snapshot),
        transcript,
        ring,
        snapshot,
        results=results_by_turn(snapshot),
    )


def test_words_without_an_answer_are_asked_again_once() -> None:
    snapshot = taken(asked(), 3, progress=progress(3), results={3: ["[look returned {}]"]})
    assert snapshot.owed
    start = handover(snapshot, SessionConfig())
    assert start.prompt == "How far is the moon?\n[look returned {}]"
    assert start.history[-1] == Message("ASSISTANT", "ASSISTANT 2")
    assert start.expects_events


def test_nothing_is_asked_again_while_the_user_speaks_or_where_no_text_is_taken() -> None:
    snapshot = taken(asked(), 3, progress=progress(3))
    loud = b"\x00\x40" * 16_000
    for start in (
        handover(snapshot, SessionConfig(), loud),
        handover(taken(asked(), 3, SessionConfig(model=V1)), SessionConfig(model=V1)),
    ):
        assert not start.prompt
        assert start.history[-1] == Message("USER", "How far is the moon?")


def test_an_answer_that_has_sounded_in_part_is_continued() -> None:
    transcript = asked()
    transcript.plan(3, "It is far. Very far indeed.")
    transcript.sound(3, SECOND, 24_000)
    snapshot = taken(transcript, 3, progress=progress(3, sounded=True))
    start = handover(snapshot, SessionConfig())
    assert start.prompt == CONTINUE_TEXT
    assert start.history[-1].role == "ASSISTANT"
    assert start.history[-2] == Message("USER", "How far is the moon?")


@pytest.mark.parametrize(
    "state",
    [
        progress(3, over=True),
        progress(3, calls=(ToolCall(3, "use", "go", "{}"),)),
        progress(4),
        None,
    ],
)
def test_a_complete_answer_and_one_that_waits_for_a_tool_are_not_owed(
    state: TurnProgress | None,
) -> None:
    assert not taken(asked(), 3, progress=state).owed


def test_no_answer_is_owed_to_a_user_who_has_left() -> None:
    transcript = asked()
    transcript.stop_playback(lambda _: 0)
    assert not taken(transcript, 3, progress=progress(3)).owed


def test_an_answer_stays_owed_until_it_comes() -> None:
    assert taken(asked(), 3, progress=progress(3, over=True), still_owed=True).owed


# -- refusals ----------------------------------------------------------------------------------


def document(**changes: Any) -> str:
    return json.dumps(json.loads(taken(dialogue(2), 2).to_json()) | changes)


BROKEN = [
    ("", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[]", "not an object"),
    ("{}", "'version' is missing"),
    (document(version="1"), "'version' has no valid value"),
    (document(turn=-1), "'turn'"),
    (document(turn=True), "'turn'"),
    (document(lines={}), "'lines'"),
    (document(lines=[1]), "not an object"),
    (document(lines=[{"role": "SYSTEM"}]), "neither side"),
    (document(tokens={}), "'speech_in' is missing"),
    (document(audio="?"), "not base64"),
    (document(audio="AAAA"), "whole number of samples"),
    (document(config={}), "is missing"),
]


@pytest.mark.parametrize(("text", "why"), BROKEN)
def test_what_is_no_snapshot_is_refused_with_the_next_step(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        SessionSnapshot.from_json(text)
    assert refused.value.hint


@given(st.recursive(st.none() | st.booleans() | st.integers() | words, lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(list(json.loads(document()))), inner, max_size=6)
)))  # fmt: skip
def test_nonsense_is_refused_and_nothing_else_is_raised(value: object) -> None:
    text = json.dumps({**value, "version": 1} if isinstance(value, dict) else value)
    with pytest.raises(ConfigError):
        SessionSnapshot.from_json(text)


def test_a_snapshot_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="has version 2; this program reads 1"):
        SessionSnapshot.from_json(document(version=2))


def test_an_unknown_model_or_voice_is_refused() -> None:
    for change in ({"model": "amazon.nova-9"}, {"voice": "nobody"}, {"endpointing": "SOME"}):
        config = json.loads(document())["config"] | change
        with pytest.raises(ConfigError, match=next(iter(change.values()))):
            SessionSnapshot.from_json(document(config=config))


def test_a_history_over_the_limits_of_the_new_model_is_refused_or_shortened() -> None:
    transcript = Transcript()
    text = "word " * 9000  # 45 KB: for v2, not for v1
    transcript.restore([Line(1, "USER", text, text)])
    snapshot = taken(transcript, 1)
    with pytest.raises(ConfigError, match="message of the history"):
        resumed_config(SessionConfig(model=V1), snapshot)
    assert resumed_config(SessionConfig(model=V1, history_policy="trim"), snapshot)


MISFITS = [
    ({"turn": 1}, "newest turn is 1"),
    ({"calls": (ToolCall(9, "use", "go", "{}"),)}, "it has turn 9"),
    ({"audio": bytes(32_000 * 31)}, "31.0 s of audio"),
    ({"audio": bytes(2), "config": SessionConfig(input=AudioFormat(8000))}, "has 8000 Hz"),
]


@pytest.mark.parametrize(("changes", "why"), MISFITS)
def test_a_snapshot_that_does_not_fit_is_refused(changes: dict[str, Any], why: str) -> None:
    snapshot = replace(taken(dialogue(2), 2), **changes)
    with pytest.raises(ConfigError, match=why):
        resumed_config(SessionConfig(), snapshot)


def test_results_are_kept_in_their_order_for_the_turns_that_are_kept() -> None:
    results = {1: ["[a]"], 90: ["[b]", "[c]"]}
    snapshot = taken(dialogue(100), 100, results=results)
    assert snapshot.results == (ToolResult(90, "[b]"), ToolResult(90, "[c]"))
