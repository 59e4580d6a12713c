"""`sonic-voice serve --local` as a process, and the log that it has written."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("sonic-voice")
PROGRAM_SECRET = "0123456789abcdef0123456789abcdef"
SCENARIO = resources.files("sonic_voice.emulator") / "demo.yaml"


@asynccontextmanager
async def serving(*options: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its URL, once it listens. Gone at the end, whatever happens."""
    pipe = asyncio.subprocess.PIPE
    arguments = ("serve", "--local", "--port", "0", "--scenario", str(SCENARIO), *options)
    process = await asyncio.create_subprocess_exec(PROGRAM, *arguments, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = (await process.stdout.readline()).decode().split()
        assert said[:1] == ["Open"], (await process.communicate())[1].decode()
        yield process, said[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def log_of(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """End the process, and return the lines of its log, which is JSON."""
    process.terminate()
    async with asyncio.timeout(15):
        _, err = await process.communicate()
    return [json.loads(line) for line in err.decode().splitlines()]
