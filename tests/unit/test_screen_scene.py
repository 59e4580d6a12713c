"""Which words have sounded, which turns are over, and what is going on."""

from dataclasses import dataclass, field

from sonic_voice.cli.terminal.scene import Scene, ShownCall, ShownTurn
from sonic_voice.events import (
    AssistantText,
    Audio,
    Event,
    Heard,
    Interrupted,
    Opened,
    Reconnecting,
    Renewed,
    ToolAnswered,
    ToolCall,
    ToolHeld,
    ToolProgress,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserText,
)

SECOND = bytes(48_000)


@dataclass
class Stage:
    """A scene, and a loudspeaker whose clock is set by hand."""

    scene: Scene = field(default_factory=Scene)
    played: dict[int, int] = field(default_factory=dict[int, int])
    now_s: float = 0.0

    def tell(self, *events: Event) -> None:
        for event in events:
            self.scene.observe(event, self.now_s)

    def played_ms(self, turn: int) -> int:
        return self.played.get(turn, 0)

    def take(self) -> list[ShownTurn]:
        return self.scene.take_finished(self.played_ms)

    def live(self) -> ShownTurn:
        (turn,) = self.scene.live(self.played_ms)
        return turn

    def activity(self, sounding: bool = False) -> str:
        return self.scene.activity(sounding, "listening", self.now_s)


def plan(turn: int, text: str, block: int = 0) -> AssistantText:
    return AssistantText(turn, block, text, "SPECULATIVE")


def sound(turn: int) -> Audio:
    return Audio(turn, SECOND, 24_000)


def test_what_has_sounded_grows_word_by_word_with_the_playout_clock() -> None:
    stage = Stage()
    stage.tell(UserText(1, "Count."), plan(1, "One two three four."), sound(1), TurnEnded(1))
    seen: list[str] = []
    for ms in (0, 200, 500, 1000):
        stage.played[1] = ms
        seen.append(f"{stage.live().heard}|{stage.live().rest}")
    assert seen == [
        "|One two three four.",
        "One| two three four.",
        "One two| three four.",
        "One two three four.|",
    ]


def test_a_block_whose_sound_is_still_coming_is_not_taken_for_as_long_as_what_came() -> None:
    stage = Stage()
    stage.tell(plan(1, "A first block. "), sound(1), plan(1, "And a second one.", 1))
    stage.played[1] = 1000
    assert stage.live().heard == "A first block."
    stage.tell(Audio(1, SECOND[:4800], 24_000))  # its first 100 ms, already played
    stage.played[1] = 1100
    assert stage.live().heard == "A first block. And"


def test_of_blocks_planned_before_any_sound_none_counts_as_heard() -> None:
    stage = Stage()
    stage.tell(plan(1, "A first block. "), plan(1, "And a second one.", 1))
    assert stage.live().heard == ""


def test_a_turn_is_taken_once_and_only_when_all_of_it_was_heard() -> None:
    stage = Stage()
    stage.tell(UserText(1, "Hello."), plan(1, "Hi there."), sound(1))
    stage.played[1] = 990
    assert stage.take() == []  # not ended
    stage.tell(TurnEnded(1))
    stage.played[1] = 900
    assert stage.take() == []  # not heard
    stage.played[1] = 997  # a resampler kept the rest
    assert stage.take() == [ShownTurn(1, "Hello.", False, (), "Hi there.", "", False)]
    assert stage.take() == []
    stage.tell(AssistantText(1, 0, "Hi there.", "FINAL"), TurnEnded(1))
    assert stage.scene.live(stage.played_ms) == ()


def test_an_interrupted_turn_is_over_at_once_and_keeps_what_was_not_heard() -> None:
    stage = Stage()
    stage.tell(plan(1, "One two three four."), sound(1), Interrupted(1, "marker"))
    stage.tell(Heard(1, 500, "One two", "One two three four."))
    assert stage.take() == [ShownTurn(1, "", False, (), "One two", " three four.", True)]


def test_turns_are_taken_in_order() -> None:
    stage = Stage()
    stage.tell(UserText(1, "A"), plan(1, "B"), sound(1), TurnEnded(1))
    stage.tell(plan(2, "C"), sound(2), TurnEnded(2))
    assert stage.take() == []
    stage.played = {1: 1000, 2: 1000}
    assert [turn.number for turn in stage.take()] == [1, 2]


def test_a_turn_without_an_answer_is_over_when_the_next_begins() -> None:
    stage = Stage()
    stage.tell(UserText(1, "Hm."))
    assert stage.take() == []
    stage.tell(UserText(2, "Hello."))
    assert [turn.said for turn in stage.take()] == ["Hm."]


def test_a_plan_the_user_talked_over_before_any_sound_is_gone() -> None:
    stage = Stage()
    stage.tell(UserText(1, "What is"), plan(1, "Pardon?"), UserText(1, "the time?"))
    stage.tell(plan(1, "Noon."))
    assert (stage.live().said, stage.live().rest) == ("What is the time?", "Noon.")


def test_a_result_that_comes_after_its_turn_was_taken_is_still_told() -> None:
    stage = Stage()
    stage.tell(UserText(1, "Go."), ToolCall(1, "t", "go", "{}"))
    stage.tell(UserText(2, "And?"), plan(2, "Wait."), sound(2), TurnEnded(2))
    stage.played[2] = 1000
    assert [turn.calls for turn in stage.take()] == [(ShownCall("go", "{}", None),), ()]
    stage.tell(ToolAnswered(1, "t", "go", '{"ok":true}'))
    (late,) = stage.take()
    assert late.calls == (ShownCall("go", None, '{"ok":true}'),)


def test_late_sound_of_a_turn_that_was_taken_brings_nothing_back() -> None:
    stage = Stage()
    stage.tell(plan(1, "One two."), sound(1), Heard(1, 0, "", "One two."))
    assert len(stage.take()) == 1
    stage.tell(sound(1), TurnEnded(1))
    assert stage.scene.live(stage.played_ms) == ()


def test_the_activity_says_who_is_at_work() -> None:
    stage = Stage()
    assert stage.activity() == "listening"
    stage.tell(UserText(1, "Go."))
    assert stage.activity() == "thinking"
    stage.tell(ToolCall(1, "t", "go", "{}"))
    assert stage.activity() == "tool go"
    stage.tell(ToolAnswered(1, "t", "go", "{}"))
    assert stage.activity() == "thinking"
    stage.tell(plan(1, "Done."), sound(1))
    assert stage.activity(sounding=True) == "speaking"
    stage.tell(TurnEnded(1))
    assert stage.activity() == "listening"


def test_the_scene_is_connecting_until_the_service_took_the_conversation() -> None:
    stage = Stage(Scene(opened=False))
    assert stage.activity() == "connecting"
    stage.tell(Reconnecting("The service takes no more streams.", 1, 2.0))
    assert stage.activity() == "connecting again in 2 s"
    stage.tell(Opened(3100, 2900))
    assert stage.activity() == "listening"


def test_a_lost_connection_is_shown_with_the_seconds_to_the_next_attempt() -> None:
    stage = Stage(now_s=100.0)
    stage.tell(UserText(1, "Go."), Reconnecting("The connection was cut.", 1, 0.0))
    assert stage.activity(sounding=True) == "connection lost: reconnecting"
    stage.tell(Reconnecting("The connection was cut.", 2, 3.5))
    seen: list[str] = []
    for now_s in (100.0, 101.0, 103.4, 103.5, 110.0):
        stage.now_s = now_s
        seen.append(stage.activity())
    lost = "connection lost: reconnecting"
    assert seen == [f"{lost} in 4 s", f"{lost} in 3 s", f"{lost} in 1 s", lost, lost]
    stage.tell(Renewed(3600, 400, "The connection was cut."))
    assert stage.activity() == "thinking"
    stage.tell(plan(1, "Done."), sound(1))
    assert stage.activity(sounding=True) == "speaking"


def test_a_planned_renewal_changes_nothing_on_the_screen() -> None:
    stage = Stage()
    stage.tell(UserText(1, "Go."), Renewed(0, 120, "age"))
    assert stage.activity() == "thinking"


def test_the_user_is_heard_by_the_local_detection_or_by_the_service() -> None:
    stage = Stage()
    stage.scene.hear(True, 0.0)
    assert stage.activity() == "hearing you"
    assert stage.activity(sounding=True) == "hearing you"
    stage.scene.hear(False, 0.0)
    assert stage.activity() == "listening"
    stage.tell(UserSpeechStarted(0))
    assert stage.activity() == "hearing you"
    stage.tell(UserSpeechEnded(1200, 1600))
    assert stage.activity() == "listening"


def test_a_new_stream_has_not_heard_that_the_user_began_to_speak() -> None:
    stage = Stage()
    stage.tell(UserSpeechStarted(0), Reconnecting("Cut.", 1, 0.0), Renewed(400, 0, "Cut."))
    assert stage.activity() == "listening"


def test_a_service_that_does_not_react_to_speech_is_shown_after_three_seconds() -> None:
    stage = Stage()
    stage.scene.hear(True, 0.0)
    stage.scene.hear(False, 2.0)
    seen: list[str] = []
    for now_s in (4.9, 5.0, 7.5, 12.0):
        stage.now_s = now_s
        seen.append(stage.activity())
    silent = "service silent for"
    assert seen == ["listening", f"{silent} 3 s", f"{silent} 5 s", "listening"]  # a noise, then


def test_an_answer_that_does_not_come_is_shown_as_long_as_it_is_owed() -> None:
    stage = Stage()
    stage.tell(UserText(1, "Hello."))
    seen: list[str] = []
    for now_s in (2.0, 3.0, 30.0):
        stage.now_s = now_s
        seen.append(stage.activity())
    assert seen == [
        "thinking", "service silent for 3 s", "service silent for 30 s",
    ]  # fmt: skip
    stage.tell(plan(1, "Hi."), sound(1))
    assert stage.activity(sounding=True) == "speaking"


def test_a_running_tool_has_the_status_that_was_reported_last() -> None:
    stage = Stage()
    stage.tell(UserText(1, "Find it."), ToolCall(1, "t", "find", "{}"))
    seen = [stage.live().calls[0].status]
    for event in (
        ToolProgress(1, "t", "find", "One of two."),
        ToolProgress(1, "other", "find", "Never."),
        ToolHeld(1, "t", "find"),
        ToolAnswered(1, "t", "find", "{}"),
        ToolProgress(7, "t", "find", "Too late."),
    ):
        stage.tell(event)
        seen.append(stage.live().calls[0].status)
    waits = "Its answer waits for a pause."
    assert seen == ["", "One of two.", "One of two.", waits, "", ""]
