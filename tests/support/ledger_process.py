"""An emulator and a client in numbered words (`ledger`), each as a process that can be stopped.

    python -m tests.support.ledger_process serve --fault http:429@for=5
    python -m tests.support.ledger_process talk https://localhost:41234 /tmp/ca.pem --seconds 20

`serve` prints its endpoint and the path of its CA file, and ends when its input is closed. `talk`
prints an event a line, as its name and its time in seconds, and then the errors of its ledger; its
exit code is 1 if there is one.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sonic_voice import NullSink, Session, SessionConfig, Toolbox, converse, tool
from sonic_voice.bedrock import BedrockTransport
from sonic_voice.emulator.assembly import sonic_service
from sonic_voice.emulator.behaviour import Behaviour, StreamTimeouts
from sonic_voice.emulator.server import LOCAL_KEYS, LOCAL_REGION, Emulator
from sonic_voice.emulator.server.engines import Engines
from sonic_voice.emulator.server.sigv4 import AccessKeyPair
from sonic_voice.events import Event
from sonic_voice.transport import Transport

from .ledger import LedgerBrain, LedgerUser, LevelDetector, ToneRecognizer, speak


@tool
async def look_up(words: str) -> dict[str, str]:
    """Look up words."""
    return {"words": words}


def ledger_emulator(
    *faults: str, speed: float = 1.0, keys: AccessKeyPair | list[AccessKeyPair] = LOCAL_KEYS
) -> Emulator:
    """Return an emulator that answers numbered words.

    Args:
        faults: Its faults.
        speed: Speed of the conversation, as a multiple of real time.
        keys: The credentials that it takes.
    """
    behaviour = Behaviour(faults=faults, timeouts=StreamTimeouts(stall_s=0.25 / speed))
    factory = sonic_service(
        LedgerBrain(),
        ToneRecognizer,
        behaviour=behaviour,
        detector_factory=lambda _: LevelDetector(),
    )
    engines = Engines(speak, ToneRecognizer)
    return Emulator(factory, behaviour=behaviour, engines=engines, keys=keys)


def local_transport(endpoint: str, ca_file: str) -> BedrockTransport:
    """Return a transport to an emulator that takes `LOCAL_KEYS`.

    Args:
        endpoint: Its URL.
        ca_file: The file with its CA.
    """
    return BedrockTransport(
        region=LOCAL_REGION,
        endpoint=endpoint,
        ca_file=ca_file,
        access_key=LOCAL_KEYS.access_key,
        secret_key=LOCAL_KEYS.secret_key,
    )


@asynccontextmanager
async def served(*arguments: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str, str]]:
    """Run `serve` in a process until the context ends.

    Args:
        arguments: Arguments of `serve`.

    Returns:
        The process, its endpoint and its CA file.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.ledger_process", "serve", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        endpoint, ca_file = (await process.stdout.readline()).decode().split()
        yield process, endpoint, ca_file
    finally:
        process.stdin.close()
        await process.wait()


@dataclass
class Conversation:
    """One conversation in numbered words.

    Args:
        speed: Its speed, as a multiple of real time.
        seconds: Its length, in seconds of its time.
        user_class: The class of its user.
        config: The configuration of its session.
    """

    speed: float
    seconds: float
    user_class: type[LedgerUser] = LedgerUser
    config: SessionConfig = field(
        default_factory=lambda: SessionConfig(tools=Toolbox([look_up]).specs)
    )

    def __post_init__(self) -> None:
        self.user = self.user_class(
            self.config.input,
            self.config.output.rate_hz,
            speed=self.speed,
            seconds=self.seconds,
            seed=2,
            barge_ins=0.0,
            settled=lambda: self._session.settled and self._sink.pending_s <= 0,
        )
        self.events: list[tuple[float, Event]] = []
        """The events with their times, in seconds of the loop's clock."""

    async def hold(
        self, transport: Transport, observe: Callable[[Event], object] = lambda event: None
    ) -> None:
        """Hold the conversation.

        Args:
            transport: Opens its streams.
            observe: Called with each event.
        """
        loop = asyncio.get_running_loop()

        def note(event: Event, now: float) -> None:
            self.events.append((loop.time(), event))
            observe(event)

        clock = self.user.now
        self._session = Session.open(self.config, transport, clock=clock, early_audio=True)
        self._sink = NullSink(self.config.output, now=clock)
        async with self._session as session:
            toolbox = Toolbox([look_up])
            await converse(session, self.user, self._sink, toolbox, [self.user.observe, note])
        await self.user.aclose()

    def errors(self) -> list[str]:
        """Return what is wrong in the ledger."""
        ledger = self.user.ledger
        counts = {
            "lost": ledger.lost,
            "doubled": ledger.doubled,
            "missing answers": ledger.missing,
            "calls without one result": ledger.wrong_results,
            "unanswered": ledger.unanswered,
        }
        return [f"{what}: {count}" for what, count in counts.items() if count]


async def _serve(options: argparse.Namespace) -> None:
    closed = asyncio.Event()
    async with ledger_emulator(*options.fault, speed=options.speed) as emulator:
        print(emulator.endpoint, emulator.ca_file, flush=True)
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed.set)
        await closed.wait()


async def _talk(options: argparse.Namespace) -> int:
    transport = local_transport(options.endpoint, options.ca_file)
    conversation = Conversation(options.speed, options.seconds)
    loop = asyncio.get_running_loop()
    await conversation.hold(
        transport, lambda event: print(f"{loop.time():.2f} {event}"[:200], flush=True)
    )
    await transport.aclose()
    for error in conversation.errors():
        print("ERROR", error)
    return int(bool(conversation.errors()))


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    serve = commands.add_parser("serve")
    serve.add_argument("--fault", action="append", default=[])
    talk = commands.add_parser("talk")
    talk.add_argument("endpoint")
    talk.add_argument("ca_file")
    talk.add_argument("--seconds", type=float, default=20.0)
    for command in (serve, talk):
        command.add_argument("--speed", type=float, default=1.0)
    options = parser.parse_args()
    if options.command == "serve":
        asyncio.run(_serve(options))
        return 0
    return asyncio.run(_talk(options))


if __name__ == "__main__":
    sys.exit(main())
