"""Streams to models on Amazon Bedrock, over the AWS SDK; nothing else imports it.

`transport` opens streams, `account` finds region and endpoint, `credential_lookup` what signs
them, `crt` is the SDK's own HTTP client as the other engine, `sdk_errors` turns whatever these
raise into errors of ours.
"""

from .transport import BedrockStream, BedrockTransport, EngineName

__all__ = ["BedrockStream", "BedrockTransport", "EngineName"]
