"""The command `sonic-voice serve`: a page and the bridge behind it, until a signal ends it."""

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
from ..extras import install_command
from ..tools.toolbox import Toolbox
from .base import errors, run_until_done
from .ending import print_notice
from .faults import ChaosSeed, FaultTexts
from .options import (
    CaFile,
    EndpointUrl,
    Greeting,
    IdlePrompts,
    IsLocal,
    ListenHost,
    ListenPort,
    ModelId,
    NoReconnect,
    ProfileName,
    ProxyUrl,
    RegionName,
    ScenarioFile,
    StreamLife,
    SystemPrompt,
    ToolsFile,
    VoiceId,
)
from .recorded import TransportFactory
from .service import idle_prompts, read_text_argument, recovery_policy, select_service
from .tools_file import load_tools

if TYPE_CHECKING:
    from ..bridge import Access

_PACKAGES = {"websockets": "websockets", "prometheus_client": "prometheus_client", "PyJWT": "jwt"}
"""Packages of the extra `bridge`, and the module of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServeOptions:
    """The options of `sonic-voice serve`."""

    config: SessionConfig
    """Configuration of each session."""
    tools: Toolbox
    """Tools that the model may call."""
    voices: tuple[str, ...]
    """Voices that a page may choose, besides that of `config`."""
    host: str
    """Address to listen on."""
    port: int
    """Port to listen on; 0 takes a free one."""
    tls: ssl.SSLContext | None
    """Certificate and key; None serves without TLS."""
    origins: frozenset[str]
    """Origins of the pages that may connect."""
    secret: bytes
    """Secret that tokens are signed with; empty without one."""
    jwks: str | None
    """URL or file with the public keys of another issuer of tokens."""
    issuer: str
    """Required issuer (`iss`) of tokens; empty for any."""
    audience: str
    """Required audience (`aud`) of tokens; empty for any."""
    store: Path | None
    """Folder in which conversations are stored; None stores none."""
    pages: Path | None
    """Folder of the page; None is the page of this package."""
    max_sessions: int
    """Maximum number of conversations at a time."""
    max_minutes: float
    """Maximum duration of a conversation, in minutes."""
    idle_s: float
    """Time of silence on both sides after which a conversation ends, in seconds."""


def serve(
    context: typer.Context,
    local: IsLocal = False,
    scenario: ScenarioFile = None,
    fault: FaultTexts = None,
    chaos: ChaosSeed = None,
    host: ListenHost = "127.0.0.1",
    port: ListenPort = 8080,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with the certificate.")] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file with the key of the certificate.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin of pages that may connect, such as https://shop.example; may be repeated."
        ),
    ] = None,
    token_secret_file: Annotated[
        Path | None, typer.Option(help="File with the secret that session tokens are signed with.")
    ] = None,
    token_jwks: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE",
            help="Public keys of another issuer of tokens: URL of a JWKS, or PEM file.",
        ),
    ] = None,
    token_issuer: Annotated[str, typer.Option(help="Required issuer (iss) of tokens.")] = "",
    token_audience: Annotated[str, typer.Option(help="Required audience (aud) of tokens.")] = "",
    max_sessions: Annotated[
        int, typer.Option(min=1, help="Maximum number of conversations at a time.")
    ] = 64,
    max_minutes: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Maximum duration of a conversation, in minutes. It limits what one visitor can "
            "cost.",
        ),
    ] = 60.0,
    idle_s: Annotated[
        float,
        typer.Option(min=1, help="Silence of both sides, in seconds, that ends a conversation."),
    ] = 300.0,
    model: ModelId = DEFAULT_MODEL,
    voice: VoiceId = None,
    offer_voice: Annotated[
        list[str] | None,
        typer.Option(help="Another voice that the page may choose; may be repeated."),
    ] = None,
    system: SystemPrompt = None,
    greeting: Greeting = "",
    idle_prompt: IdlePrompts = None,
    tools: ToolsFile = None,
    region: RegionName = None,
    profile: ProfileName = None,
    endpoint: EndpointUrl = None,
    ca: CaFile = None,
    proxy: ProxyUrl = None,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to keep the text of conversations in for an hour, so that pages continue "
            "them after a restart of the server.",
        ),
    ] = None,
    no_reconnect: NoReconnect = False,
    stream_life: StreamLife = None,
    pages: Annotated[
        Path | None, typer.Option(help="Folder of a page to serve instead of the included one.")
    ] = None,
) -> None:
    """Serve a page for talking with the model, until Ctrl-C.

    [bold]sonic-voice serve --local[/bold]
    [bold]sonic-voice serve --region us-east-1 --tools robot.py[/bold]

    Open the address that it prints in a browser. The element <sonic-voice> on
    other pages connects to the same server.

    By default only this machine can connect. To serve others, give the origin
    of each page that may connect (the address of this server included), a file
    with a secret of 32 bytes or more, and a certificate, unless a proxy
    terminates TLS: browsers allow the microphone only on pages that were loaded
    over HTTPS.

    [bold]sonic-voice serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
    --allow-origin https://voice.example:8080 --token-secret-file secret[/bold]

    Tokens are JSON Web Tokens. Your application signs them with that secret
    (HS256), or with a key whose public part you publish (RS256, ES256), as
    Cognito does:

    [bold]--token-jwks https://cognito-idp.us-east-1.amazonaws.com/POOL/.well-known/jwks.json
    --token-issuer https://cognito-idp.us-east-1.amazonaws.com/POOL
    --token-audience APP_CLIENT_ID[/bold]

    /healthz reports whether the server accepts conversations, and /metrics has
    its Prometheus metrics.
    """
    with errors(context):
        _needs_packages()
        if (token_issuer or token_audience) and not (token_jwks or token_secret_file):
            raise typer.BadParameter(
                "--token-issuer and --token-audience need --token-jwks or --token-secret-file."
            )
        toolbox = load_tools(tools)
        config = SessionConfig(
            model=model,
            voice=voice,
            region=region,
            system=DEFAULT_SYSTEM if system is None else read_text_argument(system),
            tools=toolbox.specs,
            stream_s=stream_life,
            recovery=recovery_policy(no_reconnect),
            greeting=greeting,
            idle_prompts=idle_prompts(idle_prompt),
        )
        options = _ServeOptions(
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
            store=store,
            pages=pages,
            max_sessions=max_sessions,
            max_minutes=max_minutes,
            idle_s=idle_s,
        )
        service = select_service(
            local=local,
            scenario=scenario,
            region=region,
            profile=profile,
            endpoint=endpoint,
            ca=ca,
            model=model,
            authenticated=False,  # without credentials the page still loads, and shows the error
            proxy=proxy,
            faults=fault,
            chaos=chaos,
        )
        toolbox.on_notice = print_notice
        run_until_done(_serve(options, service, token_secret_file))


async def _serve(
    options: _ServeOptions, service: TransportFactory, secret_file: Path | None
) -> None:
    from ..bridge import Bridge, BridgeLimits, FolderStore, Offer, load_pages, served, web_client
    from ..http2.loopback import is_loopback

    access = await _access(options)
    offer = Offer(
        config=options.config,
        tools=options.tools,
        voices=options.voices,
        show_tools=is_loopback(options.host),
        store=None if options.store is None else FolderStore(options.store),
    )
    limits = BridgeLimits(
        sessions=options.max_sessions, session_s=options.max_minutes * 60, idle_s=options.idle_s
    )
    if is_loopback(options.host):  # all clients have the address of this machine or its proxy
        limits = replace(limits, of_address=options.max_sessions)
    pages = load_pages(options.pages or web_client())
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(service())
        bridge = await stack.enter_async_context(
            Bridge(offer, transport, access=access, limits=limits)
        )
        serving = served(bridge, pages=pages, host=options.host, port=options.port, tls=options.tls)
        url = await stack.enter_async_context(serving)
        typer.echo(f"Open {url}")
        if options.jwks is not None:
            typer.echo(f"Tokens must be signed with a key of {options.jwks}.")
        if secret_file is not None:
            typer.echo(
                "The page needs a token. Make one for a minute, and add it as #token=...:\n"
                f'  curl -H "Authorization: Bearer $(cat {secret_file})" "{url}token?subject=me"'
            )
        await asyncio.Event().wait()  # a signal cancels this


async def _access(options: _ServeOptions) -> "Access":
    """Return the rules of access. The keys of an issuer are fetched, to detect a wrong URL now."""
    from ..bridge import Access, RemoteKeys, key_source

    access = Access(
        origins=options.origins,
        secret=options.secret,
        keys=None if options.jwks is None else key_source(options.jwks),
        issuer=options.issuer,
        audience=options.audience,
    )
    access.check_host(options.host)
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
