"""All checks, side by side, their findings in a fixed order."""

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
    """One run at one part. `name` is for what keeps it from finding anything."""

    name: str
    run: Callable[[Options], AsyncIterator[Finding]]
    deadline_s: float


INSTALLATION = Check("installation", check_installation, 10)
ACCOUNT = Check("account", check_account, 150)  # files and credentials 10 s each, an MFA code 120 s
SERVICE = Check("service", check_service, 45)  # credentials once more, a connection, an answer
SOUND = Check("sound", check_sound, 20)
EMULATOR = Check("emulator", check_emulator, 40)  # Whisper is loaded, on a slow machine


async def examine(options: Options) -> AsyncGenerator[Finding]:
    """Look at everything that `options` need; findings come as soon as those before them have.

    Takes some 5 s, two minutes at the very most, and two more where an MFA code is to be typed.
    Raises nothing; to be read to its end or closed.
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
    """Checks that may run side by side; within a group they follow each other."""
    yield [INSTALLATION]
    if not options.local:
        yield [ACCOUNT, SERVICE]  # one after the other, so that one MFA code does for both
    # The emulator keeps the machine busy, and measured sound does not like that.
    yield [SOUND, EMULATOR] if options.audio else [EMULATOR]


async def _run_group(checks: list[Check], options: Options) -> list[Finding]:
    return [finding for check in checks for finding in await findings_of(check, options)]


async def findings_of(check: Check, options: Options) -> list[Finding]:
    """What `check` finds, and what stopped it, if anything did."""
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(check.deadline_s):
            async for finding in check.run(options):
                findings.append(finding)  # noqa: PERF401  # those before an error count
    except TimeoutError:
        text = f"This check came to no end in {check.deadline_s:g} s."
        findings.append(Finding(check.name, "failure", text, "Look at what it waits for."))
    except SonicError as error:
        findings.append(failure(check.name, error))
    except Exception as error:
        text = f"This check broke: {type(error).__name__}: {error}"
        fix = "Mend the other failures first; if none is left, please report this one."
        findings.append(Finding(check.name, "failure", text, fix))
    return findings
