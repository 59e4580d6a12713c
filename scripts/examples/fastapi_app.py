"""An application whose users sign in and talk, each with a prompt, a history, a voice and tools.

    pip install '.[bridge,emulator]' fastapi uvicorn
    python scripts/examples/fastapi_app.py

Then open http://localhost:8080 and sign in as alice or bob, with the name as password.
"""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

import sonic_voice.bridge as voice
from sonic_voice import LocalService, Message, SessionConfig, Toolbox, ToolContext

SECRET = secrets.token_bytes(32)  # one for all processes, where there are several
ACCESS = voice.Access(origins=frozenset({"http://localhost:8080"}), secret=SECRET)
ORDERS = {"alice": ["tea"], "bob": ["coffee", "cake"]}
SAID: dict[str, tuple[Message, ...]] = {"alice": (), "bob": ()}  # in earlier conversations
SESSIONS: dict[str, str] = {}  # users by cookie
FORM = """<!doctype html><form method=post action=/sign-in><input name=user placeholder=User>
<input name=password type=password placeholder=Password><button>Sign in</button></form>"""
PAGE = """<!doctype html><sonic-voice></sonic-voice><script type=module>
import '/voice/sonic-voice.js'; document.querySelector('sonic-voice').fetchToken = () =>
fetch('/token', {method: 'POST'}).then((r) => r.ok ? r.json() : location.reload());</script>"""


def my_orders(context: ToolContext) -> list[str]:
    """Return my orders."""
    return ORDERS[context.subject]


def cancel_order(context: ToolContext, item: str) -> None:
    """Cancel an order of the guest."""
    ORDERS[context.subject].remove(item)


async def on_visit(claims: voice.TokenClaims) -> voice.Offer:
    user, regular = claims.subject, claims.subject == "bob"
    system, speaker = f"You are a waiter. The guest is {user}.", "matthew" if regular else "tiffany"
    config = SessionConfig(system=system, voice=speaker, history=SAID[user], history_policy="trim")
    return voice.Offer(config=config, tools=Toolbox([my_orders, cancel_order][: 1 + regular]))


async def on_end(report: voice.ConversationReport) -> None:
    SAID[report.subject] += report.messages
    print(f"{report.subject} talked for {report.duration_s:.0f} s, {report.cost_usd:.4f} USD")


@asynccontextmanager
async def conversations(app: FastAPI) -> AsyncGenerator[None]:
    async with (
        LocalService() as service,  # or BedrockTransport()
        voice.Bridge(
            voice.Offer(), service, on_visit=on_visit, on_end=on_end, access=ACCESS
        ) as bridge,
    ):
        app.mount("/voice", voice.asgi(bridge, voice.load_pages(voice.web_client(), index=False)))
        yield


app = FastAPI(lifespan=conversations)


@app.get("/")
def home(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE if request.cookies.get("session") in SESSIONS else FORM)


@app.post("/sign-in")
async def sign_in(request: Request) -> Response:
    form = parse_qs((await request.body()).decode())
    response, user = RedirectResponse("/", status_code=303), form.get("user", [""])[0]
    if user in ORDERS and form.get("password") == [user]:
        cookie = secrets.token_urlsafe()
        SESSIONS[cookie] = user
        response.set_cookie("session", cookie, httponly=True, samesite="strict")
    return response


@app.post("/token")
def token(request: Request) -> str:
    if (user := SESSIONS.get(request.cookies.get("session", ""))) is None:
        raise HTTPException(401)
    return voice.issue_token(SECRET, user, now_s=time.time())


if __name__ == "__main__":
    uvicorn.run(app, port=8080, ws_max_size=32_768, ws_per_message_deflate=False)
