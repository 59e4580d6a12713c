"""Orders of interruptions that recordings and accounts of the service show, and the grammar."""

import base64
import json

import pytest

from sonic_voice.catalog import voice_model
from sonic_voice.wire import Tokens

from ..support.output_grammar import OutputGrammar
from ..support.service_host import V2


def event(name: str, **body: object) -> bytes:
    """Return an output event as a recording has it, without the optional role."""
    ids: dict[str, object] = {"promptName": "P", "sessionId": "S"}
    if not name.startswith("userSpeech"):
        ids["completionId"] = "C"
    return json.dumps({"event": {name: ids | body}}, separators=(",", ":"), sort_keys=True).encode()


def text(
    content_id: str, role: str, stage: str, words: str, stop: str = "PARTIAL_TURN"
) -> list[bytes]:
    return [
        event(
            "contentStart",
            contentId=content_id,
            role=role,
            type="TEXT",
            additionalModelFields=json.dumps({"generationStage": stage}, separators=(",", ":")),
            textOutputConfiguration={"mediaType": "text/plain"},
        ),
        event("textOutput", contentId=content_id, content=words),
        event("contentEnd", contentId=content_id, type="TEXT", stopReason=stop),
    ]


def sound(content_id: str, stop: str, last_bytes: int = 3200) -> list[bytes]:
    pcm = {"channelCount": 1, "encoding": "base64", "mediaType": "audio/lpcm"}
    pcm |= {"sampleRateHertz": 16_000, "sampleSizeBits": 16}
    chunk = base64.b64encode(bytes(last_bytes)).decode()
    return [
        event(
            "contentStart",
            contentId=content_id,
            role="ASSISTANT",
            type="AUDIO",
            audioOutputConfiguration=pcm,
        ),
        event("audioOutput", contentId=content_id, content=chunk),
        event("contentEnd", contentId=content_id, type="AUDIO", stopReason=stop),
    ]


class Counts:
    """Usage events, each with the sums of all before it."""

    def __init__(self) -> None:
        self._total = Tokens()

    def __call__(
        self, *, speech_in: int = 0, text_in: int = 0, speech_out: int = 0, text_out: int = 0
    ) -> bytes:
        delta = Tokens(speech_in, text_in, speech_out, text_out)
        self._total += delta
        come = self._total.speech_in + self._total.text_in
        go = self._total.speech_out + self._total.text_out
        return event(
            "usageEvent",
            details={"delta": counted(delta), "total": counted(self._total)},
            totalInputTokens=come,
            totalOutputTokens=go,
            totalTokens=come + go,
        )


def counted(tokens: Tokens) -> dict[str, object]:
    return {
        "input": {"speechTokens": tokens.speech_in, "textTokens": tokens.text_in},
        "output": {"speechTokens": tokens.speech_out, "textTokens": tokens.text_out},
    }


def speech_end(offset_ms: int, detected_ms: int) -> bytes:
    return event(
        "userSpeechEnd", inputAudioOffsetMs=offset_ms, inputAudioDetectionOffsetMs=detected_ms
    )


def a_user_who_goes_on_speaking() -> list[bytes]:
    """Return the order of a recording of Nova 2 Sonic: five turns, two of them interrupted.

    The user resumes twice before an answer is given. Each text of the user comes before the end of
    the speech, and in the second turn there are three of them. The end of the speech may come
    inside of a text.
    """
    count = Counts()
    return [
        count(text_in=22),
        count(speech_in=157),
        count(text_in=1),
        count(text_in=43),
        event("userSpeechStart", inputAudioOffsetMs=1880),
        count(speech_in=65),
        count(text_in=3),
        event("completionStart"),
        *text("r1", "USER", "FINAL", "i would like"),
        speech_end(2680, 3800),
        count(text_in=319),
        event("userSpeechStart", inputAudioOffsetMs=4480),
        count(text_in=1),
        count(speech_in=19),
        count(text_in=3),
        count(text_out=17),
        *inside(text("r2", "USER", "FINAL", "well"), speech_end(4560, 4560)),
        count(text_in=1),
        event("userSpeechStart", inputAudioOffsetMs=4560),
        count(text_in=1),
        count(speech_in=35),
        count(text_in=3),
        count(text_out=20),
        *inside(text("r3", "USER", "FINAL", "a story."), speech_end(5600, 6000)),
        count(text_in=1),
        count(text_out=18),
        *text("r4", "ASSISTANT", "SPECULATIVE", "Which one?"),
        *sound("r5", "END_TURN"),
        *text("r6", "ASSISTANT", "FINAL", "Which one?", "END_TURN"),
        event("userSpeechStart", inputAudioOffsetMs=10440),
        count(speech_in=100),
        count(text_in=3),
        count(speech_out=8, text_out=12),
        *text("r7", "USER", "FINAL", "the one about"),
        count(speech_in=21),
        count(text_in=3),
        *text("r8", "USER", "FINAL", "the lost"),
        count(speech_in=5),
        count(text_in=3),
        *text("r9", "USER", "FINAL", "key."),
        speech_end(14440, 14680),
        count(text_in=1),
        *text("s1", "ASSISTANT", "SPECULATIVE", "Once there was a key."),
        count(text_out=69),
        count(speech_out=6, text_out=14),
        *sound("s2", "PARTIAL_TURN"),
        *text("s3", "ASSISTANT", "SPECULATIVE", " It was lost."),
        *sound("s4", "END_TURN", last_bytes=7680),
        *text("s5", "ASSISTANT", "FINAL", "Once there was a key."),
        event("userSpeechStart", inputAudioOffsetMs=38880),
        *text("s6", "ASSISTANT", "FINAL", '{"interrupted":true}', "INTERRUPTED"),
        *text("s7", "ASSISTANT", "FINAL", " It was lost."),
        count(text_in=2),
        count(speech_in=100),
        count(text_in=3),
        *text("s8", "USER", "FINAL", "no, another one."),
        count(speech_out=1, text_out=19),
        speech_end(41480, 41880),
        *text("s9", "ASSISTANT", "SPECULATIVE", "Then this."),
        count(text_out=69),
        *sound("t1", "PARTIAL_TURN"),
        *text("t2", "ASSISTANT", "SPECULATIVE", " It goes on."),
        *sound("t3", "PARTIAL_TURN")[:-1],
        event("userSpeechStart", inputAudioOffsetMs=45680),
        *sound("t3", "PARTIAL_TURN")[-1:],
        *text("t4", "ASSISTANT", "FINAL", '{"interrupted":true}', "INTERRUPTED"),
        *text("t5", "ASSISTANT", "FINAL", "Then this."),
        count(speech_out=20),
        count(speech_out=16, text_out=4),
        count(text_in=2),
        count(speech_in=100),
        count(text_in=3),
        *text("t6", "USER", "FINAL", "thank you."),
        speech_end(48400, 48880),
    ]


def inside(block: list[bytes], other: bytes) -> list[bytes]:
    return [block[0], other, *block[1:]]


OPENING = [
    event("completionStart"),
    event("userSpeechStart", inputAudioOffsetMs=0),
    event("userSpeechEnd", inputAudioOffsetMs=800, inputAudioDetectionOffsetMs=1200),
    *text("c1", "USER", "FINAL", "hello."),
    *text("c2", "ASSISTANT", "SPECULATIVE", "Hi."),
]
ONSET = event("userSpeechStart", inputAudioOffsetMs=2000)
MARKER = text("c4", "ASSISTANT", "FINAL", '{ "interrupted" : true }', "INTERRUPTED")
REST = [*text("c6", "ASSISTANT", "SPECULATIVE", " How are you?"), *sound("c7", "END_TURN")]
PART, END = sound("c3", "PARTIAL_TURN"), sound("c3", "END_TURN")
FINAL_PART, FINAL_END = (
    text("c5", "ASSISTANT", "FINAL", "Hi.", stop) for stop in ("PARTIAL_TURN", "END_TURN")
)


@pytest.mark.parametrize(
    "stream",
    [
        [*OPENING, *PART, ONSET, *FINAL_PART, *MARKER, *REST],
        [*OPENING, *PART, *FINAL_PART, *MARKER, *REST],
        [*OPENING, *END, ONSET, *FINAL_END, *MARKER, *REST],
        [*OPENING, *PART[:2], ONSET, *FINAL_PART, *MARKER, PART[1], PART[2], *REST],
        [*OPENING, *PART[:2], ONSET, *FINAL_END, *MARKER, PART[1], PART[2], *REST],
        [*OPENING, *PART[:2], ONSET, *MARKER, *text("c8", "USER", "FINAL", ""), PART[2], *REST],
        [*OPENING, *PART[:2], ONSET, PART[1], PART[1], PART[2]],
        [*OPENING, *text("c8", "USER", "FINAL", "and goodbye.")],
        a_user_who_goes_on_speaking(),
    ],
)
def test_further_orders_of_interruptions_are_legal(stream: list[bytes]) -> None:
    grammar = OutputGrammar(voice_model(V2))
    assert [words for payload in stream for words in grammar.check(payload)] == []
    assert grammar.end() == []


@pytest.mark.parametrize(
    ("stream", "rule"),
    [
        ([*OPENING, *PART, *FINAL_PART, *REST], "final"),  # no marker follows
        ([*OPENING, *PART, ONSET, *REST], "user"),  # an answer while the user speaks
        ([*OPENING[:-3], *MARKER], "answer"),  # there is no answer to interrupt
        ([*OPENING, *PART, *MARKER, *MARKER], "answer"),
        # An answer between the user's words and the end of the speech.
        ([*OPENING, *END, ONSET, *text("c8", "USER", "FINAL", "and"), *REST], "user"),
        # Only the user's own text is divided by the user's speech.
        ([*OPENING[:-3], *inside(OPENING[-3:], ONSET)], "block"),
    ],
)
def test_other_orders_of_interruptions_are_not(stream: list[bytes], rule: str) -> None:
    grammar = OutputGrammar(voice_model(V2))
    broken = [words for payload in stream for words in grammar.check(payload)]
    assert rule in {words.partition(":")[0] for words in broken}
