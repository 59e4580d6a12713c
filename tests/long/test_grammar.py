"""The grammar of what the service emits: the golden conversations keep it, their mutations do not.

Each event of each is left out, doubled, swapped with the next, and changed in each of its values.
What passes all the same is listed, with the reason why it is legal.
"""

import copy
import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from sonic_voice.catalog import VoiceModel, voice_model

from ..support.output_grammar import RULES, OutputGrammar
from ..support.service_host import GOLDEN, V1, V2

NAMES = sorted(path.stem for path in GOLDEN.glob("*.jsonl"))


def payloads(name: str) -> list[bytes]:
    return (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()


def model_of(name: str) -> VoiceModel:
    return voice_model(V1 if name.startswith("v1") else V2)


def violations(stream: Iterable[bytes], model: VoiceModel | None) -> Iterator[str]:
    grammar = OutputGrammar(model)
    for payload in stream:
        yield from grammar.check(payload)
    yield from grammar.end()


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_conversation_keeps_every_rule(name: str) -> None:
    assert list(violations(payloads(name), model_of(name))) == []
    assert list(violations(payloads(name), None)) == []


# Mutations: (what was done to which event, the stream).

type Mutation = tuple[str, list[bytes]]


def line(payload: bytes) -> str:
    """An event in a few words, for the names of mutations."""
    ((name, body),) = json.loads(payload)["event"].items()
    stage = json.loads(body.get("additionalModelFields", "{}")).get("generationStage")
    details = body.get("details")
    delta = json.dumps(details["delta"]["output"]) if details else None
    words = (name, body.get("role"), body.get("type"), stage, body.get("stopReason"), delta)
    return " ".join(filter(None, words))


def events(stream: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Every event and where it stands; of those in a row that are the same, one."""
    for at, payload in enumerate(stream):
        if stream[at + 1 : at + 2] != [payload]:
            yield at, payload


def dropped(stream: list[bytes]) -> Iterator[Mutation]:
    for at, payload in events(stream):
        yield f"without {line(payload)}", stream[:at] + stream[at + 1 :]


def doubled(stream: list[bytes]) -> Iterator[Mutation]:
    for at, payload in events(stream):
        yield f"twice {line(payload)}", [*stream[:at], payload, *stream[at:]]


def swapped(stream: list[bytes]) -> Iterator[Mutation]:
    for at, (one, two) in enumerate(pairwise(stream)):
        if one != two:
            yield f"{line(two)} before {line(one)}", [*stream[:at], two, one, *stream[at + 2 :]]


def changed(stream: list[bytes]) -> Iterator[Mutation]:
    for at, payload in events(stream):
        for what, event in changes(json.loads(payload)):
            text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
            yield f"{what} of {line(payload)}", [*stream[:at], text.encode(), *stream[at + 1 :]]


def changes(event: Any) -> Iterator[tuple[str, Any]]:
    """`event` with one of its values lost, added, or another."""
    for path in paths(event["event"]):
        found = at_path(event, path)
        for value in others(found):
            yield f"{path[-1]} {value!r}", with_value(event, path, value)
        without = copy.deepcopy(event)
        del at_path(without, path[:-1])[path[-1]]
        yield f"no {path[-1]}", without
        if isinstance(found, dict):
            yield f"more in {path[-1]}", with_value(event, (*path, "more"), "value")


def paths(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, inner in value.items():
        yield (*at, key)
        if isinstance(inner, dict):
            yield from paths(inner, (*at, key))


def at_path(event: Any, path: tuple[str, ...]) -> Any:
    value = event["event"]
    for key in path:
        value = value[key]
    return value


def with_value(event: Any, path: tuple[str, ...], value: Any) -> Any:
    event = copy.deepcopy(event)
    at_path(event, path[:-1])[path[-1]] = value
    return event


ALTERNATIVES = (
    ("USER", "ASSISTANT", "TOOL", "SYSTEM"),
    ("TEXT", "AUDIO", "TOOL"),
    ("PARTIAL_TURN", "END_TURN", "INTERRUPTED", "TOOL_USE"),
    ('{"generationStage":"FINAL"}', '{"generationStage":"SPECULATIVE"}'),
)


def others(value: Any) -> list[Any]:
    """What may stand instead of `value` by mistake."""
    found: list[Any] = [None, ""]
    if isinstance(value, str):
        found += [other for names in ALTERNATIVES if value in names for other in names]
        found += [value + "?"]
    if isinstance(value, int):
        found += [value + 1, value - 1, -value, float(value)]
    return [other for other in found if other != value or type(other) is not type(value)]


MUTATIONS = {"drop": dropped, "double": doubled, "swap": swapped, "change": changed}

LEGAL: dict[str, dict[str, str]] = {
    "drop": {
        "without audioOutput ASSISTANT": "a sentence has any number of chunks",
        "without completionEnd END_TURN": "on a live conversation it never comes (3.10)",
        'without usageEvent {"speechTokens": 7, "textTokens": 6}': "there may be no remainder",
    },
    "double": {"twice audioOutput ASSISTANT": "a sentence has any number of chunks"},
    "swap": {
        "audioOutput ASSISTANT before audioOutput ASSISTANT": "v1 doubles a chunk at times (4)",
        "completionStart before userSpeechStart": "a typed turn may have been the first",
        'usageEvent {"speechTokens": 0, "textTokens": 0} before userSpeechStart': "said in 3.11",
        "contentStart USER TEXT FINAL before userSpeechEnd": "one recording has it (13)",
        "userSpeechStart before audioOutput ASSISTANT": "a barge-in has two more chunks (11.4)",
        'contentStart ASSISTANT AUDIO before usageEvent {"speechTokens": 8, "textTokens": 12}': (
            "steps of output are reported throughout (3.2)"
        ),
    },
    "change": {
        "content of textOutput USER": "words are free",
        "content of textOutput ASSISTANT": "words are free, unless FINAL ones repeat them",
        "toolUseId of toolUse TOOL": "any that is new",
        "no role of textOutput USER": "the block has named it (3.7)",
        "no role of textOutput ASSISTANT": "the block has named it (3.7)",
        "no role of audioOutput ASSISTANT": "the block has named it (3.7)",
        "no role of toolUse TOOL": "the block has named it (3.7)",
        "stopReason 'PARTIAL_TURN' of contentEnd AUDIO INTERRUPTED": "accounts differ (13)",
        "stopReason 'END_TURN' of contentEnd AUDIO INTERRUPTED": "accounts differ (13)",
        "stopReason 'PARTIAL_TURN' of contentEnd AUDIO END_TURN": "the prompt may end in a turn",
        "stopReason 'INTERRUPTED' of contentEnd AUDIO END_TURN": "the prompt may end in a turn",
    },
}


def passing(name: str, kind: str) -> set[str]:
    """The mutations of that kind that break no rule."""
    model = model_of(name)
    return {
        # The free values themselves are not told apart.
        re.sub(r"^(content|toolUseId) .* of ", r"\1 of ", what)
        for what, stream in MUTATIONS[kind](payloads(name))
        if not any(violations(stream, model))
    }


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_mutation_of_a_golden_conversation_breaks_a_rule_or_is_legal(kind: str) -> None:
    assert set[str]().union(*(passing(name, kind) for name in NAMES)) == set(LEGAL[kind])


def broken(stream: Iterable[bytes], model: VoiceModel) -> set[str]:
    return {words.partition(":")[0] for words in violations(stream, model)}


def test_every_rule_of_the_order_is_broken_by_a_mutation_and_named() -> None:
    named = {
        rule
        for name in NAMES
        for kind in ("drop", "double", "swap")
        for _, stream in MUTATIONS[kind](payloads(name))
        for rule in broken(stream, model_of(name))
    }
    assert named == set(RULES) - {"json", "fields", "model"}


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"", "json"),
        (b'{"event":{}}', "json"),
        (b'{"event": {"completionStart":{}}}', "json"),
        (b'{"event":{"completionStart":{"sessionId":"S","promptName":"P"}}}', "json"),
        (b'{"event":{"newsEvent":{}}}', "fields"),
        (b'{"event":{"contentStart":{"type":"VIDEO"}}}', "fields"),
        (b'{"event":{"completionStart":{"promptName":"P","sessionId":"S"}}}', "fields"),
    ],
)
def test_an_event_of_another_form_is_named(payload: bytes, rule: str) -> None:
    assert rule in broken([payload], voice_model(V2))


def test_speech_events_of_v1_and_its_punctuation_are_named() -> None:
    assert broken(payloads("v2-single-turn"), voice_model(V1)) == {"model", "words"}


def test_a_stream_ends_neither_in_a_block_nor_where_something_must_follow_at_once() -> None:
    def left_open(name: str) -> set[str]:
        stream = payloads(name)
        ends = ((line(stream[at - 1]), stream[:at]) for at in range(1, len(stream) + 1))
        return {last for last, cut in ends if any(violations(cut, model_of(name)))}

    assert left_open("v2-barge-in") == {
        "contentStart USER TEXT FINAL",
        "contentStart ASSISTANT TEXT SPECULATIVE",
        "contentStart ASSISTANT TEXT FINAL",
        "textOutput USER",
        "textOutput ASSISTANT",
        "contentStart ASSISTANT AUDIO",
        "audioOutput ASSISTANT",
        "userSpeechStart",  # in the open block of sound
        "contentEnd AUDIO INTERRUPTED",  # the marker follows
        "userSpeechEnd",  # the transcript follows
    }
