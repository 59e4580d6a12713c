"""The meaning of the service's events: turns, barge-in, FINAL texts, and owed answers.

The service numbers only content blocks. Turns are recognised by these rules:

- A USER text opens a turn, unless the turn before it has no sound, no tool call and no end yet.
  In that case the user only went on talking, and the texts planned meanwhile are dropped.
- An assistant block after the end or the interruption of a turn opens a turn of its own: an answer
  without a question, such as one to a late tool result.
- FINAL texts open no turn. They belong to the turn whose planned text they repeat.

A session may have several streams, one after another, each with its own `Turns`. What concerns the
listener is shared by them (`Playback`): the number of the newest turn, the answer that is playing,
and the turns that were interrupted. A stream that carries a conversation on begins with
`carry_on`. A stream that was replaced is retired (`retire`): it may finish the answer that it has
begun, and opens no turn any more.

Barge-in is signalled by `userSpeechStart` while an answer is still playing, by `contentEnd` with
`INTERRUPTED` on any block, and by a text block that holds `{"interrupted": true}`; not every model
sends all of them. The first signal interrupts the turn, and the later ones are ignored as
repetitions. Every block that is open at that moment is dead: the rest of its content is dropped,
whatever its name promises. An answer may go on after a marker without cause: its further blocks are
a turn of their own, and the speech that the service had reported is forgotten.

Whether an answer is still playing is estimated from the arrival and the length of its sound. An
answer whose block of sound is open is not over, even if all that came of it has been played.

An event that makes no sense where it comes, such as sound in a text block, becomes `Ignored` with
the reason. No event raises an error, because one wrong event is no reason to end a conversation.

Source: protocol reference 3.3 to 3.11, 11.4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import wire
from .catalog import EXPERT_TOOL
from .config import BYTES_PER_SAMPLE
from .content_blocks import OpenBlock, OpenBlocks
from .events import (
    AssistantText,
    Audio,
    Event,
    Ignored,
    Interrupted,
    ToolCall,
    TurnEnded,
    Usage,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)
from .repeated_texts import RepeatedTexts
from .transcript import Transcript
from .turn_progress import AudioStart, Playback, TurnProgress
from .user_speech import UserSpeech

RATES_HZ = range(1_000, 192_001)
"""Sample rates that sound may have, in Hz. No device plays sound of any other rate, and its length
in seconds would be meaningless."""


PLAYBACK_MARGIN_S = 0.1
"""Time after the end of an answer's sound after which it is over for the service, too, in seconds.
The service measures time in the chunks of audio that it receives."""


@dataclass(slots=True)
class _NewestTurn:
    """The state of the newest turn."""

    number: int = 0
    answering: bool = False
    """True once a block of the answer has begun."""
    sounded: bool = False
    """True once the answer has sound."""
    called: bool = False
    """True once the model has called a tool."""
    over: bool = False
    """True once its last sound has come, or it was interrupted."""
    typed: bool = False
    """True if the user typed it."""
    heard_from_ms: int = 0
    """Position in the conversation's audio from which its words were spoken, in ms."""


class Turns:
    """The interpreter of the service's events of one stream, in their order."""

    def __init__(self, transcript: Transcript, playback: Playback | None = None) -> None:
        """Begin before the first turn of the stream.

        Args:
            transcript: The transcript to which texts and sound are added.
            playback: What this stream shares with the other streams of its session; None for the
                only stream of a session.
        """
        self._transcript = transcript
        self._playback = playback or Playback()
        self._turn = _NewestTurn(self._playback.newest_turn, over=True)
        self._blocks = OpenBlocks()
        self._retired = False
        self._continuing = False
        """True until sound comes of an answer that another stream has begun."""
        self._sounding = 0
        self._speech = UserSpeech()
        self.sent_ms = 0
        """Length of the audio that was sent to this stream so far, in ms."""
        self._owes_answer = False
        self._marked = False
        """True from the marker of an interruption to the next words of the user."""
        self._goes_on = False
        """True while an answer goes on after such a marker."""
        self._repeated = RepeatedTexts()
        self._calls: dict[str, ToolCall] = {}
        """Tool calls whose result is owed, by their ids."""

    def carry_on(self, start: AudioStart) -> None:
        """Begin where another stream of the session stopped. To be called before any record.

        Args:
            start: Where the audio begins, and the turn with which the conversation goes on.
        """
        self._turn = _NewestTurn(self._playback.newest_turn, over=True)
        if start.turn is not None:
            self._turn = _NewestTurn(
                start.turn,
                answering=start.sounded,
                sounded=start.sounded,
                heard_from_ms=start.offset_ms,
            )
        self._continuing = start.turn is not None and start.sounded
        self._speech.begin_at(start.offset_ms)

    def prompted(self, text: str) -> None:
        """Note a text that the session sends by itself, and that the service answers.

        Args:
            text: The text. The service repeats it, which is then ignored.
        """
        self._repeated.text_sent(text)
        self._owes_answer = True

    def recording_sent(self, user_spoke: Callable[[], bool]) -> None:
        """Note a recording before the user's audio that the service transcribes and answers.

        Args:
            user_spoke: Returns whether the user has said something, too. Otherwise the next
                transcription is that of the recording, whatever its words.
        """
        self._repeated.recording_sent(user_spoke)
        self._owes_answer = True

    def retire(self, *, finishing: bool) -> None:
        """Open no turn any more, because another stream has taken the conversation over.

        Args:
            finishing: Whether the answer to the newest turn may come to its end.
        """
        self._retired = True
        self._speech.speaking = False
        self._calls.clear()
        if not finishing or self._turn.over or not self._turn.sounded:
            self._turn.over = True
            self._owes_answer = False
            self._blocks.drop_the_rest()

    @property
    def progress(self) -> TurnProgress:
        """The progress of the newest turn, for the stream that replaces this one."""
        return TurnProgress(
            turn=self._turn.number,
            over=self._turn.over,
            sounded=self._turn.sounded,
            calls=tuple(call for call in self.open_calls if call.name != EXPERT_TOOL),
            expert=any(call.name == EXPERT_TOOL for call in self.open_calls),
            user_speaks=self._speech.speaking,
            speech_began_ms=self._speech.pending_ms(self.sent_ms),
            transcribed_ms=self._speech.transcribed_ms,
            heard_from_ms=self._turn.heard_from_ms,
            typed=self._turn.typed,
            owes=self._owes_answer,
        )

    def receive(self, record: wire.Output, now: float) -> list[Event]:
        """Return the events that one record of the service causes.

        Args:
            record: The decoded output event.
            now: Monotonic seconds; it never runs backwards.
        """
        read = self._READ.get(type(record))
        return read(self, record, now) if read else []

    def typed(self, text: str) -> UserText:
        """Open a turn of the user that was typed.

        Args:
            text: The words of the turn. The service repeats them, which is then ignored.

        Returns:
            The event that reports the turn.
        """
        self._open_turn()
        self._marked = False
        self._turn.typed = True
        self._repeated.text_sent(text)
        self._transcript.user(self._turn.number, text)
        self._owes_answer = True
        return UserText(self._turn.number, text, typed=True)

    def answer_call(self, tool_use: str, *, is_spoken: bool = True) -> ToolCall | None:
        """Mark a tool call as answered.

        Args:
            tool_use: The id of the call.
            is_spoken: Whether the model is to speak about the result. Otherwise only the rest of an
                answer that sounds is still owed.

        Returns:
            The call, or None if no such call is open.
        """
        call = self._calls.pop(tool_use, None)
        if call is not None and is_spoken:
            self._owes_answer = True
        elif call is not None and call.turn == self._turn.number and not self._turn.sounded:
            self._owes_answer = False
        return call

    def expect_spoken_result(self, tool_use: str) -> bool:
        """Note a sentence of the result of a tool call, which the service speaks.

        Args:
            tool_use: The id of the call.

        Returns:
            False if no such call is open.
        """
        if tool_use not in self._calls:
            return False
        self._owes_answer = True
        return True

    def end_spoken_result(self, tool_use: str) -> ToolCall | None:
        """Mark a tool call as answered by its sentences, or as given up without any.

        Args:
            tool_use: The id of the call.

        Returns:
            The call, or None if no such call is open.
        """
        return self._calls.pop(tool_use, None)

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """Tool calls whose result is still owed."""
        return tuple(self._calls.values())

    @property
    def owes_answer(self) -> bool:
        """True if an owed answer has not come to its end, or a tool result is owed.

        Speech whose end the service has not reported yet is owed an answer, too.
        """
        if self._retired and self._turn.number in self._playback.interrupted:
            return False
        return self._speech.speaking or self._owes_answer or bool(self._calls)

    def is_settled(self, now: float) -> bool:
        """Return whether nobody speaks, no tool runs, and no answer is owed or playing.

        Args:
            now: Monotonic seconds; it never runs backwards.
        """
        return not self.owes_answer and now >= self._playback.until_s

    def nobody_speaks(self, now: float) -> bool:
        """Return whether neither side speaks, and no answer is about to begin.

        A tool may run: then it is true between its call and its result, on a model that says
        nothing meanwhile.

        Args:
            now: Monotonic seconds; it never runs backwards.
        """
        if self._speech.is_open(self.sent_ms):
            return False
        if now < self._playback.until_s + PLAYBACK_MARGIN_S:
            return False
        if self._turn.called and any(call.reserved for call in self.open_calls):
            return True  # between sentences of a reasoner, where a block of sound may be open
        if self._blocks.have_sound:
            return False
        if self._turn.over:
            return not self._owes_answer
        return self._turn.called and bool(self._calls) and not self._turn.sounded

    # -- the user ------------------------------------------------------------------------------

    def _user_speech_start(self, record: wire.UserSpeechStart, now: float) -> list[Event]:
        if self._retired:
            return []
        events: list[Event] = [UserSpeechStarted(self._speech.started(record.offset_ms))]
        if self._continuing:  # the rest of the answer will not come
            events += self._interrupt(self._turn.number, "userSpeechStart", now)
        elif now < self._playback.until_s or self._blocks.have_sound:
            events += self._interrupt(self._playback.sounding, "userSpeechStart", now)
        return events

    def _user_speech_end(self, record: wire.UserSpeechEnd, now: float) -> list[Event]:
        if self._retired:
            return []
        return [UserSpeechEnded(*self._speech.ended(record.offset_ms, record.detected_ms))]

    def _user_text(self, text: str, now: float) -> list[Event]:
        if self._retired:
            return []
        if not self._speech.awaits_text and self._repeated.is_repetition(text):
            return []
        self._marked = False
        heard_from_ms = self._speech.transcribed(self.sent_ms)
        text = self._repeated.without_recording(text)
        if not text.strip():  # a noise that was recognised as speech
            return []
        turn = self._turn
        if turn.over or turn.sounded or turn.called:
            self._open_turn()
            self._turn.heard_from_ms = heard_from_ms
        else:
            self._transcript.drop_plans(turn.number)
        self._transcript.user(self._turn.number, text)
        events = self._talked_over(now)
        self._owes_answer = True  # an interruption ends what was owed before
        return [*events, UserText(self._turn.number, text)]

    def _talked_over(self, now: float) -> list[Event]:
        """Interrupt an answer of another stream that is playing; this service knows nothing of it.

        A service that reports the beginning of speech has interrupted it before.
        """
        sounding = self._playback.sounding
        if self._continuing or (now < self._playback.until_s and sounding != self._sounding):
            return self._interrupt(sounding, "userText", now)
        return []

    # -- the answer ----------------------------------------------------------------------------

    def _text_block(self, record: wire.TextBlock, now: float) -> list[Event]:
        dead, events = False, list[Event]()
        if record.role == "ASSISTANT" and record.stage != "FINAL":
            self._note_answer_goes_on()
            if self._turn.typed and not self._turn.answering and not self._retired:
                events = self._talked_over(now)
                self._owes_answer = True
            dead = not self._open_answer()
        block = OpenBlock(self._turn.number, "text", record.role, record.stage, dead=dead)
        self._blocks.begin(record.content_id, block)
        return events

    def _audio_block(self, record: wire.AudioBlock, now: float) -> list[Event]:
        self._note_answer_goes_on()
        dead = not self._open_answer()
        self._playback.sound_blocks += 1
        number = self._playback.sound_blocks
        block = OpenBlock(self._turn.number, "audio", "", None, record.rate_hz, dead, number)
        self._blocks.begin(record.content_id, block)
        if record.rate_hz not in RATES_HZ:
            return [Ignored(f"a block of sound at {record.rate_hz} Hz")]
        if not dead:
            self._turn.sounded = True
            self._sounding = self._turn.number
            self._playback.sounding = max(self._playback.sounding, self._turn.number)
        return []

    def _tool_block(self, record: wire.ToolBlock, now: float) -> list[Event]:
        dead = not self._open_answer()
        block = OpenBlock(self._turn.number, "tool", "TOOL", dead=dead)
        self._blocks.begin(record.content_id, block)
        return []

    def _text_output(self, record: wire.TextOutput, now: float) -> list[Event]:
        if record.is_interruption:
            self._marked = True
            return self._interrupt(self._answering, "marker", now)
        block = self._blocks.find(record.content_id, "text")
        if isinstance(block, str):
            return [Ignored(block)]
        if block.role == "USER":
            return self._user_text(record.text, now)
        if block.stage == "FINAL":  # also of a dead block: it confirms what was spoken before
            current = self._sounding or block.turn
            if self._silenced:
                confirmed = self._transcript.confirm(record.text, current)
            else:
                confirmed = self._transcript.final(record.text, current)
            return [] if confirmed is None else [AssistantText(*confirmed, record.text, "FINAL")]
        if block.dead:
            return []
        index = self._transcript.plan(block.turn, record.text)
        return [AssistantText(block.turn, index, record.text, "SPECULATIVE")]

    def _audio_output(self, record: wire.AudioOutput, now: float) -> list[Event]:
        block = self._blocks.find(record.content_id, "audio")
        if isinstance(block, str):
            return [Ignored(block)]
        if block.dead or block.turn in self._playback.interrupted:
            self._note_answer_goes_on()
            return []
        if block.rate_hz not in RATES_HZ:
            return [Ignored(f"sound at {block.rate_hz} Hz")]
        if len(record.pcm) % BYTES_PER_SAMPLE:
            return [Ignored(f"sound of {len(record.pcm)} bytes, not a whole number of samples")]
        self._continuing = False
        seconds = len(record.pcm) / (block.rate_hz * BYTES_PER_SAMPLE)
        self._playback.until_s = max(self._playback.until_s, now) + seconds
        self._transcript.sound(block.turn, record.pcm, block.rate_hz)
        return [Audio(block.turn, record.pcm, block.rate_hz, block.number)]

    def _tool_use(self, record: wire.ToolUse, now: float) -> list[Event]:
        if self._silenced or (self._retired and self._turn.number in self._playback.interrupted):
            return []
        if self._retired and record.name == EXPERT_TOOL:  # the live stream is asked again
            return []
        if self._retired:  # the result goes to the live stream, which then answers
            self._turn.over, self._owes_answer = True, False
            return [
                ToolCall(self._turn.number, record.tool_use, record.name, record.arguments_json)
            ]
        if record.tool_use in self._calls:
            return [Ignored(f"a second tool call {record.tool_use}, before the first was answered")]
        if record.content_id not in self._blocks:  # no `contentStart` came before it
            self._open_answer()
        self._turn.called = True
        call = ToolCall(self._turn.number, record.tool_use, record.name, record.arguments_json)
        self._calls[record.tool_use] = call
        return [call]

    def _block_end(self, record: wire.BlockEnd, now: float) -> list[Event]:
        block = self._blocks.end(record.content_id)
        if record.stop == "INTERRUPTED":
            turn = block.turn if block is not None and block.kind == "audio" else self._answering
            return self._interrupt(turn, "contentEnd", now)
        # The last audio block ends the turn: `completionEnd` comes only after our goodbye.
        if block is None or block.kind != "audio":
            return []
        if block.dead:
            if self._goes_on and record.stop == "END_TURN":
                self._goes_on = self._owes_answer = False
            return []
        if block.turn in self._playback.interrupted:  # by another stream of the session
            self._turn.over = True
            return []
        self._transcript.sound_ended(block.turn)
        if record.stop != "END_TURN":
            return []
        self._goes_on = self._owes_answer = False
        self._transcript.answer_ended(block.turn)
        if block.turn == self._turn.number:
            self._turn.over = True
        return [TurnEnded(block.turn)]

    def _note_answer_goes_on(self) -> None:
        """Note that the service speaks on after the marker of an interruption.

        Nobody spoke: the speech that it reported has no end, and no text will come of it.
        """
        if self._marked and not self._retired:
            self._marked, self._goes_on, self._owes_answer = False, True, True
            self._speech.forget()

    # -- both ----------------------------------------------------------------------------------

    def _interrupt(self, turn: int, sign: str, now: float) -> list[Event]:
        if turn == 0 or turn in self._playback.interrupted:  # no answer yet, or a repetition
            return []
        if self._silenced:  # another stream answers the turn
            return []
        self._playback.interrupted.add(turn)
        self._continuing = False
        self._blocks.drop_the_rest()
        self._playback.until_s = now
        self._owes_answer = False
        if turn == self._turn.number:
            self._turn.over = True
        self._transcript.interrupt(turn)
        return [Interrupted(turn, sign)]

    @property
    def _silenced(self) -> bool:
        """True if the stream is retired and has nothing to finish any more."""
        return self._retired and self._turn.over

    def _open_turn(self) -> None:
        self._playback.newest_turn += 1
        self._turn = _NewestTurn(self._playback.newest_turn)

    def _open_answer(self) -> bool:
        """Begin a block of an answer, in a new turn if the newest one is over.

        Returns:
            False if the stream is retired and the block belongs to no turn.
        """
        if self._turn.over:
            if self._retired:
                return False
            self._open_turn()
        self._turn.answering = True
        return True

    @property
    def _answering(self) -> int:
        """Number of the turn whose answer came last, 0 before any."""
        return self._turn.number if self._turn.answering else self._sounding

    def _usage(self, record: wire.UsageEvent, now: float) -> list[Event]:
        return [Usage(record.delta, record.total)]

    def _unknown(self, record: wire.UnknownOutput, now: float) -> list[Event]:
        return [Ignored(f"unknown event {record.name}")]

    _READ: dict[type, Callable[[Any, Any, float], list[Event]]] = {  # noqa: RUF012 (a table)
        wire.UsageEvent: _usage,
        wire.UserSpeechStart: _user_speech_start,
        wire.UserSpeechEnd: _user_speech_end,
        wire.TextBlock: _text_block,
        wire.AudioBlock: _audio_block,
        wire.ToolBlock: _tool_block,
        wire.TextOutput: _text_output,
        wire.AudioOutput: _audio_output,
        wire.ToolUse: _tool_use,
        wire.BlockEnd: _block_end,
        wire.UnknownOutput: _unknown,
    }
