"""The messages that tell a page of its conversation: events, latencies and notices."""

from ..events import AssistantText, Event, Interrupted, PictureShown, TurnEnded, duration
from ..metrics import Metrics
from .messages import encode_event
from .metrics import BridgeMetrics
from .outbox import PageOutbox
from .page_writer import PageWriter
from .picture_queue import PictureQueue


class PageEvents:
    """The events of one conversation, as messages to its page.

    Args:
        outbox: The queue of messages, whose sound the messages refer to.
        pictures: The queue of data of pictures.
        writer: The writer of both.
        bridge_metrics: The counters of the bridge, to which response latencies are added.
        show_tools: Whether the page sees arguments and results of tools.

    Attributes:
        metrics: The measurements of the session; None until it is open.
    """

    def __init__(
        self,
        outbox: PageOutbox,
        pictures: PictureQueue,
        writer: PageWriter,
        bridge_metrics: BridgeMetrics,
        *,
        show_tools: bool,
    ) -> None:
        self.metrics: Metrics | None = None
        self._outbox = outbox
        self._pictures = pictures
        self._writer = writer
        self._bridge_metrics = bridge_metrics
        self._show_tools = show_tools
        self._last_timed_turn = 0
        """The last turn whose latency was reported."""

    def send(self, event: Event) -> None:
        """Send an event to the page, and what is known with it.

        Args:
            event: Any event but `Audio`, which goes to the page as sound.
        """
        message = encode_event(event, show_tools=self._show_tools)
        if message:
            match event:
                case TurnEnded(turn):
                    message["samples"] = self._outbox.end(turn)
                case AssistantText(turn, _, _, "SPECULATIVE"):
                    message["starts_at"] = self._outbox.end(turn)
                case _:
                    pass
            self._writer.queue(message)
        if isinstance(event, PictureShown):
            self._pictures.add(self._outbox.seq, event.data)
            self._writer.wake()
        if isinstance(event, (TurnEnded, Interrupted)):
            self._report_latency(event.turn)

    def send_notice(self, text: str) -> None:
        """Send a notice for the user.

        Args:
            text: One or two sentences.
        """
        self._writer.queue({"type": "notice", "text": text})

    def announce_limit(self, session_s: float, left_s: float) -> None:
        """Send a notice that the conversation reaches the limit of its duration.

        Args:
            session_s: The limit, in seconds.
            left_s: The time until then, in seconds.
        """
        whole, left = duration(session_s), duration(left_s)
        self.send_notice(f"This conversation ends in {left}: the limit of this server is {whole}.")

    def _report_latency(self, turn: int) -> None:
        """Send and count the response latency of a turn, once it is known."""
        measured = self.metrics.turn(turn) if self.metrics else None
        # A turn may end, because all its sound was received, and still be interrupted while it
        # plays: its latency is then reported once.
        if (
            turn > self._last_timed_turn
            and measured is not None
            and measured.response_latency_s is not None
        ):
            self._last_timed_turn = turn
            self._bridge_metrics.add_response_latency(measured.response_latency_s)
            latency_ms = round(measured.response_latency_s * 1000)
            self._writer.queue({"type": "latency", "turn": turn, "response_ms": latency_ms})
