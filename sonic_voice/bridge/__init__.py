"""The bridge: conversations with browsers over WebSockets, held by the same `converse` as others.

    browser ──► server / asgi ──► Bridge.handle ──► BrowserSession ──► converse ──► the service
                  Socket          access, limits    source, sink and observer

`web_client/README.md` specifies the protocol between page and bridge. All decisions are made
without I/O, each in its module:

    access, tokens, keys   which pages and which tokens are accepted
    limits                 rates, durations and the number of concurrent conversations
    frames, messages       parsing and encoding of sound and of messages
    outbox                 what is sent to a page, and in which order
    site                   responses over plain HTTP
    store, saving          conversations that survive the process
    closing                close codes, and the reason that a page is told

`browser_session` holds one conversation, `bridge` all of them; `offer` is what pages may choose.

Only `server` needs the package `websockets`, which the extra `bridge` installs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .access import Access
from .asgi import asgi
from .bridge import Bridge
from .closing import Close
from .jwks import RemoteKeys, key_source
from .limits import BridgeLimits
from .offer import Offer
from .site import load_pages, web_client
from .store import FolderStore, MemoryStore, Store
from .tokens import issue_token

if TYPE_CHECKING:
    from .server import handler, options, served

__all__ = [
    "Access",
    "Bridge",
    "BridgeLimits",
    "Close",
    "FolderStore",
    "MemoryStore",
    "Offer",
    "RemoteKeys",
    "Store",
    "asgi",
    "handler",
    "issue_token",
    "key_source",
    "load_pages",
    "options",
    "served",
    "web_client",
]


def __getattr__(name: str) -> Any:
    if name in ("handler", "options", "served"):
        return getattr(import_module(".server", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
