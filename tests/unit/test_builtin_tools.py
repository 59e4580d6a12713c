"""The tools that come with the package, and the options that offer them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sonic_voice.cli.builtin_tools import with_builtin
from sonic_voice.errors import ConfigError
from sonic_voice.tools.builtin import DAYS_AHEAD, current_time, end_call, transfer_tool
from sonic_voice.tools.context import NoConversation
from sonic_voice.tools.toolbox import Toolbox, tool


def names(toolbox: Toolbox) -> list[str]:
    return [spec.name for spec in toolbox.specs]


async def result(toolbox: Toolbox, name: str, **arguments: Any) -> dict[str, Any]:
    return json.loads(await toolbox.run(name, json.dumps(arguments)))


async def test_the_time_is_that_of_the_zone_with_the_dates_of_a_week() -> None:
    tools = Toolbox([current_time])
    here, oslo = (
        await result(tools, "current_time"),
        await result(tools, "current_time", timezone="Europe/Oslo"),
    )
    assert oslo["timezone"] == "Europe/Oslo"
    for found in (here, oslo):
        assert len(found["dates"]) == DAYS_AHEAD
        assert found["dates"][found["weekday"]] == found["date"]


async def test_an_unknown_zone_is_an_error_that_the_model_understands() -> None:
    answer = await result(Toolbox([current_time]), "current_time", timezone="Mars/Olympus")
    assert "Europe/Oslo" in answer["error"]


async def test_the_last_words_of_a_call_come_back_as_what_is_to_be_said() -> None:
    answer = await result(Toolbox([end_call]), "end_call", goodbye="Ha det!")
    assert answer["speak"] == "Ha det!"


async def test_a_transfer_knows_its_destinations() -> None:
    tools = Toolbox([transfer_tool(["billing", "support"], print)])
    [spec] = tools.specs
    assert spec.schema["properties"]["destination"]["enum"] == ["billing", "support"]
    wrong = {"destination": "sales", "reason": "r", "announcement": "a"}
    assert "billing" in (await result(tools, "transfer", **wrong))["error"]


def test_a_transfer_to_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="destination"):
        transfer_tool([], print)


def test_no_tool_of_the_package_is_offered_unless_it_is_asked_for() -> None:
    mine = Toolbox()
    assert with_builtin(mine, None) is mine
    assert names(with_builtin(mine, ["end_call", "current_time"], ["billing"])) == [
        "end_call",
        "current_time",
        "transfer",
    ]
    assert names(with_builtin(mine, ["end_call", "end_call"])) == ["end_call"]


def test_a_tool_of_the_user_with_the_same_name_is_refused() -> None:
    @tool
    def end_call() -> None:
        """Hang up."""

    with pytest.raises(ConfigError, match="end_call"):
        with_builtin(Toolbox([end_call]), ["end_call"])


@pytest.mark.parametrize(
    ("asked", "hint"), [("hang_up", "end_call, current_time"), ("transfer", "--transfer-to")]
)
def test_an_unknown_tool_of_the_package_is_named(asked: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=asked) as caught:
        with_builtin(Toolbox(), [f"end_call,{asked}"])
    assert hint in caught.value.hint


class Ending(NoConversation):
    """A conversation whose last answer is heard at once."""

    def end_after_answer(self, tool_use: str, then: Callable[[], object] | None) -> None:
        """See `ToolConversation`."""
        assert then is not None
        then()


async def test_the_command_line_reports_a_transfer_in_one_line() -> None:
    tools = with_builtin(Toolbox(), None, ["billing"])
    notices: list[str] = []
    tools.on_notice = notices.append
    arguments = {"destination": "billing", "reason": "a\nbill", "announcement": "One moment."}
    answer = await result(tools.for_call(1, "id", Ending()), "transfer", **arguments)
    assert answer["speak"] == "One moment."
    assert notices == ["The caller is to be connected to billing: a bill"]
