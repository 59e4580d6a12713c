"""`botocore`'s credential providers, in the order of the AWS CLI. Everything here blocks.

This module adds to botocore:

- *The region* is passed as an argument, because botocore does not read `AWS_REGION`.
- *Credential processes* get a process group of their own, so that a process that hangs can be
  terminated with all its children (`LookupProgress.stop`).
- *MFA codes* are typed visibly on the terminal, because a code cannot be used twice, and because an
  interrupted hidden prompt leaves the terminal without echo. A code is needed once an hour: roles
  with MFA are kept in the AWS CLI's own cache, as the AWS CLI does.
- *The folders of caches* follow `HOME`; botocore fixes them when it is imported.
- *Time limits*: one retry, and 5 s for a connection or an answer.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.credentials import (
    AssumeRoleProvider,
    CanonicalNameCredentialSourcer,
    EnvProvider,
    ProcessProvider,
    ProfileProviderBuilder,
    create_credential_resolver,
)
from botocore.session import Session
from botocore.utils import JSONFileCache, create_nested_client, get_login_token_cache_directory

from ..errors import CredentialsError, SonicError
from ..printable import printable
from .aws_files import AwsFiles
from .credential_errors import LookupContext, expired_error, explain, source_name
from .credential_lookup import FoundCredentials, LookupProgress

_RESPONSE_TIMEOUT_S = 5
"""Maximum time for a connection to STS, SSO or sign-in, and for its answer, in seconds."""

_READ_AGAIN = ("env", "shared-credentials-file", "config-file")
"""Sources without an expiry, which are read for each look-up: other programs rewrite them when keys
expire. The names are botocore's."""

_TERMINAL = ("CONIN$", "CONOUT$") if os.name == "nt" else ("/dev/tty", "/dev/tty")
"""Paths of the terminal's keyboard and screen."""


class CredentialChain:
    """The credential sources of one profile or environment, and the last credentials found.

    Args:
        files: The shared AWS files.
        profile: Name of the profile.
        only_profile: Whether the caller named the profile, so that keys in the environment are
            ignored.
        region: Region of the requests to STS, SSO and sign-in.
    """

    def __init__(self, files: AwsFiles, profile: str, only_profile: bool, region: str) -> None:
        self._setup = LookupContext(files, profile, only_profile)
        self._region = region
        self._credentials: Any = None
        self._progress = LookupProgress()

    def look_up(self, progress: LookupProgress) -> FoundCredentials | None:
        """Return credentials that are valid now; None if no source has any. Blocks.

        Args:
            progress: State of this look-up, which is updated for the waiting tasks.

        Raises:
            CredentialsError: A configured source gives no credentials.
            ConfigError: An AWS file cannot be parsed.
        """
        self._progress = progress
        try:
            return self._valid()
        except SonicError:
            raise
        except Exception as error:
            raise explain(error, progress.source, self._setup) from error

    def _valid(self) -> FoundCredentials | None:
        if self._credentials is None:
            self._credentials = self._load()
        if self._credentials is None:
            return None
        credentials = self._credentials
        self._progress.source = source_name(credentials.method, self._setup)
        try:
            frozen = credentials.get_frozen_credentials()
        except RuntimeError as error:  # refreshed, and expired nevertheless
            raise expired_error(_expiration(credentials), self._progress.source) from error
        found = FoundCredentials(
            access_key=frozen.access_key.strip(),
            secret_key=frozen.secret_key.strip(),
            token=frozen.token.strip() if frozen.token else None,
            expiration=_expiration(credentials),
            origin=self._progress.source,
        )
        _check_characters(found)
        if credentials.method in _READ_AGAIN:
            self._credentials = None
        return found

    def _load(self) -> Any:
        """Return the credentials of the first source; botocore may fetch them later."""
        session = self._session()
        self._setup.profiles = session.full_config.get("profiles", {})
        for provider in self._providers(session):
            self._progress.source = source_name(provider.METHOD, self._setup)
            if (credentials := provider.load()) is not None:
                return credentials
        return None

    def _session(self) -> Any:
        session = Session(profile=self._setup.profile if self._setup.only_profile else None)
        if not self._setup.only_profile:
            # Only the name is set: as an instance variable it would exclude environment keys.
            store = session.get_component("config_store")
            store.set_config_variable("profile", self._setup.profile)
            session.get_scoped_config = lambda: _scoped(session, self._setup.profile)
        session.set_config_variable("region", self._region)
        session.set_config_variable("config_file", self._setup.files.config)
        session.set_config_variable("credentials_file", self._setup.files.credentials)
        if not session.get_config_variable("ca_bundle") and (ca := os.environ.get("SSL_CERT_FILE")):
            session.set_config_variable("ca_bundle", ca)
        session.set_default_client_config(
            Config(
                connect_timeout=_RESPONSE_TIMEOUT_S,
                read_timeout=_RESPONSE_TIMEOUT_S,
                retries={"total_max_attempts": 2, "mode": "standard"},
            )
        )
        return session

    def _providers(self, session: Any) -> list[Any]:
        """Return botocore's chain, with those providers replaced that prompt or start processes."""
        chain = create_credential_resolver(session)
        roles: Any = {}
        if self._setup.files.folder is not None and self._setup.needs_mfa:
            roles = _RoleCache(self._setup.files.folder / "cli" / "cache")
        builder = _Profiles(session, self._setup.files.folder, self._start)
        role = AssumeRoleProvider(
            load_config=lambda: session.full_config,
            client_creator=partial(create_nested_client, session),
            cache=roles,
            profile_name=self._setup.profile,
            prompter=self._prompt_mfa_code,
            credential_sourcer=CanonicalNameCredentialSourcer(
                [
                    EnvProvider(),
                    chain.get_provider("container-role"),
                    chain.get_provider("iam-role"),
                ]
            ),
            profile_provider_builder=builder,
        )
        own = {p.METHOD: p for p in (role, *builder.providers(*self._setup.provider_arguments))}
        return [own.get(provider.METHOD, provider) for provider in chain.providers]

    def _start(self, command: list[str], stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start a credential process. botocore calls this in place of `subprocess.Popen`."""
        progress = self._progress
        with progress.lock:
            if progress.closed:
                raise CredentialsError("The look-up of AWS credentials was closed.")
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            progress.process, progress.kill_process = process, _kill_group
        return process

    def _prompt_mfa_code(self, prompt: str) -> str:
        """Ask for an MFA code on this program's terminal, and return it."""
        self._progress.prompting = True
        try:
            with Path(_TERMINAL[0]).open() as keyboard, Path(_TERMINAL[1]).open("w") as screen:
                if os.name == "posix" and os.tcgetpgrp(keyboard.fileno()) != os.getpgrp():
                    raise OSError("this program runs in the background")  # noqa: TRY301
                screen.write(printable(prompt))
                screen.flush()
                code = keyboard.readline().strip()
        except OSError as error:
            raise CredentialsError(
                f"An MFA code is needed for {self._progress.source}, and there is no terminal to "
                "type it on.",
                hint=(
                    "Run this in a terminal, or run there first: "
                    f"aws sts get-caller-identity --profile {self._setup.profile}"
                ),
            ) from error
        if not code:
            raise CredentialsError(
                f"No MFA code was typed for {self._progress.source}.",
                hint="Start again, and type the code.",
            )
        return code


class _Profiles(ProfileProviderBuilder):
    """The providers of a profile, with `CredentialChain`'s processes and the caches of `HOME`."""

    def __init__(
        self, session: Any, folder: Path | None, start: Callable[..., subprocess.Popen[bytes]]
    ) -> None:
        tokens: Any = {}
        if folder is not None:
            tokens = JSONFileCache(str(folder / "sso" / "cache"), dumps_func=_token_json)
        logins: Any = {}
        if folder is not None or "AWS_LOGIN_CACHE_DIRECTORY" in os.environ:
            logins = JSONFileCache(get_login_token_cache_directory())
        super().__init__(session, cache={}, sso_token_cache=tokens, login_token_cache=logins)
        self._own_session = session
        self._start = start

    def providers(self, profile_name: str, disable_env_vars: bool = False) -> list[Any]:
        """Return the providers in botocore's order.

        Args:
            profile_name: Name of the profile.
            disable_env_vars: Whether the environment is ignored.
        """
        process = ProcessProvider(
            profile_name=profile_name,
            load_config=lambda: self._own_session.full_config,
            popen=self._start,  # pyright: ignore[reportArgumentType]
        )
        found = super().providers(profile_name, disable_env_vars)
        return [process if provider.METHOD == process.METHOD else provider for provider in found]


class _RoleCache(JSONFileCache):
    """The AWS CLI's cache of assumed roles. If it is not writable, nothing is stored."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))

    def __setitem__(self, cache_key: str, value: Any) -> None:
        try:
            super().__setitem__(cache_key, value)
        except OSError:
            return


def _token_json(token: dict[str, Any]) -> str:
    """Return an SSO token in the format of the AWS CLI and other SDKs, which share the cache."""
    return json.dumps(token, default=lambda when: when.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _scoped(session: Any, profile: str) -> dict[str, Any]:
    return session.full_config.get("profiles", {}).get(profile, {})


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill `process` and its children, which may keep its output open after its end."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):  # the group is empty
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _expiration(credentials: Any) -> datetime | None:
    """Return the time when credentials expire, for which botocore has no public name."""
    return getattr(credentials, "_expiry_time", None)


def _check_characters(found: FoundCredentials) -> None:
    """Raise `CredentialsError` for keys that cannot be sent in a header."""
    for name, value in (
        ("access key", found.access_key),
        ("secret key", found.secret_key),
        ("session token", found.token or ""),
    ):
        if not value.isascii() or not value.isprintable() or " " in value:
            raise CredentialsError(
                f"The {name} from {found.origin} contains a space or a character that no key has.",
                hint="Copy it again.",
            )
