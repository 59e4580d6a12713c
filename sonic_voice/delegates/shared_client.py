"""The client that delegates without one of their own share: the AWS settings of the environment."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bedrock.operations import BedrockOperations


class OperationsSource:
    """Gives a delegate its client, which is made when it is first needed.

    Connections belong to the event loop in which they were made. In another loop, as in a second
    conversation of a test, there is another client.

    Args:
        operations: The client to give; None for one with the settings of the environment.
    """

    def __init__(self, operations: "BedrockOperations | None") -> None:
        self._given = operations
        self._made: BedrockOperations | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> "BedrockOperations":
        """Return the client."""
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        if self._made is None or self._loop is not loop:
            from ..bedrock import BedrockTransport
            from ..bedrock.operations import BedrockOperations

            self._made, self._loop = BedrockOperations(BedrockTransport()), loop
        return self._made
