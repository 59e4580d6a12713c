"""The lines that a user types in a conversation with plain output: commands and typed turns.

A line that begins with `/` is a command, and every other line is a turn of the user. Nothing is
redrawn, and each command is answered with a sentence, so that a screen reader can speak it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..audio.mute import SHUT, Gate
from ..controls import Controls
from ..errors import OrderError, SonicError

HELP = (
    ("/mute", "send silence instead of your voice"),
    ("/unmute", "send your voice again"),
    ("/push-to-talk", "send your voice only from one press of Enter to the next; again to end it"),
    ("/stop", "interrupt the answer"),
    ("/volume 50", "play at half the volume; 0 to 100, or +10 and -10 for a change"),
    ("/half-duplex on", "close the microphone while the model speaks; off opens it"),
    ("/quit", "say goodbye and end; so do Ctrl-D and Ctrl-C"),
    ("/help", "list the commands"),
)
"""Commands and their descriptions, for `/help`."""

MICROPHONE = {
    Gate.OPEN: "The microphone is open.",
    Gate.MUTED: "The microphone is muted. /unmute opens it.",
    Gate.WAITING: "Push-to-talk: press Enter to speak, and Enter again when you are done.",
    Gate.TALKING: "The microphone is open. Press Enter when you are done.",
    Gate.ABSENT: "There is no microphone in this conversation, because of --text.",
}
"""Sentence for each state of the microphone."""


@dataclass(frozen=True, slots=True)
class Command:
    """A line that is a command."""

    name: str
    """The first word, without the slash, in lower case."""
    argument: str
    """The rest of the line."""


QUIT = Command("quit", "")
"""The command that ends the conversation."""


@dataclass(frozen=True, slots=True)
class TypedTurn:
    """A line, or several pasted ones, that is a turn of the user."""

    text: str


def parse_lines(text: str) -> list[Command | TypedTurn]:
    """Return the meaning of a line, or of several that were pasted.

    Args:
        text: The lines. If the first one is a command, each line has its own meaning; otherwise all
            are one turn.
    """
    lines = text.splitlines() if isinstance(parse_line(text), Command) else [text]
    return [parse_line(line) for line in lines or [""]]


def parse_line(line: str) -> Command | TypedTurn:
    """Return the meaning of a line.

    Args:
        line: The line. Enter alone is the command `talk`. Two slashes begin a turn with one.
    """
    text = line.strip()
    if text.startswith("//"):
        return TypedTurn(text[1:])
    if text.startswith("/"):
        name, _, argument = text[1:].partition(" ")
        return Command(name.lower(), argument.strip())
    return TypedTurn(text) if text else Command("talk", "")


class LineCommands:
    """The commands of typed lines.

    Args:
        controls: Controls that the commands operate.
        show: Called with each sentence of an answer.
    """

    def __init__(self, controls: Controls, show: Callable[[str], None]) -> None:
        self._controls = controls
        self._show = show
        self._commands: dict[str, Callable[[str], None]] = {
            "mute": self._mute,
            "unmute": self._unmute,
            "push-to-talk": self._push_to_talk,
            "talk": self._talk,
            "stop": self._stop,
            "volume": self._volume,
            "half-duplex": self._half_duplex,
            "quit": self._quit,
            "help": self._help,
        }

    def execute(self, line: Command | TypedTurn) -> bool:
        """Execute a line. An error is shown as a sentence.

        Args:
            line: The line.

        Returns:
            Whether a turn was sent.
        """
        try:
            if isinstance(line, TypedTurn):
                self._controls.say(line.text)
                return True
            if line.name in self._commands:
                self._commands[line.name](line.argument)
            else:
                self._show(f"There is no command /{line.name}. /help lists the commands.")
        except SonicError as error:
            self._show(" ".join(filter(None, (error.message, error.hint))))
        return False

    def _mute(self, _: str) -> None:
        if self._controls.source.gate not in SHUT:
            self._controls.source.mute()
        self._show_microphone()

    def _unmute(self, _: str) -> None:
        if self._controls.source.gate is Gate.MUTED:
            self._controls.source.mute()
        self._show_microphone()

    def _push_to_talk(self, _: str) -> None:
        self._controls.source.push_to_talk()
        self._show_microphone()

    def _talk(self, _: str) -> None:
        before = self._controls.source.gate
        self._controls.source.talk()
        if self._controls.source.gate is not before:
            self._show_microphone()

    def _stop(self, _: str) -> None:
        if self._controls.sink.pending_s <= 0:
            self._show("No answer is being played.")
        self._controls.interrupt()

    def _volume(self, argument: str) -> None:
        before = self._controls.volume
        if argument:
            self._controls.set_volume(_percent(argument, before or 0))
        if self._controls.volume is None:
            raise OrderError("There is no loudspeaker whose volume could be changed.")
        self._show(f"Volume {self._controls.volume} %.")

    def _half_duplex(self, argument: str) -> None:
        wanted = {"on": True, "off": False, "": not self._controls.half_duplex}.get(argument)
        if wanted is None:
            raise OrderError(f"{argument} is neither on nor off.", hint="Type /half-duplex on.")
        self._controls.set_half_duplex(wanted)
        state = "closed" if wanted else "open"
        self._show(f"The microphone is {state} while the model speaks.")

    def _quit(self, _: str) -> None:
        self._controls.leave()

    def _help(self, _: str) -> None:
        for name, does in HELP:
            self._show(f"{name}: {does}.")
        self._show("Any other line is sent as your turn.")

    def _show_microphone(self) -> None:
        self._show(MICROPHONE[self._controls.source.gate])


def _percent(argument: str, before: int) -> int:
    """Return the volume that is asked for.

    Args:
        argument: A number, or a change with its sign.
        before: The present volume, in percent.

    Raises:
        OrderError: It is no number.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,3} ?%?", argument):
        raise OrderError(f"{argument} is no volume.", hint="Type a number from 0 to 100.")
    number = int(argument.rstrip("% "))
    return before + number if argument[0] in "+-" else number
