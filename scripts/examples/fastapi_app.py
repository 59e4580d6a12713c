"""The bridge inside a FastAPI application, at /voice, for users whom the application knows.

    pip install '.[emulator]' fastapi uvicorn websockets
    python scripts/examples/fastapi_app.py

A page of the application's asks /token for a token, good for a minute, and gives it to
`<sonic-voice token="...">`.
"""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from sonic_voice import LocalService, SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, Offer, asgi, issue_token, load_pages, web_client

SECRET = secrets.token_bytes(32)  # one for all processes, where there are several
OFFER = Offer(config=SessionConfig(system="You are brief."), tools=Toolbox())
ACCESS = Access(origins=frozenset({"http://localhost:8080"}), secret=SECRET)


@asynccontextmanager
async def conversations(app: FastAPI) -> AsyncGenerator[None]:
    async with LocalService() as transport, Bridge(OFFER, transport, access=ACCESS) as bridge:
        app.mount("/voice", asgi(bridge, load_pages(web_client())))
        yield


app = FastAPI(lifespan=conversations)


@app.get("/token")
async def token() -> str:
    return issue_token(SECRET, "the user who is signed in", now_s=time.time())


if __name__ == "__main__":
    uvicorn.run(app, port=8080, ws_max_size=32_768, ws_per_message_deflate=False)
