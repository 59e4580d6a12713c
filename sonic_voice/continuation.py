"""The conversation that the streams of a session continue, one after another.

It answers what the next stream begins with (`handover`), whether it still has to greet the user
(`first_words`), and from what another session could continue (`snapshot`).
"""

from dataclasses import replace

from .config import SessionConfig
from .first_words import greeting_config, with_greeting
from .handover import Handover, first_handover, hand_over, unanswered_audio
from .service_stream import ServiceStream
from .session_input import SessionInput
from .snapshot import SessionSnapshot, resume_handover, take_snapshot
from .transcript import Transcript
from .turn_progress import Playback
from .wire import Tokens


class Continuation:
    """The conversation of one session, as its next stream has to continue it.

    Args:
        input: The input of the session, with its configuration.
        transcript: The transcript of the session.
        playback: What the streams of the session share.
        resume: The snapshot from which the conversation continues; None for a new one.
    """

    def __init__(
        self,
        input: SessionInput,
        transcript: Transcript,
        playback: Playback,
        resume: SessionSnapshot | None,
    ) -> None:
        self._input = input
        self._transcript = transcript
        self._playback = playback
        self._resume = resume
        if resume is not None:
            playback.newest_turn = resume.turn
            input.restore(resume)

    @property
    def next_config(self) -> SessionConfig:
        """The configuration of the next stream."""
        config = self._input.config
        return greeting_config(config) if self._owes_greeting else config

    def snapshot(
        self, newest: ServiceStream | None, tokens: Tokens, *, audio: bool
    ) -> SessionSnapshot:
        """Return the conversation as a value.

        Args:
            newest: The stream that was live last; None if none ever was.
            tokens: Tokens used so far by all streams.
            audio: Whether it has the user's audio that was not answered.
        """
        progress = newest.progress if newest is not None else None
        resumed, turn = self._resume, self._playback.newest_turn
        return take_snapshot(
            self._input.config,
            self._transcript,
            turn=turn,
            tokens=tokens,
            calls=self._input.open_calls,
            results=self._input.results,
            progress=progress,
            still_owed=resumed is not None and resumed.owed and resumed.turn == turn,
            audio=unanswered_audio(progress, self._input.ring) if audio else b"",
        )

    def hand_over(self, old: ServiceStream | None, *, planned: bool) -> Handover:
        """Return the beginning of the next stream.

        Args:
            old: The stream that was live last; None if none ever was.
            planned: Whether it works, and may finish its answer.
        """
        owes_greeting = self._owes_greeting
        handover = self._without_greeting(old, planned=planned)
        if not owes_greeting or handover.prompt:
            return handover
        config = self._input.config
        # A user who speaks needs no greeting. v1 does not report it, and hears both.
        if handover.expects_events and config.voice_model.text_input:
            return handover
        return with_greeting(handover, config)

    def _without_greeting(self, old: ServiceStream | None, *, planned: bool) -> Handover:
        config, ring, results = self._input.config, self._input.ring, self._input.results
        if old is None and self._resume is not None:
            return resume_handover(config, self._transcript, ring, self._resume, results=results)
        if old is None:
            return first_handover(config, ring)
        progress = old.progress
        lost = [c for c in self._input.lost_calls.values() if c.turn == progress.turn]
        calls = {call.tool_use: call for call in (*progress.calls, *lost)}
        return hand_over(
            config,
            self._transcript,
            replace(progress, calls=tuple(calls.values())),
            ring,
            results=results,
            planned=planned,
        )

    @property
    def _owes_greeting(self) -> bool:
        """True until the greeting sounds, or the user's words take its place."""
        return (
            bool(self._input.config.greeting)
            and (self._resume is None or not self._resume.turn)
            and not self._playback.sounding
            and not any(line.role == "USER" for line in self._transcript.lines)
        )
