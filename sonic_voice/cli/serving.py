"""One process of `sonic-voice serve`: the bridge and its server, until a signal ends it."""

import asyncio
import socket
import ssl
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..config import SessionConfig
from ..errors import ConfigError, FileError
from ..extras import install_command
from ..http2.loopback import is_loopback
from ..metrics import SessionObserver
from ..tools.toolbox import Toolbox
from .garbage import exempt_existing_objects
from .guard_option import GuardOption, opened_guard
from .printing import echo
from .reasoner import CommandReasoner
from .service import TransportFactory
from .signals import ending_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..bridge import Access, Bridge, BridgeLimits, FolderStore
    from ..bridge.redis_state import RedisState
    from ..recording import TapeFolder

_PACKAGES = {"websockets": "websockets", "prometheus_client": "prometheus_client", "PyJWT": "jwt"}
"""Packages of the extra `bridge`, and the module of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The options of `sonic-voice serve`."""

    config: SessionConfig
    """Configuration of each session."""
    tools: Toolbox
    """Tools that the model may call."""
    reasoner: CommandReasoner | None
    """Model that thinks for the voice model; None for none."""
    voices: tuple[str, ...]
    """Voices that a page may choose, besides that of `config`."""
    host: str
    """Address to listen on."""
    port: int
    """Port to listen on; 0 takes a free one."""
    tls: ssl.SSLContext | None
    """Certificate and key; None serves without TLS."""
    agentcore: bool
    """True if it runs in AgentCore Runtime."""
    origins: frozenset[str]
    """Origins of the pages that may connect."""
    proxies: tuple[str, ...]
    """Addresses and networks of trusted proxies."""
    secret: bytes
    """Secret that tokens are signed with; empty without one."""
    jwks: str | None
    """URL or file with the public keys of another issuer of tokens."""
    issuer: str
    """Required issuer (`iss`) of tokens; empty for any."""
    audience: str
    """Required audience (`aud`) of tokens; empty for any."""
    page_history: bool
    """True if a conversation begins with the earlier words that the page has kept."""
    store: Path | None
    """Folder in which conversations are stored; None stores none."""
    pages: Path | None
    """Folder of the page; None is the page of this package."""
    max_sessions: int
    """Maximum number of conversations at a time."""
    max_per_address: int | None
    """Maximum number of conversations at a time from one address; None for the default."""
    max_minutes: float
    """Maximum duration of a conversation, in minutes."""
    idle_s: float
    """Time of silence on both sides after which a conversation ends, in seconds."""
    webhook: str | None
    """URL that reports are posted to; None posts none."""
    traced: SessionObserver | None
    """Returns the observer that traces a session; None if they are not traced."""
    tapes: "TapeFolder | None"
    """Folder in which conversations are recorded; None records none."""
    mask_pii: bool
    """True if personal data is masked in what is stored and reported."""
    guard: GuardOption | None
    """The guard of every conversation; None for no guard."""
    one_time_tokens: bool
    """True if a token opens one conversation only."""
    workers: int
    """Number of processes that serve the port."""
    redis: str | None
    """URL of the Redis server that the processes share; None without one."""
    drain_s: float
    """Time that conversations have to end after SIGTERM, in seconds."""
    secret_file: Path | None
    """File of `secret`, for what is printed."""


@dataclass(frozen=True, slots=True)
class Place:
    """The sockets of a process, and what it tells its siblings."""

    sockets: "Sequence[socket.socket]" = ()
    """Sockets to listen on; empty: one is bound to host and port."""
    on_ready: "Callable[[str], None]" = echo
    """Called with what to print when the process listens."""
    leaves: "Callable[[], bool]" = lambda: False
    """Returns whether the process stops alone, while its siblings go on listening."""


async def serve_bridge(options: ServeOptions, service: TransportFactory, place: Place) -> None:
    """Serve the page and the bridge until a signal cancels this.

    SIGTERM first drains the bridge, if `ServeOptions.drain_s` gives it time.

    Args:
        options: The options of the command.
        service: Opens the connection to the service.
        place: Where to serve.
    """
    from ..bridge import Bridge, Offer, Webhook, load_pages, served, web_client

    access = access_rules(options)
    await _fetch_keys(access)
    limits = _limits(options)
    shared = _shared_state(options.redis)
    store = shared if options.store is None else _folder_store(options.store)
    offer = Offer(
        config=options.config,
        tools=options.tools,
        reasoner=options.reasoner,
        voices=options.voices,
        show_tools=is_loopback(options.host) and access.is_local and not options.agentcore,
        page_history=options.page_history,
        store=store,
    )
    # A process on its own has its share of the conversations, so that the sum is not exceeded.
    share = max(1, options.max_sessions // options.workers)
    if shared is None:
        limits = replace(limits, sessions=share)
    webhook = None if options.webhook is None else Webhook(options.webhook, secret=options.secret)
    pages = {} if options.agentcore else load_pages(options.pages or web_client())
    async with AsyncExitStack() as stack:
        if options.reasoner is not None:
            stack.push_async_callback(options.reasoner.aclose)
        transport = await stack.enter_async_context(service())
        offer = replace(offer, guard=await stack.enter_async_context(opened_guard(options.guard)))
        bridge = await stack.enter_async_context(
            Bridge(
                offer,
                transport,
                access=access,
                limits=limits,
                on_end=webhook,
                tapes=options.tapes,
                observe=options.traced,
                mask_pii=options.mask_pii,
                shared=shared,
                siblings=options.workers > 1,
                local_sessions=share,
            )
        )
        stack.enter_context(options.tools.watched(lambda: _declare(bridge, options.tools)))
        serving = served(
            bridge,
            pages=pages,
            host=options.host,
            port=options.port,
            tls=options.tls,
            sockets=place.sockets,
        )
        url = await stack.enter_async_context(serving)
        exempt_existing_objects()
        place.on_ready(greeting(options, url))
        await _until_signal(bridge, options.drain_s, place)


def _declare(bridge: "Bridge", tools: Toolbox) -> None:
    """Declare the tools, some of which were replaced, to conversations that begin from now on."""
    config = replace(bridge.offer.config, tools=tools.specs)
    bridge.offer = replace(bridge.offer, config=config)


async def _until_signal(bridge: "Bridge", drain_s: float, place: Place) -> None:
    """Wait until a signal cancels this, and drain the bridge if it is SIGTERM."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if drain_s and ending_signals.signal_name == "SIGTERM":
            await bridge.drain(drain_s, leaves=place.leaves())
        raise


def greeting(options: ServeOptions, url: str) -> str:
    """Return what is printed when the server is ready.

    Args:
        options: The options of the command.
        url: The URL of the page.
    """
    if options.agentcore:
        from ..bridge import AGENTCORE_PATH

        return (
            f"Serving {url} for AgentCore Runtime, conversations at {AGENTCORE_PATH}. Whoever can "
            "reach this port may talk, so nobody else must."
        )
    lines = [f"Open {url}"]
    if options.jwks is not None:
        lines.append(f"Tokens must be signed with a key of {options.jwks}.")
    if options.secret_file is not None:
        lines.append(
            "The page needs a token. Make one for a minute, and add it as #token=...:\n"
            f'  curl -H "Authorization: Bearer $(cat {options.secret_file})" '
            f'"{url}token?subject=me"'
        )
    return "\n".join(lines)


def agentcore_host(context: typer.Context) -> str:
    """Return the address that AgentCore Runtime demands; empty if the user has named another.

    Args:
        context: The context of the command.
    """
    from ..bridge import AGENTCORE_HOST

    source = context.get_parameter_source("host")
    return AGENTCORE_HOST if source is not None and source.name == "DEFAULT" else ""


def access_rules(options: ServeOptions) -> "Access":
    """Return the rules of access.

    Args:
        options: The options of the command.

    Raises:
        ConfigError: They are not strict enough for the address that is listened on.
        FileError: The file of the keys cannot be used.
    """
    from ..bridge import Access, key_source

    keys = None
    if options.jwks is not None:
        with _reading(options.jwks):
            keys = key_source(options.jwks)
    access = Access(
        origins=options.origins,
        agentcore=options.agentcore,
        trusted_proxies=options.proxies,
        secret=options.secret,
        keys=keys,
        issuer=options.issuer,
        audience=options.audience,
        one_time_tokens=options.one_time_tokens,
    )
    access.check_host(options.host)
    return access


@contextmanager
def _reading(source: str) -> Generator[None]:
    """Raise a `FileError` if the block finds the source wrong, unless it is a URL."""
    try:
        yield
    except ConfigError as error:
        if "://" in source:
            raise
        raise FileError(error.message, hint=error.hint) from error


async def _fetch_keys(access: "Access") -> None:
    """Fetch the keys of an issuer, to detect a wrong URL now."""
    from ..bridge import RemoteKeys

    if isinstance(access.keys, RemoteKeys):
        await access.keys.fetch()


def _limits(options: ServeOptions) -> "BridgeLimits":
    from ..bridge import BridgeLimits

    limits = BridgeLimits(
        sessions=options.max_sessions, session_s=options.max_minutes * 60, idle_s=options.idle_s
    )
    if options.max_per_address is not None:
        return replace(limits, of_address=options.max_per_address)
    if is_loopback(options.host) and not options.proxies:  # all clients have one address
        return replace(limits, of_address=options.max_sessions)
    return limits


def _shared_state(url: str | None) -> "RedisState | None":
    """Return the state that the processes share; None without a server for it."""
    if url is None:
        return None
    from ..bridge.redis_state import RedisState

    return RedisState(url)


def _folder_store(folder: Path) -> "FolderStore":
    from ..bridge import FolderStore

    return FolderStore(folder)


def tape_folder(path: Path | None, size_mb: int, *, mask_pii: bool) -> "TapeFolder | None":
    """Return the folder of tapes, which is created now; None without one.

    Args:
        path: The folder; None records nothing.
        size_mb: Maximum size of a tape, in megabytes.
        mask_pii: Whether personal data is masked in tapes.
    """
    if path is None:
        return None
    from ..recording import TapeFolder

    return TapeFolder(path, max_bytes=size_mb * 1_000_000, mask_pii=mask_pii)


def require_packages(*, workers: int, redis: str | None) -> None:
    """Check that the packages that these options need are installed.

    Args:
        workers: Number of processes.
        redis: URL of a Redis server; None without one.

    Raises:
        ConfigError: One is not; the hint has the command that installs it.
    """
    needed = [("Serving a page", *names, "bridge") for names in _PACKAGES.items()]
    if workers > 1:
        needed.append(("Serving with several workers", "uvicorn", "uvicorn", "workers"))
    if redis is not None:
        needed.append(("--redis", "redis", "redis", "workers"))
    for what, package, module, extra in needed:
        if find_spec(module) is None:
            raise ConfigError(
                f"{what} needs the package {package}.",
                hint=f"Install it: {install_command(extra)}",
            )


def page_folder(path: Path | None) -> Path | None:
    """Return the folder of a page if it is one; None without a path.

    Args:
        path: The folder.

    Raises:
        FileError: There is no such folder.
    """
    if path is not None and not path.is_dir():
        raise FileError(f"{path} is no folder.", hint="Name a folder with the files of a page.")
    return path


def read_secret(path: Path | None) -> bytes:
    """Return the secret in a file; empty without a file.

    Args:
        path: The file.

    Raises:
        FileError: The file cannot be read, or is empty.
    """
    if path is None:
        return b""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise FileError(
            f"Cannot read {path}: {error.strerror}.", hint="Name a file with a secret in it."
        ) from error
    if not secret:
        raise FileError(f"{path} is empty.", hint="Write 32 random bytes into it, as hex.")
    return secret


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the TLS context of a server; None without a certificate.

    Args:
        cert: PEM file with the certificate and its chain.
        key: PEM file with its key; None if it is in the same file.

    Raises:
        FileError: The files cannot be used.
        typer.BadParameter: There is a key without a certificate.
    """
    if cert is None:
        if key is not None:
            raise typer.BadParameter("--tls-key needs --tls-cert.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        raise FileError(
            f"{cert} and {key or 'its key'} cannot be used for TLS: {error.strerror or error}.",
            hint="Name PEM files: the certificate with its chain, and the key.",
        ) from error
    return context
