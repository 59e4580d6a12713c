"""Whether a host is this machine. Imports neither the SDK nor h2."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether `host` names this machine.

    Args:
        host: A name or an IP address without brackets. Nothing is looked up.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
