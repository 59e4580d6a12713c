"""`SonicProtocol.receive` with events that make no sense: none raises, each becomes `Ignored`."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sonic_voice.cli.story import event_fields
from sonic_voice.cli.terminal.scene import Scene
from sonic_voice.config import SessionConfig
from sonic_voice.events import Audio, Event, Ignored, Usage
from sonic_voice.protocol import SonicProtocol
from sonic_voice.transcript import Transcript

NAMES = (
    "usageEvent completionStart userSpeechStart userSpeechEnd contentStart textOutput audioOutput "
    "toolUse contentEnd completionEnd newThing"
).split()
HUGE, NESTED = 10**400, "[" * 100_000
HALF_A_PAIR = "\ud800 hello"

contents = st.sampled_from(
    [
        "",
        "hello ",
        '{ "interrupted" : true }',
        f'{{"interrupted": {NESTED}',
        HALF_A_PAIR,
        "not base64!",
        *(b64encode(bytes(size)).decode() for size in (0, 1, 2, 3, 480)),
    ]
)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 3, 24_000, HUGE, -HUGE, 1e308, float("inf"), float("nan")]),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["sampleRateHertz", "speechTokens"]), st.none()),
)
ids = st.sampled_from(["a", "b", "c", HALF_A_PAIR])
tokens = st.fixed_dictionaries(
    {}, optional={"input": st.dictionaries(st.just("speechTokens"), anything), "output": anything}
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "contentId": ids,
    "type": st.sampled_from(["TEXT", "AUDIO", "TOOL", "VIDEO"]),
    "role": st.sampled_from(["USER", "ASSISTANT", "TOOL", HALF_A_PAIR]),
    "stopReason": st.sampled_from(["PARTIAL_TURN", "END_TURN", "INTERRUPTED", "TOOL_USE", ""]),
    "content": contents,
    "toolUseId": ids,
    "toolName": st.just("go"),
    "additionalModelFields": st.sampled_from(
        ['{"generationStage":"SPECULATIVE"}', '{"generationStage":"FINAL"}', NESTED, "7", ""]
    ),
    "audioOutputConfiguration": st.fixed_dictionaries(
        {"sampleRateHertz": st.sampled_from([24_000, 24_000, 8_000, 1, 0, -24_000, HUGE, "x"])}
    ),
    "inputAudioOffsetMs": st.sampled_from([0, 100, -1, HUGE]),
    "inputAudioDetectionOffsetMs": st.sampled_from([0, 200, -1, HUGE]),
    "details": st.fixed_dictionaries({}, optional={"delta": tokens, "total": tokens}),
}


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """An event of the service's vocabulary, with a field that is wrong or missing at times."""
    body = {name: draw(values) for name, values in FIELDS.items()}
    spoilt = draw(st.one_of(st.none(), st.none(), st.sampled_from(sorted(FIELDS))))
    if spoilt is not None:
        body[spoilt] = draw(anything)
        if draw(st.booleans()):
            del body[spoilt]
    return json.dumps({"event": {draw(st.sampled_from(NAMES)): body}}).encode()


def live() -> SonicProtocol:
    protocol = SonicProtocol(SessionConfig(), Transcript())
    protocol.begin()
    protocol.go_live()
    return protocol


@settings(max_examples=min(500, 5 * settings().max_examples))
@given(st.lists(events(), max_size=30))
def test_no_event_raises_and_all_that_is_told_can_be_written_and_played(
    payloads: list[bytes],
) -> None:
    protocol, scene = live(), Scene()
    for number, payload in enumerate(payloads):
        for event in protocol.receive(payload, number / 10):
            json.dumps(event_fields(event), ensure_ascii=False).encode()
            if isinstance(event, Audio):
                assert event.rate_hz >= 1_000
                assert len(event.pcm) % 2 == 0
            scene.observe(event, number / 10)
        protocol.is_settled(number / 10)
    scene.take_finished(lambda turn: 0)


@settings(max_examples=300)
@given(st.binary(max_size=80))
@example(b'{"event":{"usageEvent":{}}}')
def test_no_payload_raises(payload: bytes) -> None:
    """Rubbish is ignored with its reason; an event without fields may have a meaning."""
    for event in live().receive(payload, 0.0):
        assert isinstance(event, (Ignored, Usage))


def start(kind: str, **more: Any) -> dict[str, Any]:
    return {"contentStart": {"contentId": "a", "type": kind, "role": "ASSISTANT", **more}}


def audio_block(rate_hz: Any) -> dict[str, Any]:
    return start("AUDIO", audioOutputConfiguration={"sampleRateHertz": rate_hz})


def sound(content: str, id: str = "a") -> dict[str, Any]:
    return {"audioOutput": {"contentId": id, "content": content}}


PCM = b64encode(bytes(480)).decode()
CALL = {"toolUse": {"contentId": "t", "toolUseId": "1", "toolName": "go", "content": "{}"}}
WORDS = {"textOutput": {"contentId": "a", "content": "hello"}}
NONSENSE: list[tuple[str, list[dict[str, Any]], str]] = [
    ("sound in a text block", [start("TEXT"), sound(PCM)], "sound in the text block a"),
    ("sound in a tool block", [start("TOOL"), sound(PCM)], "sound in the tool block a"),
    ("sound in no block", [sound(PCM, "z")], "sound of the unknown block z"),
    ("text in a sound block", [audio_block(24_000), WORDS], "text in the audio block a"),
    ("text in a tool block", [start("TOOL"), WORDS], "text in the tool block a"),
    ("text in no block", [WORDS], "text of the unknown block a"),
    ("a rate of 0", [audio_block(0)], "a block of sound at 0 Hz"),
    ("sound at a rate of 0", [audio_block(0), sound(PCM)], "sound at 0 Hz"),
    ("a negative rate", [audio_block(-24_000), sound(PCM)], "sound at -24000 Hz"),
    ("a rate beyond all numbers", [audio_block(HUGE)], "contentStart cannot be read"),
    ("a rate that is no number", [audio_block("fast")], "contentStart cannot be read"),
    ("half a sample", [audio_block(24_000), sound("AAAA")], "sound of 3 bytes"),
    ("sound that is not base64", [audio_block(24_000), sound("?")], "content is not base64"),
    ("a call told twice", [CALL, CALL], "a second tool call 1"),
    (
        "an offset beyond all numbers",
        [{"userSpeechStart": {"inputAudioOffsetMs": HUGE}}],
        "userSpeechStart cannot be read",
    ),
    (
        "tokens beyond all numbers",
        [{"usageEvent": {"details": {"total": {"input": {"speechTokens": HUGE}}}}}],
        "usageEvent cannot be read",
    ),
]


@pytest.mark.parametrize(
    ("records", "reason"), [row[1:] for row in NONSENSE], ids=[row[0] for row in NONSENSE]
)
def test_nonsense_is_ignored_with_the_reason(records: list[dict[str, Any]], reason: str) -> None:
    protocol = live()
    told: list[Event] = []
    for record in records:
        told = protocol.receive(json.dumps({"event": record}).encode(), 0.0)
    [ignored] = told
    assert isinstance(ignored, Ignored)
    assert reason in ignored.what


def test_an_answer_with_a_sample_rate_of_0_ends_all_the_same() -> None:
    protocol = live()
    for record in (audio_block(0), sound(PCM)):
        protocol.receive(json.dumps({"event": record}).encode(), 0.0)
    end = {"contentEnd": {"contentId": "a", "type": "AUDIO", "stopReason": "END_TURN"}}
    [ended] = protocol.receive(json.dumps({"event": end}).encode(), 0.0)
    assert type(ended).__name__ == "TurnEnded"
    assert protocol.is_settled(0.0)


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    protocol = live()
    words = {"textOutput": {"contentId": "a", "content": HALF_A_PAIR}}
    records = [start("TEXT", additionalModelFields='{"generationStage":"SPECULATIVE"}'), words]
    [] = protocol.receive(json.dumps({"event": records[0]}).encode(), 0.0)
    [event] = protocol.receive(json.dumps({"event": records[1]}).encode(), 0.0)
    assert event_fields(event)["text"] == "\N{REPLACEMENT CHARACTER} hello"
