"""HTTP/2 on asyncio and h2: one connection class for both sides, and the SDK's client over it.

- `stream`: one request and its response, as a reader and a writer of bytes.
- `connection`: the asyncio protocol around h2 that the client and the emulator share.
- `client`: the SDK's HTTP client interface; `request_body` is the request's body on a short path.
- `dialing`: opens a client's connection and explains failures, with `tls`, `preface`, `proxies`
  and `tunnel`.
- `frames`: DATA frames, written and read without h2.
- `keepalive`: detects a dead connection.
- `send_buffers`: limits how much data waits in a client's connection.
"""
