"""The options about guards: `--guard` names one, and the others say what becomes of its verdicts.

    checks                     Bedrock's InvokeGuardrailChecks
    guardrail:ID[:VERSION]     a guardrail of the account, through ApplyGuardrail
    converse:MODEL             a moderation model of Bedrock, through Converse
    openai:URL#MODEL           a moderation model behind an endpoint of Chat Completions

Guards of Bedrock use the region, the profile and the endpoint of the conversation. A conversation
with the emulator has none of them, so that its guard is asked with the settings of AWS.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from ..errors import AudioError
from ..guards.moderation_prompt import POLICY
from ..guards.verdicts import (
    DEADLINE_S,
    PASSED,
    REPLACEMENT,
    FailurePolicy,
    GuardSettings,
    Role,
    Verdict,
)
from .service import read_text_argument

_FORMS = "checks, guardrail:ID[:VERSION], converse:MODEL or openai:URL#MODEL"

_MAX_SOUND_S = 30
"""Maximum length of the sound of a replacement, in seconds."""


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """The settings with which a guard of Bedrock is asked."""

    region: str | None = None
    profile: str | None = None
    endpoint: str | None = None
    ca: Path | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class GuardOption:
    """A guard that the user named, to be opened in the event loop."""

    kind: str
    """`checks`, `guardrail`, `converse` or `openai`."""
    target: str
    """Id of the guardrail or of the model, or URL and model; empty for `checks`."""
    policy: str
    """Policy for moderation models: a description of what is not allowed."""
    settings: GuardSettings
    """Settings by which verdicts are applied. Its guard is a placeholder."""
    aws: AwsSettings

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[GuardSettings]:
        """Open the guard, and yield it with its settings.

        Raises:
            ConfigError: A setting of AWS or the URL cannot be used.
            CredentialsError: There are no valid credentials for Bedrock.
        """
        async with AsyncExitStack() as stack:
            if self.kind == "openai":
                from ..guards.chat_guard import ChatGuard

                url, _, model = self.target.partition("#")
                chat = ChatGuard(url, model, self.policy)
                stack.push_async_callback(chat.aclose)
                yield replace(self.settings, check=chat)
                return
            from ..bedrock import BedrockTransport
            from ..bedrock.guardrails import ChecksGuard, ConverseGuard, GuardrailGuard
            from ..bedrock.operations import BedrockOperations

            aws = self.aws
            transport = BedrockTransport(
                region=aws.region,
                profile=aws.profile,
                endpoint=aws.endpoint,
                ca_file=aws.ca,
                proxy=aws.proxy,
            )
            operations = await stack.enter_async_context(BedrockOperations(transport))
            if self.kind == "converse":
                check = ConverseGuard(operations, self.target, self.policy)
            elif self.kind == "guardrail":
                name, _, version = self.target.rpartition(":")
                numbered = bool(name) and (version.isdigit() or version == "DRAFT")
                check = (
                    GuardrailGuard(operations, name, version)
                    if numbered
                    else GuardrailGuard(operations, self.target)
                )
            else:
                check = ChecksGuard(operations)
            yield replace(self.settings, check=check)


def guard_option(
    guard: str | None,
    *,
    failure: FailurePolicy = "closed",
    deadline_s: float = DEADLINE_S,
    instead: str | None = None,
    sound: Path | None = None,
    policy: str | None = None,
    aws: AwsSettings,
) -> GuardOption | None:
    """Return the guard that the options name; None if they name none.

    Args:
        guard: The value of --guard.
        failure: The value of --guard-failure.
        deadline_s: The value of --guard-seconds.
        instead: The value of --guard-text.
        sound: The value of --guard-sound.
        policy: The value of --guard-policy.
        aws: The settings of AWS.

    Raises:
        typer.BadParameter: The guard has none of the forms.
        ConfigError: A setting is impossible.
        AudioError: The sound cannot be read.
    """
    if guard is None:
        return None
    kind, _, target = guard.partition(":")
    url, _, model = target.partition("#")
    formed = {
        "checks": not target,
        "guardrail": bool(target),
        "converse": bool(target),
        "openai": bool(url and model),
    }
    if not formed.get(kind, False):
        raise typer.BadParameter(f"{guard!r} is no guard: {_FORMS}.", param_hint="--guard")
    settings = GuardSettings(
        _unopened,
        replacement=REPLACEMENT if instead is None else instead,
        sound=b"" if sound is None else _read_sound(sound),
        on_failure=failure,
        deadline_s=deadline_s,
    )
    wanted = POLICY if policy is None else read_text_argument(policy)
    return GuardOption(kind, target, wanted, settings, aws)


@asynccontextmanager
async def opened_guard(option: GuardOption | None) -> AsyncGenerator[GuardSettings | None]:
    """Open a guard, if there is one.

    Args:
        option: The guard that the options name.

    Raises:
        SonicError: See `GuardOption.opened`.
    """
    if option is None:
        yield None
        return
    async with option.opened() as settings:
        yield settings


def _unopened(role: Role, text: str) -> Verdict:
    return PASSED  # in place of a guard until `opened` puts it there


def _read_sound(path: Path) -> bytes:
    """Return the samples of a sound file, at the rate of the answers."""
    from ..audio.decoding import open_recording  # commands without a sound do not need NumPy
    from ..audio.pcm import Resampler
    from ..audio.ports import OUTPUT_FORMAT

    recording = open_recording(path)
    try:
        if recording.frames > _MAX_SOUND_S * recording.rate_hz:
            raise AudioError(
                f"{path} is longer than {_MAX_SOUND_S} s.", hint="Name a short sentence."
            )
        resampler = Resampler(recording.rate_hz, OUTPUT_FORMAT.rate_hz)
        return resampler.feed(recording.read(max(1, recording.frames))) + resampler.finish()
    finally:
        recording.close()
