"""Where a chat endpoint is, and how its events are read; `tests/e2e` asks one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice.chat.endpoint import EndpointError, ServerSentEventParser
from sonic_voice.emulator.brains.chat_endpoint import openai_brain
from sonic_voice.errors import ConfigError

from ..support.service_host import no_resampling


@pytest.mark.parametrize(
    ("spec", "url"),
    [
        ("http://localhost:11434/v1#llama3.2:1b", "http://localhost:11434/v1/chat/completions"),
        ("http://localhost:8080#any", "http://localhost:8080/v1/chat/completions"),
        ("http://localhost:8080/#any", "http://localhost:8080/v1/chat/completions"),
        ("https://x.y/api/chat/completions#a/b", "https://x.y/api/chat/completions"),
        ("https://x.y/v1?version=2#m", "https://x.y/v1/chat/completions?version=2"),
        ("http://[::1]:80/v1#m", "http://[::1]:80/v1/chat/completions"),
    ],
)
def test_the_endpoint_is_below_the_root_of_the_api(spec: str, url: str) -> None:
    _, endpoint = openai_brain(f"openai:{spec}", no_resampling)
    assert endpoint.url == url


@pytest.mark.parametrize(
    "spec",
    [
        "http://localhost/v1#m",
        "openai:",
        "openai:localhost:11434#m",
        "openai:ftp://x.y#m",
        "openai:http://#m",
        "openai:http://x.y:port#m",
        "openai:http://[x#m",
        "openai:http://x.y/v1",
        "openai:http://x.y/v1#",
        "openai:http://user:secret@x.y/v1#m",
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_hint(spec: str) -> None:
    with pytest.raises(ConfigError) as error:
        openai_brain(spec, no_resampling)
    assert error.value.hint


STREAM = ': comment\r\n\r\ndata: {"a":\ndata:1}\r\n\nevent: x\nid: 1\ndata: é\n\ndata: last\n'


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=9).map(sorted))
def test_events_are_whole_however_they_come(cuts: list[int]) -> None:
    whole, events = STREAM.encode(), ServerSentEventParser()
    ends = [*cuts, len(whole)]
    pieces = [whole[begin:end] for begin, end in zip([0, *cuts], ends, strict=True)]
    assert [event for piece in pieces for event in events.feed(piece)] == ['{"a":\n1}', "é"]


@pytest.mark.parametrize("received", [b"data: ", b"data: x\n"])
def test_an_event_without_an_end_is_an_error(received: bytes) -> None:
    events = ServerSentEventParser()
    with pytest.raises(EndpointError):
        for _ in range(3):
            list(events.feed(received * 400_000))
