"""Recognition of this machine by a host name or an address. Imports neither the SDK nor h2."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether `host` names this machine.

    Args:
        host: A name or an IP address without brackets. It is not resolved.

    Returns:
        True for a loopback address, `localhost` and the names below it.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
