"""The residual echo: how much of the echo the learned path leaves, and what exceeds it.

A small loudspeaker distorts, so that the learned path cannot remove all of its echo. What remains
is in proportion to the echo: at a given volume the share is stable, some -25 dB where the
loudspeaker is hardly driven and -10 dB where it is driven hard. A person as loud as the echo leaves
a share of about 0 dB. A fixed threshold would have to know the share, so it is learned. For each
frame, with powers in dB:

    E       = max(P(near - linear), E - f)                the echo that the path expects
    r       = P(linear) - E                               share that is left of it
    q       = q + w s_up     if r > q                     90 % quantile of the share
            = q - w s_down   otherwise
    own     = clamp((r - q - m) / (M - m), 0, 1)          what cannot be residual echo
    own     = max(own, own of the last frame - 0.2)

The quantile is tracked by steps whose ratio is that of the probabilities (stochastic approximation
of Robbins and Monro 1951): s_up / s_down = 0.9 / 0.1. The weight w is 1, and 0.1 where AEC3's
output is like that of the path, which is what a person causes. Where no echo is expected,
everything is of this end: own = 1.

While the microphone clips, AEC3 removes the person with the echo, and only the share can tell that
a person speaks; its margin is then larger.

    symbol   variable               symbol   variable
    E        `expected_dbfs`        s_up     `RISE_DB`
    f        `DECAY_DB`             s_down   `FALL_DB`
    r        `share_db`             m        `MARGIN_DB`, `CLIPPED_MARGIN_DB`
    q        `quantile_db`          M - m    `OPENING_DB`
    w        `weight`

Pure arithmetic: no clock, no device, no threads.
"""

from .local_speech import power_dbfs

DECAY_DB = 1.5
"""Maximum decrease of the expected echo from one frame to the next, in dB: a room whose
reverberation takes 0.4 s decays by that."""

AUDIBLE_DBFS = -55.0
"""Level of the expected echo below which nothing is taken for a residual echo, in dBFS."""

LEARNING_DBFS = -45.0
"""Level of the expected echo above which its share is learned, in dBFS. Below it the noise of the
microphone is a part of what is left."""

INITIAL_DB = -12.0
"""Share of the echo that is expected to be left before any was heard, in dB."""

LEAST_DB, MOST_DB = -35.0, -3.0
"""Range of the quantile, in dB. Above -3 dB the path removes nothing."""

RISE_DB = 0.18
"""Increase of the quantile in a frame with more, in dB: 18 dB in a second at most."""

FALL_DB = 0.02
"""Decrease of the quantile in a frame with less, in dB."""

PERSON_WEIGHT = 0.1
"""Weight of a frame that may contain a person."""

PERSON_DB = -18.0
"""Level of AEC3's output relative to that of the path, in dB, above which a frame may contain a
person."""

MARGIN_DB = 6.0
"""Level over the quantile above which a frame is more than a residual echo, in dB."""

CLIPPED_MARGIN_DB = 5.0
"""The same while the microphone clips, in dB. It may be smaller, because the quantile is larger."""

SETTLED_FRAMES = 800
"""Frames of echo after which the share alone can tell a person, in 10 ms: eight seconds. Before, a
path that is learned from a clipped echo leaves up to all of it now and then."""

CLIPPED_SHARE_DB = -6.0
"""Share, in dB, above which a frame may contain a person while the microphone clips, when AEC3 does
not tell."""

OPENING_DB = 2.0
"""Range above the margin in which the share of the person grows from 0 to 1, in dB."""

CLOSING = 0.2
"""Maximum decrease of the share of the person from one frame to the next: it is 0 after 50 ms."""


class ResidualEcho:
    """An estimate of the share of the echo that the learned path leaves."""

    def __init__(self) -> None:
        self.quantile_db = INITIAL_DB
        """90 % quantile of the share, in dB."""
        self.expected_dbfs = AUDIBLE_DBFS - 40
        """Level of the echo that the path expects, in dBFS."""
        self._own = 1.0
        self._learned_frames = 0

    def update(
        self, echo: float, linear: float, agreement_db: float, *, clipped: bool
    ) -> tuple[float, float]:
        """Take the next frame into account.

        Args:
            echo: Power of the echo that the path expects.
            linear: Power of what the path leaves.
            agreement_db: Level of AEC3's output relative to the path's, in dB.
            clipped: Whether the microphone has clipped within the last half second.

        Returns:
            How much of the frame cannot be residual echo, 0 to 1, and the same with the margin of a
            microphone that clips.
        """
        self.expected_dbfs = max(power_dbfs(echo), self.expected_dbfs - DECAY_DB)
        share_db = power_dbfs(linear) - self.expected_dbfs
        over_db = share_db - self.quantile_db
        if self.expected_dbfs > LEARNING_DBFS:
            person = share_db > CLIPPED_SHARE_DB if clipped else agreement_db > PERSON_DB
            weight = PERSON_WEIGHT if person else 1.0
            self._learned_frames += 1
            self.quantile_db += weight * (RISE_DB if over_db > 0 else -FALL_DB)
            self.quantile_db = min(MOST_DB, max(LEAST_DB, self.quantile_db))
        own = own_if_clipped = 1.0
        if self.expected_dbfs > AUDIBLE_DBFS:
            own = (over_db - MARGIN_DB) / OPENING_DB
            settled = self._learned_frames > SETTLED_FRAMES
            own_if_clipped = (over_db - CLIPPED_MARGIN_DB) / OPENING_DB if settled else 0.0
        self._own = max(0.0, min(1.0, own), self._own - CLOSING)
        return self._own, max(0.0, min(1.0, own_if_clipped))
