"""The bridge: conversations with browsers over WebSockets, held by the same `converse` as others.

    browser ──► server / asgi ──► Bridge.handle ──► BrowserSession ──► converse ──► the service
                  Socket          access, limits    source, sink and observer

`web_client/README.md` specifies the protocol between page and bridge. All decisions are made
without I/O, each in its module:

    access, tokens, keys   which pages and which tokens are accepted
    origins, forwarding    origins as browsers compare them; clients behind proxies
    limits, rationing      rates, durations and the number of concurrent conversations
    frames, messages       parsing and encoding of sound and of messages
    outbox                 what is sent to a page, and in which order
    site                   responses over plain HTTP
    page_tools             tools that the page carries out
    store, saving          conversations that survive the process
    admission              limits and used tokens, of this process and of all that share them
    shared_state           what several processes share; `redis_state` keeps it in a Redis server
    exchange, draining     when a conversation may move to another process, and how a server drains
    agentcore              the contract of Amazon Bedrock AgentCore Runtime
    closing                close codes, and the reason that a page is told
    conversation_report    what the application is told of a conversation at its end

`browser_session` holds one conversation, `bridge` all of them; `offer` is what pages may choose,
`hooks` what an application decides for each visitor, `operator_log` what its operator reads.

Only `server` and `connections` need the package `websockets`, which the extra `bridge` installs;
only `redis_state` needs the package `redis`, which the extra `workers` installs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .access import Access
from .agentcore import HOST as AGENTCORE_HOST
from .agentcore import SOCKET_PATH as AGENTCORE_PATH
from .asgi import asgi
from .bridge import Bridge
from .closing import BridgeRefusal, Close
from .conversation_report import ConversationReport
from .jwks import RemoteKeys, key_source
from .limits import BridgeLimits
from .offer import Offer
from .page_tools import page_tool
from .shared_state import SharedState
from .site import load_pages, web_client
from .store import FolderStore, MemoryStore, Store
from .tokens import TokenClaims, issue_token
from .webhook import Webhook

if TYPE_CHECKING:
    from .redis_state import RedisState
    from .server import handler, options, served

__all__ = [
    "AGENTCORE_HOST",
    "AGENTCORE_PATH",
    "Access",
    "Bridge",
    "BridgeLimits",
    "BridgeRefusal",
    "Close",
    "ConversationReport",
    "FolderStore",
    "MemoryStore",
    "Offer",
    "RedisState",
    "RemoteKeys",
    "SharedState",
    "Store",
    "TokenClaims",
    "Webhook",
    "asgi",
    "handler",
    "issue_token",
    "key_source",
    "load_pages",
    "options",
    "page_tool",
    "served",
    "web_client",
]


def __getattr__(name: str) -> Any:
    if name in ("handler", "options", "served"):
        return getattr(import_module(".server", __name__), name)
    if name == "RedisState":
        return import_module(".redis_state", __name__).RedisState
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
