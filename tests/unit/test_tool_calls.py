"""What is sent about tool calls, and when: each rule, and 1,000 random histories."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic_voice.errors import ConfigError
from sonic_voice.policies import PLAIN_TOOL, ToolPolicy
from sonic_voice.tool_calls import (
    ACK_AFTER_S,
    HOLD_S,
    PROGRESS_EVERY_S,
    TEXT_ANSWER_S,
    TEXTS_WAITING,
    SendResult,
    SendText,
    ToolCalls,
    instructed_words,
    instruction,
)

ACK = ToolPolicy(ack="One moment.")
WHEN_IDLE = ToolPolicy(result="when_idle")
SAID = SendText("One moment.")


def nova_2_5() -> ToolCalls:
    return ToolCalls(silent_tools=True, text_input=True)


def test_a_result_is_sent_at_once_whoever_speaks() -> None:
    calls = nova_2_5()
    assert calls.called("a", PLAIN_TOOL, 0.0)
    assert calls.due(1.0, quiet=False) == []
    assert calls.returned("a", "{}", 1.0)
    assert calls.due(1.0, quiet=False) == [SendResult("a", "{}")]
    assert calls.is_idle


def test_a_call_has_one_result_whatever_comes_for_it() -> None:
    calls = nova_2_5()
    calls.called("a", PLAIN_TOOL, 0.0)
    assert not calls.called("a", PLAIN_TOOL, 0.1)
    assert calls.returned("a", '{"error": "timeout"}', 1.0)
    assert not calls.returned("a", "{}", 1.1)
    assert calls.due(1.2, quiet=True) == [SendResult("a", '{"error": "timeout"}')]
    assert not calls.returned("a", "{}", 2.0)
    assert not calls.returned("never called", "{}", 2.0)
    assert calls.due(3.0, quiet=True) == []


def test_a_silent_tool_turn_is_acknowledged_once_while_nobody_speaks() -> None:
    calls = nova_2_5()
    calls.called("a", ACK, 0.0)
    assert calls.due(ACK_AFTER_S / 2, quiet=True) == []
    assert calls.due(1.0, quiet=False) == []
    assert calls.due(1.1, quiet=True) == [SAID]
    calls.answered()
    assert calls.due(4.0, quiet=True) == []


def test_it_is_not_acknowledged_if_the_result_is_there() -> None:
    calls = nova_2_5()
    calls.called("a", ToolPolicy(ack="One moment.", result="when_idle"), 0.0)
    calls.returned("a", "{}", 0.1)
    assert calls.due(1.0, quiet=False) == []
    assert calls.due(2.0, quiet=True) == [SendResult("a", "{}")]


@pytest.mark.parametrize(("silent_tools", "text_input"), [(False, True), (True, False)])
def test_only_a_model_that_is_silent_and_takes_texts_is_asked_to_acknowledge(
    silent_tools: bool, text_input: bool
) -> None:
    calls = ToolCalls(silent_tools=silent_tools, text_input=text_input)
    calls.called("a", ACK, 0.0)
    calls.progress("a", "Half.")
    assert calls.due(20.0, quiet=True) == []


def test_one_acknowledgement_covers_all_calls_that_run() -> None:
    calls = nova_2_5()
    calls.called("a", ACK, 0.0)
    calls.called("b", ToolPolicy(ack="Let me look."), 0.0)
    assert calls.due(1.0, quiet=True) == [SAID]
    calls.answered()
    assert calls.due(9.0, quiet=True) == []
    calls.called("c", ACK, 9.0)
    assert calls.due(10.0, quiet=True) == [SAID]


def test_nothing_is_sent_while_a_text_is_being_answered() -> None:
    calls = nova_2_5()
    calls.called("a", ACK, 0.0)
    assert calls.due(1.0, quiet=True) == [SAID]
    calls.returned("a", "{}", 1.1)
    assert not calls.needs_quiet(1.2)
    assert calls.due(1.2, quiet=True) == []
    calls.answered()
    assert calls.due(1.3, quiet=False) == [SendResult("a", "{}")]


def test_a_text_that_is_not_answered_holds_nothing_up_for_long() -> None:
    calls = nova_2_5()
    calls.called("a", ACK, 0.0)
    assert calls.due(1.0, quiet=True) == [SAID]
    calls.returned("a", "{}", 1.1)
    assert calls.due(1.0 + TEXT_ANSWER_S, quiet=False) == [SendResult("a", "{}")]


def test_a_result_that_waits_for_quiet_is_not_held_for_ever() -> None:
    calls = nova_2_5()
    calls.called("a", WHEN_IDLE, 0.0)
    calls.returned("a", "{}", 1.0)
    assert calls.is_held("a")
    assert calls.due(HOLD_S, quiet=False) == []
    assert calls.due(1.0 + HOLD_S, quiet=False) == [SendResult("a", "{}")]


def test_of_two_results_that_wait_for_quiet_one_is_sent_at_a_time() -> None:
    calls = nova_2_5()
    for name in "ba":
        calls.called(name, WHEN_IDLE, 0.0)
    calls.returned("a", "{}", 1.0)
    calls.returned("b", "{}", 2.0)
    assert calls.due(3.0, quiet=True) == [SendResult("a", "{}")]
    assert calls.due(3.1, quiet=True) == [SendResult("b", "{}")]


def test_the_result_of_a_lost_call_is_a_text_and_waits_like_one() -> None:
    calls = nova_2_5()
    calls.called("a", PLAIN_TOOL, 0.0)
    calls.renewed()
    calls.returned("a", "{}", 1.0)
    assert calls.due(1.0, quiet=False, lost={"a"}) == []
    assert calls.due(2.0, quiet=True, lost={"a"}) == [SendResult("a", "{}")]


def test_a_silent_result_waits_for_nobody() -> None:
    calls = nova_2_5()
    calls.called("a", ToolPolicy(result="silent"), 0.0)
    calls.returned("a", "{}", 1.0)
    assert calls.due(1.0, quiet=False) == [SendResult("a", "{}", is_spoken=False)]


def test_a_barge_in_cancels_the_calls_that_want_it_and_they_still_have_a_result() -> None:
    calls = nova_2_5()
    calls.called("a", ToolPolicy(cancel_on_barge_in=True), 0.0)
    calls.called("b", PLAIN_TOOL, 0.0)
    calls.called("done", ToolPolicy(cancel_on_barge_in=True, result="when_idle"), 0.0)
    calls.returned("done", "{}", 0.5)
    assert calls.interrupted() == ("a",)
    calls.returned("a", '{"error": "cancelled"}', 1.0)
    [cancelled] = calls.due(1.0, quiet=False)
    assert cancelled == SendResult("a", '{"error": "cancelled"}', is_spoken=False)


def test_reports_are_said_with_pauses_and_the_newest_replaces_the_others() -> None:
    calls = nova_2_5()
    calls.called("a", ACK, 0.0)
    calls.progress("a", "One of five.")
    calls.progress("a", "Two of five.")
    assert calls.due(0.1, quiet=True) == []
    assert calls.due(1.0, quiet=True) == [SendText("Two of five.")]
    calls.answered()
    calls.progress("a", "Three of five.")
    assert calls.due(2.0, quiet=True) == []
    later = 1.0 + PROGRESS_EVERY_S
    assert calls.due(later, quiet=True) == [SendText("Three of five.")]
    calls.answered()
    calls.progress("a", "Four of five.")
    calls.returned("a", "{}", later)
    assert calls.due(30.0, quiet=True) == [SendResult("a", "{}")]
    calls.progress("a", "Five of five.")
    assert calls.due(60.0, quiet=True) == []


def test_a_tool_may_say_something_when_it_has_returned() -> None:
    calls = ToolCalls(silent_tools=False, text_input=True)
    assert calls.say("Your picture is ready.")
    assert calls.due(1.0, quiet=False) == []
    assert calls.due(2.0, quiet=True) == [SendText("Your picture is ready.")]
    assert calls.is_idle


def test_what_cannot_be_said_is_refused() -> None:
    assert not ToolCalls(silent_tools=True, text_input=False).say("Hello.")
    calls = nova_2_5()
    assert not calls.say("  ")
    assert [calls.say("Hello.") for _ in range(TEXTS_WAITING + 1)] == [True] * TEXTS_WAITING + [
        False
    ]


def test_the_words_of_a_text_stand_in_one_pair_of_quotation_marks() -> None:
    text = instruction('He said "yes".\nTwice.')
    assert text == "Tell the caller this now, and nothing else: \"He said 'yes'. Twice.\""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (instruction("One moment."), "One moment."),
        (instruction('He said "yes".'), "He said 'yes'."),
        (f"hello {instruction('One moment.')} ", "One moment."),
        (f"{instruction('One.')} {instruction('Two.')}", "Two."),
        (f"{instruction('One moment.')} What time is it?", ""),
        ('"One moment."', ""),
        ("Tell the caller this now, and nothing else: a story", ""),
        (instruction(""), ""),
        ("", ""),
    ],
)
def test_the_words_of_an_instruction_are_found_at_the_end_of_a_text(text: str, words: str) -> None:
    assert instructed_words(text) == words


def test_a_call_of_a_reasoner_is_acknowledged_and_has_no_result_to_send() -> None:
    calls = nova_2_5()
    calls.called("a", ACK, 0.0)
    assert calls.due(1.0, quiet=True) == [SAID]
    calls.forget("a")
    assert calls.is_idle
    assert calls.due(2.0, quiet=True) == []


def test_an_unknown_time_of_the_result_is_refused() -> None:
    with pytest.raises(ConfigError, match="when_idle"):
        ToolPolicy(result="later")  # pyright: ignore[reportArgumentType]


# -- random histories ----------------------------------------------------------------------------


@dataclass
class History:
    """A random history of a conversation, with the service's side of its calls."""

    calls: ToolCalls
    silent_tools: bool
    text_input: bool
    now: float = 0.0
    quiet: bool = True
    called: dict[str, ToolPolicy] = field(default_factory=dict[str, ToolPolicy])
    called_s: dict[str, float] = field(default_factory=dict[str, float])
    running: set[str] = field(default_factory=set[str])
    returned_s: dict[str, float] = field(default_factory=dict[str, float])
    lost: set[str] = field(default_factory=set[str])
    results: Counter[str] = field(default_factory=Counter[str])
    heard: set[str] = field(default_factory=set[str])
    """Calls during which the model was asked to say something."""
    text_until_s: float = 0.0
    """Time until which the model may still answer the last text."""

    def call(self, policy: ToolPolicy) -> None:
        name = f"c{len(self.called)}"
        assert self.calls.called(name, policy, self.now)
        self.called[name], self.called_s[name] = policy, self.now
        self.running.add(name)

    def finish(self, at: int, *, twice: bool = False) -> None:
        """End a call in any way: it returned, crashed, or ran into its timeout."""
        if not self.running:
            return
        name = sorted(self.running)[at % len(self.running)]
        self.running.discard(name)
        self.returned_s[name] = self.now
        assert self.calls.returned(name, "{}", self.now)
        if twice:  # a thread that was given up returns after all
            assert not self.calls.returned(name, '{"late": true}', self.now)

    def interrupt(self) -> None:
        self.text_until_s = 0.0
        for name in self.calls.interrupted():
            assert self.called[name].cancel_on_barge_in
            self.running.remove(name)
            self.returned_s[name] = self.now
            assert self.calls.returned(name, '{"error": "cancelled"}', self.now)
            assert not self.calls.returned(name, "{}", self.now)

    def renew(self) -> None:
        self.text_until_s = 0.0
        self.calls.renewed()
        self.lost |= {name for name in self.called if not self.results[name]}

    def answer(self) -> None:
        self.text_until_s = 0.0
        self.calls.answered()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        lost = {name for name in self.lost if not self.results[name]}
        for action in self.calls.due(self.now, quiet=self.quiet, lost=lost):
            assert self.now >= self.text_until_s, "sent while a text is being answered"
            if isinstance(action, SendText):
                self._said(action.words)
            else:
                self._answered(action)

    def _answered(self, action: SendResult) -> None:
        name = action.tool_use
        assert name in self.returned_s, "a result before the tool has one"
        self.results[name] += 1
        held_s = self.now - self.returned_s[name]
        waits = self.called[name].result == "when_idle" or (name in self.lost and self.text_input)
        if waits and action.is_spoken:
            assert self.quiet or held_s >= HOLD_S

    def _said(self, words: str) -> None:
        assert self.quiet
        assert self.text_input
        self.text_until_s = self.now + TEXT_ANSWER_S
        if words == SAID.words:
            assert self.silent_tools
            assert any(
                self.called[name].ack and self.called_s[name] <= self.now - ACK_AFTER_S
                for name in self.running - self.heard
            ), "acknowledged twice, or without a call that has run for long"
        self.heard |= self.running

    def check(self) -> None:
        """Let everything come to its end, and check what was sent."""
        while self.running:
            self.finish(0)
        self.quiet = True
        for _ in range(len(self.called) + TEXTS_WAITING + 2):
            self.answer()
            self.advance(1.0)
        assert dict(self.results) == dict.fromkeys(self.called, 1)
        assert self.calls.is_idle


POLICIES = st.builds(
    ToolPolicy,
    ack=st.sampled_from(["", "One moment."]),
    result=st.sampled_from(["now", "when_idle", "silent"]),
    cancel_on_barge_in=st.booleans(),
)
ACTIONS = st.one_of(
    st.tuples(st.just("call"), POLICIES),
    st.tuples(st.just("finish"), st.integers(0, 9), st.booleans()),
    st.tuples(st.sampled_from(["interrupt", "renew", "answer", "say", "progress"])),
    st.tuples(st.just("advance"), st.sampled_from([0.02, 0.3, 1.0, 4.0, 31.0])),
    st.tuples(st.just("quiet"), st.booleans()),
)


@settings(max_examples=1000, deadline=None)
@given(st.booleans(), st.booleans(), st.lists(ACTIONS, max_size=30))
def test_each_call_has_exactly_one_result_in_every_history(
    silent_tools: bool, text_input: bool, actions: list[tuple[object, ...]]
) -> None:
    calls = ToolCalls(silent_tools=silent_tools, text_input=text_input)
    history = History(calls, silent_tools, text_input)
    for action in actions:
        match action:
            case ("call", ToolPolicy() as policy):
                history.call(policy)
            case ("finish", int(at), bool(twice)):
                history.finish(at, twice=twice)
            case ("say",):
                calls.say("Hello.")
            case ("progress",):
                for name in history.called:
                    calls.progress(name, "Half.")
            case ("advance", float(seconds)):
                history.advance(seconds)
            case ("quiet", bool(quiet)):
                history.quiet = quiet
            case (str(name),):
                getattr(history, name)()
            case _:
                pytest.fail(f"unknown action {action}")
    history.check()
