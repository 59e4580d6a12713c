"""A person who starts `talk` sees something at once: the imports and the devices take seconds."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WITHIN_S = 0.3
"""Maximum time from the start to the first output, in seconds, on a machine that is not busy."""

ATTEMPTS = 5
"""Starts of which the fastest counts, because the machine may be busy with other tests."""


def first_output(*arguments: str) -> tuple[float, bytes]:
    """When the first output came after the start, in seconds, and what it was."""
    controller, terminal = pty.openpty()
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sonic_voice", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    os.close(terminal)
    try:
        assert select.select([controller], [], [], 20)[0]
        return time.monotonic() - began_s, os.read(controller, 1000)
    finally:
        process.kill()
        process.wait()
        os.close(controller)


@pytest.mark.parametrize("more", [(), ("--plain",)])
def test_something_is_printed_at_once(more: tuple[str, ...]) -> None:
    outputs = [first_output("talk", "--local", *more) for _ in range(ATTEMPTS)]
    assert {text.strip() for _, text in outputs} == {b"Starting ..."}
    assert min(at_s for at_s, _ in outputs) < WITHIN_S, outputs


@pytest.mark.parametrize("arguments", [("talk", "--help"), ("models",), ("talk", "--json")])
def test_a_command_that_holds_no_conversation_with_a_person_does_not_say_so(
    arguments: tuple[str, ...],
) -> None:
    if arguments == ("talk", "--json"):
        arguments += ("--voice", "nobody")  # ends with a sentence
    assert b"Starting" not in first_output(*arguments)[1]


def test_a_pipe_gets_the_transcript_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sonic_voice", "talk", "--voice", "nobody"],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.stdout == b""
