"""Imports that take less time: they leave no trace in other imports."""

import dataclasses
import gc
import subprocess
import sys
from typing import Any

import pytest

from sonic_voice.fast_imports import (
    deferred_dataclasses,
    deferred_import,
    no_garbage_collection,
)


def program(text: str) -> str:
    """Run a Python program and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", text], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_transport_is_imported_without_aiohttp_which_others_then_import_as_usual() -> None:
    printed = program(
        "import sys, sonic_voice.bedrock\n"
        "print([name for name in sys.modules if name.startswith('aiohttp')])\n"
        "from smithy_http.aio import aiohttp as sdk\n"
        "print(sdk.aiohttp.ClientSession.__name__)\n"
        "import aiohttp.web\n"
        "print(sdk.aiohttp.ClientSession is aiohttp.ClientSession, type(aiohttp).__name__)\n"
    )
    assert printed.splitlines() == ["[]", "ClientSession", "True module"]


def test_a_deferred_module_is_the_real_one_for_everybody_else() -> None:
    sys.modules.pop("wave", None)
    with deferred_import("wave"):
        import wave as deferred
    assert "wave" not in sys.modules
    assert deferred.WAVE_FORMAT_PCM == 1
    import wave

    assert deferred.open is wave.open
    assert deferred is not wave
    with pytest.raises(AttributeError):
        getattr(deferred, "nothing")  # noqa: B009  # a type checker knows that there is none


def test_a_module_that_was_imported_before_is_used_as_it_is() -> None:
    with deferred_import("json"):
        import json
    assert json is sys.modules["json"]
    assert type(json) is type(sys)


def test_a_missing_module_stays_missing() -> None:
    with deferred_import("no_such_module"), pytest.raises(ImportError):
        __import__("no_such_module")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with no_garbage_collection():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def deferred_classes() -> tuple[Any, Any]:
    """Define two dataclasses, one derived from the other, whose methods are deferred."""
    with deferred_dataclasses(__name__):

        @dataclasses.dataclass(kw_only=True)
        class Point:
            x: int
            tags: list[str] = dataclasses.field(default_factory=lambda: ["new"])

        @dataclasses.dataclass(kw_only=True)
        class Place(Point):
            name: str = "home"

    return Point, Place


def test_a_deferred_dataclass_is_completed_by_its_first_object() -> None:
    point, _ = deferred_classes()
    assert "__eq__" not in vars(point)
    first = point(x=1)
    assert "__eq__" in vars(point)
    assert first == point(x=1, tags=["new"])
    assert repr(first).endswith("Point(x=1, tags=['new'])")
    with pytest.raises(TypeError, match="missing"):
        point()


def test_a_deferred_dataclass_that_is_derived_completes_its_base_first() -> None:
    point, place = deferred_classes()
    assert place(x=2) == place(x=2, name="home")
    assert [field.name for field in dataclasses.fields(place)] == ["x", "tags", "name"]
    assert point(x=3).tags is not point(x=3).tags


def test_the_fields_of_a_deferred_dataclass_are_known_before_any_object() -> None:
    point, place = deferred_classes()
    assert [field.name for field in dataclasses.fields(point)] == ["x", "tags"]
    assert dataclasses.replace(place(x=1), x=4) == place(x=4)


def test_other_dataclasses_are_made_at_once_and_the_library_is_left_as_it_was() -> None:
    before = dataclasses.dataclass
    with deferred_dataclasses("another.module"):

        @dataclasses.dataclass
        class Point:
            x: int

    assert "__eq__" in vars(Point)
    assert dataclasses.dataclass is before
    with deferred_dataclasses(__name__):

        @dataclasses.dataclass(slots=True)
        class Slotted:
            x: int

        @dataclasses.dataclass
        class WithInit:
            x: int

            def __init__(self) -> None:
                self.x = 5

    assert "__eq__" in vars(Slotted)
    assert WithInit() == WithInit()


def test_most_classes_of_the_sdks_model_are_deferred_and_all_can_be_used() -> None:
    printed = program(
        "import dataclasses, sonic_voice.bedrock\n"
        "from aws_sdk_bedrock_runtime import models\n"
        "made = [one for one in vars(models).values() if isinstance(one, type)"
        " and one.__module__ == models.__name__ and '__dataclass_fields__' in vars(one)]\n"
        "print(sum('__eq__' not in vars(one) for one in made) > 0.9 * len(made) > 100)\n"
        "print(all(dataclasses.fields(one) is not None for one in made))\n"
        "print(all('__eq__' in vars(one) for one in made))\n"
    )
    assert printed.split() == ["True"] * 3
