"""The bridge and a page inside a Starlette application, for users who have signed in.

    pip install '.[bridge,emulator]' starlette uvicorn
    python scripts/examples/starlette_app.py

Then open http://localhost:8080 and sign in as alice, with the name as password.
`BedrockTransport()` in the place of `LocalService()` talks to Amazon Bedrock.
"""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from sonic_voice import LocalService, SessionConfig
from sonic_voice.bridge import Access, Bridge, Offer, asgi, issue_token, load_pages, web_client

SECRET = secrets.token_bytes(32)  # one for all processes, where there are several
ACCESS = Access(origins=frozenset({"http://localhost:8080"}), secret=SECRET)
OFFER = Offer(config=SessionConfig(system="You are brief."))
SESSIONS: dict[str, str] = {}  # users by cookie
FORM = """<!doctype html><form method=post action=/sign-in><input name=user placeholder=User>
<input name=password type=password placeholder=Password><button>Sign in</button></form>"""
PAGE = """<!doctype html><sonic-voice></sonic-voice><script type=module>
import '/voice/sonic-voice.js'; document.querySelector('sonic-voice').fetchToken = () =>
fetch('/token', {method: 'POST'}).then((r) => r.ok ? r.text() : location.reload());</script>"""


async def home(request: Request) -> Response:
    return HTMLResponse(PAGE if request.cookies.get("session") in SESSIONS else FORM)


async def sign_in(request: Request) -> Response:
    form = parse_qs((await request.body()).decode())
    response = RedirectResponse("/", status_code=303)
    if form.get("user") == form.get("password") == ["alice"]:
        cookie = secrets.token_urlsafe()
        SESSIONS[cookie] = "alice"
        response.set_cookie("session", cookie, httponly=True, samesite="strict")
    return response


async def token(request: Request) -> Response:
    if (user := SESSIONS.get(request.cookies.get("session", ""))) is None:
        return PlainTextResponse("Sign in.", 401)
    return PlainTextResponse(issue_token(SECRET, user, now_s=time.time()))


@asynccontextmanager
async def conversations(app: Starlette) -> AsyncGenerator[None]:
    async with LocalService() as service, Bridge(OFFER, service, access=ACCESS) as bridge:
        app.mount("/voice", asgi(bridge, load_pages(web_client(), index=False)))
        yield


ROUTES = [
    Route("/", home),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/token", token, methods=["POST"]),
]
app = Starlette(routes=ROUTES, lifespan=conversations)

if __name__ == "__main__":
    uvicorn.run(app, port=8080, ws_max_size=32_768, ws_per_message_deflate=False)
