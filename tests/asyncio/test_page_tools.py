"""Tools that the page carries out, validated in both directions."""

import asyncio
import json
from typing import Any, Literal, TypedDict

import pytest

from sonic_voice import Toolbox
from sonic_voice.bridge import page_tool
from sonic_voice.bridge.page_tools import MAX_CALLS, PAGE_CALLS, PageCalls, page_tool_specs
from sonic_voice.errors import ConfigError


class Shown(TypedDict):
    """The result that the page returns."""

    shown: bool
    price: float


@page_tool
async def show_product(sku: str, size: Literal["S", "L"] = "S") -> Shown:
    """Show a product."""
    raise AssertionError("the page does it")


@page_tool
async def close_window() -> None:
    """Close the window."""


TOOLS = Toolbox([show_product, close_window])


class Page:
    """A page that answers the calls of its tools as the test says."""

    def __init__(self, *answers: tuple[Any, str]) -> None:
        self.told: list[dict[str, Any]] = []
        self.calls = PageCalls(self._receive)
        self._answers = list(answers)
        PAGE_CALLS.set(self.calls)

    def _receive(self, message: dict[str, Any]) -> None:
        self.told.append(message)
        if self._answers:
            result, error = self._answers.pop(0)
            asyncio.get_running_loop().call_soon(
                self.calls.answer, message["id"], json.dumps(result), error
            )


def test_the_page_is_told_what_it_has_to_implement() -> None:
    def local() -> str:
        return "here"

    [shown, closed] = page_tool_specs(Toolbox([show_product, local, close_window]))
    assert (shown["name"], shown["description"]) == ("show_product", "Show a product.")
    assert shown["schema"]["required"] == ["sku"]
    assert closed["name"] == "close_window"


async def test_the_page_gets_valid_arguments_and_the_model_its_result() -> None:
    page = Page(({"shown": True, "price": 7}, ""), (None, ""))
    result = json.loads(await TOOLS.run("show_product", '{"sku": "B-7"}'))
    assert result == {"shown": True, "price": 7.0}
    assert json.loads(await TOOLS.run("close_window", "{}")) == {}
    first, _ = page.told
    assert first["arguments"] == {"sku": "B-7", "size": "S"}


async def test_the_page_gets_no_arguments_that_are_wrong() -> None:
    page = Page()
    result = json.loads(await TOOLS.run("show_product", '{"sku": "B-7", "size": "XL"}'))
    assert "size" in result["error"]
    assert page.told == []


@pytest.mark.parametrize("wrong", [None, 7, {}, {"shown": "perhaps", "price": 1}, ["shown"]])
async def test_the_model_gets_no_result_that_is_wrong(wrong: Any) -> None:
    Page((wrong, ""))
    result = json.loads(await TOOLS.run("show_product", '{"sku": "B-7"}'))
    assert "something else than declared" in result["error"]


async def test_a_page_that_fails_is_told_to_the_model() -> None:
    Page((None, "There is no such product."))
    result = json.loads(await TOOLS.run("show_product", '{"sku": "B-7"}'))
    assert result["error"].endswith("The page did not do it: There is no such product.")


async def test_a_page_that_never_answers_is_not_waited_for_and_not_heard_later() -> None:
    page = Page()
    result = json.loads(await TOOLS.run("show_product", '{"sku": "B-7"}', timeout_s=0.05))
    assert "no result within" in result["error"]
    page.calls.answer("1", "true", "")
    page.calls.answer("none", "true", "")


async def test_the_calls_that_wait_are_bounded() -> None:
    page = Page()
    waiting = [asyncio.create_task(page.calls.call("show", {})) for _ in range(MAX_CALLS)]
    await asyncio.sleep(0)
    result = json.loads(await TOOLS.run("close_window", "{}"))
    assert "busy" in result["error"]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_without_a_page_the_model_is_told_so() -> None:
    result = json.loads(await TOOLS.run("close_window", "{}"))
    assert "no page" in result["error"]


def test_a_declaration_that_says_too_little_is_refused() -> None:
    def plain() -> None: ...

    async def open_ended(): ...

    for declared in (plain, open_ended):
        with pytest.raises(ConfigError):
            page_tool(declared)  # type: ignore[arg-type]
