"""Streams to models on Amazon Bedrock. This is the only package that imports the AWS SDK.

- `transport`: opens streams, with `stream_client` as the HTTP client of each.
- `account`, `aws_files`, `endpoint`: region, endpoint and shared files.
- `credential_lookup`, `credential_chain`, `credential_errors`: the credentials that sign a stream.
- `events`: signing, framing and parsing of events.
- `crt`: the SDK's own HTTP client, the alternative to `http2`.
- `sdk_errors`: translation of the SDK's exceptions into `SonicError`s.
"""

from .transport import BedrockStream, BedrockTransport, EngineName

__all__ = ["BedrockStream", "BedrockTransport", "EngineName"]
