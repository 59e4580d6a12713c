"""The keys of a live conversation: commands, or letters of a typed line.

A key is a command unless a line is being typed. A pasted text begins a line.
"""

from collections.abc import Callable

from ...audio.mute import Gate
from ...controls import Controls
from ...errors import SonicError
from .key_decoder import Key, Paste
from .line_editor import LineEditor

VOLUME_STEP = 10
"""Change of the volume by one key, in percent of the full level."""

VOLUME_KEYS = {
    "+": VOLUME_STEP, "=": VOLUME_STEP, "Up": VOLUME_STEP, "-": -VOLUME_STEP, "Down": -VOLUME_STEP,
}  # fmt: skip
"""Change of the volume by key. `=` is the key of `+` without Shift."""

HALF_DUPLEX_ON = "The microphone is closed while the model speaks. Press h to open it."
"""Notice after the key h closed the microphone for the model's voice."""

HALF_DUPLEX_OFF = "The microphone is open while the model speaks. Press h to close it."
"""Notice after the key h opened the microphone for the model's voice."""


class KeyCommands:
    """The commands of the keyboard, with the line that is being typed.

    Args:
        controls: Controls that the keys operate.
        notice: Called with a sentence for the user.
        show_help: Called for the key `?`.
        leave: Called for the keys that end the conversation, each time.

    Attributes:
        editor: The line that is being typed, and those before.
    """

    def __init__(
        self,
        controls: Controls,
        notice: Callable[[str], None],
        show_help: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        self.editor = LineEditor()
        self._controls = controls
        self._notice = notice
        self._show_help = show_help
        self._leave = leave
        # Without a microphone typing is all there is: a line is always open, until Escape.
        self._always_typing = controls.source.gate is Gate.ABSENT
        if self._always_typing:
            self.editor.open()

    def press(self, key: Key) -> None:
        """Execute a key, or add it to the line.

        Args:
            key: A key of `keys.keyboard`.
        """
        try:
            if isinstance(key, Paste) and self.editor.draft is None:
                self.editor.open()
            if self.editor.draft is None:
                self._command(str(key))
            else:
                self._type(key)
        except SonicError as error:
            self._notice(str(error))

    def _command(self, key: str) -> None:
        match key:
            case "m":
                self._controls.source.mute()
            case "p":
                self._controls.source.push_to_talk()
            case " ":
                self._controls.source.talk()
            case "t":
                self.editor.open()
            case "Enter" if self._always_typing:
                self.editor.open()
            case "i":
                self._controls.interrupt()
            case "h":
                self._controls.set_half_duplex(not self._controls.half_duplex)
                self._notice(HALF_DUPLEX_ON if self._controls.half_duplex else HALF_DUPLEX_OFF)
            case "q" | "Ctrl-D":
                self._leave()
            case "?":
                self._show_help()
            case _ if key in VOLUME_KEYS:
                self._controls.set_volume((self._controls.volume or 0) + VOLUME_KEYS[key])
            case _:
                pass

    def _type(self, key: Key) -> None:
        draft = self.editor.draft
        if key == "Ctrl-D" and draft is not None and not draft.text:
            self._command("q")
            return
        text = self.editor.press(key)
        if self._always_typing and key == "Enter":
            self.editor.open()
        if text:
            self._controls.say(text)
