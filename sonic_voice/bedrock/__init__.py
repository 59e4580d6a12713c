"""Streams to models on Amazon Bedrock. This is the only package that imports the AWS SDK.

- `transport`: opens streams, with `stream_client` as the HTTP client of each.
- `account`, `aws_files`, `endpoint`: region, endpoint and shared files.
- `credential_lookup`, `credential_chain`, `credential_errors`: the credentials that sign a stream.
- `events`: the SDK's protocol with our writer and reader of events: `event_publisher` with
  `event_signing`, and `event_receiver`.
- `crt`: the SDK's own HTTP client, the alternative to `http2`.
- `operations`: the service's other operations, over connections that are kept; `guardrails`: guards
  among them.
- `import_sdk`: the import of the SDK, in half of the time.
- `sdk_errors`: translation of the SDK's exceptions into `SonicError`s.
"""

from .import_sdk import import_sdk

import_sdk()

from .transport import BedrockStream, BedrockTransport, EngineName  # noqa: E402

__all__ = ["BedrockStream", "BedrockTransport", "EngineName"]
