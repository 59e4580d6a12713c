"""Run all checks concurrently and return their findings in a fixed order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from ..errors import SonicError
from .account import check_account
from .emulator import check_emulator
from .finding import Finding, failure
from .installation import check_installation
from .options import Options
from .service import check_service
from .sound import check_sound


@dataclass(frozen=True, slots=True)
class Check:
    """A check of one part."""

    name: str
    """Name of the finding that reports a timeout or an exception of the check."""
    run: Callable[[Options], AsyncIterator[Finding]]
    """The check itself: an async generator of findings."""
    deadline_s: float
    """Maximum duration, in seconds."""


INSTALLATION = Check("installation", check_installation, 10)
ACCOUNT = Check("account", check_account, 150)  # files and credentials 10 s each, an MFA code 120 s
SERVICE = Check("service", check_service, 45)  # credentials once more, a connection, an answer
SOUND = Check("sound", check_sound, 20)
EMULATOR = Check("emulator", check_emulator, 40)  # Whisper is loaded, on a slow machine


async def examine(options: Options) -> AsyncGenerator[Finding]:
    """Run the checks that a conversation needs.

    It takes about 5 s, at most two minutes, and two more if an MFA code has to be typed. It raises
    nothing. Read the generator to its end or close it: closing it cancels the checks.

    Args:
        options: The conversation to check for.

    Yields:
        Findings in a fixed order, each as soon as all before it are there.
    """
    groups = [asyncio.create_task(_run_group(group, options)) for group in _groups(options)]
    try:
        for group in groups:
            for finding in await group:
                yield finding
    finally:
        for group in groups:
            group.cancel()
        await asyncio.wait(groups)


def _groups(options: Options) -> Iterator[list[Check]]:
    """Yield groups of checks: groups run concurrently, the checks of a group in sequence."""
    yield [INSTALLATION]
    if not options.local:
        yield [ACCOUNT, SERVICE]  # one after the other, so that one MFA code does for both
    # The emulator loads the CPU, which would disturb the measurement of sound.
    yield [SOUND, EMULATOR] if options.audio else [EMULATOR]


async def _run_group(checks: list[Check], options: Options) -> list[Finding]:
    return [finding for check in checks for finding in await findings_of(check, options)]


async def findings_of(check: Check, options: Options) -> list[Finding]:
    """Run one check and return its findings.

    Args:
        check: The check.
        options: The conversation to check for.

    Returns:
        The findings of the check; if it timed out or raised, a failure is the last of them.
    """
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(check.deadline_s):
            async for finding in check.run(options):
                findings.append(finding)  # noqa: PERF401  # keeps the findings before an error
    except TimeoutError:
        text = f"This check did not finish within {check.deadline_s:g} s."
        fix = "Run it again. If it still does not finish, please report this."
        findings.append(Finding(check.name, "failure", text, fix))
    except SonicError as error:
        findings.append(failure(check.name, error))
    except Exception as error:
        text = f"This check broke: {type(error).__name__}: {error}"
        fix = "Fix the other failures first; if none is left, please report this one."
        findings.append(Finding(check.name, "failure", text, fix))
    return findings
