"""Which pictures can be shown, and how their bytes reach a page that is also listening."""

import json
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice import PictureShown
from sonic_voice.bridge.frames import FRAGMENT_BYTES
from sonic_voice.bridge.picture_queue import AHEAD_BYTES, CHUNK_BYTES, WAITING_BYTES, PictureQueue
from sonic_voice.pictures import ALT_CHARACTERS, MAX_PICTURE_BYTES, checked_picture, media_type

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG + b"...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", ""),
        (b"GIF89a", ""),
        (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_only_formats_that_browsers_show_and_that_run_nothing_are_pictures(
    data: bytes, kind: str
) -> None:
    assert media_type(data) == kind


def test_a_picture_has_words_and_a_bounded_size() -> None:
    assert checked_picture(PNG, " A red\n boat ") == ("image/png", "A red boat")
    assert len(checked_picture(PNG, "boat " * 1000)[1]) == ALT_CHARACTERS
    checked_picture(PNG + bytes(MAX_PICTURE_BYTES - len(PNG)), "A boat")
    for data, alt in [
        (PNG + bytes(MAX_PICTURE_BYTES), "A boat"),
        (PNG, " "),
        (b"GIF89a", "A boat"),
    ]:
        with pytest.raises(ValueError, match="picture"):
            checked_picture(data, alt)


def test_an_event_does_not_print_its_picture() -> None:
    event = PictureShown(1, "id", "draw", "A boat", "image/png", b"\x01secret")
    assert "secret" not in repr(event)
    assert json.loads(json.dumps(event.facts))["size_bytes"] == 7


class Page:
    """A page that puts pictures together, as far as it has received them."""

    def __init__(self) -> None:
        self.received: dict[int, bytes] = {}

    def take(self, frame: str) -> tuple[int, int]:
        assert len(frame) <= FRAGMENT_BYTES, "it goes in one WebSocket frame"
        message = json.loads(frame)
        have, start = self.received.get(message["picture"], b""), message["start"]
        if start == len(have):
            have += b64decode(message["data"])
        self.received[message["picture"]] = have
        return message["picture"], len(have)


STEPS = st.lists(st.sampled_from(["send", "confirm", "lose"]), max_size=200)


@given(st.lists(st.integers(1, 5 * CHUNK_BYTES), min_size=1, max_size=3), STEPS)
def test_each_picture_arrives_whole_through_lost_connections(
    sizes: list[int], steps: list[str]
) -> None:
    queue, page = PictureQueue(), Page()
    pictures = {id: bytes([id]) * size for id, size in enumerate(sizes, 1)}
    for id, data in pictures.items():
        queue.add(id, data)
    reports: list[tuple[int, int]] = []
    for step in [*steps, *["lose"], *["send", "confirm"] * 20]:
        match step:
            case "send" if (frame := queue.take_next()) is not None:
                reports.append(page.take(frame))
            case "confirm" if reports:
                queue.confirm(*reports.pop(0))
            case "lose":
                reports.clear()
                queue.rewind()
            case _:
                pass
    assert page.received == pictures
    assert queue.take_next() is None


def test_a_page_that_reports_nothing_receives_a_little_and_then_nothing() -> None:
    queue, page = PictureQueue(), Page()
    queue.add(7, bytes(MAX_PICTURE_BYTES))
    while (frame := queue.take_next()) is not None:
        page.take(frame)
    assert len(page.received[7]) == AHEAD_BYTES
    queue.confirm(8, CHUNK_BYTES)  # of no picture
    assert queue.take_next() is None
    queue.confirm(7, MAX_PICTURE_BYTES)  # more than was sent
    assert queue.take_next() is not None


def test_the_oldest_pictures_are_dropped_when_too_much_waits() -> None:
    queue, page = PictureQueue(), Page()
    count = WAITING_BYTES // MAX_PICTURE_BYTES
    for id in range(count + 2):
        queue.add(id, PNG + bytes(MAX_PICTURE_BYTES - len(PNG)))
    assert (frame := queue.take_next()) is not None
    assert page.take(frame)[0] == 2
