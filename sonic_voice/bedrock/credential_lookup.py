"""Look-up of credentials from every source that the AWS CLI supports, without blocking the loop.

`botocore` finds and refreshes them (`credential_chain`) in a daemon thread, because it blocks and
because a source may hang. It is also imported there, which takes half a second.

    CredentialLookup      asyncio: one look-up at a time, its deadline, its callers
      -> CredentialChain  botocore: sources in order, cache, refresh, processes, MFA codes
      -> explain          botocore's errors as sentences with the source and the next step
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
"""Maximum time for a look-up, in seconds. A credential process or a metadata service may take
seconds; one that takes longer hangs."""

MFA_TIMEOUT_S = 120.0
"""Maximum time to type an MFA code, in seconds: enough to find the telephone and wait for a new
code."""

BEARER_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
"""Variable with a Bedrock API key, which the service does not accept for this operation."""

CREDENTIALS_HINT = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile that has credentials "
    "(--profile, AWS_PROFILE)."
)
"""Hint for a user without credentials."""


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """The credentials that a source returned."""

    access_key: str
    """Access key id."""
    secret_key: str = field(repr=False)
    """Secret access key."""
    token: str | None = field(repr=False)
    """Session token; None for long-term keys."""
    expiration: datetime | None
    """Time when they expire, with time zone; None if they do not expire."""
    origin: str
    """Description of the source."""


@dataclass(slots=True)
class LookupProgress:
    """The state of a look-up's thread, for the tasks that wait for it."""

    source: str = "any source"
    """Description of the source that is being read."""
    prompting: bool = False
    """True if the thread waits for a person to type an MFA code."""
    process: "Popen[bytes] | None" = None
    """The last credential process that was started."""
    kill_process: "Callable[[Popen[bytes]], None] | None" = None
    """Function that kills `process`."""
    closed: bool = False
    """True if no task waits any more, so that no process may be started."""
    lock: Lock = field(default_factory=Lock)
    """Lock for starting and for killing a process, which different threads do."""

    def stop(self) -> bool:
        """Kill a running credential process and prevent others from starting.

        Returns:
            Whether a process had been started.
        """
        with self.lock:
            self.closed = True
            if self.process is None or self.kill_process is None:
                return False
            self.kill_process(self.process)
            return True


class CredentialLookup:
    """The credentials of one profile or environment, looked up again when they expire.

    Concurrent callers share one look-up, so that a source that hangs blocks only one thread, and a
    person types only one MFA code.

    Args:
        files: The shared AWS files.
        profile: Name of the profile.
        only_profile: Whether the caller named the profile, so that keys in the environment are
            ignored.
        region: Region of the requests that a source may make.
        timeout_s: Maximum time for a look-up, in seconds, without the time to type an MFA code.
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
        """Description of the source of the last credentials that `identity` returned."""

    async def identity(self) -> AWSCredentialsIdentity:
        """Return credentials that are valid now, refreshed if they were about to expire.

        When this is cancelled, the look-up goes on for other callers.

        Raises:
            CredentialsError: There are none, or not within the time limit.
            ConfigError: A required file or profile cannot be used.
        """
        found = await self._found()
        self.origin = found.origin
        return AWSCredentialsIdentity(
            access_key_id=found.access_key,
            secret_access_key=found.secret_key,
            session_token=found.token,
            expiration=found.expiration,
        )

    def forget(self) -> None:
        """Read every source anew at the next look-up: the service refused what was found."""
        self._chain = None

    def close(self) -> None:
        """Kill a credential process that is still running. Idempotent."""
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
        """Look up credentials in the thread, and replace a chain that failed.

        A chain is replaced because its files may have changed since it read them.
        """
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
    """Return the error for the case that no source has credentials.

    Args:
        profile: Name of the profile.
        only_profile: Whether the environment was ignored.
    """
    if os.environ.get(BEARER_VARIABLE):
        return CredentialsError(
            f"{BEARER_VARIABLE} is set, but this operation takes no Bedrock API keys: the service "
            "refuses them, and there are no other AWS credentials.",
            hint=CREDENTIALS_HINT,
        )
    places = f"profile {profile!r} of the shared AWS files"
    if not only_profile:
        places = f"the environment or in {places}"
    return CredentialsError(
        f"No AWS credentials were found in {places}; nor does a container or an instance give any.",
        hint=CREDENTIALS_HINT,
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _take_exception(future: "asyncio.Future[FoundCredentials]") -> None:
    """Mark an exception as retrieved: waiting tasks have received it, if there were any."""
    if not future.cancelled():
        future.exception()
