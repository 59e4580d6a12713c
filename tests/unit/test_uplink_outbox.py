"""The order of the payloads that wait for the wire, and when there is room for more."""

import pytest

from sonic_voice.uplink_outbox import OUTBOX_CHUNKS, QueuedPayload, UplinkOutbox


def taken(outbox: UplinkOutbox) -> list[bytes]:
    """Return all payloads of `outbox`, in the order in which they are taken."""
    payloads: list[bytes] = []
    while not outbox.is_empty:
        payloads.append(outbox.take().payload)
    return payloads


def test_urgent_payloads_overtake_audio_and_keep_their_order() -> None:
    outbox = UplinkOutbox()
    outbox.add(QueuedPayload(b"audio 1"))
    outbox.add_urgent([b"text 1", b"text 2"])
    outbox.add(QueuedPayload(b"audio 2"))
    outbox.add_urgent([b"text 3"])
    assert taken(outbox) == [b"text 1", b"text 2", b"text 3", b"audio 1", b"audio 2"]


def test_speech_keeps_the_time_at_which_it_was_queued() -> None:
    outbox = UplinkOutbox()
    outbox.add(QueuedPayload(b"audio", at_s=7.0, speech_s=0.032))
    outbox.add_urgent([b"text"])
    assert outbox.take().speech_s == 0
    assert outbox.take() == QueuedPayload(b"audio", 7.0, 0.032)


def test_there_is_room_until_as_many_chunks_of_audio_wait_as_it_holds() -> None:
    outbox = UplinkOutbox()
    outbox.add_urgent([b"text"] * 2 * OUTBOX_CHUNKS)
    for _ in range(OUTBOX_CHUNKS):
        assert not outbox.is_full
        outbox.add(QueuedPayload(b"audio"))
    assert outbox.is_full
    for _ in range(2 * OUTBOX_CHUNKS):
        outbox.take()
        assert outbox.is_full, "a text makes no room for audio"
    outbox.take()
    assert not outbox.is_full


def test_nothing_is_taken_of_an_empty_outbox() -> None:
    outbox = UplinkOutbox()
    assert outbox.is_empty
    with pytest.raises(IndexError):
        outbox.take()
