"""Credentials from every source that the AWS CLI supports, without blocking the event loop.

`botocore` finds and refreshes them (`credential_chain`), in a daemon thread, because it blocks and
because a source may hang. It is imported there as well, which takes half a second.

    CredentialLookup      asyncio: one look-up at a time, its deadline, its callers
      -> CredentialChain  botocore: sources in order, cache, refresh, processes, MFA codes
      -> explain        botocore's errors as sentences with the source and the next step
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from subprocess import Popen
from threading import Lock
from typing import TYPE_CHECKING

from smithy_aws_core.identity import AWSCredentialsIdentity

from ..daemon_thread import start_in_thread
from ..errors import CredentialsError, SonicError
from .aws_files import AwsFiles

if TYPE_CHECKING:
    from .credential_chain import CredentialChain

CREDENTIALS_TIMEOUT_S = 10.0
"""A credential process or a metadata service may take seconds; longer means that it is stuck."""

MFA_TIMEOUT_S = 120.0
"""Time to type an MFA code, in seconds: enough to find the telephone and wait for a new code."""

BEARER_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""A Bedrock API key, which is of no use here."""

CREDENTIALS_HINT = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile that has credentials "
    "(--profile, AWS_PROFILE)."
)
"""The next step of somebody who has no credentials."""


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """Credentials as a source gave them."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    expiration: datetime | None
    """When they expire, with time zone; None: never."""
    origin: str
    """The source, in words."""


@dataclass(slots=True)
class LookupProgress:
    """What the thread of a look-up is doing, for those who wait for it."""

    source: str = "any source"
    """The source that is being asked, in words."""
    prompting: bool = False
    """Whether an MFA code was asked for, and a person is typing."""
    process: "Popen[bytes] | None" = None
    """The credential process that runs."""
    kill_process: "Callable[[Popen[bytes]], None] | None" = None
    closed: bool = False
    """Whether nobody waits any more; a process must not be started then."""
    lock: Lock = field(default_factory=Lock)
    """Held to start a process and to end one, which are in different threads."""

    def stop(self) -> bool:
        """Terminate a running credential process, and let none start. Return whether one ran."""
        with self.lock:
            self.closed = True
            if self.process is None or self.kill_process is None:
                return False
            self.kill_process(self.process)
            return True


class CredentialLookup:
    """The credentials of one profile or environment, looked up again when they expire.

    Callers that ask at the same time share one look-up, so that a hanging source holds one thread
    and a person types one MFA code.
    """

    def __init__(
        self,
        files: AwsFiles,
        profile: str,
        *,
        only_profile: bool,
        region: str,
        timeout_s: float,
    ) -> None:
        self._arguments = (files, profile, only_profile, region)
        self._timeout_s = timeout_s
        self._chain: CredentialChain | None = None
        self._running: asyncio.Future[FoundCredentials] | None = None
        self._progress = LookupProgress()
        self._until = 0.0
        self.origin = ""
        """The source of the credentials that were returned last, in words."""

    async def identity(self) -> AWSCredentialsIdentity:
        """Return credentials that are valid now, refreshed where they were about to expire.

        May be cancelled; the look-up then goes on for other callers.

        Raises:
            CredentialsError: There are none, or not within the time limit.
            ConfigError: A file or profile that they depend on cannot be used.
        """
        found = await self._found()
        self.origin = found.origin
        return AWSCredentialsIdentity(
            access_key_id=found.access_key,
            secret_access_key=found.secret_key,
            session_token=found.token,
            expiration=found.expiration,
        )

    def close(self) -> None:
        """Terminate a credential process that still runs. Idempotent."""
        if self._running is not None and not self._running.done():
            self._progress.stop()

    async def _found(self) -> FoundCredentials:
        loop = asyncio.get_running_loop()
        if self._running is None or self._running.done():
            self._progress = LookupProgress()
            self._until = loop.time() + self._timeout_s
            self._running = start_in_thread(self._look_up, "AWS credentials")
            self._running.add_done_callback(_take_exception)
        running, progress = self._running, self._progress
        await asyncio.wait({running}, timeout=max(0.0, self._until - loop.time()))
        if not running.done() and progress.prompting:
            await asyncio.wait({running}, timeout=MFA_TIMEOUT_S)
        if running.done():
            return running.result()
        if progress.stop():
            raise CredentialsError(
                f"{_capital(progress.source)} did not end within {self._timeout_s:g} s and was "
                "terminated.",
                hint="Run its command by hand to see what it waits for.",
            )
        if progress.prompting:
            raise CredentialsError(
                f"No MFA code was typed for {progress.source} within {MFA_TIMEOUT_S:g} s.",
                hint="Start again, and type the code.",
            )
        raise CredentialsError(
            f"No AWS credentials came from {progress.source} within {self._timeout_s:g} s.",
            hint="Check the network, and whether that service works.",
        )

    def _look_up(self) -> FoundCredentials:
        """Look up in the thread; a chain that failed is replaced, as its files may have changed."""
        from .credential_chain import CredentialChain

        known, self._chain = self._chain, None
        found = None
        if known is not None:
            try:
                found = known.look_up(self._progress)
            except SonicError:
                known = None
        if known is None:
            known = CredentialChain(*self._arguments)
            found = known.look_up(self._progress)
        if found is None:
            _, profile, only_profile, _ = self._arguments
            raise no_credentials_error(profile, only_profile=only_profile)
        self._chain = known
        return found


def no_credentials_error(profile: str, *, only_profile: bool) -> CredentialsError:
    """Return the error for when no source has credentials."""
    if os.environ.get(BEARER_VARIABLE):
        return CredentialsError(
            f"{BEARER_VARIABLE} is set, but this operation takes no Bedrock API keys: the service refuses "
            "them, and there are no other AWS credentials.",
            hint=CREDENTIALS_HINT,
        )
    places = f"profile {profile!r} of the shared AWS files"
    if not only_profile:
        places = f"the environment, and {places}"
    return CredentialsError(
        f"No AWS credentials were found in {places}; nor does a container or an instance give any.",
        hint=CREDENTIALS_HINT,
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _take_exception(future: "asyncio.Future[FoundCredentials]") -> None:
    """Mark an exception as seen: those who waited have it, or nobody wants it any more."""
    if not future.cancelled():
        future.exception()
