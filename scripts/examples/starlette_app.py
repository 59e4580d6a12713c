"""The bridge and its page inside a Starlette application, at /voice.

    pip install '.[emulator]' starlette uvicorn websockets
    python scripts/examples/starlette_app.py

Then open http://localhost:8080/voice/. `BedrockTransport()` in the place of `LocalService()` talks
to Amazon Bedrock.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette

from sonic_voice import LocalService, SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, Offer, asgi, load_pages, web_client

OFFER = Offer(config=SessionConfig(system="You are brief."), tools=Toolbox())
ACCESS = Access(origins=frozenset({"http://localhost:8080"}))


@asynccontextmanager
async def conversations(app: Starlette) -> AsyncGenerator[None]:
    async with LocalService() as transport, Bridge(OFFER, transport, access=ACCESS) as bridge:
        app.mount("/voice", asgi(bridge, load_pages(web_client())))
        yield


app = Starlette(lifespan=conversations)

if __name__ == "__main__":
    uvicorn.run(app, port=8080, ws_max_size=32_768, ws_per_message_deflate=False)
