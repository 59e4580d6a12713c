"""A log that never holds up the event loop: another thread writes its records.

A terminal that is stopped, a pipe that nobody reads and a disk that hangs block a writer. In a
server, one log line would then stop the sound of all conversations.
"""

import copy
import logging

from ..background_writer import BackgroundWriter

QUEUED_RECORDS = 2000
"""Maximum number of records that wait to be written: at 300 bytes each, 600 kB. Further ones are
lost, and their number is logged."""

END_S = 2.0
"""Time that the last records have to be written when the log ends, in seconds."""


class BackgroundHandler(logging.Handler):
    """A handler that has a thread pass records to another handler."""

    def __init__(self, handler: logging.Handler) -> None:
        """Start the thread.

        Args:
            handler: Writes the records, and reports its errors. `close` closes it.
        """
        super().__init__()
        self._lost = 0
        self._handler = handler
        self._writer = BackgroundWriter[logging.LogRecord](
            self._write,
            handler.close,
            name="log",
            limit=QUEUED_RECORDS,
            on_failure=lambda error: None,  # the handler reports its errors itself
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record.

        Args:
            record: The record. Its text is made here, because what it is about may change.
        """
        text = copy.copy(record)
        text.msg, text.args = record.getMessage(), None
        if self._lost:
            notice = "%d log records were lost: nobody took them."
            lost = logging.LogRecord(
                __name__, logging.WARNING, __file__, 0, notice, (self._lost,), None
            )
            if not self._writer.offer(lost):
                self._lost += 1
                return
            self._lost = 0
        if not self._writer.offer(text):
            self._lost += 1

    def close(self) -> None:
        """Wait until the records are written, for `END_S` at most."""
        self._writer.close(END_S)
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        self._handler.handle(record)
