"""Handover: what the next stream of a conversation must know, hear and answer.

The service has no token with which a stream could be continued. The next stream receives the
history as text and the user's audio from where it was not answered yet. `hand_over` decides both:

- *History* is what was heard, with the results of tools in brackets, within the limits of the
  model, the newest words kept.
- *Audio* is replayed from shortly before the first voice that the old stream has not transcribed.
  If the service reports that the user speaks, it is replayed from the beginning of that speech.
- *An answer that is still owed* is asked for again. The user's words are sent as text if nothing
  of the answer has sounded. If a part has sounded, the next stream is asked to continue. A model
  that takes no text hears the words of the user again; the rest of a broken answer is then lost.
- *A tool call without a result* is not made again: its result is sent as text when it comes. A
  call of `ExpertTool` ends with its stream: the answer that it was for is asked for again.

Texts in brackets are stage directions of the session, which the user did not say.

Source: protocol reference 7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .config import SessionConfig
from .events import ToolCall
from .history import Message, normalise
from .transcript import Transcript
from .turn_progress import AudioStart, TurnProgress
from .uplink_ring import UplinkRing

LEAD_S = 0.3
"""Audio before the first voice that is replayed too, in seconds: a soft beginning of a word."""

DETECTION_S = 1.5
"""Time within which a working service reports the beginning of speech, in seconds. Voice that is
older and was not reported is noise, and is not replayed at a planned renewal."""

CONTINUE_TEXT = (
    "[The connection broke while you were speaking. Your last answer in this conversation was "
    "heard up to its last word. Continue it from there; repeat nothing.]"
)
"""Text that asks a new stream to continue an answer."""

ANSWER_TEXT = (
    "[The connection broke before you answered. Answer what came last in this conversation.]"
)
"""Text that asks a new stream for an answer that opened no turn: to the result of a tool."""

RESULT_CHARACTERS = 1000
"""Maximum length of a tool result in the history, in characters."""


@dataclass(frozen=True, slots=True)
class Handover:
    """The beginning of a stream that carries a conversation on."""

    history: tuple[Message, ...]
    start: AudioStart
    replay_from: int
    """Position in the conversation's audio from which it is replayed, in bytes."""
    prompt: str = ""
    """Text that the stream is to answer at once; may be empty."""
    recording: bytes = b""
    """Audio that is sent before the replayed audio and that the user has not said; as PCM."""
    expects_events: bool = False
    """True if the service must react to what is replayed or sent as text."""


def first_handover(config: SessionConfig, ring: UplinkRing) -> Handover:
    """Return the beginning of the first stream of a conversation.

    Args:
        config: The configuration of the session.
        ring: The audio of the user, if some was kept while the stream was opened.
    """
    return Handover(config.history, AudioStart(), ring.begin)


def hand_over(
    config: SessionConfig,
    transcript: Transcript,
    progress: TurnProgress,
    ring: UplinkRing,
    *,
    results: Mapping[int, Sequence[str]],
    planned: bool,
) -> Handover:
    """Return the beginning of the next stream.

    Answers that will not be completed are cut in the transcript.

    Args:
        config: The configuration of the session.
        transcript: The transcript of the session.
        progress: The progress of the stream that is replaced.
        ring: The audio of the user.
        results: For each turn the results of its tools, as texts for the history.
        planned: Whether the old stream works, and may finish an answer that it has begun.
    """
    # Without reports of speech, voice that was not transcribed yet is not known to be noise.
    reported = config.voice_model.speech_events
    replay_from = _replay_from(progress, ring, planned=planned and reported)
    speaking = progress.user_speaks or _awaits_transcription(progress)
    turn: int | None = None if progress.over else progress.turn
    prompt, left_out = "", None
    if planned and can_finish(progress):
        turn = None
    elif turn is not None and progress.sounded:
        transcript.end_at_received(turn)
        if config.voice_model.text_input and not speaking and not progress.calls:
            prompt = CONTINUE_TEXT
        elif not progress.calls:
            turn = None
    elif turn is not None:
        transcript.drop_plans(turn)
        if speaking or progress.calls:
            pass  # the user goes on talking, or the result will be sent as text
        elif config.voice_model.text_input:
            prompt = _words_of(transcript, turn, results)
            left_out = turn if prompt else None
        elif not progress.typed:
            transcript.retake(turn)
            replay_from = _lead(ring, ring.position(progress.heard_from_ms))
            left_out, speaking = turn, True
    elif progress.owes and not progress.calls and not speaking and config.voice_model.text_input:
        prompt = ANSWER_TEXT
    start = AudioStart(
        offset_ms=ring.milliseconds(replay_from),
        turn=turn,
        sounded=turn is not None and progress.sounded,
    )
    return Handover(
        history=conversation_history(config, transcript, results, without_user_of=left_out),
        start=start,
        replay_from=replay_from,
        prompt=prompt,
        expects_events=bool(prompt) or speaking,
    )


def needed_from(config: SessionConfig, progress: TurnProgress, ring: UplinkRing) -> int:
    """Return the position before which no later stream hears the user's audio again, in bytes.

    Args:
        config: The configuration of the session.
        progress: The progress of the live stream.
        ring: The audio of the user.
    """
    needed_ms = progress.transcribed_ms
    if not config.voice_model.text_input:  # it hears the words of a turn again
        needed_ms = min(needed_ms, progress.heard_from_ms)
    return ring.position(needed_ms)


def unanswered_audio(progress: TurnProgress | None, ring: UplinkRing) -> bytes:
    """Return the audio of the user that a next stream would hear again, as PCM.

    Args:
        progress: The progress of the stream that was live last; None if none ever was.
        ring: The audio of the user.
    """
    if progress is None:
        return ring.since(ring.begin)
    return ring.since(_replay_from(progress, ring, planned=False))


def can_finish(progress: TurnProgress) -> bool:
    """Return whether a stream that works can finish its answer after it was replaced.

    Args:
        progress: The progress of its newest turn.
    """
    return not progress.over and progress.sounded and not progress.calls and not progress.expert


def conversation_history(
    config: SessionConfig,
    transcript: Transcript,
    results: Mapping[int, Sequence[str]],
    *,
    without_user_of: int | None = None,
) -> tuple[Message, ...]:
    """Return the conversation as it was heard, as history within the limits of the model.

    Args:
        config: The configuration of the session, with the history that it began with.
        transcript: The transcript of the session.
        results: For each turn the results of its tools, as texts for the history.
        without_user_of: Number of a turn whose user's words are left out; None for none.
    """
    messages = list(config.history)
    for line in transcript.lines:
        if line.role == "USER" and line.turn != without_user_of:
            text = "\n".join([line.text, *results.get(line.turn, ())])
            messages.append(Message("USER", text))
        elif line.role == "ASSISTANT" and line.text:
            messages.append(Message("ASSISTANT", line.text))
    return normalise(messages, config.voice_model.limits, "trim")


def result_note(call: ToolCall, result_json: str) -> str:
    """Return the text with which a tool result stands in the history.

    Args:
        call: The call.
        result_json: Its result, a JSON object.
    """
    return f"[{call.name} returned {_shortened(result_json)}]"


def late_result_text(call: ToolCall, result_json: str) -> str:
    """Return the text that gives a tool result to a stream which did not make the call.

    Args:
        call: The call.
        result_json: Its result, a JSON object.
    """
    return (
        f"[The result of your earlier tool call {call.name}({call.arguments_json}) has come: "
        f"{result_json}. Answer the user with it.]"
    )


def _replay_from(progress: TurnProgress, ring: UplinkRing, *, planned: bool) -> int:
    """Return the position from which the user's audio is replayed, in bytes."""
    answered = ring.position(progress.transcribed_ms)
    if progress.speech_began_ms is not None and (
        progress.user_speaks or _awaits_transcription(progress)
    ):
        began = ring.position(progress.speech_began_ms - 1000 * LEAD_S)
        return min(ring.end, max(answered, began, ring.begin))
    if planned:
        answered = max(answered, ring.end - ring.position(1000 * DETECTION_S))
    return _lead(ring, answered)


def _lead(ring: UplinkRing, position: int) -> int:
    """Return where the lead of the first kept voice after a position begins, in bytes."""
    voice = ring.voice_begins(position)
    if voice is None:
        return ring.end
    return max(position, ring.begin, voice - ring.position(1000 * LEAD_S))


def _awaits_transcription(progress: TurnProgress) -> bool:
    """Return whether the service has heard speech of which no text has come yet."""
    began_ms = progress.speech_began_ms
    return began_ms is not None and began_ms >= progress.transcribed_ms


def _words_of(transcript: Transcript, turn: int, results: Mapping[int, Sequence[str]]) -> str:
    """Return the words of the user in a turn, with the results of tools that answer them."""
    said = [line.text for line in transcript.lines if (line.turn, line.role) == (turn, "USER")]
    return "\n".join([*said, *results.get(turn, ())]) if said else ""


def _shortened(text: str) -> str:
    return text if len(text) <= RESULT_CHARACTERS else f"{text[:RESULT_CHARACTERS]}..."
