"""AWS credentials that are missing, expired or broken, as `talk` and `doctor` report them.

Each fault is planted in a home directory of its own. Both programs say the same sentence, which
names the source, and the same next step, which is a command where there is one.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import cast

import pytest
from typer.testing import CliRunner

from sonic_voice import LocalService, wire
from sonic_voice.cli.commands import app
from sonic_voice.emulator.assembly import emulator
from sonic_voice.emulator.behaviour import Behaviour

from ..support.aws_profiles import (
    BASE,
    LOGIN,
    START_URL,
    Environment,
    Home,
    aws_login,
    container,
    role_of_a_profile,
    role_of_an_sso_profile,
    sso_older_form,
    sso_session,
    web_identity,
)
from ..support.aws_stand_ins import MFA_CODE, ROLE, AwsStandIns

PROGRAM = Path(sys.executable).with_name("sonic-voice")
DEMO = cast(Path, resources.files("sonic_voice.emulator"))
TALK = ("talk", "--speed", "20", "--input", str(DEMO / "demo.wav"))
DOCTOR = ("doctor", "--no-audio", "--json")
NOWHERE = "https://127.0.0.1:9"
"""An endpoint that credentials keep anybody from reaching."""


@dataclass(frozen=True)
class Done:
    code: int | None
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with AwsStandIns(life=timedelta(hours=1)) as stand_ins:
        yield Home(tmp_path, stand_ins)


def surroundings(home: Home, environment: Environment) -> Environment:
    """`environment` on a machine whose only AWS settings lead to the stand-ins."""
    skipped = ("AWS_", "SSL_CERT")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(skipped)}
    clean |= home.stand_ins.environment()
    clean |= {"HOME": str(home.path), "AWS_REGION": "us-east-1", "COLUMNS": "200"}
    clean |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": NOWHERE}
    return clean | environment


async def run(*command: str | Path, home: Home, environment: Environment) -> Done:
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=home.path,
        env=surroundings(home, environment),
        start_new_session=True,  # without a terminal
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(running.communicate(), 60)
    return Done(running.returncode, out.decode(), err.decode())


# --- the faults


def profile(text: str, **environment: str) -> Callable[[Home], Environment]:
    """A profile `voice` with `text`, after one with static keys."""

    def prepare(home: Home) -> Environment:
        home.config(f"{BASE}[profile voice]\n{text}")
        return {"AWS_PROFILE": "voice"} | environment

    return prepare


def process(script: str) -> Callable[[Home], Environment]:
    def prepare(home: Home) -> Environment:
        path = home.file("process.py", script)
        return profile(f"credential_process = {sys.executable} {path}\n")(home)

    return prepare


def refused(
    prepare: Callable[[Home], Environment], status: int, code: str, text: str
) -> Callable[[Home], Environment]:
    """STS and the SSO portal refuse."""

    def planted(home: Home) -> Environment:
        environment = prepare(home)
        home.stand_ins.refuse = (status, code, text)
        return environment

    return planted


def given(**environment: str) -> Callable[[Home], Environment]:
    """Variables alone."""
    return lambda home: environment


def sso_missing(home: Home) -> Environment:
    environment = sso_session(home)
    for path in (home.path / ".aws/sso/cache").iterdir():
        path.unlink()
    return environment


def sso_expired(home: Home) -> Environment:
    environment = sso_session(home)
    home.sso_token("work", timedelta(hours=-1))
    return environment


def sso_older_form_expired(home: Home) -> Environment:
    environment = sso_older_form(home)
    home.sso_token(START_URL, timedelta(hours=-1))
    return environment


def sso_of_the_source_expired(home: Home) -> Environment:
    environment = role_of_an_sso_profile(home)
    home.sso_token("work", timedelta(hours=-1))
    return environment


def login_missing(home: Home) -> Environment:
    home.config(f"[profile voice]\nlogin_session = {LOGIN}\n")
    return {"AWS_PROFILE": "voice"}


def login_expired(home: Home) -> Environment:
    environment = aws_login(home)
    home.login_token(timedelta(hours=-1), refresh_token="an-old-one")
    return environment


def token_file_missing(home: Home) -> Environment:
    return web_identity(home) | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(home.path / "no-token")}


def container_refuses(home: Home) -> Environment:
    return container(home) | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "an-old-secret"}


def bom(home: Home) -> Environment:
    home.config("\ufeff[default]\nregion = us-east-1\n")
    return {}


ROLE_OF_BASE = f"role_arn = {ROLE}\nsource_profile = base\n"
OLD = "2026-01-02T03:04:00Z"
EXPIRED = json.dumps(
    {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "a-secret", "Expiration": OLD}
)
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "a-secret"}
NO_TERMINAL = "role, MFA without a terminal"
SSO_LOGIN = "aws sso login --profile voice"

FAULTS: dict[str, tuple[Callable[[Home], Environment], str, str]] = {
    "nothing": (
        given(),
        "No AWS credentials were found in the environment or in profile 'default'",
        "AWS_ACCESS_KEY_ID",
    ),
    "a Bedrock API key alone": (
        given(AWS_BEARER_TOKEN_BEDROCK="a-secret"),
        "takes no Bedrock API keys",
        "AWS_ACCESS_KEY_ID",
    ),
    "no such profile": (
        given(AWS_PROFILE="nobody"),
        "There is no AWS profile 'nobody'",
        "aws configure",
    ),
    "SSO, never logged in": (
        sso_missing,
        "The SSO session of profile 'voice' is missing.",
        SSO_LOGIN,
    ),
    "SSO, expired": (sso_expired, "The SSO session of profile 'voice' has expired.", SSO_LOGIN),
    "SSO, older form, expired": (
        sso_older_form_expired,
        "The SSO session of profile 'voice' has expired.",
        SSO_LOGIN,
    ),
    "SSO, role refused": (
        refused(sso_session, 403, "ForbiddenException", "No access"),
        "The SSO portal refused the role of profile 'voice' (ForbiddenException: No access).",
        SSO_LOGIN,
    ),
    "SSO, incomplete": (
        profile("sso_account_id = 1\nsso_role_name = voice\n"),
        "'voice' cannot be used",
        "/.aws/config",
    ),
    "SSO of the source, expired": (
        sso_of_the_source_expired,
        "The SSO session of profile 'base' has expired.",
        "aws sso login --profile base",
    ),
    "aws login, never": (
        login_missing,
        "The `aws login` session of profile 'voice' is missing.",
        "aws login --profile voice",
    ),
    "aws login, expired": (
        login_expired,
        "The `aws login` session of profile 'voice' has expired.",
        "aws login --profile voice",
    ),
    "role refused": (
        refused(role_of_a_profile, 403, "AccessDenied", "not authorized"),
        "AWS refused the role of profile 'voice' (AccessDenied: not authorized).",
        "trust policy",
    ),
    "role, source expired": (
        refused(role_of_a_profile, 403, "ExpiredToken", "expired"),
        "AWS refused the role of profile 'voice' (ExpiredToken: expired).",
        "profile 'base'",
    ),
    "role, no source": (
        profile(f"role_arn = {ROLE}\nsource_profile = nobody\n"),
        "The AWS profile 'voice' cannot be used: The source_profile \"nobody\"",
        "/.aws/config",
    ),
    "role, in a circle": (
        profile(
            f"role_arn = {ROLE}\nsource_profile = other\n"
            f"[profile other]\nrole_arn = {ROLE}\nsource_profile = voice\n"
        ),
        "The AWS profile 'voice' cannot be used: Infinite loop",
        "/.aws/config",
    ),
    "role, external id too short": (
        profile(f"{ROLE_OF_BASE}external_id = 1\n"),
        "The AWS profile 'voice' cannot be used: Invalid length for parameter ExternalId",
        "/.aws/config",
    ),
    NO_TERMINAL: (
        profile(f"{ROLE_OF_BASE}mfa_serial = arn:aws:iam::123456789012:mfa/me\n"),
        "An MFA code is needed for the role of profile 'voice', and there is no terminal",
        "Run this in a terminal",
    ),
    "role of an instance that is none": (
        profile(f"role_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n"),
        "No AWS credentials came from the role of profile 'voice'",
        "--profile voice",
    ),
    "STS cannot be reached": (
        profile(ROLE_OF_BASE, AWS_ENDPOINT_URL_STS="http://127.0.0.1:9"),
        "http://127.0.0.1:9/, which the role of profile 'voice' needs, cannot be reached.",
        "Check the network",
    ),
    "process fails": (
        process("import sys\nsys.exit('the vault is locked')"),
        "No AWS credentials came from the credential_process of profile 'voice': the vault is lock",
        "Run its command by hand",
    ),
    "process is not there": (
        profile("credential_process = /no/such/program --all\n"),
        "The credential_process of profile 'voice' cannot be started: /no/such/program",
        "/.aws/config",
    ),
    "process gives no JSON": (
        process("print('a-secret')"),
        "No AWS credentials came from the credential_process of profile 'voice'",
        "Run its command by hand",
    ),
    "process gives expired ones": (
        process(f"print({EXPIRED!r})"),
        "from the credential_process of profile 'voice' expired at 2026-01-02 03:04 UTC.",
        "Log in again",
    ),
    "web identity, no token": (
        token_file_missing,
        "the web identity of the environment (AWS_WEB_IDENTITY_TOKEN_FILE)",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "container refuses": (
        container_refuses,
        "No AWS credentials came from the container's credentials endpoint",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "half a pair of keys": (
        given(AWS_ACCESS_KEY_ID="AKIA"),
        "in the environment are incomplete: AWS_SECRET_ACCESS_KEY is missing.",
        "Set AWS_SECRET_ACCESS_KEY",
    ),
    "half a pair of keys in a profile": (
        profile("aws_access_key_id = AKIA\n"),
        "in profile 'voice' of the AWS files are incomplete: aws_secret_access_key is missing.",
        "Set aws_secret_access_key",
    ),
    "keys of the environment that expired": (
        given(**KEYS, AWS_CREDENTIAL_EXPIRATION=OLD),
        "from the environment expired at 2026-01-02 03:04 UTC.",
        "Log in again",
    ),
    "a line break in a variable": (
        given(**KEYS | {"AWS_ACCESS_KEY_ID": "AKIA\n"}),
        "The environment variable AWS_ACCESS_KEY_ID has white space",
        "Set AWS_ACCESS_KEY_ID again",
    ),
    "a file with a BOM": (bom, "/.aws/config begins with a byte order mark", "without a BOM"),
}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != NO_TERMINAL])
def test_talk_and_doctor_say_the_same_of_a_fault(
    fault: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = surroundings(home, FAULTS[fault][0](home))
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def invoked(*arguments: str) -> Done:
        done = CliRunner().invoke(app, arguments)
        return Done(done.exit_code, done.stdout, done.stderr)

    refuse = home.stand_ins.refuse
    talk = invoked(*TALK)
    home.stand_ins.refuse = refuse
    compare(fault, talk, invoked(*DOCTOR))


async def test_talk_and_doctor_say_the_same_where_there_is_no_terminal(home: Home) -> None:
    environment = FAULTS[NO_TERMINAL][0](home)
    talk = await run(PROGRAM, *TALK, home=home, environment=environment)
    doctor = await run(PROGRAM, *DOCTOR, home=home, environment=environment)
    compare(NO_TERMINAL, talk, doctor)


def compare(fault: str, talk: Done, doctor: Done) -> None:
    """Check that both report `fault` in its words, and in the same."""
    _, message, next_step = FAULTS[fault]
    assert (talk.code, talk.out) == (3, "")
    said, hint = talk.err.splitlines()
    assert message in said
    assert next_step in hint
    assert (doctor.code, doctor.err) == (1, "")
    found = [(finding["found"], finding["fix"]) for finding in json.loads(doctor.out)["findings"]]
    assert (said.removeprefix("sonic-voice: "), hint.strip()) in found
    assert "a-secret" not in talk.err + doctor.out


async def test_doctor_says_where_credentials_come_from_and_until_when(home: Home) -> None:
    doctor = await run(PROGRAM, *DOCTOR, home=home, environment=sso_session(home))
    [found] = [
        finding
        for finding in json.loads(doctor.out)["findings"]
        if finding["name"] == "credentials"
    ]
    assert found["grade"] == "ok"
    assert "from the SSO of profile 'voice', until 20" in found["found"]


async def test_a_log_with_debug_holds_no_credentials(home: Home) -> None:
    environment = role_of_a_profile(home)
    talk = await run(PROGRAM, "--debug", *TALK, home=home, environment=environment)
    assert home.stand_ins.issued == 1
    for secret in ("base-secret", home.stand_ins.keys[0].secret_key):
        assert secret not in talk.err


# --- a user without a home directory


@pytest.fixture
def homeless(home: Home) -> Home:
    """No `HOME`, and a user database that does not know the user; through Python's own door."""
    home.file(
        "site/sitecustomize.py",
        "import pwd\ndef nobody(uid):\n    raise KeyError(uid)\npwd.getpwuid = nobody\n",
    )
    return home


async def without_home(home: Home, *arguments: str, **environment: str) -> Done:
    more = {"PYTHONPATH": str(home.path / "site")} | environment
    command = ("env", "--unset=HOME", "--unset=XDG_DATA_HOME", str(PROGRAM), *arguments)
    return await run(*command, home=home, environment=more)


LOCAL = (*TALK, "--local", "--scenario", str(DEMO / "demo.yaml"))


async def test_the_emulator_needs_no_home_directory(homeless: Home) -> None:
    done = await without_home(homeless, *LOCAL)
    assert (done.code, done.err) == (0, "")
    assert "hello." in done.out


async def test_without_a_home_directory_keys_of_the_environment_still_work(
    homeless: Home,
) -> None:
    running = emulator(DEMO / "demo.yaml", behaviour=Behaviour(latency="none"))
    async with running:
        done = await without_home(homeless, *TALK, **running.environment())
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (TALK, "No AWS credentials were found"),
        ((*TALK, "--profile", "voice"), "this user has no home directory"),
        (("emulate",), "this user has no home directory"),
    ],
)
async def test_without_a_home_directory_there_is_one_clear_sentence(
    arguments: tuple[str, ...], message: str, homeless: Home
) -> None:
    done = await without_home(homeless, *arguments)
    assert (done.code, done.out) == (3, "")
    said, _ = done.err.splitlines()
    assert message in said


def bad_variables(home: Home) -> Environment:
    return KEYS | {"AWS_ACCESS_KEY_ID": "AKIA\n", "AWS_REGION": "nowhere\n"}


def no_such_profile(home: Home) -> Environment:
    return {"AWS_PROFILE": "nobody"}


def odd_retries(home: Home) -> Environment:
    return {"AWS_MAX_ATTEMPTS": "many", "AWS_RETRY_MODE": "legacy"}


def endless_files(home: Home) -> Environment:
    return {"AWS_CONFIG_FILE": "/dev/zero", "AWS_SHARED_CREDENTIALS_FILE": "/dev/zero"}


@pytest.mark.parametrize(
    "prepare",
    [bom, bad_variables, no_such_profile, odd_retries, endless_files],
    ids=lambda prepare: prepare.__name__,
)
async def test_the_emulator_reads_no_aws_settings(
    prepare: Callable[[Home], Environment], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in surroundings(home, prepare(home)).items():
        monkeypatch.setenv(name, value)
    async with LocalService(DEMO / "demo.yaml") as transport:
        stream = await transport.open("amazon.nova-2-sonic-v1:0")
        await stream.send(wire.encode_input(wire.SessionStart(1024, 0.9, 0.7)))
        await stream.accepted()
        await stream.aclose()


# --- MFA codes on a terminal

ON_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "terminal = os.open(sys.argv[1], os.O_RDWR)\n"
    "fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)
MFA = f"{ROLE_OF_BASE}mfa_serial = arn:aws:iam::123456789012:mfa/me\n"


async def on_terminal(home: Home, environment: Environment, code: str, *arguments: str) -> Done:
    """Run a program on a terminal of its own, and type `code` when it asks; `out`: what is seen."""
    ours, theirs = os.openpty()
    command = (sys.executable, "-c", ON_TERMINAL, os.ttyname(theirs), PROGRAM, *arguments)
    running = asyncio.create_task(run(*command, home=home, environment=environment))
    loop = asyncio.get_running_loop()
    seen = ""
    while "Enter MFA code for arn:aws:iam::123456789012:mfa/me" not in seen:
        seen += (await loop.run_in_executor(None, os.read, ours, 1000)).decode()
    os.write(ours, f"{code}\n".encode())
    done = await running
    os.close(theirs)
    os.close(ours)
    return done


async def test_an_mfa_code_is_asked_for_on_the_terminal_and_kept_for_an_hour(home: Home) -> None:
    environment = profile(MFA)(home)
    async with emulator(
        DEMO / "demo.yaml", behaviour=Behaviour(latency="none"), keys=home.stand_ins.keys
    ) as running:
        environment |= {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": running.endpoint}
        environment |= {"SSL_CERT_FILE": str(running.ca_file)}
        first = await on_terminal(home, environment, MFA_CODE, *TALK)
        assert (first.code, first.err) == (0, "")
        again = await run(PROGRAM, *TALK, home=home, environment=environment)
        assert (again.code, again.err) == (0, "")
        assert home.stand_ins.issued == 1


async def test_the_doctor_asks_for_one_mfa_code(home: Home) -> None:
    doctor = await on_terminal(home, profile(MFA)(home), MFA_CODE, *DOCTOR)
    assert "from the role of profile 'voice'" in doctor.out
    assert home.stand_ins.issued == 1


async def test_a_wrong_mfa_code_is_said(home: Home) -> None:
    done = await on_terminal(home, profile(MFA)(home), "000000", *TALK)
    assert done.code == 3
    assert "The MFA code for the role of profile 'voice' was refused" in done.err
