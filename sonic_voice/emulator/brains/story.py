"""A story that is long enough to be interrupted, and how far it has been told.

The rest of the story is what the user has not heard: the sentence in which it was interrupted, and
all sentences after it. `played` reports each sentence that was heard.

    told       the story is being told
    cut off    the user spoke and has not been answered yet
    offered    "Shall I go on?" was the last sentence: "yes" goes on
    aside      the user wanted something else: "go on" goes on
"""

from enum import Enum, auto

STORY = (
    "Once upon a time there was a lighthouse at the end of a long, narrow island.",
    "Its keeper was an old woman called Maren, who had not missed a night in forty years.",
    "Every evening she climbed one hundred and twelve steps, lit the lamp, and counted the ships.",
    "One night in November the fog came in so thick that she could not count a single one.",
    "The light went out into the grey and stopped there, as if somebody had hung up a curtain.",
    "So Maren opened the window, took a deep breath, and began to sing.",
    "She did not sing well, but she sang loudly, and the fog carries a voice a long way.",
    "Far out, on a small boat with three sleepy fishermen, the youngest one lifted his head.",
    "Do you hear that, he asked, and the others heard it too.",
    "They turned the boat towards the song, slowly, and sang the second verse back to her.",
    "All night the island and the sea sang to each other, verse after verse.",
    "When they had no verses left they counted, she the even numbers and they the odd ones.",
    "In the morning the fog lifted, and the boat lay ten meters from the rocks, quite safe.",
    "Since that night there is a bell on the island, but when it is foggy, nobody rings it.",
    "They sing instead, and that is the end of the story.",
)
"""Sentences of the story: about 210 words, a minute and a half of speech."""

SHALL_I = "Shall I go on with the story?"
"""Question whether to tell the rest of the story."""


class StoryState(Enum):
    """The state of a story of which a part has not been heard."""

    TOLD = auto()
    """The story is being told."""
    CUT_OFF = auto()
    """The user spoke and has not been answered yet."""
    OFFERED = auto()
    """The question whether to go on was the last sentence."""
    ASIDE = auto()
    """The user wanted something else."""


class Story:
    """The story for one listener. `state` is None before it begins and after its last sentence."""

    def __init__(self) -> None:
        self.state: StoryState | None = None
        self._heard = 0

    def begin(self) -> tuple[str, ...]:
        """Start from the beginning and return all sentences."""
        self._heard, self.state = 0, StoryState.TOLD
        return STORY

    def rest(self) -> tuple[str, ...]:
        """Return the sentences that were not heard yet, after a short introduction."""
        self.state = StoryState.TOLD
        return ("Where was I?", *STORY[self._heard :])

    def again(self) -> tuple[str, ...]:
        """Return the rest, preceded by the last sentence that was heard."""
        self._heard = max(0, self._heard - 1)
        self.state = StoryState.TOLD
        return STORY[self._heard :]

    def interrupt(self) -> None:
        """Note that the user spoke."""
        if self.state is StoryState.TOLD:
            self.state = StoryState.CUT_OFF

    def offer(self) -> str:
        """Return the question whether to go on."""
        self.state = StoryState.OFFERED
        return SHALL_I

    def set_aside(self) -> None:
        """Leave the rest for later."""
        self.state = StoryState.ASIDE

    def played(self, sentence: str) -> None:
        """Note that a sentence was heard.

        Args:
            sentence: The sentence, which need not be one of the story.
        """
        if self.state is None or sentence != STORY[self._heard]:
            return
        self._heard += 1
        if self._heard == len(STORY):
            self._heard, self.state = 0, None
