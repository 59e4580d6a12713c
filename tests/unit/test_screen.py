"""The screen from events and keys to what is written to the terminal."""

import io

from rich.console import Console

from sonic_voice.audio.mute import Gate, HushableSink, MutableSource
from sonic_voice.audio.ports import NullSink
from sonic_voice.cli.terminal.screen import Screen, can_draw_on
from sonic_voice.config import SessionConfig
from sonic_voice.controls import Controls
from sonic_voice.conversation import Observer
from sonic_voice.echo.local_speech import Levels
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    NetworkSlow,
    Reconnecting,
    Renewed,
    StreamExpiring,
    TurnEnded,
    UserText,
)
from sonic_voice.metrics import Metrics
from sonic_voice.session import Session
from sonic_voice.transport import MemoryTransport

from ..support.terminal_cells import TerminalCells

SECOND = bytes(48_000)


class Silence:
    """Nobody speaks."""

    def __init__(self, config: SessionConfig) -> None:
        self.format = config.input
        self.done = False

    def now(self) -> float:
        return 0.0

    async def read(self) -> bytes:
        return bytes(640)

    async def aclose(self) -> None:
        """Nothing to give back."""


class Seat:
    """Somebody before a screen, whose clock is set by hand."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.now_s = 0.0
        config = SessionConfig()
        session = Session.open(config, MemoryTransport(), clock=lambda: self.now_s)
        self.transcript = session.transcript
        self.source = MutableSource(Silence(config))
        self.sink = HushableSink(NullSink(now=lambda: self.now_s))
        self.bytes = io.BytesIO()
        file = io.TextIOWrapper(self.bytes, encoding=encoding, newline="")
        console = Console(file=file, force_terminal=True, width=80, height=24)
        metrics = Metrics(session, self.sink)
        self.observers: list[Observer] = [metrics]
        controls = Controls(session, self.source, self.sink, self.observers)
        self.screen = Screen(console, metrics, controls)
        self.observers.append(self.screen)
        self.encoding = encoding
        self.cells = TerminalCells(80, 24)

    def tell(self, *events: Event) -> None:
        for event in events:
            for observe in self.observers:
                observe(event, self.now_s)
            if isinstance(event, Audio):
                self.sink.play(event.turn, event.pcm)

    def written(self) -> str:
        """What was written to the terminal since the last call."""
        text = self.bytes.getvalue().decode(self.encoding)
        self.bytes.seek(0)
        self.bytes.truncate()
        self.cells.feed(text)
        return text

    def seen(self) -> str:
        """What is on the terminal now, after a refresh."""
        self.refreshed()
        return "\n".join(self.cells.lines)

    def refreshed(self) -> str:
        self.screen.refresh()
        return self.written()

    def answer(self, text: str) -> None:
        """A turn whose answer sounds for a second, from now on."""
        self.transcript.plan(1, text)
        self.transcript.sound(1, SECOND, 24_000)
        self.transcript.sound_ended(1)
        self.tell(UserText(1, "Hello."), AssistantText(1, 0, text, "SPECULATIVE"))
        self.tell(Audio(1, SECOND, 24_000), TurnEnded(1))


def test_nothing_is_drawn_when_nothing_has_changed() -> None:
    seat = Seat()
    assert "listening" in seat.refreshed()
    assert seat.refreshed() == ""
    seat.screen.levels(Levels(-96, -96, speaking=False, ducked=False))
    assert "mic" in seat.refreshed()
    seat.screen.levels(Levels(-95.5, -96, speaking=False, ducked=False))
    assert seat.refreshed() == ""


def test_the_meter_says_while_the_microphone_is_shut_because_of_the_echo() -> None:
    seat = Seat()
    seat.screen.levels(Levels(-96, -20, speaking=False, ducked=False, echo_unknown=True))
    assert "echo" in seat.refreshed()
    seat.screen.levels(Levels(-96, -20, speaking=False, ducked=False))
    assert "echo" not in seat.refreshed()


def test_a_turn_is_written_once_where_it_stays_when_it_was_heard() -> None:
    seat = Seat()
    seat.answer("Good morning.")
    seat.now_s = 0.5
    live = seat.refreshed()
    assert live.index("Good") < live.index("speaking")
    seat.now_s = 1.1
    stays = seat.refreshed()
    assert "[0.00 s]" in stays
    assert seat.refreshed() == ""
    seat.screen.press("m")
    assert "Good" not in seat.written()


def test_a_key_acts_and_is_seen_at_once() -> None:
    seat = Seat()
    seat.screen.press("m")
    assert seat.source.gate is Gate.MUTED
    assert "muted" in seat.written()
    for key in "mp ":
        seat.screen.press(key)
    assert seat.source.gate is Gate.TALKING


def test_keys_are_letters_while_a_message_is_typed_and_commands_again_after_escape() -> None:
    seat = Seat()
    for key in "tmute":
        seat.screen.press(key)
    assert seat.source.gate is Gate.OPEN
    assert "> mute" in seat.seen()
    for key in ("Escape", "m"):
        seat.screen.press(key)
    assert seat.source.gate is Gate.MUTED


def test_an_error_of_a_key_is_a_notice() -> None:
    seat = Seat()
    for key in ("t", "h", "i", "Enter"):
        seat.screen.press(key)
    assert "The session is not open." in seat.written()


def test_a_fault_and_the_new_connection_are_notices_and_the_further_attempts_are_counted() -> None:
    seat = Seat()
    seat.tell(Reconnecting("The connection was cut.", 1, 0.0, "cut"))
    shown = seat.refreshed()
    assert "The connection was cut. Connecting again now." in shown
    assert "connection lost: reconnecting" in shown
    seat.tell(Reconnecting("No route to the service.", 2, 2.0, "connect"))
    shown = seat.seen()
    assert "connection lost: reconnecting in 2 s" in shown
    assert "No route" not in shown
    seat.tell(Renewed(2400, 800, "The connection was cut."))
    shown = seat.refreshed()
    assert "Connected again after 2.4 s. The conversation goes on." in shown
    assert "listening" in shown


def test_a_planned_renewal_is_not_shown() -> None:
    seat = Seat()
    seat.refreshed()
    seat.tell(Renewed(0, 800, "age"))
    assert seat.refreshed() == ""


def test_that_the_service_will_end_the_stream_is_a_notice() -> None:
    seat = Seat()
    seat.screen(StreamExpiring(left_s=60, life_s=480), 0.0)
    assert "1 minute is left." in seat.refreshed()


def test_that_the_network_is_too_slow_is_a_notice() -> None:
    seat = Seat()
    seat.screen(NetworkSlow(late_s=4.5, speech_per_s=0.14), 0.0)
    assert "4.5 s late" in seat.refreshed()


def test_a_notice_is_live_first_and_written_where_it_stays_when_the_next_one_comes() -> None:
    seat = Seat()
    seat.screen.notice("The microphone has stopped.")
    assert "note" not in seat.refreshed()
    seat.screen.notice("The microphone is back.")
    text = seat.refreshed()
    assert "note  " in text
    assert text.index("has stopped") < text.index("is back")
    assert seat.refreshed() == ""


def test_i_cuts_what_is_live_and_strikes_through_what_was_not_heard() -> None:
    seat = Seat()
    seat.answer("one two three four")
    seat.now_s = 0.5
    seat.screen.press("i")
    assert seat.sink.pending_s < 0.01
    assert "one two \x1b[2;9mthree four" in seat.written()


def test_the_rest_of_an_answer_that_i_has_cut_is_not_written_again() -> None:
    seat = Seat()
    seat.answer("one two three four")
    seat.now_s = 0.5
    seat.screen.press("i")
    for number in range(7):
        seat.tell(AssistantText(1, number, f" sentence {number}", "SPECULATIVE"))
        seat.tell(Audio(1, SECOND, 24_000))
        seat.refreshed()
    seat.tell(TurnEnded(1))
    assert seat.seen().count("one two") == 1
    assert "sentence" not in seat.seen()


def test_the_help_stays_above_the_live_lines() -> None:
    seat = Seat()
    seat.screen.press("?")
    assert seat.seen().index("push-to-talk: your voice") < seat.seen().index("listening")


def test_at_the_end_everything_is_written_and_the_cursor_is_back() -> None:
    seat = Seat()
    seat.answer("Good morning.")
    seat.screen.notice("Something is odd.")
    seat.refreshed()
    seat.now_s = 0.5
    seat.screen.close()
    text = seat.written()
    assert "Good \x1b[2mmorning." in text
    assert "note  " in text
    assert text.endswith("\x1b[?25h")


def test_a_terminal_that_knows_few_characters_gets_what_it_knows() -> None:
    seat = Seat("ascii")
    seat.screen.levels(Levels(-30, -96, speaking=False, ducked=False))
    seat.tell(UserText(1, "Grüße"))
    text = seat.refreshed()
    assert "#####" in text
    assert "----------" in text
    assert "Gr??e" in text


def test_a_file_is_not_drawn_on() -> None:
    assert not can_draw_on(Console(file=io.StringIO()))
    assert can_draw_on(Console(file=io.StringIO(), force_terminal=True))
