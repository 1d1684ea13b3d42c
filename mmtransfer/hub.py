"""Whether the Hugging Face hub can be reached, asked once and quickly: its libraries would retry for 46 s."""

from __future__ import annotations

import socket
from urllib.parse import urlparse
from urllib.request import getproxies


def endpoint() -> str:
    """The address of the hub, $HF_ENDPOINT or its usual one."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def reachable() -> bool:
    """Whether the hub (or the proxy on the way) answers within 3 s; False in offline mode ($HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = urlparse(endpoint())
    proxy = urlparse(getproxies().get(address.scheme, ""))
    host = proxy if proxy.hostname else address
    try:
        socket.create_connection((host.hostname or "", host.port or 443), timeout=3).close()
    except OSError:
        return False
    return True
