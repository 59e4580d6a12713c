"""Whatever a client sends, a service answers with effects and never with an exception."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.emulator.scenario import ScenarioCall, ScenarioStep
from sonic_voice.emulator.service.effects import Break, Emit, Fail, Finish, Speak
from sonic_voice.wire import (
    AudioInput,
    AudioStart,
    ContentEnd,
    Input,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextStart,
    ToolResult,
    ToolResultStart,
    decode_output,
    encode_input,
)

from ..support.service_host import GO, V1, V2, V25, Host, spoken

names = st.sampled_from(["P", "A", "S", "X", "Y", ""])
roles = st.sampled_from(["SYSTEM", "USER", "ASSISTANT", "SYSTEM_SPEECH", "TOOL"])
rates = st.sampled_from([8_000, 16_000, 24_000, 0])
texts = st.text(max_size=20)

records: st.SearchStrategy[Input] = st.one_of(
    st.builds(SessionStart, st.none() | st.integers(-1, 2000)),
    st.builds(PromptStart, names, st.sampled_from(["matthew", ""]), rates, st.just((GO,))),
    st.builds(TextStart, names, names, roles, st.booleans()),
    st.builds(AudioStart, names, names, rates),
    st.builds(ToolResultStart, names, names, names),
    st.builds(TextInput, names, names, texts),
    st.builds(AudioInput, names, names, st.integers(0, 40_000).map(bytes)),
    st.builds(ToolResult, names, names, texts | st.just("{}")),
    st.builds(ContentEnd, names, names),
    st.builds(PromptEnd, names),
    st.builds(SessionEnd),
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A payload of a record with one value, somewhere, replaced."""
    event: Any = json.loads(encode_input(draw(records)))
    at: Any = event["event"]
    while True:
        key = draw(st.sampled_from(sorted(at)))
        if not isinstance(at[key], dict) or not at[key] or draw(st.booleans()):
            break
        at = at[key]
    at[key] = draw(json_values)
    return json.dumps(event).encode()


calls = st.sampled_from(["stalled", "end_of_input"])
sent = st.lists(st.one_of(records, mutated(), st.binary(max_size=60), calls), max_size=25)
steps = (
    ScenarioStep("a", ("One two.", "Three.")),
    ScenarioStep(
        "b", calls=(ScenarioCall("go", {"x": "{user}"}, ("Wait.",), ("Done {result.x}.",)),)
    ),
)


@given(sent, st.sampled_from([V1, V2, V25]), st.booleans(), st.booleans())
def test_no_input_raises(
    inputs: list[Input | bytes | str], model: str, strict: bool, begun: bool
) -> None:
    host = Host(*steps, speech=spoken((0, 640), (3200, 4000)), model=model, strict=strict)
    if begun:
        host.begin(tools=(GO,))
    for item in inputs:
        match item:
            case "stalled":
                host.do(host.service.stalled())
            case "end_of_input":
                host.do(host.service.end_of_input())
            case bytes():
                host.do(host.service.receive(item))
            case str():
                raise AssertionError(item)
            case _:
                host.send(item)
    ends = [n for n, e in enumerate(host.effects) if isinstance(e, (Fail, Break, Finish))]
    assert ends in ([], [len(host.effects) - 1])
    for effect in host.effects:
        if isinstance(effect, Emit):
            decode_output(effect.payload)


@given(st.binary(max_size=3000), st.integers(-2, 9))
def test_no_sound_of_the_host_raises(pcm: bytes, key: int) -> None:
    host = Host(speech=spoken((0, 640)))
    host.begin()
    asked: list[Speak] = []
    while not asked:
        payload = encode_input(AudioInput("P", "A", bytes(1024)))
        asked = [e for e in host.service.receive(payload) if isinstance(e, Speak)]
    assert host.service.speech(key if key != asked[0].key else -1, pcm) == []
    host.do(host.service.speech(asked[0].key, pcm))
    host.audio(3000)
    assert len(host.pcm) == (len(pcm) // 2 * 2 or 40 * 32)
