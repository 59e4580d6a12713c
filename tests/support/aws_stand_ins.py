"""Local stand-ins for the services that AWS credentials come from, on one port of loopback.

    STS                  POST /            AssumeRole, AssumeRoleWithWebIdentity
    SSO portal           GET  /federation/credentials
    SSO OIDC             POST /token       a new access token for a refresh token
    sign-in              POST /v1/token    `aws login`: new credentials for a refresh token
    instance metadata    PUT  /latest/api/token, GET /latest/meta-data/iam/security-credentials/
    container            GET  /container

All issue access keys that are accepted while they are the newest: `AwsStandIns.keys` is given to an
emulator, which reads it at each request. So a key that has been replaced has expired for it.
"""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from sonic_voice.emulator.server.sigv4 import AccessKeyPair

MFA_CODE = "123456"
"""The code that AssumeRole takes where a serial number of an MFA device is sent."""

SSO_TOKEN = "sso-access-token"
SSO_REFRESHED = "sso-access-token-after-a-refresh"
REFRESH_TOKEN = "refresh-token"
CONTAINER_TOKEN = "container-token"
METADATA_TOKEN = "metadata-token"
ROLE = "arn:aws:iam::123456789012:role/voice"


class AwsStandIns:
    """A context manager that serves all stand-ins. `life` is how long issued credentials live."""

    def __init__(self, life: timedelta = timedelta(minutes=5)) -> None:
        self.life = life
        """Under ten minutes botocore asks again at each stream, as if they had expired."""
        self.keys: list[AccessKeyPair] = []
        """The newest credentials, which alone are accepted."""
        self.issued = 0
        self.refuse: tuple[int, str, str] | None = None
        """Status, code and text with which STS and the SSO portal refuse; None: they do not."""
        self.requests: list[tuple[str, dict[str, str], str]] = []
        """Path, headers by lower-case name, and body or query of each request."""
        stand_ins = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_ins.answer(self, "")

            def do_PUT(self) -> None:
                stand_ins.answer(self, "")

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                stand_ins.answer(self, self.rfile.read(length).decode())

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """The standard settings that point every AWS SDK here."""
        services = ("STS", "SSO", "SSO_OIDC", "SIGNIN")
        return {f"AWS_ENDPOINT_URL_{name}": self.url for name in services} | {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url
        }

    def issue(self) -> AccessKeyPair:
        """Issue new credentials, with which the ones before expire."""
        self.issued += 1
        new = AccessKeyPair(f"ASIAISSUED{self.issued:06}", f"secret-{self.issued}")
        self.keys[:] = [new]
        return new

    def until(self) -> datetime:
        return datetime.now(UTC) + self.life

    def document(self) -> dict[str, Any]:
        """New credentials as metadata services give them."""
        new = self.issue()
        return {
            "Code": "Success",
            "AccessKeyId": new.access_key,
            "SecretAccessKey": new.secret_key,
            "Token": "token",
            "Expiration": f"{self.until():%Y-%m-%dT%H:%M:%SZ}",
        }

    def answer(self, request: BaseHTTPRequestHandler, body: str) -> None:
        """Answer one request, or refuse it."""
        url = urlsplit(request.path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((url.path, headers, body or url.query))
        status, kind, content = self._content(url.path, headers, body)
        request.send_response(status)
        request.send_header("content-type", kind)
        request.send_header("content-length", str(len(content.encode())))
        if status >= 400 and self.refuse is not None:
            request.send_header("x-amzn-errortype", self.refuse[1])
        request.end_headers()
        request.wfile.write(content.encode())

    def _content(self, path: str, headers: dict[str, str], body: str) -> tuple[int, str, str]:
        """Return status, content type and content of the answer."""
        match path:
            case "/":
                return self._sts({name: values[0] for name, values in parse_qs(body).items()})
            case "/federation/credentials":
                return self._portal(headers.get("x-amz-sso_bearer_token", ""))
            case "/token":
                return as_json({"accessToken": SSO_REFRESHED, "expiresIn": 3600})
            case "/v1/token":
                return self._sign_in(refreshes="dpop" in headers and REFRESH_TOKEN in body)
            case "/latest/api/token":
                return 200, "text/plain", METADATA_TOKEN
            case "/latest/meta-data/iam/security-credentials/":
                return 200, "text/plain", "role-of-the-instance"
            case "/latest/meta-data/iam/security-credentials/role-of-the-instance":
                return as_json(self.document())
            case "/container" if headers.get("authorization") == CONTAINER_TOKEN:
                return as_json(self.document())
            case _:
                return as_json({"message": "not here"}, 403)

    def _portal(self, token: str) -> tuple[int, str, str]:
        if token not in {SSO_TOKEN, SSO_REFRESHED}:
            self.refuse = (401, "UnauthorizedException", "Session token not found")
        if self.refuse is not None:
            return as_json({"message": self.refuse[2]}, self.refuse[0])
        new = self.issue()
        role = {
            "accessKeyId": new.access_key,
            "secretAccessKey": new.secret_key,
            "sessionToken": "token",
            "expiration": int(self.until().timestamp() * 1000),
        }
        return as_json({"roleCredentials": role})

    def _sign_in(self, *, refreshes: bool) -> tuple[int, str, str]:
        if not refreshes:
            self.refuse = (400, "AccessDeniedException", "Log in again.")
            return as_json({"error": "TOKEN_EXPIRED", "message": self.refuse[2]}, self.refuse[0])
        new = self.issue()
        access = {
            "accessKeyId": new.access_key,
            "secretAccessKey": new.secret_key,
            "sessionToken": "token",
        }
        answer = {
            "accessToken": access,
            "tokenType": "aws_sigv4",
            "expiresIn": int(self.life.total_seconds()),
            "refreshToken": REFRESH_TOKEN,
        }
        return as_json(answer)

    def _sts(self, asked: dict[str, str]) -> tuple[int, str, str]:
        refusal = self.refuse
        if "SerialNumber" in asked and asked.get("TokenCode") != MFA_CODE:
            text = "MultiFactorAuthentication failed with invalid MFA one time pass code."
            refusal = (403, "AccessDenied", text)
        if refusal is not None:
            status, code, text = refusal
            error = (
                f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            )
            return status, "text/xml", f"<ErrorResponse>{error}</ErrorResponse>"
        action = asked["Action"]
        new = self.issue()
        content = (
            f"<Credentials><AccessKeyId>{new.access_key}</AccessKeyId>"
            f"<SecretAccessKey>{new.secret_key}</SecretAccessKey>"
            f"<SessionToken>token</SessionToken>"
            f"<Expiration>{self.until():%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>{ROLE}/me</Arn><AssumedRoleId>id:me</AssumedRoleId>"
            f"</AssumedRoleUser>"
        )
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        result = f"<{action}Result>{content}</{action}Result>"
        answer = f'<{action}Response xmlns="{namespace}">{result}</{action}Response>'
        return 200, "text/xml", answer


def as_json(document: Any, status: int = 200) -> tuple[int, str, str]:
    """Return status, content type and content of an answer in JSON."""
    return status, "application/json", json.dumps(document)


def access_key_of(headers: dict[str, str]) -> str:
    """Return the access key that signed a request, or an empty string."""
    found = re.search(r"Credential=([^/]+)/", headers.get("authorization", ""))
    return found[1] if found else ""
