"""Which content of the service makes sense where it comes, and which is dropped."""

import pytest

from sonic_voice.content_blocks import BlockKind, OpenBlock, OpenBlocks


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "text of the unknown block c"),
        ("audio", "sound of the unknown block c"),
        ("tool", "a tool call of the unknown block c"),
    ],
)
def test_content_of_a_block_that_has_not_begun_makes_no_sense(kind: BlockKind, reason: str) -> None:
    assert OpenBlocks().find("c", kind) == reason


def test_content_makes_sense_only_in_a_block_of_its_kind() -> None:
    blocks = OpenBlocks()
    text, sound = OpenBlock(1, "text", "ASSISTANT", "FINAL"), OpenBlock(1, "audio", rate_hz=24_000)
    blocks.begin("t", text)
    blocks.begin("s", sound)
    assert blocks.find("t", "text") is text
    assert blocks.find("s", "audio") is sound
    assert blocks.find("t", "audio") == "sound in the text block t"
    assert blocks.find("s", "text") == "text in the audio block s"


def test_a_block_that_has_ended_is_unknown() -> None:
    blocks = OpenBlocks()
    block = OpenBlock(1, "text")
    blocks.begin("t", block)
    assert "t" in blocks
    assert blocks.end("t") is block
    assert "t" not in blocks
    assert blocks.find("t", "text") == "text of the unknown block t"
    assert blocks.end("t") is None


def test_only_blocks_that_are_open_now_lose_the_rest_of_their_content() -> None:
    blocks = OpenBlocks()
    before, after = OpenBlock(1, "audio"), OpenBlock(2, "audio")
    blocks.begin("before", before)
    blocks.drop_the_rest()
    blocks.begin("after", after)
    assert (before.dead, after.dead) == (True, False)
    assert blocks.find("before", "audio") is before


def test_sound_is_open_until_its_block_has_ended_or_is_dropped() -> None:
    blocks = OpenBlocks()
    blocks.begin("t", OpenBlock(1, "text"))
    assert not blocks.have_sound
    blocks.begin("s", OpenBlock(1, "audio"))
    assert blocks.have_sound
    blocks.end("s")
    assert not blocks.have_sound
    blocks.begin("s", OpenBlock(1, "audio"))
    blocks.drop_the_rest()
    assert not blocks.have_sound
