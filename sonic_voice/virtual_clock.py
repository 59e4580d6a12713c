"""A clock that its owner moves, for conversations that run in virtual time, such as tests.

A session whose clock is a `VirtualClock` sends no silence in place of audio that does not come: no
time has passed for it to stand for. All audio comes from the source, as silence where nobody
speaks.
"""


class VirtualClock:
    """A clock that stands still until it is moved. It begins at 0."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self._now_s

    def advance_to(self, now_s: float) -> None:
        """Move the clock.

        Args:
            now_s: The new time, in seconds; an earlier one than the present is ignored.
        """
        self._now_s = max(self._now_s, now_s)
