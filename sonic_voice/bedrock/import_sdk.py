"""The import of the AWS SDK, which is most of the time in which a transport is imported.

The SDK imports aiohttp for an HTTP client that cannot stream in both directions, and that nobody
creates here. Its import is deferred: the SDK gets a module that imports aiohttp when an attribute
is first used. Everybody else, then and later, imports aiohttp as usual.

The SDK's model has 300 dataclasses, of which ten are used. The others are not completed.

The import creates 90,000 objects that are never released. The garbage collector would search them
several times, and is paused.
"""

import importlib

from ..fast_imports import deferred_dataclasses, deferred_import, no_garbage_collection

_MODEL = "aws_sdk_bedrock_runtime.models"


def import_sdk() -> None:
    """Import the AWS SDK, before any other module imports a part of it."""
    with no_garbage_collection(), deferred_import("aiohttp"):
        with deferred_dataclasses(_MODEL):
            importlib.import_module(_MODEL)
        importlib.import_module("aws_sdk_bedrock_runtime.client")
