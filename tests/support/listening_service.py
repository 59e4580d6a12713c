"""A service that keeps what it is sent, and calls one tool when it is asked for it."""

from sonic_voice import wire
from sonic_voice.transport import MemoryStream

from .quiet_bridge import QuietService


class ListeningService(QuietService):
    """Takes every session, and calls `tool` whenever a typed turn has `request` in it."""

    def __init__(self, tool: str, request: str) -> None:
        super().__init__()
        self.received: list[str] = []
        """All that was sent, as JSON."""
        self._tool = tool
        self._request = request

    async def open(self, model: str) -> MemoryStream:
        if self.refusal is not None:
            raise self.refusal
        return _Listening(self.received, self._tool, self._request)


class _Listening(MemoryStream):
    def __init__(self, received: list[str], tool: str, request: str) -> None:
        super().__init__()
        self._received = received
        self._tool = tool
        self._request = request

    async def send(self, payload: bytes) -> None:
        text = payload.decode()
        self._received.append(text)
        if self._request in text:
            ids = wire.Ids("session", "prompt", "completion")
            self.deliver(wire.encode_output(wire.ToolUse(ids, "c", "use-1", self._tool, "{}")))
        if '"sessionEnd"' in text:
            self.finish()
