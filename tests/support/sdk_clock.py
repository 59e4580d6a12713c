"""The clock of the SDK's signer, which reads the time itself."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from aws_sdk_signers import signers


@contextmanager
def sdk_clock(now: list[datetime]) -> Generator[None]:
    """Let the SDK's signer read the first time of a list while the block runs.

    Args:
        now: The list, which may change meanwhile.
    """
    module = cast(Any, signers)
    real = module.datetime

    def read(_: object) -> datetime:
        return now[0]

    module.datetime = SimpleNamespace(datetime=SimpleNamespace(now=read), UTC=UTC)
    try:
        yield
    finally:
        module.datetime = real
