"""The lines of `sonic-voice emulate` that tell how to point another client at the emulator."""

from collections.abc import Iterator, Mapping

HTTPS_PORT = 443
"""Port that clients with a fixed endpoint connect to."""

PROFILE = "sonic-emulator"
"""Name of the AWS profile in the lines for clients that read files."""

OVERRIDING = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")
"""Variables of a shell that would take the place of the emulator's keys, or be sent with them."""


def client_settings(variables: Mapping[str, str], port: int) -> Iterator[str]:
    """Yield the lines that point a client at an emulator, by each way that clients know.

    Args:
        variables: The environment variables of a client; see `Emulator.environment`. They include
            the file of the CA.
        port: The port at which the emulator listens.
    """
    ca = variables["SSL_CERT_FILE"]
    yield "For the shell that starts your client (it takes over the AWS access and the trusted"
    yield "certificates of that shell; a new shell has its own again):\n"
    yield f"unset {' '.join(OVERRIDING)}"
    yield from (f"export {name}={value}" for name, value in variables.items())
    yield f"export NODE_EXTRA_CA_CERTS={ca}"
    yield "\nFor a client that reads files: these lines in ~/.aws/config, and AWS_PROFILE or its"
    yield f"own setting naming the profile {PROFILE}:\n"
    yield from _profile(variables)
    yield "\nFor a client whose endpoint cannot be changed: run this with --port 443 and a line in"
    yield "/etc/hosts, which keeps all of this machine from the real service until it is gone:\n"
    yield f"127.0.0.1 bedrock-runtime.{variables['AWS_REGION']}.amazonaws.com"
    if port != HTTPS_PORT:
        yield "or, on Linux, leave the port and send 443 here:"
        yield (
            f"sudo iptables -t nat -A OUTPUT -o lo -p tcp --dport 443 -j REDIRECT --to-ports {port}"
        )


def _profile(variables: Mapping[str, str]) -> Iterator[str]:
    yield f"[profile {PROFILE}]"
    yield f"aws_access_key_id = {variables['AWS_ACCESS_KEY_ID']}"
    yield f"aws_secret_access_key = {variables['AWS_SECRET_ACCESS_KEY']}"
    yield f"region = {variables['AWS_REGION']}"
    yield f"ca_bundle = {variables['AWS_CA_BUNDLE']}"
    yield f"services = {PROFILE}"
    yield f"[services {PROFILE}]"
    yield "bedrock_runtime ="
    yield f"  endpoint_url = {variables['AWS_ENDPOINT_URL_BEDROCK_RUNTIME']}"
