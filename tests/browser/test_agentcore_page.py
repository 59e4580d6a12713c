"""A page of another site in AgentCore Runtime: its address comes from a backend."""

import json
import re
import shutil
import uuid
from importlib import resources
from pathlib import Path
from typing import cast

import pytest
from playwright.async_api import expect

from sonic_voice import LocalService
from sonic_voice.bridge import Access, Bridge, Offer, served, web_client

from ..support.agentcore_platform import bearer_protocols, platform
from .test_embedding import site
from .visitor import PATIENCE_MS, Chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEMO = cast(Path, resources.files("sonic_voice.emulator"))
PAGE = """<!doctype html>
<button>Talk</button><output></output><pre></pre>
<script type="module">
  import { VoiceClient } from './voice-client.js';
  const [talk, state, said] = ['button', 'output', 'pre'].map((n) => document.querySelector(n));
  const fetchAddress = async () => (await fetch('address.json')).json();
  const client = new VoiceClient({ fetchAddress });
  client.addEventListener('state', () => (state.value += ` ${client.state}`));
  client.addEventListener('turns', () => (said.textContent = client.transcript()));
  talk.onclick = async () => {
    if (client.state === 'idle') await client.connect();
    client.sendText('go forward ten meters.');
  };
</script>
"""


async def test_a_page_talks_through_the_platform_and_returns_to_its_session(
    chromium: Chromium, tmp_path: Path
) -> None:
    shutil.copytree(web_client(), tmp_path / "site")
    (tmp_path / "site" / "talk.html").write_text(PAGE)
    with site(tmp_path / "site") as origin:
        async with (
            LocalService(DEMO / "demo.yaml") as transport,
            Bridge(Offer(), transport, access=Access(agentcore=True)) as bridge,
            served(bridge, pages={}) as url,
            platform(int(url.rstrip("/").rpartition(":")[2])) as here,
            chromium.visitor() as visitor,
        ):
            protocols = bearer_protocols("e30.e30.signature")
            address = {"url": here.in_session(str(uuid.uuid4())), "protocols": protocols}
            (tmp_path / "site" / "address.json").write_text(json.dumps(address))
            await visitor.page.goto(f"{origin}/talk.html")
            await visitor.button("Talk").click()
            said, state = visitor.page.locator("pre"), visitor.page.locator("output")
            await expect(said).to_contain_text("Assistant", timeout=PATIENCE_MS)
            here.cut()
            again = re.compile(r"reconnecting (listening|thinking|speaking)")
            await expect(state).to_contain_text(again, timeout=PATIENCE_MS)
            assert bridge.metrics.resumed == 1
            assert 640 < here.largest["up"] <= 32_000
            assert 640 < here.largest["down"] <= 32_000
        assert not visitor.complaints
