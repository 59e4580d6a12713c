"""The bridge: a browser talks, over a WebSocket, in the same `converse` as everybody else.

    browser ──► server / asgi ──► Bridge.handle ──► BrowserSession ──► converse ──► the service
                  Socket            who may come    source, sink and observer in one

`web_client/README.md` describes the wire. What is decided is decided without I/O, each matter in
a module: `access`, `tokens` and `keys` who may come, `limits` how much they may have, `frames` and
`messages` what they may say, `outbox` what is sent in which order, `site` what HTTP answers,
`closing` with which words a connection ends. `visit` holds one conversation, `bridge` all.

Only `server` needs the package `websockets`, which is the extra `bridge`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .access import Access
from .asgi import asgi
from .bridge import Bridge
from .browser_session import Offer
from .closing import Close
from .jwks import RemoteKeys, key_source
from .limits import BridgeLimits
from .site import load_pages, web_client
from .tokens import issue_token

if TYPE_CHECKING:
    from .server import handler, options, served

__all__ = [
    "Access",
    "Bridge",
    "BridgeLimits",
    "Close",
    "Offer",
    "RemoteKeys",
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
