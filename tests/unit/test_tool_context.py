"""A tool may ask whose conversation it is called in; the model cannot answer for the program."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic_voice import Toolbox, ToolContext, tool

ALICE = ToolContext(subject="alice", conversation="c1")


def plain(context: ToolContext, item: str = "all") -> str:
    """Return the orders.

    Args:
        context: Whose orders they are.
        item: What to look for.
    """
    return f"{context.subject}:{item}"


async def waiting(item: str, context: ToolContext) -> str:
    """Return the orders."""
    return f"{context.subject}:{item}"


@pytest.mark.parametrize("fn", [plain, waiting])
async def test_a_tool_receives_the_user_of_its_conversation(fn: Callable[..., Any]) -> None:
    tools = Toolbox([fn])
    alice, bob = (tools.for_conversation(ToolContext(name)) for name in ("alice", "bob"))
    call = (fn.__name__, '{"item": "tea"}')
    assert json.loads(await alice.run(*call))["result"] == "alice:tea"
    assert json.loads(await bob.run(*call))["result"] == "bob:tea"
    assert json.loads(await tools.run(*call))["result"] == ":tea"
    assert alice.specs == tools.specs


@pytest.mark.parametrize("fn", [plain, waiting])
def test_the_model_is_not_told_of_it(fn: Callable[..., Any]) -> None:
    [spec] = Toolbox([fn]).specs
    assert list(spec.schema["properties"]) == ["item"]
    assert "context" not in json.dumps(spec.schema)


@given(st.dictionaries(st.sampled_from(["context", "Context", "subject"]), st.text() | st.none()))
async def test_a_model_cannot_choose_the_user(invented: dict[str, str | None]) -> None:
    given = json.dumps({"context": {"subject": "bob"}, "item": "tea"} | invented)
    answer = json.loads(await Toolbox([plain]).for_conversation(ALICE).run("plain", given))
    assert answer.get("result", "alice:tea") == "alice:tea"


def test_a_direct_call_gives_the_context_itself() -> None:
    assert tool(plain)(ALICE, "tea") == tool(plain)(item="tea", context=ALICE) == "alice:tea"


def test_outside_a_conversation_the_port_does_nothing() -> None:
    context = ToolContext()
    context.progress("half")
    context.end_after_answer()
    assert (context.say("hello"), context.cancelled, context.transcript) == (False, False, ())
    assert (context.turn, context.tool_use) == (0, "")
