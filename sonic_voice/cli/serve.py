"""`sonic-voice serve`: the page and the bridge behind it, until a signal ends it."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..catalog import DEFAULT_MODEL
from ..config import DEFAULT_SYSTEM, SessionConfig
from ..errors import ConfigError
from ..events import duration
from ..extras import install_command
from ..tools.toolbox import Toolbox
from .base import errors, until_done
from .ending import print_notice
from .recorded import Service
from .service import ProxyUrl, service_of, text_of
from .tools_file import tools_of

if TYPE_CHECKING:
    from ..bridge import Access

_PACKAGES = {"websockets": "websockets", "prometheus_client": "prometheus_client", "PyJWT": "jwt"}
"""The packages of the extra `bridge`, and the module of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Where to serve, to whom, and what."""

    config: SessionConfig
    tools: Toolbox
    voices: tuple[str, ...]
    host: str
    port: int
    tls: ssl.SSLContext | None
    origins: frozenset[str]
    secret: bytes
    jwks: str | None
    issuer: str
    audience: str
    pages: Path | None
    max_sessions: int
    max_minutes: float
    idle_s: float


def serve(
    context: typer.Context,
    local: Annotated[bool, typer.Option("--local", help="Talk to the built-in emulator.")] = False,
    scenario: Annotated[
        Path | None, typer.Option(help="What the emulator hears and answers (YAML or TOML).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one.")] = 8080,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its key.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Site whose pages may talk, as https://shop.example.")
    ] = None,
    token_secret_file: Annotated[
        Path | None, typer.Option(help="File with what session tokens are signed with.")
    ] = None,
    token_jwks: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE", help="Public keys of another issuer of tokens: JWKS, or PEM file."
        ),
    ] = None,
    token_issuer: Annotated[str, typer.Option(help="What tokens must have as iss.")] = "",
    token_audience: Annotated[str, typer.Option(help="What tokens must have as aud.")] = "",
    max_sessions: Annotated[int, typer.Option(min=1, help="Conversations at once.")] = 64,
    max_minutes: Annotated[
        float,
        typer.Option(min=0.1, help="Longest conversation. The service ends each after 8 minutes."),
    ] = 8.0,
    idle_s: Annotated[float, typer.Option(min=1, help="Longest silence of both.")] = 300.0,
    model: Annotated[str, typer.Option(help="See `sonic-voice models`.")] = DEFAULT_MODEL,
    voice: Annotated[str | None, typer.Option(help="See `sonic-voice models`.")] = None,
    offer_voice: Annotated[
        list[str] | None, typer.Option(help="Another voice that the page may choose.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt, or @FILE with it.")] = None,
    tools: Annotated[
        Path | None, typer.Option(help="Python file whose @tool functions the model may call.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of the AWS configuration.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of another endpoint.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file with the CA to trust there.")] = None,
    proxy: ProxyUrl = None,
    pages: Annotated[
        Path | None, typer.Option(help="Folder of another page than the one that comes along.")
    ] = None,
) -> None:
    """Serve a page to talk with the model, until Ctrl-C.

    [bold]sonic-voice serve --local[/bold]
    [bold]sonic-voice serve --region us-east-1 --tools robot.py[/bold]

    Open the address it prints in a browser. The same server is behind the
    element <sonic-voice> on other pages.

    It listens to this machine alone. For others name the origin of each page
    that may talk, the own one too, a file with a secret of 32 bytes or more,
    and a certificate, unless TLS ends before it: browsers give a microphone
    only to pages that came over HTTPS.

    [bold]sonic-voice serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
    --allow-origin https://voice.example:8080 --token-secret-file secret[/bold]

    Tokens are JSON Web Tokens: signed by your application with that secret
    (HS256), or with a key that you publish (RS256, ES256), as Cognito does:

    [bold]--token-jwks https://cognito-idp.us-east-1.amazonaws.com/POOL/.well-known/jwks.json
    --token-issuer https://cognito-idp.us-east-1.amazonaws.com/POOL
    --token-audience APP_CLIENT_ID[/bold]

    /healthz tells whether it takes conversations, /metrics how many there are.
    """
    with errors(context):
        _needs_packages()
        if (token_issuer or token_audience) and not (token_jwks or token_secret_file):
            raise typer.BadParameter(
                "--token-issuer and --token-audience need --token-jwks or --token-secret-file."
            )
        toolbox = tools_of(tools)
        config = SessionConfig(
            model=model,
            voice=voice,
            region=region,
            system=DEFAULT_SYSTEM if system is None else text_of(system),
            tools=toolbox.specs,
        )
        asked = _Asked(
            config=config,
            tools=toolbox,
            voices=tuple(config.voice_model.voice(name).id for name in offer_voice or ()),
            host=host,
            port=port,
            tls=_tls(tls_cert, tls_key),
            origins=frozenset(allow_origin or ()),
            secret=_secret(token_secret_file),
            jwks=token_jwks,
            issuer=token_issuer,
            audience=token_audience,
            pages=pages,
            max_sessions=max_sessions,
            max_minutes=max_minutes,
            idle_s=idle_s,
        )
        if max_minutes * 60 > config.stream_life_s:
            typer.echo(
                f"Note: --max-minutes {max_minutes:g} has no effect: the service ends every "
                f"conversation after {duration(config.stream_life_s)}.",
                err=True,
            )
        service = service_of(
            local=local,
            scenario=scenario,
            region=region,
            profile=profile,
            endpoint=endpoint,
            ca=ca,
            model=model,
            authenticated=False,  # a page that is up says what is wrong
            proxy=proxy,
        )
        toolbox.on_notice = print_notice
        until_done(_serve(asked, service, token_secret_file))


async def _serve(asked: _Asked, service: Service, secret_file: Path | None) -> None:
    from ..bridge import Bridge, BridgeLimits, Offer, load_pages, served, web_client
    from ..http2.loopback import is_loopback

    access = await _access(asked)
    offer = Offer(
        config=asked.config,
        tools=asked.tools,
        voices=asked.voices,
        show_tools=is_loopback(asked.host),
    )
    limits = BridgeLimits(
        sessions=asked.max_sessions, session_s=asked.max_minutes * 60, idle_s=asked.idle_s
    )
    if is_loopback(asked.host):  # everybody has one address: this machine's, or its proxy's
        limits = replace(limits, of_address=asked.max_sessions)
    pages = load_pages(asked.pages or web_client())
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(service())
        bridge = await stack.enter_async_context(
            Bridge(offer, transport, access=access, limits=limits)
        )
        serving = served(bridge, pages=pages, host=asked.host, port=asked.port, tls=asked.tls)
        url = await stack.enter_async_context(serving)
        typer.echo(f"Open {url}")
        if asked.jwks is not None:
            typer.echo(f"It takes tokens that are signed with a key of {asked.jwks}.")
        if secret_file is not None:
            typer.echo(
                "It asks for a token. Make one for a minute, and add it as #token=...:\n"
                f'  curl -H "Authorization: Bearer $(cat {secret_file})" "{url}token?subject=me"'
            )
        await asyncio.Event().wait()  # a signal cancels this


async def _access(asked: _Asked) -> "Access":
    """Return who may come; the keys of an issuer are fetched, so that a wrong URL is noticed."""
    from ..bridge import Access, RemoteKeys, key_source

    access = Access(
        origins=asked.origins,
        secret=asked.secret,
        keys=None if asked.jwks is None else key_source(asked.jwks),
        issuer=asked.issuer,
        audience=asked.audience,
    )
    access.check_host(asked.host)
    if isinstance(access.keys, RemoteKeys):
        await access.keys.fetch()
    return access


def _needs_packages() -> None:
    for package, module in _PACKAGES.items():
        if find_spec(module) is None:
            raise ConfigError(
                f"Serving a page needs the package {package}.",
                hint=f"Install it: {install_command('bridge')}",
            )


def _secret(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"Cannot read {path}: {error.strerror}.", hint="Name a file with a secret in it."
        ) from error
    if not secret:
        raise ConfigError(f"{path} is empty.", hint="Write 32 random bytes into it, as hex.")
    return secret


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise typer.BadParameter("--tls-key needs --tls-cert.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"{cert} and {key or 'its key'} cannot be used for TLS: {error.strerror or error}.",
            hint="Name PEM files: the certificate with its chain, and the key.",
        ) from error
    return context
