"""Strict comparison of clients: what counts as a change, and what does not."""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice import wire
from sonic_voice.config import SessionConfig, ToolSpec
from sonic_voice.history import Message
from sonic_voice.protocol import SonicProtocol
from sonic_voice.recording.client_steps import CallLabels, labels_of
from sonic_voice.recording.speech_comparison import MOVED_S
from sonic_voice.recording.step_comparison import Difference, first_difference
from sonic_voice.transcript import Transcript

CHECK_ORDER = ToolSpec(
    "check_order",
    "Check an order.",
    {"type": "object", "properties": {"id": {"type": "string"}, "year": {"type": "integer"}}},
)
CONFIG = SessionConfig(
    system="You answer questions about orders. Be short.",
    tools=(CHECK_ORDER,),
    history=(Message("USER", "Hello."), Message("ASSISTANT", "Hello, how can I help?")),
)
IDS = wire.Ids("s", "p", "c")
SPEECH = random.Random(1).randbytes(16_000)
"""Half a second of noise, which is loud and repeats nowhere."""


@dataclass
class Client:
    """A client that makes the same conversation, but for what a test changes."""

    config: SessionConfig = CONFIG
    names: Callable[[], str] = field(default_factory=lambda: map(str, itertools.count()).__next__)
    calls: Sequence[str] = ("call-1", "call-2")
    speech: bytes = SPEECH
    chunk: int = 1024
    silence: bytes = bytes(8_000)
    results: Sequence[str] = ('{"status": "sent", "days": 2}', '{"status": "lost"}')
    results_order: Sequence[int] = (0, 1)
    typed: str = "And when does it arrive?"
    typed_before_speech: bool = False
    goodbye: bool = True

    def payloads(self) -> list[bytes]:
        protocol = SonicProtocol(self.config, Transcript(), new_id=self.names)
        sent = [*protocol.begin(), *protocol.go_live(self.config.history)]
        typed = protocol.text(self.typed)[0] if self.typed_before_speech else []
        sent += typed
        sent += [protocol.audio(pcm) for pcm in self._pieces(self.speech + self.silence)]
        for payload in self.received():
            protocol.receive(payload, 0.0)
        for index in self.results_order:
            sent += protocol.tool_result(self.calls[index], self.results[index])[0]
        sent += [protocol.audio(pcm) for pcm in self._pieces(self.speech[::-1] + self.silence)]
        if not typed:
            sent += protocol.text(self.typed)[0]
        sent += [protocol.audio(pcm) for pcm in self._pieces(self.silence)]
        return sent + (protocol.finish() if self.goodbye else [])

    def received(self) -> list[bytes]:
        records: list[wire.Output] = []
        for tool_use, year in zip(self.calls, (2025, 2026), strict=True):
            block = f"block of {tool_use}"
            arguments = json.dumps({"id": "A1", "year": year})
            records += [
                wire.ToolBlock(IDS, block),
                wire.ToolUse(IDS, block, tool_use, "check_order", arguments),
                wire.BlockEnd(IDS, block, "TOOL", "TOOL_USE"),
            ]
        return [wire.encode_output(record) for record in records]

    def _pieces(self, pcm: bytes) -> Iterator[bytes]:
        for at in range(0, len(pcm), self.chunk):
            yield pcm[at : at + self.chunk]


def difference(changed: Client, payloads: list[bytes] | None = None) -> Difference | None:
    """Compare a client with the one that changes nothing."""
    tape = Client()
    return first_difference(
        tape.payloads(),
        changed.payloads() if payloads is None else payloads,
        tape_label=labels_of(tape.received()),
        client_label=labels_of(changed.received()),
    )


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1 << 32),
    chunk=st.integers(100, 4000).map(lambda samples: 2 * samples),
    silence=st.integers(0, 8000).map(lambda samples: 2 * samples),
)
def test_other_names_ids_chunks_and_silences_change_nothing(
    seed: int, chunk: int, silence: int
) -> None:
    chance = random.Random(seed)
    other = Client(
        names=lambda: chance.randbytes(8).hex(),
        calls=(chance.randbytes(8).hex(), chance.randbytes(8).hex()),
        chunk=chunk,
        silence=bytes(silence),
    )
    assert difference(other) is None


@settings(max_examples=20)
@given(data=st.data())
def test_texts_cut_elsewhere_change_nothing(data: st.DataObject) -> None:
    cut: list[bytes] = []
    for payload in Client().payloads():
        record = wire.decode_input(payload)
        if isinstance(record, wire.TextInput):
            at = data.draw(st.integers(0, len(record.text)))
            texts = record.text[:at], record.text[at:]
            cut += [wire.encode_input(replace(record, text=text)) for text in texts]
        else:
            cut.append(payload)
    assert difference(Client(), cut) is None


def test_the_order_of_keys_changes_nothing() -> None:
    shuffled = Client(results=('{"days": 2, "status": "sent"}', '{"status": "lost"}'))
    assert difference(shuffled) is None


def test_results_of_calls_that_run_at_the_same_time_may_come_in_any_order() -> None:
    assert difference(Client(results_order=(1, 0))) is None


def without(kind: str) -> list[bytes]:
    """Return the payloads of the client without those of one event."""
    return [payload for payload in Client().payloads() if f'"{kind}"'.encode() not in payload]


def with_field(event: str, path: str, value: object) -> list[bytes]:
    """Return the payloads of the client with one more field in an event."""
    payloads: list[bytes] = []
    for payload in Client().payloads():
        outer = json.loads(payload)
        if event in outer["event"]:
            outer["event"][event][path] = value
        payloads.append(json.dumps(outer).encode())
    return payloads


SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}

PLANTED: dict[str, tuple[Client, list[bytes] | None, str]] = {
    "voice": (
        Client(config=replace(CONFIG, voice="matthew")),
        None,
        "In promptStart the client changed audioOutputConfiguration.voiceId",
    ),
    "temperature": (
        Client(config=replace(CONFIG, temperature=0.2)),
        None,
        "In sessionStart the client changed inferenceConfiguration.temperature",
    ),
    "system prompt": (
        Client(config=replace(CONFIG, system="You answer questions. Be short.")),
        None,
        "In the system prompt the client changed content",
    ),
    "schema of a tool": (
        Client(config=replace(CONFIG, tools=(replace(CHECK_ORDER, schema=SCHEMA),))),
        None,
        (
            "In promptStart the client changed "
            "toolConfiguration.tools[0].toolSpec.inputSchema.json.properties.id.type"
        ),
    ),
    "no history": (
        Client(config=replace(CONFIG, history=())),
        None,
        "The client sent the start of the audio before a message of the history",
    ),
    "value in a tool result": (
        Client(results=('{"status": "late", "days": 2}', '{"status": "lost"}')),
        None,
        (
            'In the result of check_order({"id": "A1", "year": 2025}) the client changed '
            "content.status"
        ),
    ),
    "results of two calls exchanged": (
        Client(results=('{"status": "lost"}', '{"status": "sent", "days": 2}')),
        None,
        'In the result of check_order({"id": "A1", "year": 2025}) the client left out content.days',
    ),
    "missing tool result": (
        Client(results_order=(0,)),
        None,
        (
            "The client sent a text of the user before the result of "
            'check_order({"id": "A1", "year": 2026})'
        ),
    ),
    "typed text": (
        Client(typed="And when?"),
        None,
        "In a text of the user the client changed content",
    ),
    "typed text at another time": (
        Client(typed_before_speech=True),
        None,
        "The client sent a text of the user before the result of",
    ),
    "other speech": (
        Client(speech=SPEECH[:8_000] + bytes(range(1, 241)) * 100),
        None,
        "The client sent other audio after 0.25",
    ),
    "less speech": (
        Client(speech=SPEECH[2000:]),
        None,
        "The client sent other audio after 0.00 s of speech",
    ),
    "louder microphone": (
        Client(speech=bytes(SPEECH[i] if i % 2 else SPEECH[i] ^ 1 for i in range(len(SPEECH)))),
        None,
        "The client sent other audio after 0.00 s of speech",
    ),
    "no goodbye": (Client(goodbye=False), None, "The client did not send the end of the audio"),
    "no end of the prompt": (
        Client(),
        without("promptEnd"),
        "The client sent sessionEnd before promptEnd",
    ),
    "unknown field": (
        Client(),
        with_field("promptStart", "guardrail", {"id": 1}),
        "In promptStart the client added guardrail.id",
    ),
    "unknown event": (
        Client(),
        [*Client().payloads(), b'{"event":{"connectionEnd":{}}}'],
        "The client sent connectionEnd, which the tape does not have",
    ),
    "no JSON": (
        Client(),
        [b"{", *Client().payloads()],
        "The client sent a payload that is no event instead of sessionStart",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_change_is_named(name: str) -> None:
    client, payloads, sentence = PLANTED[name]
    found = difference(client, payloads)
    assert found is not None
    assert sentence in found.sentence
    assert any(line.startswith("+") for line in found.diff.splitlines()) or "not send" in sentence


def test_the_diff_shows_the_changed_field_and_what_stands_before_it() -> None:
    found = difference(PLANTED["value in a tool result"][0])
    assert found is not None
    assert '-  content.status: "sent"' in found.diff.splitlines()
    assert '+  content.status: "late"' in found.diff.splitlines()
    assert found.step == 7


def test_unknown_calls_are_labelled_by_their_place() -> None:
    labels = CallLabels()
    assert [labels("x"), labels("y"), labels("x")] == ["call 1", "call 2", "call 1"]


def renewed(speech: bytes) -> list[bytes]:
    """Return what a client sends on a second stream that begins with this audio."""
    protocol = SonicProtocol(CONFIG, Transcript())
    sent = [*protocol.begin(), *protocol.go_live(CONFIG.history)]
    sent += [protocol.audio(speech[at : at + 1024]) for at in range(0, len(speech), 1024)]
    return sent + protocol.finish()


@pytest.mark.parametrize("begins_s", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("earlier", [True, False])
def test_the_audio_of_a_renewed_stream_may_begin_elsewhere(begins_s: float, earlier: bool) -> None:
    speech = random.Random(2).randbytes(5 * 32_000)
    moved = speech[round(begins_s * 32_000) :]
    tape, client = (speech, moved) if earlier else (moved, speech)
    labels = CallLabels()
    assert not first_difference(
        renewed(tape), renewed(client), tape_label=labels, client_label=labels, stream=2
    )


def test_the_audio_of_a_renewed_stream_may_not_begin_anywhere() -> None:
    speech = random.Random(3).randbytes(5 * 32_000)
    moved = speech[round((MOVED_S + 0.5) * 32_000) :]
    labels = CallLabels()
    found = first_difference(
        renewed(speech), renewed(moved), tape_label=labels, client_label=labels, stream=2
    )
    assert found is not None
    assert "other audio" in found.sentence


def test_the_first_stream_may_not_begin_elsewhere() -> None:
    speech = random.Random(4).randbytes(2 * 32_000)
    labels = CallLabels()
    found = first_difference(
        renewed(speech), renewed(speech[1600:]), tape_label=labels, client_label=labels
    )
    assert found is not None
    assert "other audio after 0.00 s" in found.sentence
