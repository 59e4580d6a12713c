"""The emulator's connections share no private name with the HTTP/2 connection that they extend."""

import ast
import inspect
import textwrap

from sonic_voice.emulator.server.connection_limits import ServerConnection
from sonic_voice.http2.connection import H2Connection


def private_names(owner: type) -> set[str]:
    """The private methods of a class, and the private attributes that its methods assign."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            names.add(node.attr)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_connection_limits_write_no_private_attribute_of_the_connection() -> None:
    assert {"_transport", "_streams"} <= private_names(H2Connection)
    assert not private_names(H2Connection) & private_names(ServerConnection)
