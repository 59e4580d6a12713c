"""Hindi that a recogniser wrote in the letters of Urdu, in Devanagari."""

import pytest

from sonic_voice.emulator.speech import whisper
from sonic_voice.emulator.speech.devanagari import (
    DevanagariWriter,
    devanagari_sounds,
    has_urdu_letters,
    urdu_sounds,
)

from ..support.word_errors import plain_words, word_error_rate

FREQUENCIES = {
    word: 10.0**-rarity
    for rarity, words in {
        2: "है में के और को का की एक से कर",
        3: "क्या आप हैं कि लिए कल कब मैं हूँ करना तक नहीं आया मेरा पहले इस भी मुझे सकते दो",
        4: "शाम लोगों चाहता बता अगली जाएगी ट्रेन अभी रहा शुक्रवार कृपया आपका नाम जबकि अगले दिल",
        5: "बुक मेज ऑर्डर सोमवार इंतजार बिल भेज दीजिए दिल्ली मदद करोड़",
    }.items()
    for word in words.split()
}
"""Frequencies of some words, about as they are in Hindi."""


@pytest.fixture(scope="module")
def writer() -> DevanagariWriter:
    return DevanagariWriter(FREQUENCIES)


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        # As Whisper base wrote them.
        ("کیا آپ بتا سکتے ہیں کہ اگلی ترین قب جائے گی؟", "क्या आप बता सकते हैं कि अगली ट्रेन कब जाएगी?"),
        (
            "میں کل شام دو لوگوں کیلئے ایک میز بک کرنا چاہتا ہوں",
            "मैं कल शाम दो लोगों के लिए एक मेज बुक करना चाहता हूँ",
        ),
        (
            "میرا آردر ابھی تک نہیں آیا ہے اور میں سوموار سے انتظار کر رہا ہوں",
            "मेरा ऑर्डर अभी तक नहीं आया है और मैं सोमवार से इंतजार कर रहा हूँ",
        ),
        ("کریپیا مجھے شکرور سے پہلے بھیل بھیج دی جیے۔", "कृपया मुझे शुक्रवार से पहले बिल भेज दीजिए।"),
        ("kripya, مجھے 2 بل بھیج دیجیے", "कृपया, मुझे 2 बिल भेज दीजिए"),
        ("آپ کا نام کیا ہے", "आपका नाम क्या है"),  # a pronoun with its postposition
        ("دلی میں", "दिल्ली में"),  # a doubled consonant; "in", not "I"
        ("", ""),
    ],
)  # fmt: skip
def test_words_are_written_as_hindi_writes_them(
    writer: DevanagariWriter, heard: str, said: str
) -> None:
    assert writer.write(heard) == said


def test_unknown_words_stay_as_they_are(writer: DevanagariWriter) -> None:
    assert writer.write("Kubernetes") == "Kubernetes"
    assert writer.write("मेरा Kubernetes") == "मेरा Kubernetes"


def test_only_texts_with_letters_of_urdu_are_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_hindi_writer", lambda: DevanagariWriter(FREQUENCIES))
    for text in ("Today the weather is very good.", "आज मौसम अच्छा है", "", "؟"):
        assert whisper.in_devanagari(text) == text
    assert whisper.in_devanagari("کیا") == "क्या"


def test_without_the_list_of_words_the_log_says_what_is_missing_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(whisper, "_hindi_writer", lambda: None)
    whisper.warn_once.cache_clear()
    for _ in range(2):
        assert whisper.in_devanagari("کیا") == "کیا"
    assert caplog.messages == [whisper.NO_HINDI_WORDS]


def test_sounds_of_both_scripts_are_the_same_where_urdu_writes_all() -> None:
    assert urdu_sounds("شام") == devanagari_sounds("शाम") == "SAm"
    assert urdu_sounds("بھیل") == "bHYl"
    assert urdu_sounds("اگلی") == "XglI"
    assert has_urdu_letters("abc ک")
    assert not has_urdu_letters("abc ?؟ कल")


def test_words_in_devanagari_are_counted_with_their_vowels() -> None:
    assert plain_words("मैं कल, 2 लोगों के लिए।") == ["मैं", "कल", "two", "लोगों", "के", "लिए"]
    assert word_error_rate([("की", "का")]) == 1.0
