"""A home directory with profiles for each source of AWS credentials, pointed at `AwsStandIns`."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .aws_stand_ins import (
    CONTAINER_TOKEN,
    REFRESH_TOKEN,
    ROLE,
    SSO_TOKEN,
    AwsStandIns,
)

START_URL = "https://example.awsapps.com/start"
LOGIN = "arn:aws:iam::123456789012:user/me"
BASE = "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = base-secret\n"
STATIC = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"


@dataclass(frozen=True)
class Home:
    """A home directory, and the stand-ins behind its profiles."""

    path: Path
    stand_ins: AwsStandIns

    def config(self, text: str) -> None:
        self.file(".aws/config", text)

    def file(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def sso_token(self, key: str, life: timedelta = timedelta(hours=8), **more: str) -> None:
        """Put an SSO access token where `aws sso login` would."""
        token = {"startUrl": START_URL, "region": "us-east-1", "accessToken": SSO_TOKEN} | more
        token["expiresAt"] = time(life)
        self.file(f".aws/sso/cache/{sha1(key.encode()).hexdigest()}.json", json.dumps(token))

    def login_token(self, life: timedelta, refresh_token: str = REFRESH_TOKEN) -> None:
        """Put a session where `aws login` would."""
        new = self.stand_ins.issue()
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        token = {
            "accessToken": {
                "accessKeyId": new.access_key,
                "secretAccessKey": new.secret_key,
                "sessionToken": "token",
                "accountId": "123456789012",
                "expiresAt": time(life),
            },
            "tokenType": "aws_sigv4",
            "refreshToken": refresh_token,
            "clientId": "arn:aws:signin:::devtools/same-device",
            "dpopKey": key.decode(),
        }
        name = sha256(LOGIN.encode()).hexdigest()
        self.file(f".aws/login/cache/{name}.json", json.dumps(token))


def time(from_now: timedelta) -> str:
    return f"{datetime.now(UTC) + from_now:%Y-%m-%dT%H:%M:%SZ}"


type Environment = dict[str, str]


def environment_keys(home: Home) -> Environment:
    new = home.stand_ins.issue()
    return {"AWS_ACCESS_KEY_ID": new.access_key, "AWS_SECRET_ACCESS_KEY": new.secret_key}


def shared_file(home: Home) -> Environment:
    new = home.stand_ins.issue()
    home.file(".aws/credentials", STATIC.format(new.access_key, new.secret_key))
    return {}


def config_file(home: Home) -> Environment:
    new = home.stand_ins.issue()
    home.config(STATIC.format(new.access_key, new.secret_key))
    return {}


def process(home: Home) -> Environment:
    """A program that fetches from the container's endpoint, as tools of companies fetch."""
    script = (
        "import json, urllib.request as u\n"
        f"asked = u.Request('{home.stand_ins.url}/container',"
        f" headers={{'Authorization': '{CONTAINER_TOKEN}'}})\n"
        "found = json.load(u.build_opener(u.ProxyHandler({})).open(asked))\n"
        "print(json.dumps({**found, 'Version': 1, 'SessionToken': found['Token']}))\n"
    )
    path = home.file("process.py", script)
    home.config(f"[profile voice]\ncredential_process = {sys.executable} {path}\n")
    return {"AWS_PROFILE": "voice"}


def sso_session(home: Home) -> Environment:
    home.config(
        "[profile voice]\nsso_session = work\nsso_account_id = 123456789012\n"
        "sso_role_name = voice\n"
        f"[sso-session work]\nsso_start_url = {START_URL}\nsso_region = us-east-1\n"
    )
    home.sso_token("work")
    return {"AWS_PROFILE": "voice"}


def sso_expired_with_refresh_token(home: Home) -> Environment:
    environment = sso_session(home)
    home.sso_token(
        "work",
        timedelta(hours=-1),
        refreshToken=REFRESH_TOKEN,
        clientId="client",
        clientSecret="secret",
        registrationExpiresAt=time(timedelta(days=30)),
    )
    return environment


def sso_older_form(home: Home) -> Environment:
    home.config(
        f"[profile voice]\nsso_start_url = {START_URL}\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = voice\n"
    )
    home.sso_token(START_URL)
    return {"AWS_PROFILE": "voice"}


def aws_login(home: Home) -> Environment:
    home.config(f"[profile voice]\nlogin_session = {LOGIN}\nregion = us-east-1\n")
    home.login_token(timedelta(minutes=4))
    return {"AWS_PROFILE": "voice"}


def role_of_a_profile(home: Home) -> Environment:
    home.config(
        f"{BASE}[profile voice]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = ours\n"
    )
    return {"AWS_PROFILE": "voice"}


def role_of_the_environment(home: Home) -> Environment:
    home.config(f"[profile voice]\nrole_arn = {ROLE}\ncredential_source = Environment\n")
    return {"AWS_ACCESS_KEY_ID": "AKIABASE", "AWS_SECRET_ACCESS_KEY": "base-secret"}


def role_of_an_sso_profile(home: Home) -> Environment:
    sso_session(home)
    text = (home.path / ".aws/config").read_text().replace("[profile voice]", "[profile base]")
    home.config(f"{text}[profile voice]\nrole_arn = {ROLE}\nsource_profile = base\n")
    return {"AWS_PROFILE": "voice"}


def web_identity(home: Home) -> Environment:
    token = home.file("token", "a-token-of-kubernetes")
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": ROLE}


def web_identity_of_a_profile(home: Home) -> Environment:
    token = home.file("token", "a-token-of-kubernetes")
    home.config(f"[profile voice]\nrole_arn = {ROLE}\nweb_identity_token_file = {token}\n")
    return {"AWS_PROFILE": "voice"}


def container(home: Home) -> Environment:
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{home.stand_ins.url}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER_TOKEN,
    }


def pod_identity(home: Home) -> Environment:
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{home.stand_ins.url}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(home.file("token", CONTAINER_TOKEN)),
    }


def instance_metadata(home: Home) -> Environment:
    return {}


REWRITTEN = (environment_keys, shared_file, config_file)
"""Sources without an expiry: whoever set them sets them again."""

FETCHED = (
    process,
    sso_session,
    sso_expired_with_refresh_token,
    sso_older_form,
    aws_login,
    role_of_a_profile,
    role_of_an_sso_profile,
    web_identity,
    web_identity_of_a_profile,
    container,
    pod_identity,
    instance_metadata,
)
"""Sources that give credentials with an expiry."""

type Source = Callable[[Home], Environment]
