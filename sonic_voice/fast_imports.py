"""Imports that take less time: no garbage collection, deferred modules, deferred dataclasses.

`dataclass` compiles the methods of a class from text, which takes about half a millisecond for each
class. A library may define hundreds of classes of which a program uses ten. Inside
`deferred_dataclasses`, a class of the named module gets an `__init__` that makes the class a
dataclass and then creates the object. The same happens when its fields are asked for, as by
`dataclasses.fields` or by the definition of a subclass that is a dataclass.
"""

import dataclasses
import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from threading import RLock
from types import ModuleType
from typing import Any

_INIT, _FIELDS = "__init__", "__dataclass_fields__"

_lock = RLock()


class DeferredModule(ModuleType):
    """A module that is imported when an attribute of it is first used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def deferred_import(name: str) -> Generator[None]:
    """Defer the import of a module by the modules that are imported in the block.

    Args:
        name: Full name of a module. A missing one stays missing, and one that was imported before
            is used as it is.
    """
    if name in sys.modules or importlib.util.find_spec(name) is None:
        yield
        return
    module = sys.modules[name] = DeferredModule(name)
    try:
        yield
    finally:
        if sys.modules.get(name) is module:
            del sys.modules[name]


@contextmanager
def no_garbage_collection() -> Generator[None]:
    """Pause the garbage collector while the block runs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def deferred_dataclasses(module: str) -> Generator[None]:
    """Defer the work of `dataclass` for the classes that a module defines during the block.

    Args:
        module: Full name of the module. Dataclasses of other modules are made at once.
    """
    library: Any = dataclasses
    real = library.dataclass

    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        if cls is None:
            return partial(dataclass, **options)
        slots = options.get("slots", False)  # they need another class
        if cls.__module__ != module or _own(cls, _INIT) or slots or not options.get("init", True):
            return real(cls, **options)
        _defer(cls, lambda: real(cls, **options))
        return cls

    library.dataclass = dataclass
    try:
        yield
    finally:
        library.dataclass = real


def _own(cls: Any, name: str) -> object:
    """Return an attribute of a class that is not inherited; None if it has none."""
    return cls.__dict__.get(name)


def _defer(cls: Any, make: Callable[[], object]) -> None:
    """Prepare a class for becoming a dataclass later.

    Args:
        cls: The class.
        make: Function that makes it a dataclass.
    """

    def complete() -> None:
        with _lock:
            if isinstance(_own(cls, _FIELDS), _DeferredFields):
                delattr(cls, _INIT)
                delattr(cls, _FIELDS)
                make()

    def __init__(self: Any, *arguments: Any, **values: Any) -> None:  # noqa: N807
        complete()
        cls.__init__(self, *arguments, **values)

    cls.__init__ = __init__
    setattr(cls, _FIELDS, _DeferredFields(complete))


class _DeferredFields:
    """A descriptor that makes its class a dataclass when the fields are asked for."""

    def __init__(self, complete: Callable[[], object]) -> None:
        self._complete = complete

    def __get__(self, instance: object, owner: Any) -> Any:
        """Return the fields of the class.

        Args:
            instance: The object whose class is asked for, or None.
            owner: The class, which may be a subclass.
        """
        self._complete()
        return getattr(owner, _FIELDS)
