"""The recorder of a conversation: what passes through it is on the tape, and never waits for it."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import sonic_voice
from sonic_voice import AudioFormat, NullSink, SessionConfig
from sonic_voice.errors import ConnectError, ConnectionLost, TapeError
from sonic_voice.events import Closed, Ended, Usage, UserText
from sonic_voice.recording import (
    Played,
    Received,
    Recorder,
    Sent,
    SessionEvent,
    StreamEnded,
    StreamOpened,
    Tape,
    TapeFolder,
    TapeWriter,
    heard_pcm,
    read_tape,
)
from sonic_voice.recording import writer as writer_module
from sonic_voice.transport import MemoryStream, MemoryTransport, Stream
from sonic_voice.wire import Tokens

from ..support.tapes import HEADER, received_sound, sent_sound, sound

OUT = AudioFormat(24_000)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def of[T](kind: type[T], tape: Tape) -> list[T]:
    return [record for record in tape.records if isinstance(record, kind)]


async def test_what_is_sent_and_received_is_recorded_with_its_times(tmp_path: Path) -> None:
    clock, inner, path = Clock(), MemoryTransport(), tmp_path / "talk.tape"
    async with Recorder(inner, path, SessionConfig(), clock=clock) as recorder:
        stream = await recorder.open("model")
        clock.s += 0.5
        await stream.send(b'{"event":{"sessionStart":{}}}')
        inner.streams[0].deliver(b'{"event":{"usageEvent":{}}}')
        await stream.accepted()
        assert await stream.receive() == b'{"event":{"usageEvent":{}}}'
        clock.s += 1.0
        inner.streams[0].finish()
        assert await stream.receive() is None
        await stream.end_input()
        await stream.aclose()
    assert inner.streams[0].closed
    assert not inner.closed  # it belongs to its owner
    tape = read_tape(path)
    assert list(tape.records) == [
        StreamOpened(0.0, 1, "model"),
        Sent(0.5, 1, b'{"event":{"sessionStart":{}}}'),
        Received(0.5, 1, b'{"event":{"usageEvent":{}}}'),
        StreamEnded(1.5, 1, ""),
    ]
    assert tape.header.config["voice"] == SessionConfig().voice
    assert "python" in tape.header.software


class RefusingTransport(MemoryTransport):
    """A transport that opens nothing."""

    async def open(self, model: str) -> MemoryStream:
        """Refuse to open."""
        raise ConnectError("No host of that name.")


async def test_faults_are_recorded_with_kind_and_message(tmp_path: Path) -> None:
    inner, path = MemoryTransport(), tmp_path / "talk.tape"
    async with Recorder(inner, path) as recorder:
        stream = await recorder.open("model")
        inner.streams[0].finish(ConnectionLost("It was cut.", reason="cut"))
        with pytest.raises(ConnectionLost):
            await stream.receive()
        await stream.aclose()
        other: Stream = await recorder.open("model")
        other.abort(ConnectionLost("No longer needed.", reason="ended"))
        await other.aclose()
        recorder.forget_credentials()
    assert inner.credentials_forgotten == 1
    ends = [(end.stream, end.error) for end in of(StreamEnded, read_tape(path))]
    assert ends == [(1, "cut: It was cut."), (2, "ended: No longer needed.")]


async def test_an_opening_that_fails_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "talk.tape"
    async with Recorder(RefusingTransport(), path) as recorder:
        with pytest.raises(ConnectError):
            await recorder.open("model")
    assert [type(record) for record in read_tape(path).records] == [StreamOpened, StreamEnded]


async def test_a_conversation_that_never_began_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.tape"
    async with Recorder(MemoryTransport(), path):
        assert path.exists()
    assert not path.exists()


async def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "talk.tape"
    path.write_bytes(b"precious")
    with pytest.raises(TapeError, match="never overwritten"):
        Recorder(MemoryTransport(), path)
    with pytest.raises(TapeError, match="cannot be written"):
        Recorder(MemoryTransport(), tmp_path / "none" / "talk.tape")
    assert path.read_bytes() == b"precious"


async def test_events_are_recorded_without_sound_and_with_their_errors(tmp_path: Path) -> None:
    path = tmp_path / "talk.tape"
    async with Recorder(MemoryTransport(), path) as recorder:
        recorder.observer(UserText(1, "hello"), 0.0)
        recorder.observer(Usage(Tokens(1, 2, 3, 4), Tokens(5, 6, 7, 8)), 0.0)
        recorder.observer(Ended(ConnectionLost("It was cut.", reason="cut")), 0.0)
        recorder.observer(Closed(), 0.0)
    events = of(SessionEvent, read_tape(path))
    assert [event.name for event in events] == ["UserText", "Usage", "Ended", "Closed"]
    assert events[0].fields == {"turn": 1, "text": "hello", "typed": False}
    assert events[1].fields["total"]["text_out"] == 8
    assert events[2].fields == {"kind": "cut", "error": "It was cut."}


async def test_the_tape_has_what_the_sink_played_and_not_what_was_cut_off(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "talk.tape"
    inner = MemoryTransport()
    async with Recorder(inner, path, clock=clock) as recorder:
        stream = await recorder.open("model")
        speaker = NullSink(OUT, now=clock)
        sink = recorder.sink(speaker)
        answers = {1: sound(1, 24_000), 2: sound(2, 12_000)}
        inner.streams[0].deliver(received_sound(answers[1]))
        await stream.receive()
        sink.play(1, answers[1])
        for _ in range(20):  # 640 ms
            clock.s += 0.032
            await stream.send(sent_sound(bytes(1024)))
        sink.flush()
        assert sink.pending_s <= 0.01  # it fades out
        clock.s += 1.0
        sink.play(2, answers[2])
        clock.s += 0.2
        recorder.observer(Closed(), 0.0)
        clock.s += 0.6
        await sink.aclose()
        assert sink.played_ms(2) == 500
    played = of(Played, read_tape(path))
    heard = {
        turn: b"".join(record.pcm for record in played if record.turn == turn) for turn in (1, 2)
    }
    assert heard[2] == answers[2]
    assert answers[1].startswith(heard[1])
    assert len(heard[1]) / 2 / 24_000 == pytest.approx(0.64, abs=0.01)
    assert played[0].t_s == pytest.approx(0.0, abs=0.033)
    pcm, _ = heard_pcm(read_tape(path))
    assert pcm.startswith(heard[1])
    begin = pcm.index(answers[2][:100])
    assert begin / 2 / 24_000 == pytest.approx(1.64, abs=0.05)


# -- the disk --------------------------------------------------------------------------------------


async def test_a_slow_disk_delays_nothing_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, notices = threading.Event(), list[str]()
    monkeypatch.setattr(writer_module, "QUEUE_RECORDS", 50)
    path = tmp_path / "talk.tape"
    writer = TapeWriter(path, HEADER, on_notice=notices.append)
    write = os.write

    def slow_write(fd: int, data: bytes) -> int:
        if threading.current_thread().name == "sonic tape":
            gate.wait(10)
        return write(fd, data)

    monkeypatch.setattr(os, "write", slow_write)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for number in range(200):
        writer.write(SessionEvent(number / 10, "Mark", {"number": number}))
    assert loop.time() - began_s < 1.0
    assert len(notices) == 1
    assert "too slow" in notices[0]
    gate.set()
    while writer.records < 1000 and "RecordsDropped" not in path.read_bytes().decode("latin-1"):
        writer.write(SessionEvent(30.0, "Mark", {"number": -1}))
        await asyncio.sleep(0.01)
    await writer.aclose()
    tape = read_tape(path)
    marks = [event.fields.get("number") for event in of(SessionEvent, tape)]
    assert marks[:50] == list(range(50))
    [dropped] = [event for event in of(SessionEvent, tape) if event.name == "RecordsDropped"]
    assert tape.missing == dropped.fields["count"] > 100


async def test_a_record_that_cannot_be_written_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = TapeWriter(tmp_path / "talk.tape", HEADER)
    writer.write(SessionEvent(0.1, "Mark", {}))
    writer.write(SessionEvent(float("nan"), "Mark", {}))
    writer.write(Played(0.2, -1, b"ab"))
    writer.write(SessionEvent(0.3, "Mark", {}))
    await writer.aclose()
    tape = read_tape(tmp_path / "talk.tape")
    assert ([record.t_s for record in tape.records], tape.missing) == ([0.1, 0.3], 2)
    assert caplog.text.count("was left out") == 2


async def test_a_full_tape_ends_with_the_reason_and_within_its_limit(tmp_path: Path) -> None:
    path, notices = tmp_path / "talk.tape", list[str]()
    writer = TapeWriter(path, HEADER, max_bytes=20_000, on_notice=notices.append)
    for number in range(100):
        writer.write(Sent(number / 10, 1, sent_sound(sound(number, 512))))
    await writer.aclose()
    assert path.stat().st_size <= 20_000
    tape = read_tape(path)
    assert tape.damage == ()
    assert len(of(Sent, tape)) > 10
    last = tape.records[-1]
    assert isinstance(last, SessionEvent)
    assert last.name == "RecordingStopped"
    assert len(notices) == 1


@pytest.mark.parametrize("failing", [1, 2])
async def test_a_disk_that_fails_ends_the_tape_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    notices, write, calls, tried = list[str](), os.write, [0], threading.Event()

    def failing_write(fd: int, data: bytes) -> int:
        if threading.current_thread().name == "sonic tape":
            calls[0] += 1
            tried.set()
            if calls[0] >= failing:
                raise OSError(28, "No space left on device")
        return write(fd, data)

    path = tmp_path / "talk.tape"
    writer = TapeWriter(path, HEADER, on_notice=notices.append)
    monkeypatch.setattr(os, "write", failing_write)
    writer.write(SessionEvent(0.0, "Mark", {}))
    await asyncio.to_thread(tried.wait, 30)  # the first record is written by itself
    for number in range(1, 10):
        writer.write(SessionEvent(number / 10, "Mark", {}))
    await writer.aclose()
    [notice] = notices
    assert notice.startswith(f"Writing {path} failed: No space left on device.")
    assert len(read_tape(path).records) == failing - 1


async def test_a_folder_has_a_private_tape_of_each_conversation(tmp_path: Path) -> None:
    folder = TapeFolder(tmp_path / "tapes", max_bytes=1_000_000)
    names: Callable[[], list[str]] = lambda: sorted(p.name for p in folder.path.iterdir())  # noqa: E731
    assert folder.path.stat().st_mode & 0o777 == 0o700
    for id in ("abc123", "../x"):
        recorder = folder.recorder(MemoryTransport(), SessionConfig(), id)
        assert recorder is not None
        async with recorder:
            await recorder.open("model")
    assert [name.partition("-")[2] for name in names()] == ["___x.tape", "abc123.tape"]


async def test_a_folder_that_cannot_be_written_costs_the_tape_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = TapeFolder(tmp_path / "tapes")
    folder.path.rmdir()
    assert folder.recorder(MemoryTransport(), SessionConfig(), "abc") is None
    assert "abc is not recorded" in caplog.text
    with pytest.raises(TapeError):
        TapeFolder(Path(__file__))


def test_the_names_of_the_library_are_exported() -> None:
    assert sonic_voice.Recorder is Recorder
    assert sonic_voice.read_tape is read_tape
