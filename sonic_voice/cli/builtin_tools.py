"""The options --builtin and --transfer-to: tools of the package beside those of --tools."""

from collections.abc import Sequence

from ..errors import ConfigError
from ..printable import printable
from ..tools.toolbox import Toolbox

BUILTIN = ("end_call", "current_time")
"""Tools that --builtin offers. `transfer` is offered by naming its destinations."""


def with_builtin(
    toolbox: Toolbox, names: Sequence[str] | None, transfer_to: Sequence[str] | None = None
) -> Toolbox:
    """Return a toolbox with tools of the package added.

    A caller who is to be transferred is only reported: the command line cannot connect anybody.

    Args:
        toolbox: The tools of the user.
        names: Names of tools to add, several in one text separated by commas; None for none.
        transfer_to: Destinations of a transfer; None for none.

    Raises:
        ConfigError: There is no such tool, or a tool of the user has the same name.
    """
    asked = [name.strip() for text in names or () for name in text.split(",")]
    for name in asked:
        if name not in BUILTIN:
            also = " For transfer use --transfer-to." if name == "transfer" else ""
            raise ConfigError(
                f"There is no built-in tool {name!r}.",
                hint=f"There are: {', '.join(BUILTIN)}.{also}",
            )
    if not asked and not transfer_to:
        return toolbox
    from ..tools import builtin  # imports pydantic

    tools = [getattr(builtin, name) for name in dict.fromkeys(asked)]

    def report(transfer: builtin.Transfer) -> None:
        to, reason = printable(transfer.destination), printable(transfer.reason)
        extended.on_notice(f"The caller is to be connected to {to}: {reason}")

    if transfer_to:
        tools.append(builtin.transfer_tool(dict.fromkeys(transfer_to), report))
    extended = Toolbox([*toolbox.tools, *tools])
    extended.on_notice = toolbox.on_notice
    return extended
