"""The README's installation: a wheel, in an environment of its own, away from the checkout.

It holds the README's first conversation, talks on the command line and serves its page. What an
extra forgets to require fails here: nothing of the checkout is in reach.
"""

import asyncio
import json
import os
import re
import sys
import tomllib
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from sonic_voice import __version__

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WHEEL = f"sonic_voice-{__version__}-py3-none-any.whl"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@dataclass(frozen=True)
class Place:
    """A folder with an environment in it, and nothing of this one in its variables."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def program(self) -> Path:
        return self.folder / "venv" / "bin" / "sonic-voice"

    async def start(
        self, *command: str | Path, cwd: Path | None = None
    ) -> asyncio.subprocess.Process:
        left_out = ("PYTHON", "VIRTUAL_ENV", "AWS_")
        clean = {name: v for name, v in os.environ.items() if not name.startswith(left_out)}
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd or self.folder,
            env=clean,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *command: str | Path, cwd: Path | None = None) -> tuple[str, str]:
        """Run a command that must succeed; return what it printed and what it complained of."""
        running = await self.start(*command, cwd=cwd)
        try:
            out, err = await asyncio.wait_for(running.communicate(), 110)
        except BaseException:
            if running.returncode is None:
                running.kill()
            await running.communicate()
            raise
        assert running.returncode == 0, err.decode()
        return out.decode(), err.decode()


async def installed(place: Place) -> None:
    """Build the wheel as the README says, and install it with extras into a new environment."""
    build = re.search(r"^\$ pip (wheel .*) --wheel-dir dist \.$", README, re.MULTILINE)
    assert build is not None
    assert f"$ pip install 'dist/{WHEEL}[emulator]'" in README
    dist = place.folder / "dist"
    pip = (*PIP, "--python", place.python, "install", "--no-compile")  # it saves seconds
    pip = (*pip, "--constraint", ROOT / "constraints.txt")

    async def with_what_the_wheel_requires() -> None:
        """Make the environment and fetch what is declared, while the wheel is still built."""
        await place.run(sys.executable, "-m", "venv", "--without-pip", place.folder / "venv")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        await place.run(*pip, *project["dependencies"], *extras["emulator"], *extras["bridge"])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(place.run(*PIP, *build[1].split(), "--wheel-dir", dist, ".", cwd=ROOT))
        tasks.create_task(with_what_the_wheel_requires())
    with ZipFile(dist / WHEEL) as wheel:
        pictures = [name for name in wheel.namelist() if name.endswith((".png", ".svg"))]
    assert pictures == ["sonic_voice/web_client/favicon.svg"]
    await place.run(*pip, f"dist/{WHEEL}[emulator,bridge]")


async def the_first_program_runs(place: Place) -> None:
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    faster = found[1].replace("WavSource(DEMO_WAV)", "WavSource(DEMO_WAV, speed=8)")
    assert faster != found[1]
    (place.folder / "talk.py").write_text(faster, encoding="utf-8")
    out, err = await place.run(place.python, "talk.py")
    assert err == ""
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert [who for who, _ in lines] == ["USER", "ASSISTANT"] * 3
    assert (place.folder / "answer.wav").stat().st_size > 100_000


async def the_command_talks(place: Place) -> None:
    where, _ = await place.run(
        *(place.python, "-c", "import sonic_voice; print(sonic_voice.DEMO_WAV)")
    )
    recording = Path(where.strip())
    assert recording.is_relative_to(place.folder)
    talk = (place.program, "talk", "--local", "--input", recording, "--speed", "8", "--json")
    out, err = await place.run(*talk)
    assert err == ""
    *_, summary, ended = (json.loads(line) for line in out.splitlines())
    assert (summary["event"], ended["reason"]) == ("Summary", "goodbye")
    assert summary["turns"]


async def the_page_is_served(place: Place) -> None:
    running = await place.start(place.program, "serve", "--local", "--port", "0")
    assert running.stdout is not None
    try:
        async with asyncio.timeout(60):
            said = (await running.stdout.readline()).decode().split()
        assert said[:1] == ["Open"], (await running.communicate())[1].decode()

        def fetched() -> str:
            with urllib.request.urlopen(said[1], timeout=10) as response:
                return response.read().decode()

        assert "<sonic-voice" in await asyncio.to_thread(fetched)
    finally:
        if running.returncode is None:
            running.terminate()
        await running.communicate()


async def test_a_wheel_installed_elsewhere_does_what_the_readme_says(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await installed(place)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(the_first_program_runs(place))
        tasks.create_task(the_command_talks(place))
        tasks.create_task(the_page_is_served(place))
