"""The bridge on an application's own `websockets` server: conversations alone, no page.

    pip install '.[bridge,emulator]'
    python scripts/examples/websockets_server.py

Pages of http://localhost:8000 may talk with it: `<sonic-voice src="ws://localhost:8080/talk">`.
"""

import asyncio

from websockets.asyncio.server import serve

from sonic_voice import LocalService, SessionConfig, Toolbox
from sonic_voice.bridge import Access, Bridge, Offer, handler, options

OFFER = Offer(config=SessionConfig(system="You are brief."), tools=Toolbox())
ACCESS = Access(origins=frozenset({"http://localhost:8000"}))


async def main() -> None:
    async with (
        LocalService() as transport,
        Bridge(OFFER, transport, access=ACCESS) as bridge,
        serve(handler(bridge), "127.0.0.1", 8080, **options(bridge.limits)) as server,
    ):
        await server.serve_forever()


asyncio.run(main())
