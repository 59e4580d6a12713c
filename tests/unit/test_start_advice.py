"""A session that starts warns of clear faults, each kind once in a process."""

import logging

import pytest

from sonic_voice import start_advice
from sonic_voice.config import SessionConfig, ToolSpec
from sonic_voice.start_advice import warn_of_faults

FAULTY = "You are a waiter.\n[laughs] Greet the guest.\nUse bullet points.\nCall get_menu."
MENU = ToolSpec("find_menu", "Return the menu.", {"type": "object", "properties": {}})


@pytest.fixture(autouse=True)
def no_warnings_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_advice, "_warned", set[str]())


def warnings(caplog: pytest.LogCaptureFixture, config: SessionConfig) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="sonic_voice.start_advice"):
        warn_of_faults(config)
    return [record.getMessage() for record in caplog.records]


def test_each_kind_of_clear_fault_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    config = SessionConfig(system=FAULTY, tools=(MENU,))
    first = warnings(caplog, config)
    assert [text.split(": ")[:2] for text in first] == [
        ["System prompt, line 2", "stage-direction"],
        ["System prompt, line 3", "requested-formatting"],
        ["System prompt, line 4", "unknown-tool"],
    ]
    assert warnings(caplog, config) == []
    (later,) = warnings(caplog, SessionConfig(system=f"{FAULTY}\nThe guest is {{{{name}}}}."))
    assert later.startswith("System prompt, line 5: placeholder: ")


def test_a_warning_has_no_words_of_the_prompt(caplog: pytest.LogCaptureFixture) -> None:
    found = " ".join(warnings(caplog, SessionConfig(system=FAULTY, tools=(MENU,))))
    assert all(word not in found for word in ("laughs", "guest", "bullet", "get_menu", "find_menu"))


def test_matters_of_taste_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    system = "You are **very** kind \N{PARTY POPPER}.\nSee https://bank.example now."
    assert warnings(caplog, SessionConfig(system=system, tools=(MENU,))) == []
