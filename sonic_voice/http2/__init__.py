"""HTTP/2 on asyncio and h2: one connection for both sides, and the SDK's client over it.

`stream` is one request and its response as a reader and a writer of bytes, `connection` the
protocol around h2 that both the client and the emulator speak, `client` the SDK's interface.
`dialing` opens a client's connection and says why there is none, with `tls` and `preface`;
`keepalive` notices that it is dead, and `send_buffers` sees that little waits in it.
"""
