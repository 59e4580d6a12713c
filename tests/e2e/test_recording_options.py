"""`talk --output` before the conversation: what it refuses, and that nothing is overwritten."""

from pathlib import Path

import pytest

from .test_cli import QUESTION, sonic_voice


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("old.wav", "old.wav exists, and a recording is never overwritten."),
        ("old.wav", "Name another file, such as old-2.wav."),
        ("talk.mp3", "a recording is a WAV or a FLAC file."),
        ("missing/talk.wav", "Writing missing/talk.wav failed: No such file or directory."),
    ],
)
async def test_a_recording_that_cannot_be_made_is_an_error_before_anything_is_sent(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "old.wav").write_bytes(b"precious")
    done = await sonic_voice("talk", "--local", "--output", name, cwd=tmp_path)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""
    assert (tmp_path / "old.wav").read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["old.wav"]


async def test_a_conversation_that_does_not_begin_leaves_no_recording(tmp_path: Path) -> None:
    """True if it is for want of a device or of a service."""
    arguments = ("--endpoint", "https://127.0.0.1:9", "--microphone", "no such device")
    done = await sonic_voice(
        *("talk", *arguments, "--output", "talk.wav"),
        cwd=tmp_path,
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        AWS_REGION="us-east-1",
    )
    assert done.code == 6
    assert not list(tmp_path.glob("*.wav"))


async def test_the_answers_of_a_recording_are_no_flac(tmp_path: Path) -> None:
    done = await sonic_voice(
        "talk", "--local", "--input", QUESTION, "--output", "a.flac", cwd=tmp_path
    )
    assert done.code == 2
    assert "name it .wav" in done.err
