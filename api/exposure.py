"""Who can reach this server by mistake: its bind address and the Host header."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address

from crawler.errors import ConfigurationError, InvalidRequest
from crawler.settings import Settings

_PORT = re.compile(r":\d*$")


def refuse_open_bind(settings: Settings) -> None:
    """Raise ConfigurationError when other machines could reach a server whose token nobody has chosen."""
    if not settings.api_token and not is_loopback(settings.host):
        message = (
            f"Binding {settings.host or 'every address'} lets other machines in; set CRAWL_API_TOKEN first, "
            "or bind 127.0.0.1."
        )
        raise ConfigurationError(message)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that binds `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, settings: Settings) -> None:
    """Raise InvalidRequest for a Host header that is not one of ours.

    A page in somebody's browser can make its own host name resolve to this server (DNS rebinding), but cannot
    change what its requests call it. Addresses and localhost are never such a name. A server that binds more than
    the loopback is called by names that we cannot know: unless ALLOWED_HOSTS says which, all pass.
    """
    name = _PORT.sub("", host).strip("[]").lower()
    if name == "localhost" or _is_address(name):
        return
    allowed = {entry.lower() for entry in settings.allowed_hosts}
    if name in allowed or (not allowed and not is_loopback(settings.host)):
        return
    raise InvalidRequest("This server does not answer to this Host; name it in CRAWL_ALLOWED_HOSTS.")


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ip_address(name)
        return True
    return False
