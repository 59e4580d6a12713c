"""Tools from MCP servers, which are programs, URLs (Streamable HTTP) or objects in this process.

    Toolbox.run ──► McpCalls.run ──► McpConnection.call ──► (package mcp) ──► server
         ▲               ▲                                                       │ asks the user
         │               └──────────── questions ◄── elicitation ◄───────────────┤
         └── result ◄── results.result_value ◄────────────────────────────────────┘

`definitions`, `results` and `questions` are pure. Only `connection` imports the package
`mcp`, which takes about a second, and is itself imported when the first server is connected to.
"""

from .targets import McpServer, read_target
from .toolset import listed_tools, load_servers, mcp_tools, require_mcp

__all__ = ["McpServer", "listed_tools", "load_servers", "mcp_tools", "read_target", "require_mcp"]
