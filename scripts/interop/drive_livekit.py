# pyright: basic, reportMissingImports=false
"""LiveKit Agents: an `AgentSession` over its aws plugin, with a recording in place of a room."""

import asyncio
import time

from driver import GO_RESULT, INPUT_HZ, REGION, SYSTEM, VOICE, report, report_versions, speech
from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.voice import io
from livekit.plugins.aws.experimental.realtime import RealtimeModel


class Microphone(io.AudioInput):
    """An audio input that yields the person's speech in frames."""

    def __init__(self) -> None:
        super().__init__(label="person")
        self._speech = speech()
        self.finished = asyncio.Event()

    async def __anext__(self) -> rtc.AudioFrame:
        try:
            pcm = await anext(self._speech)
        except StopAsyncIteration:
            self.finished.set()
            raise
        return rtc.AudioFrame(pcm, INPUT_HZ, 1, len(pcm) // 2)


class Speaker(io.AudioOutput):
    """An audio output that plays nothing, keeps real time, and reports interruptions."""

    def __init__(self) -> None:
        super().__init__(label="ear", capabilities=io.AudioOutputCapabilities(pause=False))
        self._began_s = 0.0
        self._pushed_s = 0.0
        self._end: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed_s:
            self._began_s = time.monotonic()
            self.on_playback_started(created_at=time.time())
        self._pushed_s += frame.duration
        report(audio_bytes=len(frame.data.tobytes()))

    def flush(self) -> None:
        super().flush()
        if self._pushed_s and self._end is None:
            left_s = self._began_s + self._pushed_s - time.monotonic()
            self._end = asyncio.get_running_loop().call_later(left_s, self._finish, False)

    def clear_buffer(self) -> None:
        if self._pushed_s:
            report(interrupted=True)
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        played_s = min(time.monotonic() - self._began_s, self._pushed_s)
        self._pushed_s = 0.0
        self.on_playback_finished(playback_position=played_s, interrupted=interrupted)


class Robot(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=SYSTEM)

    @function_tool
    async def go(self, direction: str, meters: int) -> dict:
        """Move the robot.

        Args:
            direction: forward or backward
            meters: how far
        """
        report(tool="go", arguments={"direction": direction, "meters": meters})
        return GO_RESULT


async def main() -> None:
    report_versions("livekit-plugins-aws")
    session = AgentSession(llm=RealtimeModel.with_nova_sonic_2(region=REGION, voice=VOICE))

    @session.on("user_input_transcribed")
    def transcribed(event) -> None:
        if event.is_final and event.transcript:  # each further sentence begins with an empty one
            report(user=event.transcript)

    @session.on("conversation_item_added")
    def added(event) -> None:
        if event.item.type == "message" and event.item.role == "assistant":
            report(assistant=event.item.text_content)

    microphone = Microphone()
    session.input.audio = microphone
    session.output.audio = Speaker()
    await session.start(Robot(), record=False)
    await microphone.finished.wait()
    await session.aclose()


asyncio.run(main())
