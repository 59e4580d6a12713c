"""`--guard` as a person uses it, with a moderation model on loopback."""

import json
from pathlib import Path

from sonic_voice.recording import Played, Received, Sent, read_tape

from ..support.chat_server import chat_server
from ..support.pty_program import pty_program
from .test_cli import clean_environment, sonic_voice

HELLO = str(Path(__file__).parents[1] / "speech" / "hello.wav")

SCENARIO = """
name: secrets
steps:
  - user: hello
    say: [Good morning to you., The secret number is nine.]
"""


def judged(messages: list[dict[str, str]]) -> str:
    """Answer as a moderation model that does not allow secrets."""
    assert messages[0]["content"].startswith("No secrets.")
    if "secret" in messages[-1]["content"]:
        return '{"violation": true, "category": "a secret"}'
    return '{"violation": false}'


async def test_a_flagged_sentence_is_replaced_in_the_transcript_and_noted(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    talk = ("talk", "--local", "--scenario", "scenario.yaml", "--input", HELLO, "--speed", "4")
    with chat_server(judged) as guard:
        done = await sonic_voice(
            *talk,
            *("--guard", guard, "--guard-policy", "No secrets.", "--guard-seconds", "10"),
            *("--guard-text", "Something else.", "--guard-sound", HELLO),
            *("--transcript", "talk.txt", "--events", "events.jsonl"),
            cwd=tmp_path,
        )
    assert (done.code, done.err) == (0, "")
    written = (tmp_path / "talk.txt").read_text(encoding="utf-8")
    for shown in (done.out, written):
        assert "Good morning to you." in shown
        assert "Something else." in shown
        assert "The guard withheld a sentence (a secret)." in shown
        assert "nine" not in shown
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    (guarded,) = [event for event in events if event["event"] == "Guarded"]
    assert guarded["text"] == "The secret number is nine."


PERSONAL = """
name: personal
steps:
  - user: hello
    say: Mail jo@example.com or call 415-555-0123.
"""


async def test_personal_data_is_in_no_file_of_a_masked_conversation(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(PERSONAL)
    talk = ("talk", "--local", "--scenario", "scenario.yaml", "--input", HELLO, "--speed", "4")
    done = await sonic_voice(
        *talk,
        *("--mask-pii", "--record", "talk.tape", "--transcript", "talk.txt"),
        *("--events", "events.jsonl"),
        cwd=tmp_path,
        XDG_STATE_HOME=str(tmp_path / "state"),
    )
    assert (done.code, done.err) == (0, "")
    tape = read_tape(tmp_path / "talk.tape")
    kept = b"".join(r.payload for r in tape.records if isinstance(r, (Sent, Received)))
    kept += repr([r for r in tape.records if not isinstance(r, (Sent, Received))]).encode()
    kept += (tmp_path / "talk.txt").read_bytes() + (tmp_path / "events.jsonl").read_bytes()
    # What is printed, and what --continue reads.
    kept += done.out.encode() + (tmp_path / "state/sonic-voice/conversation.json").read_bytes()
    assert kept.count(b"Mail [email] or call [phone].") >= 6
    assert b"jo@example.com" not in kept
    assert b"415-555" not in kept
    played = [r.pcm for r in tape.records if isinstance(r, Played)]
    assert played
    assert not any(b"".join(played))


async def test_the_transcript_that_stays_on_the_terminal_is_masked(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(PERSONAL)
    talk = ("talk", "--local", "--scenario", "scenario.yaml", "--text", "--no-save", "--mask-pii")
    environment = clean_environment(tmp_path) | {"PULSE_SERVER": "unix:/nowhere"}
    async with pty_program(*talk, environment=environment, cwd=tmp_path) as program:
        await program.until("ready")
        program.type("hello\r")
        await program.until("Mail [email] or call [phone].")
        program.type("\x04")
        assert await program.ended() == 0
    assert "jo@example.com" not in program.text
    assert "415-555" not in program.text
